import json
from pathlib import Path

import pytest

from agentgym.cli import quickstart
from agentgym.store.run import Run, Status

SMALL = [
    "model.threads=1",
    "model.tiny.width=32",
    "warm_start.episodes=40",
    "warm_start.steps=10",
    "rollout.groups=2",
    "rollout.group_size=4",
    "train.steps=2",
    "eval.episodes=8",
]


@pytest.mark.slow
@pytest.mark.sandbox
def test_the_quickstart_trains_scores_and_sums_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config = quickstart.CONFIG.resolve()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(quickstart, "CONFIG", config)
    monkeypatch.setattr(quickstart, "NUM_TASKS", 8)
    assert quickstart.quickstart(SMALL) == 0
    summary = json.loads(Path("runs/quickstart/summary.json").read_text())
    for key in ("success_before", "success_after", "teacher", "expert"):
        assert set(summary[key]) == {"mean", "low", "high", "n"}
        assert summary[key]["n"] == 8
    assert summary["expert"]["mean"] == 1.0
    assert summary["seconds"] > 0
    assert summary["episodes"] == 40 + 2 * 8 + 4 * 8
    printed = capsys.readouterr().out
    assert printed.count("write f(x)") == 2 * quickstart.NUM_SHOWN
    assert "after reinforcement" in printed


@pytest.mark.parametrize(("status", "command"), [("finished", "train"), ("interrupted", "resume")])
def test_an_earlier_quickstart_is_kept_or_continued(
    status: Status, command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with Run.create("runs/quickstart", config_text="", command=[], seed=0) as run:
        run.update(status=status)
    called: list[str] = []

    def refuse(words: list[str]) -> int:
        called.append(words[0])
        return 130

    monkeypatch.setattr(quickstart, "main", refuse)
    assert quickstart.quickstart([]) == 130
    assert called == [command]
    assert Path("runs/quickstart-2/run.json").is_file() == (status == "finished")


@pytest.mark.parametrize("arguments", ["[" * 100_000, "[1", "[1]"])
def test_arguments_without_code_are_shown_as_they_are(arguments: str) -> None:
    assert quickstart._code(arguments) == arguments
