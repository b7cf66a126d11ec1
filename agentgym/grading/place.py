"""The sandboxes that a check runs in: always new, with nothing but the named files."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from enum import Enum
from typing import Final, TypeVar
from weakref import WeakKeyDictionary

from agentgym.grading.verdict import Result
from agentgym.sandbox import Limits, Sandbox, Sandboxes


class Absence(Enum):
    """Of a file: it was looked for, and there is nothing of this name."""

    ABSENT = "absent"


ABSENT: Final = Absence.ABSENT
Artefacts = Mapping[str, bytes | Absence | None]
"""Files by their paths under /box; None: there is something, but no file that could be read.

Nothing is known of a path that is no key."""
_C = TypeVar("_C")
_MODE = 0o755  # a program among them can be started by its path


@contextlib.asynccontextmanager
async def fresh(sandboxes: Sandboxes, artefacts: Artefacts) -> AsyncIterator[Sandbox]:
    """Hold a sandbox in which nothing ever ran, with these files in it."""
    async with sandboxes.lease(fresh=True) as sandbox:
        for path, content in artefacts.items():
            if isinstance(content, bytes):
                await sandbox.write_file(path, content, mode=_MODE)
        yield sandbox


@contextlib.asynccontextmanager
async def fresh_pair(
    sandboxes: Sandboxes, first: Artefacts, second: Artefacts
) -> AsyncIterator[tuple[Sandbox, Sandbox]]:
    """Hold two at once; nobody who has one of a pair waits for another who has one as well."""
    async with contextlib.AsyncExitStack() as held:
        async with _pairing.setdefault(sandboxes, asyncio.Lock()):
            one = await held.enter_async_context(fresh(sandboxes, first))
            other = await held.enter_async_context(fresh(sandboxes, second))
        yield one, other


_pairing: WeakKeyDictionary[Sandboxes, asyncio.Lock] = WeakKeyDictionary()
"""Held by who leases a pair."""


def by_id(name: str, cases: Mapping[str, _C] | Sequence[_C]) -> dict[str, _C]:
    """Return the cases of a check by the ids of their results."""
    named = cases if isinstance(cases, Mapping) else {str(i): c for i, c in enumerate(cases)}
    return {f"{name}[{id}]": case for id, case in named.items()}


async def check_each(
    sandboxes: Sandboxes,
    artefacts: Artefacts,
    cases: Mapping[str, _C],
    check: Callable[[Sandbox, str, _C], Awaitable[tuple[Result, bool]]],
    *,
    is_alone: Callable[[_C], bool] = lambda case: False,
) -> list[Result]:
    """Return a result for each case; they share a sandbox for as long as it lasts.

    Args:
        sandboxes: Where new ones come from.
        artefacts: What is in each of them.
        cases: By the ids of their results.
        check: Returns the result of a case, and whether the sandbox was lost by it.
        is_alone: Whether a case needs a sandbox that no other case ever has.
    """
    results: list[Result] = []
    waiting = list(cases.items())
    while waiting:
        async with fresh(sandboxes, artefacts) as sandbox:
            is_over = False
            while not is_over:
                id, case = waiting.pop(0)
                result, is_lost = await check(sandbox, id, case)
                results.append(result)
                is_over = is_lost or not waiting or is_alone(case) or is_alone(waiting[0][1])
    return results


def roomy(limits: Limits, room: int) -> Limits:
    """Return limits under which an answer of so many bytes comes back whole."""
    most = max(limits.max_output_bytes, room)
    return limits.model_copy(update={"keep_output_bytes": room, "max_output_bytes": most})


async def collect(
    sandbox: Sandbox, *paths: str, most_bytes: int = 1 << 20
) -> dict[str, bytes | Absence | None]:
    """Read named files that an agent left in its own sandbox; each of them is in the answer.

    Raises:
        SandboxError: the sandbox is gone.
    """
    return {path: await _read(sandbox, path, most_bytes) for path in paths}


async def _read(sandbox: Sandbox, path: str, most_bytes: int) -> bytes | Absence | None:
    try:
        return await sandbox.read_file(path, max_bytes=most_bytes)
    except FileNotFoundError:
        return ABSENT
    except ValueError:  # a link, a folder, too large, not a path in it
        return None
