import itertools
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from agentgym.config.overlay import render_toml
from agentgym.config.run import resolve_words
from agentgym.store.episodes import EpisodeWriter, read_episodes, read_heads
from agentgym.store.run import Run
from agentgym.types import Message, Step, Task, ToolCall, Trajectory
from agentgym.viewer.labels import Labels

KEYDOOR = "agentgym/KeyDoor-v0"


def episode(
    group: str, member: int, outcome: float, *, turns: int = 1, split: str = "train", **fields
) -> Trajectory:
    steps = [Step(message=Message("assistant", f"move {n}")) for n in range(turns)]
    steps[-1].reward_terms = {"outcome": outcome}
    return Trajectory(
        **{
            "id": f"{group}.{member}.0",
            "task": Task("Go.", id=group, env=KEYDOOR, split=split),
            "group_id": group,
            "member": member,
            "prompt": (Message("user", "Go."),),
            "steps": steps,
            "end": "terminated",
            "reason": "env",
        }
        | fields
    )


@pytest.fixture
def recorded(tmp_path: Path) -> Callable[..., str]:
    """Make a run of given episodes."""

    def record(*episodes: Trajectory, status: str = "finished", words=()) -> str:
        text = render_toml(resolve_words([f"env.id={KEYDOOR}", *words]))
        with Run.create(
            tmp_path / "r", config_text=text, command=["agentgym"], seed=0, env=KEYDOOR
        ) as run:
            run.update(kind="train", status=status)
        with EpisodeWriter(tmp_path / "r") as writer:
            for each in episodes:
                writer.append(each)
        return "r"

    return record


def ids(out: str) -> list[str]:
    return [json.loads(line)["metadata"]["episode"] for line in out.splitlines()]


def test_each_episode_becomes_a_line_in_its_order(agentgym, recorded) -> None:
    recorded(episode("g1", 0, 1.0, turns=2), episode("g1", 1, 0.0))
    done = agentgym("export", "r", "--messages")
    assert done.code == 0
    first, second = map(json.loads, done.out.splitlines())
    assert [each["content"] for each in first["messages"]] == ["Go.", "move 0", "move 1"]
    assert set(second) == {"messages"}
    assert done.err == "2 episodes written to stdout\n"
    (line, _) = agentgym("export", "r", "--messages", "--metadata").out.splitlines()
    assert json.loads(line)["metadata"] == {
        "episode": "g1.0.0",
        "env": KEYDOOR,
        "task": "g1",
        "split": "train",
        "policy": "",
        "outcome": 1.0,
    }


def test_filters_choose_and_say_what_they_left_out(agentgym, recorded) -> None:
    recorded(
        episode("warm-000000", 0, 1.0),
        episode("train-000008-000", 0, 0.5),
        episode("train-000008-000", 1, 1.0, turns=3),
        episode("train-000009-000", 0, 1.0, turns=2),
        episode("train-000009-000", 1, 1.0),
        episode("train-000009-000", 2, 0.5),
        episode("train-000009-001", 0, 0.0),
        episode("eval-sampled-000010-000", 0, 1.0, split="test"),
        episode("train-000009-001", 1, 1.0, end="error", reason="boom"),
    )

    def export(*words: str) -> list[str]:
        done = agentgym("export", "r", "--messages", "--metadata", *words)
        assert done.code == 0
        return ids(done.out)

    assert len(export()) == 8
    assert export("--split", "test") == ["eval-sampled-000010-000.0.0"]
    assert len(export("--successes")) == 5
    assert len(export("--min-outcome", "0.5")) == 7
    assert export("--last-steps", "1", "--successes") == [
        "train-000009-000.0.0",
        "train-000009-000.1.0",
    ]
    assert len(export("--last-steps", "2")) == 6
    assert export("--best-of-group", "--split", "train") == [
        "warm-000000.0.0",
        "train-000008-000.1.0",
        "train-000009-000.1.0",
        "train-000009-001.0.0",
    ]
    told = agentgym("export", "r", "--messages", "--min-outcome", "1", "--split", "train").err
    assert told == (
        "4 episodes written to stdout; left out: 3 outcome below 1, "
        "1 not of the split train, 1 ended by a fault\n"
    )


def test_a_group_is_exported_alone_and_its_best(agentgym, recorded) -> None:
    run = recorded(*(episode(group, n, n / 2) for group in "abc" for n in range(3)))

    def exported(*words: str) -> list[str]:
        done = agentgym("export", run, "--messages", "--metadata", *words)
        assert done.code == 0, done.err
        return [json.loads(line)["metadata"]["episode"] for line in done.out.splitlines()]

    assert exported("--group", "b") == ["b.0.0", "b.1.0", "b.2.0"]
    assert exported("--group", "b", "--best-of-group") == ["b.2.0"]
    assert exported("--best-of-group") == ["a.2.0", "b.2.0", "c.2.0"]


