"""Tries rows one after the other."""

import asyncio
from collections.abc import Callable, Sequence

from agentgym.check.report import Failed, NotChecked
from agentgym.check.sandbox.report import Finding, SandboxReport, Status
from agentgym.check.sandbox.row import Row
from agentgym.check.sandbox.table import short
from agentgym.check.sandbox.target import Target
from agentgym.sandboxes.backend import PoolSettings

_DEADLINE_S = {"quick": 60.0, "slow": 180.0, "soak": 3600.0}


async def check_sandbox(
    settings: PoolSettings,
    *,
    rows: Sequence[Row] | None = None,
    on_row: Callable[[Row], None] = lambda row: None,
) -> SandboxReport:
    """Try every row that does not take minutes, or those given, on one backend.

    Args:
        settings: Of the backend.
        rows: Which; `table.matching` chooses them by name.
        on_row: Told of each row before it is tried.

    Raises:
        SandboxUnavailable: there can be no sandbox; with the reason, and the command that mends it.
    """
    findings = []
    async with Target.open(settings) as target:
        for row in short() if rows is None else rows:
            on_row(row)
            findings.append(await try_row(row, target))
    return SandboxReport(tuple(findings))


async def try_row(row: Row, target: Target) -> Finding:
    """Try one row."""
    deadline_s = _DEADLINE_S[row.cost]
    try:
        async with asyncio.timeout(deadline_s):
            status, reason = Status.CONTAINED, await row.run(target)
    except NotChecked as why:
        status, reason = Status.NOT_APPLICABLE, str(why)
    except Failed as finding:
        status, reason = Status.FAILED, str(finding)
    except TimeoutError:
        status, reason = Status.FAILED, f"it was not over after {deadline_s:g} s"
    except Exception as error:  # noqa: BLE001  what a row does to the machinery is a finding too
        status, reason = Status.FAILED, f"raised {type(error).__name__}: {error}"
    return Finding(row.name, target.backend, status, reason)
