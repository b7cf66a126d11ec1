import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from agentgym.lab import experiment

pytestmark = pytest.mark.slow

SMALL = ["--tasks", "3", "--steps", "12", "--draws", "2", "--size", "2", "--size", "4"]
KEYDOOR = ["lab", "credit", "agentgym/KeyDoor-v0", *SMALL]
FIELDS = {
    *("estimator", "size", "scale", "bias", "variance", "rank", "sign_error", "over"),
    *("raw_bias", "raw_variance"),
}


def test_the_lab_prints_what_is_true_and_what_estimators_make_of_it(agentgym) -> None:
    done = agentgym(*KEYDOOR, "--epsilon", "0.5")
    assert done.code == 0, done.err
    lines = done.out.splitlines()
    assert lines[0] == "agentgym/KeyDoor-v0  scripted, 0.5 at random"
    assert lines[2].startswith("truth   dynamic programming: 12 steps of 3 tasks")
    header = next(line for line in lines if line.startswith("ESTIMATOR"))
    assert "RANK 2" in header
    assert "95 % AT 4" in header
    assert any(line.startswith("td_state ") for line in lines)
    assert any(line.startswith("portool* ") for line in lines)
    assert "* reconstructed, in part at least: docs/credit.md" in lines
    assert lines[-1].startswith("left out, for want of columns or terms: ")


def test_json_has_every_figure(agentgym) -> None:
    done = agentgym(*KEYDOOR, "--json")
    assert done.code == 0, done.err
    assert done.json["env"] == "agentgym/KeyDoor-v0"
    assert done.json["settings"]["sizes"] == [2, 4]
    assert all(set(row) == FIELDS for row in done.json["estimators"])
    assert {"portool", "opmd", "asymre"} <= set(done.json["reconstructed"])
    assert "gigpo" not in done.json["reconstructed"]
    assert set(done.json["estimators"][0]["rank"]) == {"value", "low", "high"}


def test_other_environments_are_continued(agentgym) -> None:
    done = agentgym(
        *("lab", "credit", "agentgym/Calculator-v0", "--continuations", "4", "--json"), *SMALL
    )
    assert done.code == 0, done.err
    assert done.json["truth"]["method"] == "continuations"
    assert "check" not in done.json["truth"]


def test_of_one_task_there_is_no_interval(agentgym) -> None:
    words = ("lab", "credit", "agentgym/Calculator-v0", "--continuations", "4", *SMALL)
    one = ("--tasks", "1")
    rows = agentgym(*words, *one, "--json").json["estimators"]
    assert {(row["rank"]["low"], row["over"]["grpo"]["high"]) for row in rows} == {(None, None)}
    done = agentgym(*words, *one)
    assert "nan" not in done.out
    assert "a perfect estimator would have a rank of " in done.out


def test_keys_of_the_environment_are_recorded(agentgym) -> None:
    done = agentgym(*KEYDOOR, "--json", "env.tier=hard", "env.max_turns=12")
    assert done.json["keys"] == {"tier": "hard", "max_turns": 12}


@pytest.mark.parametrize("kind", ["png", "svg"])
def test_it_can_be_drawn(agentgym, tmp_path: Path, kind: str) -> None:
    pytest.importorskip("matplotlib")
    drawn = tmp_path / f"credit.{kind}"
    assert agentgym(*KEYDOOR, "--plot", str(drawn)).code == 0
    assert drawn.stat().st_size > 10_000
    again = agentgym(*KEYDOOR, "--plot", str(drawn))
    assert again.code == 2
    assert "exists already" in again.err


def test_without_matplotlib_a_plot_is_refused_before_any_work(
    agentgym, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setattr(experiment.Experiment, "play", None)
    done = agentgym(*KEYDOOR, "--plot", "p.svg")
    assert done.code == 3
    assert "hint: pip install 'agentgym-framework[plot]'" in done.err


def test_what_is_done_is_kept_on_ctrl_c(agentgym, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(experiment, "_add_draw", _interrupting(experiment._add_draw, after=100))
    words = [*KEYDOOR, "--steps", "60", "--json"]
    done = agentgym(*words)
    assert done.code == 0, done.err
    assert "interrupted: " in done.err
    assert 10 <= done.json["truth"]["steps"] < 60


def test_too_early_a_ctrl_c_leaves_nothing(agentgym, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(experiment, "_add_draw", _interrupting(experiment._add_draw, after=4))
    assert agentgym(*KEYDOOR).code == 130


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["agentgym/KeyDor-v0"], 2, "did you mean 'agentgym/KeyDoor-v0'"),
        (["agentgym/KeyDoor-v0", "-m", "openai:x@http://y"], 2, "no model behind a URL"),
        (["agentgym/KeyDoor-v0", "-m", "scripted:genius"], 2, "has no scripted policy 'genius'"),
        (["agentgym/KeyDoor-v0", "--gamma", "0"], 2, "'--gamma': 0 is not above 0"),
        (["agentgym/KeyDoor-v0", "--gamma", "2"], 2, "'--gamma': Input should be less"),
        (["agentgym/KeyDoor-v0", "--minutes", "0"], 2, "'--minutes': 0 is not above 0"),
        (["agentgym/KeyDoor-v0", "--split", "dev"], 2, "has no split 'dev'"),
        (["agentgym/KeyDoor-v0", "--plot", "x.txt"], 2, "cannot draw 'x.txt'"),
        (["agentgym/KeyDoor-v0", "--minutes", "1e-9"], 1, "0 steps are done"),
    ],
)
def test_bad_words_are_told(agentgym, words: list[str], code: int, message: str) -> None:
    done = agentgym("lab", "credit", *words, *SMALL)
    assert done.code == code, done.err
    assert message in done.err


def _interrupting(play: Callable[..., object], *, after: int) -> Callable[..., object]:
    calls = 0

    async def interrupted(*args: object) -> None:
        nonlocal calls
        calls += 1
        if calls == after:
            signal.raise_signal(signal.SIGINT)
        await play(*args)  # type: ignore[misc]

    return interrupted
