import io
import time

import pytest

from agentgym.cli import progress
from agentgym.cli.progress import EpisodeCounter, TrainingProgress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_elsewhere_there_is_one_plain_line_per_step(capsys: pytest.CaptureFixture[str]) -> None:
    with TrainingProgress() as shown:
        shown.on_phase("collect", 1, 8)
        shown.on_step(1, 3, {"success": 0.25, "policy_loss": -0.5, "terms/x": 3.0})
        shown.on_step(2, 3, {"success": 0.5})
    out, err = capsys.readouterr()
    assert out == "step 1/3  success 0.25  policy_loss -0.5\nstep 2/3  success 0.5\n"
    assert err == ""


def test_aside_it_goes_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    with TrainingProgress(aside=True) as shown:
        shown.on_step(1, 3, {"success": 0.25})
    assert capsys.readouterr() == ("", "step 1/3  success 0.25\n")


def test_a_terminal_shows_step_curve_and_phase(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(progress.sys, "stdout", terminal)
    monkeypatch.setenv("TERM", "xterm")
    with TrainingProgress(successes=[0.0]) as shown:
        shown.on_step(2, 3, {"success": 1.0})
        shown.on_phase("collect", 3, 8)
    assert "step 2/3  success 1" in terminal.getvalue()
    assert "success    ▁█" in terminal.getvalue()
    assert "collect    3/8" in terminal.getvalue()


def test_a_phase_speaks_up_now_and_then(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    with TrainingProgress() as shown, EpisodeCounter(4) as counter:
        for now in (101.0, 111.0, 112.0, 121.5):
            shown.on_phase("collect", int(now), 200)
            counter.advance()
    assert capsys.readouterr().out == "  collect 111/200\n  collect 121/200\n"


def test_a_silent_counter_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with EpisodeCounter(2, show=False) as counter:
        counter.advance()
    assert capsys.readouterr() == ("", "")
