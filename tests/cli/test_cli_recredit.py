import sys
from pathlib import Path

import numpy as np
import pytest
from trained_run import make_trained_run

from agentgym.store.notes import NewNoteWriter, read_notes
from agentgym.trainers import recompute
from agentgym.trainers.credit.grpo import GRPO


def test_estimators_stand_beside_the_one_trained_with(agentgym, tmp_path: Path) -> None:
    make_trained_run(tmp_path / "r")
    done = agentgym(
        "recredit", "r", "--credit", "salt,history=1,grpo", "--credit", "gigpo", "--json"
    )
    assert done.code == 0, done.err
    found = done.json
    assert (found["steps"], found["same"]) == ([1, 2, 3], 3)
    assert list(found["credits"]) == ["trained", "salt,history=1", "grpo", "gigpo"]
    gigpo, grpo = found["credits"]["gigpo"], found["credits"]["grpo"]
    assert (gigpo["rank"], gigpo["same_sign"], gigpo["opposite"]) == (pytest.approx(1), 1, 0)
    assert gigpo["differences"]["mean_abs"]["difference"] == 0
    assert grpo["inside"] == 0 < gigpo["inside"]
    assert grpo["differences"]["mean_abs"]["low"] <= grpo["differences"]["mean_abs"]["high"]
    assert len(grpo["by_step"]["coverage"]) == 3
    assert grpo["credit"]["name"] == "grpo"
    assert [each["noted"] for each in found["credits"].values()] == [0, 3, 3, 3]
    assert len(list(read_notes("r", "credit"))) == 9


def test_the_table_and_the_plot(agentgym, tmp_path: Path) -> None:
    make_trained_run(tmp_path / "r")
    words = ("recredit", "r", "--credit", "salt", "--plot", "p.svg", "--no-notes")
    done = agentgym(*words)
    assert done.code == 0, done.err
    assert "trained with gigpo" in done.out
    assert "LESS TRAINED, SAME STEPS" in done.out
    assert "0 notes written" in done.out
    assert (tmp_path / "p.svg").read_bytes().startswith(b"<?xml")
    assert not list(read_notes("r", "credit"))
    assert agentgym(*words).code == 2  # the plot is there already
    assert agentgym("recredit", "r", "--credit", "salt", "--plot", "p.txt").code == 2


def test_what_is_reconstructed_is_marked(agentgym, tmp_path: Path) -> None:
    """Also where it is not itself, but what it is built on."""
    make_trained_run(tmp_path / "r")
    words = ("recredit", "r", "--credit", "portool,salt,salt,base.name=opmd", "--no-notes")
    done = agentgym(*words)
    marked = {line.split()[0] for line in done.out.splitlines() if "* " in line}
    assert marked == {"portool*", "salt,base.name=opmd*", "*"}
    assert "* reconstructed, in part at least: docs/credit.md" in done.out
    found = agentgym(*words, "--json").json["credits"]
    assert [each["sureness"] for each in found.values()] == [
        *("run", "reconstructed", "second-hand", "second-hand")
    ]
    assert [each["reconstructed"] for each in found.values()] == [False, True, False, True]
    assert "reconstructed" not in agentgym("recredit", "r", "--credit", "salt", "--no-notes").out


def test_the_last_steps_alone(agentgym, tmp_path: Path) -> None:
    make_trained_run(tmp_path / "r")
    assert agentgym("recredit", "r", "--credit", "salt", "-n", "2", "--json").json["steps"] == [
        2,
        3,
    ]


def test_a_lost_or_broken_shard_of_notes_is_told(agentgym, tmp_path: Path, caplog) -> None:
    make_trained_run(tmp_path / "r")
    assert agentgym("recredit", "r", "--credit", "grpo").code == 0
    (tmp_path / "r/notes/recredit-00001.jsonl.zst").write_bytes(b"no shard at all")
    for words in (["recredit", "r", "--credit", "grpo"], ["show", "r", "train-000001-000.1.0"]):
        done = agentgym(*words)
        assert done.code == 0, done.err
        assert "recredit-00001.jsonl.zst is no shard" in caplog.text
        caplog.clear()
    shard = tmp_path / "r/notes/trainer-00001.jsonl.zst"
    shard.write_bytes(shard.read_bytes()[:-40])
    done = agentgym("recredit", "r", "--credit", "grpo", "--json")
    assert done.json["steps"] == [1, 2]
    assert "the record lacks 1 optimiser step" in done.err
    shard.unlink()
    done = agentgym("recredit", "r", "--credit", "grpo")
    assert done.code == 2
    assert "it took 3, but its notes are lost: agentgym check run r" in done.err


