"""How `agentgym check` ends."""

from typing import Protocol

import typer

from agentgym.cli.output import note


class _Report(Protocol):
    @property
    def ok(self) -> bool: ...

    @property
    def is_complete(self) -> bool: ...


def leave_unless_ok(report: _Report, *, strict: bool, left_out: str = "was not checked") -> None:
    """Leave with 1 if anything failed; if `strict`, also if something was left out.

    Raises:
        typer.Exit: so.
    """
    if strict and report.ok and not report.is_complete:
        note(f"error: something {left_out}, and --strict asks for everything")
    if not report.ok or (strict and not report.is_complete):
        raise typer.Exit(1)
