"""What needs no sandbox: the table, its judges, and words on the command line."""

import pytest

from agentgym.check.report import Failed
from agentgym.check.sandbox import Finding, SandboxReport, Status, grader, judges
from agentgym.check.sandbox.grader import KINDS
from agentgym.check.sandbox.solutions import FIFTEEN
from agentgym.check.sandbox.table import ROWS, matching, short
from agentgym.errors import ConfigError
from agentgym.sandbox import ExecResult, Status as Became


def test_a_lost_sandbox_came_through_nothing() -> None:
    lost = ExecResult(status=Became.TIMEOUT, sandbox_lost=True)
    with pytest.raises(Failed, match="lost=True"):
        judges.ends(Became.TIMEOUT)(lost)


def test_names_are_unique_and_say_what_must_happen() -> None:
    assert len({row.name for row in ROWS}) == len(ROWS)
    assert all(row.name.isidentifier() and row.must for row in ROWS)


def test_fifteen_wrong_solutions_are_graded_by_every_kind() -> None:
    assert len(FIFTEEN) == 15
    assert len(KINDS) == 4
    names = {f"grader_{title.replace('.', '_').replace(' ', '_')}" for title in FIFTEEN}
    assert names < {row.name for row in grader.ROWS}


def test_rows_are_chosen_by_pattern() -> None:
    assert {row.name for row in matching(["fork_bomb*"])} >= {"fork_bomb", "fork_bomb_sigign"}
    assert len(matching(["*"])) == len(ROWS) > len(short())
    with pytest.raises(ConfigError, match="frk_bomb") as caught:
        matching(["frk_bomb"])
    assert caught.value.hint == "did you mean 'fork_bomb'?"


def test_a_report_counts_and_becomes_rows_of_json() -> None:
    held = Finding("a", "local", Status.CONTAINED, "seen")
    report = SandboxReport((held, Finding("b", "local", Status.NOT_APPLICABLE, "none here")))
    assert (report.ok, report.is_complete) == (True, False)
    assert not SandboxReport((held, Finding("c", "local", Status.FAILED, "out"))).ok
    assert report.to_json()[1] == {
        "name": "b",
        "backend": "local",
        "status": "not applicable",
        "reason": "none here",
    }