def test_a_lost_configuration_is_named(agentgym, tmp_path: Path) -> None:
    make_trained_run(tmp_path / "r", steps=1)
    (tmp_path / "r/config.toml").unlink()
    done = agentgym("recredit", "r", "--credit", "grpo")
    assert done.code == 2
    assert "r/config.toml is missing" in done.err


def test_other_numbers_than_recorded_are_told(agentgym, tmp_path: Path) -> None:
    make_trained_run(tmp_path / "r", steps=1)
    (note,) = read_notes("r", "update")
    with NewNoteWriter("r", producer="trainer", kind="update") as writer:
        changed = np.nextafter(note.columns["advantages"], 9)
        writer.add(note.payload, note.columns | {"advantages": changed})
    done = agentgym("recredit", "r", "--credit", "salt")
    assert done.code == 0
    assert "in 1 of 1 optimiser step the training's own method" in done.err


def test_an_episode_shows_what_others_gave_it(agentgym, tmp_path: Path) -> None:
    make_trained_run(tmp_path / "r")
    assert agentgym("recredit", "r", "--credit", "grpo,salt,history=2,reinforce_pp").code == 0
    found = agentgym("show", "r", "train-000001-000.1.0", "--json").json["noted"]
    assert list(found["credits"]) == ["grpo", "salt,history=2", "reinforce_pp"]
    assert {len(each) for each in found["credits"].values()} == {len(found["advantages"])}
    update = list(recompute.read_updates("r"))[1]
    row = update.table.trajectory_ids.index("train-000001-000.1.0")
    expected = GRPO()(update.table, update.rewards)[update.table.step_start[row]]
    assert found["credits"]["grpo"][0] == expected
    assert "salt,history=2 " in agentgym("show", "r", "train-000001-000.1.0").out


def test_an_interrupt_loses_nothing(agentgym, tmp_path: Path, monkeypatch) -> None:
    make_trained_run(tmp_path / "r")

    def two_steps(*args, **options):
        found = recompute.read_updates(*args, **options)
        yield next(found)
        yield next(found)
        raise KeyboardInterrupt

    monkeypatch.setattr("agentgym.trainers.recredit.read_updates", two_steps)
    done = agentgym("recredit", "r", "--credit", "salt")
    assert (done.code, done.out) == (130, "")
    assert "interrupted" in done.err
    assert len(list(read_notes("r", "credit"))) == 2
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    found = agentgym("recredit", "r", "--credit", "salt", "--json").json
    assert found["credits"]["salt"]["noted"] == 1
    assert len(list(read_notes("r", "credit"))) == 3


def test_without_matplotlib_a_plot_is_refused_before_any_work(
    agentgym, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_trained_run(tmp_path / "r", steps=1)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    done = agentgym("recredit", "r", "--credit", "salt", "--plot", "p.svg")
    assert done.code == 3
    assert "hint: pip install 'agentgym-framework[plot]'" in done.err
    assert not list(read_notes("r", "credit"))


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["x", "--credit", "salt"], ["no run at x"]),
        (["r", "--credit", "slat"], ["unknown credit 'slat'", 'did you mean "salt"?']),
        (
            ["r", "--credit", "grpo,igpo"],
            ["igpo needs the column 'answer_logprob', which is not in the record of r", "hint:"],
        ),
        (["r"], ["--credit"]),
        (["r", "--credit", "salt", "-n", "0"], ["--last", "greater than or equal to 1"]),
        (["played", "--credit", "salt"], ["no optimiser step", "agentgym train"]),
        (["stopped", "--credit", "salt"], ["no optimiser step", "agentgym resume stopped"]),
    ],
)
def test_bad_input_is_told_and_leaves_nothing(agentgym, tmp_path: Path, words, told) -> None:
    make_trained_run(tmp_path / "r", steps=1)
    make_trained_run(tmp_path / "stopped", steps=0)
    agentgym("run", "agentgym/KeyDoor-v0", "-n", "1", "-o", "played")
    done = agentgym("recredit", *words)
    assert done.code == 2
    assert all(text in done.err for text in told), done.err
    assert not list(read_notes("r", "credit"))
