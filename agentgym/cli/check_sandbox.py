"""`agentgym check sandbox`: do the sandboxes of a backend hold what runs in them?"""

import sys
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from agentgym.cli.output import counted, echo, echo_json, note, one_line, paint, run_aside
from agentgym.cli.progress import Screen
from agentgym.cli.strict import leave_unless_ok
from agentgym.errors import without_warnings

if TYPE_CHECKING:
    from agentgym.check.sandbox import SandboxReport
    from agentgym.check.sandbox.row import Row
    from agentgym.sandboxes.backend import PoolSettings

_COLOURS = {"contained": "green", "failed": "red", "not applicable": "yellow"}


def check_sandbox(
    words: Sequence[str], *, only: Sequence[str] | None, strict: bool, json: bool
) -> None:
    """Try every row on one backend, print what became of it, and leave with 1 if one failed.

    Raises:
        ConfigError: there is no such backend, setting or row.
        SandboxUnavailable: there can be no sandbox here.
    """
    from agentgym.check.sandbox.table import matching, short

    settings = _settings(words)
    rows = matching(only) if only else short()
    with without_warnings("agentgym.sandboxes"):  # rows break them on purpose
        report = run_aside(_tried(settings, rows, show=not json))
    if json:
        echo_json(report.to_json())
    else:
        _print(report)
    leave_unless_ok(report, strict=strict, left_out="did not apply here")


def _settings(words: Sequence[str]) -> "PoolSettings":
    from agentgym.check.sandbox.backends import names
    from agentgym.config.overlay import resolve
    from agentgym.config.run import RunConfig
    from agentgym.config.toml import render_value
    from agentgym.errors import ConfigError

    backend, *overrides = words or [""]
    if backend not in names():
        said = f"there is no backend {backend!r}" if backend else "name a backend to check"
        commands = " or ".join(f"agentgym check sandbox {name}" for name in names())
        raise ConfigError(said, hint=commands)
    for word in overrides:
        if not word.startswith("sandbox."):
            hint = f"the keys of [sandbox]: agentgym config explain sandbox {backend}"
            raise ConfigError(f"{word!r} has no effect on this check", hint=hint)
    # The configuration of a run has an environment.
    chosen = ["env.id=agentgym/Code-v0", f"sandbox.name={render_value(backend)}", *overrides]
    settings: PoolSettings = resolve(RunConfig, overrides=chosen).config.sandbox
    return settings


async def _tried(settings: "PoolSettings", rows: "Sequence[Row]", *, show: bool) -> "SandboxReport":
    from agentgym.check.sandbox import check_sandbox

    done = 0
    with Screen(sys.stderr) as screen:

        def tell(row: "Row") -> None:
            nonlocal done
            done += 1
            line = f"{done:>3}/{len(rows)}  {row.name}"
            screen.draw(line)
            if show and screen.is_time_to_say():
                note(line)

        return await check_sandbox(settings, rows=rows, on_row=tell)


def _print(report: "SandboxReport") -> None:
    width = max((len(finding.name) for finding in report.findings), default=0)
    for finding in report.findings:
        status = paint(finding.status.ljust(14), _COLOURS[finding.status])
        echo(f"{status} {finding.name.ljust(width)}  {one_line(finding.reason)}")
    counts = Counter(finding.status for finding in report.findings)
    listed = ", ".join(f"{count} {status}" for status, count in sorted(counts.items()))
    backend = report.findings[0].backend if report.findings else "sandbox"
    echo(f"{backend}: {counted(len(report.findings), 'row')}: {listed}")
