"""The table of system calls as a BPF program for the kernel."""

import itertools
import struct
from collections.abc import Iterable, Sequence

from agentgym.sandboxes.seccomp.table import (
    ABSENT,
    ALLOWED,
    ARCHITECTURES,
    CONDITIONAL,
    CONDITIONS,
    MEMORY_FILES,
    REFUSED,
    Condition,
    all_of,
    numbers,
)

_ALLOW = 0x7FFF0000
_KILL_PROCESS = 0x80000000
_EPERM = 0x00050001
_ENOSYS = 0x00050026

# Opcodes of classic BPF, and offsets into `struct seccomp_data`.
_LOAD = 0x20
_JUMP_EQUAL = 0x15
_JUMP_GREATER = 0x25
_JUMP_GREATER_EQUAL = 0x35
_JUMP_ANY_BIT = 0x45
_RETURN = 0x06
_NUMBER = 0
_ARCHITECTURE = 4
_ARGUMENTS = 16

_X32_BIT = 0x40000000


def build_filter(machine: str, *, allow_memfd: bool) -> bytes:
    """Return the BPF program for `machine` (as `platform.machine()` names it).

    `allow_memfd`: memory files are fine where a memory cgroup counts them.

    Raises:
        SandboxUnavailable: there is no table for this architecture.
    """
    special = numbers(CONDITIONAL, machine)
    program = [
        _op(_LOAD, _ARCHITECTURE),
        _op(_JUMP_EQUAL, ARCHITECTURES[machine], if_true=1),
        _op(_RETURN, _KILL_PROCESS),
        _op(_LOAD, _NUMBER),
    ]
    if machine == "x86_64":
        program += [_op(_JUMP_GREATER_EQUAL, _X32_BIT, if_false=1), _op(_RETURN, _ENOSYS)]
    for name, alternatives in CONDITIONS.items():
        program += _inspect(special[name], alternatives)
    verdicts = _verdicts(machine)
    verdicts[special[MEMORY_FILES]] = _ALLOW if allow_memfd else _EPERM
    return b"".join([*program, *_ladder(verdicts), _op(_RETURN, _ENOSYS)])


def _verdicts(machine: str) -> dict[int, int]:
    """Return what each call gets whatever its arguments, by number."""
    verdicts = dict.fromkeys(numbers(ABSENT, machine).values(), _ENOSYS)
    verdicts |= dict.fromkeys(numbers(all_of(REFUSED.values()), machine).values(), _EPERM)
    verdicts |= dict.fromkeys(numbers(all_of(ALLOWED.values()), machine).values(), _ALLOW)
    return verdicts


def _ladder(verdicts: dict[int, int]) -> list[bytes]:
    """One step for each run of numbers that get the same; the kernel remembers what they get."""
    steps = []
    every = ((number, verdicts.get(number, _ENOSYS)) for number in range(max(verdicts) + 1))
    for verdict, run in itertools.groupby(every, key=lambda each: each[1]):
        *_, (last, _) = run
        steps += [_op(_JUMP_GREATER, last, if_true=1), _op(_RETURN, verdict)]
    return steps


def _inspect(number: int, alternatives: Iterable[Sequence[Condition]]) -> list[bytes]:
    """Decide about one call by its arguments."""
    body = [step for conditions in alternatives for step in _allow_if(conditions)]
    body.append(_op(_RETURN, _EPERM))
    return [_op(_JUMP_EQUAL, number, if_false=len(body)), *body]


def _allow_if(conditions: Sequence[Condition]) -> list[bytes]:
    """Allow the call if all of these hold, else go on behind."""
    steps = [_op(_RETURN, _ALLOW)]
    for condition in reversed(conditions):
        steps = [*_test(condition, skip=len(steps)), *steps]
    return steps


def _test(condition: Condition, *, skip: int) -> list[bytes]:
    """Go on if the low 32 bits of the argument are as they must be, else skip so many steps."""
    values = condition.values
    steps = [_op(_LOAD, _ARGUMENTS + 8 * condition.argument)]
    left = range(len(values) - 1, -1, -1)
    if condition.kind == "one of":
        steps += [_op(_JUMP_EQUAL, value, if_true=n) for value, n in zip(values, left, strict=True)]
        steps[-1] = _op(_JUMP_EQUAL, values[-1], if_false=skip)
        return steps
    test = _JUMP_ANY_BIT if condition.kind == "no bit of" else _JUMP_EQUAL
    return steps + [
        _op(test, value, if_true=n + skip) for value, n in zip(values, left, strict=True)
    ]


def _op(code: int, k: int, *, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("=HBBI", code, if_true, if_false, k)
