"""The table of system calls as a profile for Docker: what it does not name is refused."""

import itertools
import json
from collections.abc import Iterable, Iterator
from typing import Any

from agentgym.sandboxes.seccomp.table import (
    ABSENT,
    ALLOWED,
    CONDITIONAL,
    CONDITIONS,
    MEMORY_FILES,
    REFUSED,
    Condition,
    all_of,
    numbers,
)

_EPERM, _ENOSYS = 1, 38
_BITS = 32
_LOW = (1 << _BITS) - 1


def build_profile(machine: str) -> str:
    """Return the profile for an engine on `machine`, as JSON.

    Raises:
        SandboxUnavailable: there is no table for this architecture.
    """
    allowed = [*numbers(all_of(ALLOWED.values()), machine), MEMORY_FILES]
    special = numbers(CONDITIONAL, machine)
    rules = [
        {"names": allowed, "action": "SCMP_ACT_ALLOW"},
        _refused(numbers(all_of(REFUSED.values()), machine), _EPERM),
        _refused(numbers(ABSENT, machine), _ENOSYS),
    ]
    for name, alternatives in CONDITIONS.items():
        for conditions in alternatives if name in special else ():
            every = itertools.product(*map(_tests, conditions))
            rules += [_allowed_when(name, tests) for tests in every]
    profile = {
        "defaultAction": "SCMP_ACT_ERRNO",  # EPERM; engines answer ENOSYS beyond the last number
        "architectures": [f"SCMP_ARCH_{machine.upper()}"],
        "syscalls": rules,
    }
    return json.dumps(profile)


def _refused(names: Iterable[str], error: int) -> dict[str, Any]:
    return {"names": list(names), "action": "SCMP_ACT_ERRNO", "errnoRet": error}


def _allowed_when(name: str, tests: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Several such rules for one call are alternatives.

    The tests in one must all be met if each is of another argument; else they are alternatives.
    """
    return {"names": [name], "action": "SCMP_ACT_ALLOW", "args": list(tests)}


def _tests(condition: Condition) -> Iterator[dict[str, Any]]:
    """Return the alternatives of a condition, each on the low bits of the argument alone.

    The kernel ignores the high ones, so that a test for inequality would be met by adding one.
    """
    if condition.kind == "no bit of":
        (bits,) = condition.values
        yield _masked(condition.argument, bits, 0)
    elif condition.kind == "one of":
        for value in condition.values:
            yield _masked(condition.argument, _LOW, value)
    else:
        for mask, value in all_but(condition.values):
            yield _masked(condition.argument, mask, value)


def _masked(argument: int, mask: int, value: int) -> dict[str, Any]:
    return {"index": argument, "value": mask, "valueTwo": value, "op": "SCMP_CMP_MASKED_EQ"}


def all_but(excluded: Iterable[int], *, bits: int = _BITS, prefix: int = 0) -> Iterator[Any]:
    """Cover all numbers of 32 bits but these by (mask, value): those that begin alike.

    `bits` of them are open below `prefix`, as in a binary tree.
    """
    inside = [each for each in excluded if each >> bits == prefix >> bits]
    if not inside:
        yield _LOW >> bits << bits, prefix
    elif bits:
        half = bits - 1
        yield from all_but(inside, bits=half, prefix=prefix)
        yield from all_but(inside, bits=half, prefix=prefix | 1 << half)