def test_of_a_run_that_is_being_written_the_best_are_those_that_are_there(
    agentgym, recorded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded(episode("g1", 0, 0.0), episode("g1", 1, 1.0), status="running")
    groups = itertools.count(2)

    def read_and_write(root: Path):
        yield from read_heads(root)
        with EpisodeWriter(tmp_path / "r") as writer:
            writer.append(episode(f"g{next(groups)}", 0, 1.0))

    monkeypatch.setattr("agentgym.store.episodes.read_heads", read_and_write)
    done = agentgym("export", "r", "--messages", "--metadata", "--best-of-group")
    assert done.code == 0
    assert ids(done.out) == ["g1.1.0"]


def test_calls_that_cannot_be_read_and_faults_are_never_written(agentgym, recorded) -> None:
    broken = episode("g", 0, 1.0)
    broken.steps[0].message = Message("assistant", "", (ToolCall("add", "{", "c"),))
    recorded(broken, episode("g", 1, 1.0), episode("g", 2, 0.0, end="error"))
    done = agentgym("export", "r", "--messages")
    assert len(done.out.splitlines()) == 1
    assert "1 no answer, or a call that is not readable" in done.err
    assert "1 ended by a fault" in done.err


def test_a_file_is_whole_or_not_there_and_never_overwritten(
    agentgym, recorded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded(*(episode(f"g{number}", 0, 1.0) for number in range(3)))
    out = agentgym("export", "r", "--messages").out
    assert agentgym("export", "r", "--messages", "-o", "a.jsonl").code == 0
    assert (tmp_path / "a.jsonl").read_text() == out
    again = agentgym("export", "r", "--messages", "-o", "a.jsonl", "--split", "test")
    assert again.code == 2
    assert "a.jsonl exists already" in again.err
    assert agentgym("export", "r", "--messages", "--split", "test", "-o", "b.jsonl").code == 1

    def fail(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("agentgym.formats.messages.to_line", fail)
    assert agentgym("export", "r", "--messages", "-o", "a.jsonl", "--force").code == 130
    assert (tmp_path / "a.jsonl").read_text() == out
    assert sorted(os.listdir(tmp_path)) == ["a.jsonl", "r"]
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    assert agentgym("export", "r", "--messages", "-o", "a.jsonl", "--no-tools", "--force").code == 0
    assert agentgym("export", "r", "--messages", "-o", "/dev/null", "--force").code == 2
    assert "there is no folder" in agentgym("export", "r", "--messages", "-o", "no/a").err


@pytest.mark.parametrize(
    ("words", "code", "error"),
    [
        (["r"], 2, "say in which format\nhint: agentgym export r --messages"),
        (["gone", "--messages"], 2, "no run at gone"),
        (["r", "--messages", "--successes", "--min-outcome", "1"], 2, "exclude each other"),
        (["r", "--messages", "--split", "tset"], 1, "left to export: 1 not of the split tset"),
        (["r", "--messages", "--min-outcome", "nan"], 1, "1 outcome below nan"),
        (["r", "--mesages"], 2, "did you mean --messages or --successes?"),
        (["r", "--messages", "--last-steps", "3"], 1, "1 not of the last 3 steps"),
        (["r", "--messages", "--group", "f"], 1, "left to export: 1 not of the group f"),
        (["r", "--messages", "--credit", "grpo"], 2, "--credit has no effect on --messages"),
        (
            ["r", "--html", "--episode", "g", "--successes"],
            2,
            "--successes has no effect on --html",
        ),
        (["r", "--html", "--group", "g", "--label", "good"], 2, "--label has no effect on --html"),
    ],
)
def test_wrong_usage_says_what_is_wrong(agentgym, recorded, words, code, error) -> None:
    recorded(episode("g", 0, 1.0))
    done = agentgym("export", *words)
    assert (done.code, done.out) == (code, "")
    assert error in done.err


def test_a_run_without_its_environment_is_exported_by_outcome(agentgym, recorded, tmp_path) -> None:
    recorded(episode("g", 0, 1.0))
    config = tmp_path / "r" / "config.toml"
    config.write_text(config.read_text().replace(KEYDOOR, "me/Gone-v0"))
    done = agentgym("export", "r", "--messages", "--successes")
    assert done.code == 2
    assert "unknown environment 'me/Gone-v0'" in done.err
    assert "hint: give --min-outcome" in done.err
    assert agentgym("export", "r", "--messages", "--min-outcome", "1").code == 0


def test_a_cut_off_run_and_a_broken_record_give_what_is_whole(agentgym, recorded, tmp_path) -> None:
    recorded(*(episode(f"g{number}", 0, 1.0) for number in range(4)), status="running")
    (shard,) = (tmp_path / "r" / "episodes").iterdir()
    data = bytearray(shard.read_bytes())
    second = list(read_heads(tmp_path / "r"))[1].frame
    data[second.body + 8] ^= 0xFF
    shard.write_bytes(data[:-5])
    done = agentgym("export", "r", "--messages", "--metadata")
    assert done.code == 0
    assert ids(done.out) == ["g0.0.0", "g2.0.0"]
    assert "1 broken on disk" in done.err
    assert "r did not finish (interrupted)" in done.err


def test_an_empty_run_has_nothing_to_export(agentgym, recorded) -> None:
    recorded()
    done = agentgym("export", "r", "--messages", "-o", "a.jsonl")
    assert done.code == 1
    assert "r has no whole episode" in done.err


def test_what_a_real_run_recorded_is_exported_with_its_tools(agentgym) -> None:
    assert agentgym("run", "agentgym/Calculator-v0", "-n", "3", "-o", "r").code == 0
    lines = [json.loads(line) for line in agentgym("export", "r", "--messages").out.splitlines()]
    assert len(lines) == 3
    for line in lines:
        assert line["tools"][0]["function"]["name"] == "calc"
        assert line["messages"][-1]["role"] == "assistant"
        messages = [Message.from_openai(each) for each in line["messages"]]
        assert [each.to_openai() for each in messages] == line["messages"]


def test_the_same_bytes_go_to_a_pipe_in_any_locale(process, recorded) -> None:
    said = episode("g", 0, 1.0)
    said.steps[0].message = Message("assistant", "日本 é \udc80")
    recorded(said)
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "LC_ALL": "C"}
    done = process("export", "r", "--messages", env=environment, encoding="utf-8")
    assert json.loads(done.out)["messages"][1]["content"] == "日本 é \ufffd"


def test_atif_is_written_and_imported_again_as_it_was(agentgym, recorded, tmp_path: Path) -> None:
    recorded(episode("g1", 0, 1.0, turns=2), episode("g1", 1, 0.0, end="error", reason="boom"))
    assert agentgym("export", "r", "--atif", "-o", "a.jsonl").code == 0
    assert agentgym("import", "a.jsonl", "again").code == 0
    assert list(read_episodes(tmp_path / "again")) == list(read_episodes(tmp_path / "r"))
    assert Run.open(tmp_path / "again").info["env"] == KEYDOOR


def test_one_episode_alone_is_a_document(agentgym, recorded) -> None:
    recorded(*(episode(f"g{number}", 0, 1.0) for number in range(3)))
    done = agentgym("export", "r", "--atif", "--episode", "g1")
    assert json.loads(done.out)["trajectory_id"] == "g1.0.0"
    both = agentgym("export", "r", "--markdown", "--episode", "g2", "--episode", "g0.0.0")
    assert both.out.count("# Episode") == 2
    wrong = agentgym("export", "r", "--atif", "--episode", "x")
    assert wrong.code == 1
    assert "no episode 'x'" in wrong.err


def test_formats_exclude_each_other(agentgym, recorded) -> None:
    recorded(episode("g", 0, 1.0))
    done = agentgym("export", "r", "--atif", "--messages")
    assert done.code == 2
    assert "--messages and --atif exclude each other" in done.err


def test_a_folder_is_whole_or_not_there(agentgym, recorded, tmp_path: Path) -> None:
    pytest.importorskip("minari", reason="minari is not installed")
    recorded(episode("g", 0, 1.0, turns=2), episode("g", 1, 1.0, end="error"))
    assert "name it with -o" in agentgym("export", "r", "--minari").err
    done = agentgym("export", "r", "--minari", "-o", "moves")
    assert (done.code, "1 ended by a fault" in done.err) == (0, True)
    assert (tmp_path / "moves" / "data" / "metadata.json").is_file()
    assert agentgym("export", "r", "--minari", "-o", "moves").code == 2
    assert agentgym("export", "r", "--minari", "-o", "b", "--split", "test").code == 1
    assert sorted(os.listdir(tmp_path)) == ["moves", "r"]


def test_parquet_is_written_to_a_file(agentgym, recorded, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed")
    recorded(episode("g", 0, 1.0, turns=2))
    assert agentgym("export", "r", "--parquet", "-o", "a.parquet").code == 0
    (row,) = parquet.read_table(tmp_path / "a.parquet").to_pylist()
    assert (row["id"], row["outcome"], len(row["steps"])) == ("g.0.0", 1.0, 2)


def test_a_label_chooses(recorded, agentgym, tmp_path: Path) -> None:
    run = recorded(episode("a", 0, 1.0), episode("a", 1, 0.0), episode("b", 0, 1.0))
    labels = Labels(Path(run))
    for name, label in (("a.0.0", "odd"), ("a.1.0", "odd"), ("a.1.0", "fine"), ("b.0.0", "odd")):
        labels.put(name, label, "")
    labels.close()
    out = str(tmp_path / "odd.jsonl")
    done = agentgym("export", run, "--messages", "--metadata", "--label", "odd", "-o", out)
    assert done.code == 0, done.err
    lines = Path(out).read_text().splitlines()
    assert [json.loads(line)["metadata"]["episode"] for line in lines] == ["a.0.0", "b.0.0"]
    assert "1 not labelled so" in done.err
    done = agentgym("export", run, "--messages", "--label", "od", "-o", out + "2")
    assert done.code == 2
    assert "hint: did you mean 'odd'?" in done.err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "takes one group or one episode"),
        (["--group", "a", "--episode", "a.0.0"], "takes one group or one episode"),
        (["--group", "b"], "no group 'b'"),
        (["--episode", "b"], "no episode"),
        (["--group", "a", "--credit", "grpoo"], "grpoo"),
        (["--group", "a", "--messages"], "exclude each other"),
    ],
)
def test_a_page_of_what_cannot_be_shown_is_refused(agentgym, recorded, words, told) -> None:
    run = recorded(episode("a", 0, 1.0), episode("a", 1, 0.0))
    result = agentgym("export", run, "--html", "-o", "it.html", *words)
    assert result.code != 0
    assert told in result.err
    assert not Path("it.html").exists()


