import sys
from pathlib import Path

import pytest
from trained_run import make_trained_run

from agentgym.store.notes import read_notes

PAID = """gated,levels=[{term="outcome",threshold=0.5},{term="valid",weight=0.5}]"""


def test_shapers_stand_beside_the_one_trained_with(agentgym, tmp_path: Path) -> None:
    make_trained_run(tmp_path / "r")
    done = agentgym("rescore", "r", "--shaping", f"outcome,{PAID}", "--json")
    assert done.code == 0, done.err
    found = done.json
    assert (found["steps"], found["episodes"], found["same"]) == ([1, 2, 3], 36, 3)
    assert list(found["shapers"]) == ["trained", "outcome", PAID]
    paid = found["shapers"][PAID]
    assert paid["difference"]["a"] == found["shapers"]["trained"]["reward"]
    assert paid["difference"]["b"] == paid["reward"]
    assert 0 < paid["gates"]["valid"] < 1
    assert len(paid["by_step"]["equal"]) == 3
    assert paid["advantages"]["rank"] < 1
    assert len(list(read_notes("r", "rewards"))) == 6


def test_the_table_and_the_plot(agentgym, tmp_path: Path) -> None:
    make_trained_run(tmp_path / "r")
    done = agentgym("rescore", "r", "--shaping", PAID, "--plot", "p.png", "--no-notes", "-n", "2")
    assert done.code == 0, done.err
    assert "2 optimiser steps, 24 episodes; trained with outcome" in done.out
    assert "LESS TRAINED, SAME EPISODES" in done.out
    assert (tmp_path / "p.png").read_bytes().startswith(b"\x89PNG")
    assert not list(read_notes("r", "rewards"))


def test_without_matplotlib_a_plot_is_refused_before_any_work(
    agentgym, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_trained_run(tmp_path / "r", steps=1)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    done = agentgym("rescore", "r", "--shaping", "outcome", "--plot", "p.svg")
    assert done.code == 3
    assert "hint: pip install 'agentgym-framework[plot]'" in done.err
    assert not list(read_notes("r", "rewards"))


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["x", "--shaping", "outcome"], ["no run at x"]),
        (["r", "--shaping", "gatde"], ["unknown shaping 'gatde'", 'did you mean "gated"?']),
        (["r", "--shaping", "gated"], ["levels"]),
        (["r"], ["--shaping"]),
        (["played", "--shaping", "outcome"], ["no optimiser step", "agentgym train"]),
    ],
)
def test_bad_input_is_told_and_leaves_nothing(agentgym, tmp_path: Path, words, told) -> None:
    make_trained_run(tmp_path / "r", steps=1)
    agentgym("run", "agentgym/KeyDoor-v0", "-n", "1", "-o", "played")
    done = agentgym("rescore", *words)
    assert done.code == 2
    assert all(text in done.err for text in told), done.err
    assert not list(read_notes("r", "rewards"))


def test_a_term_that_no_step_has_is_told(agentgym, tmp_path: Path) -> None:
    make_trained_run(tmp_path / "r", steps=1)
    done = agentgym("rescore", "r", "--shaping", "datarus", "--json", "--no-notes")
    assert done.code == 0, done.err
    told = (
        "warning: datarus: no step has the term 'format', which pays 0; there are: outcome, valid"
    )
    assert told in done.err
    assert done.json["shapers"]["datarus"]["missing"] == ["format"]
    assert done.json["shapers"]["trained"]["missing"] == []
