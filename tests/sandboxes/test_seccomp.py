import platform
import re
import struct
from pathlib import Path

import pytest

from agentgym.errors import SandboxUnavailable
from agentgym.sandboxes.seccomp.bpf import ARCHITECTURES, build_filter, denied

ALLOW, EPERM, ENOSYS, KILL = 0x7FFF0000, 0x50001, 0x50026, 0x80000000
MACHINES = sorted(ARCHITECTURES)


def verdict(machine: str, number: int, *arguments: int, audit: int | None = None) -> int:
    """What the kernel would answer: an interpreter of the few opcodes a filter uses."""
    data = struct.pack(
        "<iIQ6Q",
        number,
        ARCHITECTURES[machine].audit if audit is None else audit,
        0,
        *arguments,
        *[0] * (6 - len(arguments)),
    )
    program = list(struct.iter_unpack("<HBBI", build_filter(machine, allow_memfd=False)))
    accumulator = at = 0
    while True:
        code, if_true, if_false, k = program[at]
        at += 1
        match code:
            case 0x20:
                (accumulator,) = struct.unpack_from("<I", data, k)
            case 0x15:
                at += if_true if accumulator == k else if_false
            case 0x35:
                at += if_true if accumulator >= k else if_false
            case 0x45:
                at += if_true if accumulator & k else if_false
            case 0x06:
                return k
            case _:
                raise AssertionError(f"opcode {code:#x}")


@pytest.mark.parametrize("machine", MACHINES)
def test_every_listed_call_is_refused(machine: str) -> None:
    numbers = denied(machine)
    assert len(numbers) > 70
    assert {name: verdict(machine, number) for name, number in numbers.items()} == dict.fromkeys(
        numbers, EPERM
    )


@pytest.mark.parametrize("machine", MACHINES)
def test_every_other_call_is_allowed(machine: str) -> None:
    arch = ARCHITECTURES[machine]
    special = {*denied(machine).values(), arch.clone3, arch.socket, arch.socketpair}
    special.add(arch.memfd_create)
    assert {verdict(machine, number) for number in range(512) if number not in special} == {ALLOW}


@pytest.mark.parametrize("machine", MACHINES)
def test_arguments_decide_about_some_calls(machine: str) -> None:
    arch = ARCHITECTURES[machine]
    assert verdict(machine, arch.clone, 0x11) == ALLOW  # fork
    for namespace in (0x00020000, 0x02000000, 0x04000000, 0x08000000, 0x10000000, 0x40000000):
        assert verdict(machine, arch.clone, namespace | 0x11) == EPERM
    assert verdict(machine, arch.clone3) == ENOSYS
    assert verdict(machine, arch.ioctl, 0, 0x5401) == ALLOW
    assert verdict(machine, arch.ioctl, 0, 0x5412) == EPERM
    assert verdict(machine, arch.ioctl, 0, 0xF_0000_5412) == EPERM  # the kernel drops the top
    for call in (arch.socket, arch.socketpair):
        assert [verdict(machine, call, family) for family in (1, 2, 10, 16)] == [ALLOW] * 4
        assert [verdict(machine, call, family) for family in (17, 31, 38, 40)] == [EPERM] * 4
    assert verdict(machine, arch.prlimit64, 0) == ALLOW
    assert verdict(machine, arch.prlimit64, 1) == EPERM


@pytest.mark.parametrize("machine", MACHINES)
def test_another_architecture_is_killed(machine: str) -> None:
    assert verdict(machine, 0, audit=0x40000003) == KILL


def test_x32_calls_do_not_exist() -> None:
    assert verdict("x86_64", 0x40000000 | 101) == ENOSYS


@pytest.mark.parametrize("machine", MACHINES)
def test_memory_files_are_a_choice(machine: str) -> None:
    assert verdict(machine, ARCHITECTURES[machine].memfd_create) == EPERM
    strict = build_filter(machine, allow_memfd=False)
    assert len(build_filter(machine, allow_memfd=True)) == len(strict) - 16
    assert len(strict) // 8 < 4096


@pytest.mark.skipif(platform.machine() != "x86_64", reason="compares with the headers of x86_64")
def test_numbers_are_those_of_the_headers() -> None:
    header = Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h")
    if not header.exists():
        pytest.skip("no kernel headers")
    known = dict(re.findall(r"#define __NR_(\w+) (\d+)", header.read_text()))
    ours = denied("x86_64")
    assert {n: ours[n] for n in ours if n in known} == {
        n: int(known[n]) for n in ours if n in known
    }


def test_an_unknown_architecture_is_an_error() -> None:
    with pytest.raises(SandboxUnavailable, match="riscv64"):
        build_filter("riscv64", allow_memfd=True)