def test_a_group_becomes_one_page(agentgym, recorded) -> None:
    run = recorded(episode("a", 0, 1.0), episode("a", 1, 0.0), episode("b", 0, 1.0))
    result = agentgym("export", run, "--html", "--group", "a", "--credit", "grpo", "-o", "it.html")
    assert result.code == 0, result.err
    page = Path("it.html").read_text()
    assert page.startswith("<!doctype html>")
    assert page.count("<script") == 2
    again = agentgym("export", run, "--html", "--episode", "a.1", "-o", "it.html")
    assert "exists already" in again.err
    assert (
        agentgym("export", run, "--html", "--episode", "a.1", "-o", "it.html", "--force").code == 0
    )


@pytest.fixture
def labelled(recorded) -> str:
    """A run of three tasks; of the last one nobody found a bad episode."""
    run = recorded(*(episode(group, n, n / 4) for group in "abc" for n in range(4)))
    labels = Labels(Path(run))
    given = {"a.0.0": "bad", "a.1.0": "good", "a.2.0": "good", "a.3.0": "unsure"}
    given |= {"b.0.0": "bad", "b.1.0": "bad", "b.2.0": "good", "c.0.0": "good"}
    for name, label in given.items():
        labels.put(name, label, "")
    labels.close()
    return run


def test_good_and_bad_episodes_of_a_task_become_pairs(agentgym, labelled) -> None:
    done = agentgym("export", labelled, "--preference", "--metadata")
    assert done.code == 0, done.err
    lines = [json.loads(line) for line in done.out.splitlines()]
    pairs = [
        [each["metadata"][side]["episode"] for side in ("chosen", "rejected")] for each in lines
    ]
    assert pairs == [
        ["a.1.0", "a.0.0"],
        ["a.2.0", "a.0.0"],
        ["b.2.0", "b.0.0"],
        ["b.2.0", "b.1.0"],
    ]
    assert lines[0]["prompt"] == [{"role": "user", "content": "Go."}]
    assert lines[0]["chosen"] == [{"role": "assistant", "content": "move 0"}]
    assert "7 episodes as 4 pairs, 1 without a partner left out written to stdout" in done.err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--chosen", "god"], "did you mean 'good'?"),
        (["--rejected", "good"], "two labels"),
        (["--label", "good"], "two labels"),
        (["--chosen", "unsure", "--split", "test"], "not of the split test"),
    ],
)
def test_labels_of_no_pairs_are_refused(agentgym, labelled, words, told) -> None:
    done = agentgym("export", labelled, "--preference", "-o", "it.jsonl", *words)
    assert done.code != 0
    assert told in done.err
    assert not Path("it.jsonl").exists()


def test_without_a_pair_nothing_is_written(agentgym, recorded) -> None:
    run = recorded(episode("a", 0, 1.0), episode("b", 0, 0.0))
    labels = Labels(Path(run))
    labels.put("a.0.0", "good", "")
    labels.put("b.0.0", "bad", "")
    labels.close()
    done = agentgym("export", run, "--preference", "-o", "it.jsonl")
    assert (done.code, Path("it.jsonl").exists()) == (2, False)
    assert "of the same task" in done.err
