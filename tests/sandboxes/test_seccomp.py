import json
import platform
import re
import shutil
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, strategies as st

from agentgym.errors import SandboxUnavailable
from agentgym.sandboxes.seccomp.bpf import build_filter
from agentgym.sandboxes.seccomp.profile import all_but, build_profile
from agentgym.sandboxes.seccomp.table import (
    ABSENT,
    ALLOWED,
    ARCHITECTURES,
    CONDITIONAL,
    REFUSED,
    all_of,
    numbers,
)

ALLOW, EPERM, ENOSYS, KILL = 0x7FFF0000, 0x50001, 0x50026, 0x80000000
MACHINES = sorted(ARCHITECTURES)
EVERY = all_of([*ALLOWED.values(), *REFUSED.values(), ABSENT, CONDITIONAL])


def verdict(
    machine: str, number: int, *arguments: int, audit: int | None = None, allow_memfd: bool = False
) -> int:
    """What the kernel would answer: an interpreter of the few opcodes a filter uses."""
    data = struct.pack(
        "<iIQ6Q",
        number,
        ARCHITECTURES[machine] if audit is None else audit,
        0,
        *arguments,
        *[0] * (6 - len(arguments)),
    )
    program = list(struct.iter_unpack("<HBBI", build_filter(machine, allow_memfd=allow_memfd)))
    accumulator = at = 0
    while True:
        code, if_true, if_false, k = program[at]
        at += 1
        match code:
            case 0x20:
                (accumulator,) = struct.unpack_from("<I", data, k)
            case 0x15:
                at += if_true if accumulator == k else if_false
            case 0x25:
                at += if_true if accumulator > k else if_false
            case 0x35:
                at += if_true if accumulator >= k else if_false
            case 0x45:
                at += if_true if accumulator & k else if_false
            case 0x06:
                return k
            case _:
                raise AssertionError(f"opcode {code:#x}")


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize(
    ("rows", "expected", "at_least"),
    [
        (all_of(ALLOWED.values()), ALLOW, 190),
        (all_of(REFUSED.values()), EPERM, 80),
        (ABSENT, ENOSYS, 7),
    ],
    ids=["allowed", "refused", "absent"],
)
def test_calls_get_what_the_table_says(
    machine: str, rows: str, expected: int, at_least: int
) -> None:
    listed = numbers(rows, machine)
    assert len(listed) >= at_least
    assert {name: verdict(machine, number) for name, number in listed.items()} == dict.fromkeys(
        listed, expected
    )


@pytest.mark.parametrize("machine", MACHINES)
def test_calls_that_nobody_knows_do_not_exist(machine: str) -> None:
    known = set(numbers(EVERY, machine).values())
    unknown = [number for number in (*range(600), 0x3FFFFFFF) if number not in known]
    assert len(unknown) > 200
    assert {verdict(machine, number) for number in unknown} == {ENOSYS}


@pytest.mark.parametrize("machine", MACHINES)
def test_arguments_decide_about_some_calls(machine: str) -> None:
    call = numbers(CONDITIONAL, machine)
    assert verdict(machine, call["clone"], 0x11) == ALLOW  # fork
    for namespace in (0x00020000, 0x02000000, 0x04000000, 0x08000000, 0x10000000, 0x40000000):
        assert verdict(machine, call["clone"], namespace | 0x11) == EPERM
    assert verdict(machine, call["ioctl"], 0, 0x5401) == ALLOW
    assert verdict(machine, call["ioctl"], 0, 0x5412) == EPERM
    assert verdict(machine, call["ioctl"], 0, 0x541C) == EPERM
    assert verdict(machine, call["ioctl"], 0, 0xF_0000_5412) == EPERM  # the kernel drops the top
    assert [verdict(machine, call["fcntl"], 0, what) for what in (1, 3, 1031)] == [ALLOW] * 3
    assert [verdict(machine, call["fcntl"], 0, what) for what in (10, 1026)] == [EPERM] * 2
    for name in ("socket", "socketpair"):
        assert [verdict(machine, call[name], family) for family in (1, 2, 10, 16)] == [ALLOW] * 4
        assert [verdict(machine, call[name], family) for family in (17, 31, 38, 40)] == [EPERM] * 4
        of_netlink = {p: verdict(machine, call[name], 16, 3, p) for p in range(23)}
        assert [p for p, said in of_netlink.items() if said == ALLOW] == [0, 4]
        assert verdict(machine, call[name], 2, 1, 15) == ALLOW  # not a protocol of NETLINK
        assert verdict(machine, call[name], 16, 3, 0xF_0000_000F) == EPERM
    assert verdict(machine, call["prlimit64"], 0) == ALLOW
    assert verdict(machine, call["prlimit64"], 1) == EPERM
    assert verdict(machine, call["personality"], 0xFFFFFFFF) == ALLOW
    assert verdict(machine, call["personality"], 0x0400000) == EPERM  # READ_IMPLIES_EXEC


@pytest.mark.parametrize("machine", MACHINES)
def test_another_architecture_is_killed(machine: str) -> None:
    assert verdict(machine, 0, audit=0x40000003) == KILL


def test_x32_calls_do_not_exist() -> None:
    assert verdict("x86_64", 0x40000000 | 101) == ENOSYS


@pytest.mark.parametrize("machine", MACHINES)
def test_memory_files_are_a_choice(machine: str) -> None:
    number = numbers(CONDITIONAL, machine)["memfd_create"]
    assert verdict(machine, number) == EPERM
    assert verdict(machine, number, allow_memfd=True) == ALLOW


@pytest.mark.parametrize("machine", MACHINES)
def test_every_call_stands_once(machine: str) -> None:
    rows = EVERY.split()
    assert len({row.split(":")[0] for row in rows}) == len(rows)
    assert len(set(numbers(EVERY, machine).values())) == len(numbers(EVERY, machine))


@given(
    st.sampled_from(MACHINES),
    st.integers(0, 500),
    st.sampled_from([0, 1, 2, 10, 16, 40, 0x11, 0x5412, 0x541C, 0x10000011, 0x1_0000_0001])
    | st.integers(0, 2**64 - 1),
    st.sampled_from([0x5401, 0x5412, 0x541C, 0xF_0000_5412, 0xF_0000_5401])
    | st.integers(0, 2**64 - 1),
    st.sampled_from([0, 4, 9, 15, 16, 0x1_0000_0004, 0x1_0000_000F]),
)
@example("x86_64", 41, 16, 3, 15)
@example("x86_64", 41, 16, 3, 4)
def test_both_filters_say_the_same(
    machine: str, number: int, first: int, second: int, third: int
) -> None:
    said = verdict(machine, number, first, second, third, allow_memfd=True)
    name = {value: name for name, value in numbers(EVERY, machine).items()}.get(number)
    if name is None:  # engines answer ENOSYS beyond the last number, and EPERM before it
        assert said == ENOSYS
    else:
        assert said == profile_verdict(machine, name, first, second, third)


def profile_verdict(machine: str, name: str, *arguments: int) -> int:
    """What an engine would make of a profile: any rule that fits, or else the default."""
    profile = json.loads(build_profile(machine))
    assert profile["defaultAction"] == "SCMP_ACT_ERRNO"
    found = {
        ALLOW if rule["action"] == "SCMP_ACT_ALLOW" else 0x50000 | rule["errnoRet"]
        for rule in profile["syscalls"]
        if name in rule["names"] and all(_fits(test, arguments) for test in rule.get("args", []))
    }
    assert len(found) <= 1, "two rules contradict each other"
    return found.pop() if found else EPERM


def _fits(test: dict[str, Any], arguments: tuple[int, ...]) -> bool:
    assert test["op"] == "SCMP_CMP_MASKED_EQ"
    return bool(arguments[test["index"]] & test["value"] == test["valueTwo"])


def test_no_rule_tests_an_argument_twice_because_these_would_be_alternatives() -> None:
    rules = json.loads(build_profile("x86_64"))["syscalls"]
    tested = [[test["index"] for test in rule.get("args", [])] for rule in rules]
    assert all(len(set(indices)) == len(indices) for indices in tested)
    assert max(map(len, tested)) == 2


@given(st.sets(st.integers(0, 255), max_size=6))
def test_masks_cover_all_but_some_numbers(excluded: set[int]) -> None:
    """The slow way: ask for every number. High bits are covered too, so that none is missing."""
    masks = list(all_but(excluded))
    for number in range(256):
        fitting = [mask for mask, value in masks if number & mask == value]
        assert len(fitting) == (number not in excluded)
    assert any((1 << 31) & mask == value for mask, value in masks)


@pytest.mark.skipif(platform.machine() != "x86_64", reason="compares with the headers of x86_64")
def test_numbers_are_those_of_the_headers() -> None:
    header = Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h")
    if not header.exists():
        pytest.skip("no kernel headers: apt-get install linux-libc-dev")
    known = dict(re.findall(r"#define __NR_(\w+) (\d+)", header.read_text()))
    assert _common(known, numbers(EVERY, "x86_64"))


def test_numbers_are_those_of_the_headers_all_architectures_share() -> None:
    header = Path("/usr/include/asm-generic/unistd.h")
    if not header.exists() or shutil.which("cpp") is None:
        pytest.skip("no kernel headers or no preprocessor: apt-get install linux-libc-dev cpp")
    wanted = ["RENAMEAT", "NEW_STAT", "SET_GET_RLIMIT", "SYS_CLONE3", "MEMFD_SECRET"]
    options = [f"-D__ARCH_WANT_{name}" for name in wanted] + ["-D__BITS_PER_LONG=64"]
    text = header.read_text().replace("#include <asm/bitsperlong.h>", "")
    done = subprocess.run(
        ["cpp", "-dM", *options], input=text, capture_output=True, text=True, check=True
    )
    known = dict(re.findall(r"#define (__NR\w*) (\w+)", done.stdout))
    resolved = {
        name.removeprefix("__NR_"): known.get(value, value) for name, value in known.items()
    }
    no_calls = ("syscalls", "arch_specific_syscall")
    assert _common(
        {n: v for n, v in resolved.items() if n not in no_calls and not n.startswith("__NR3264")},
        numbers(EVERY, "aarch64"),
    )


def _common(known: dict[str, str], ours: dict[str, int]) -> bool:
    """Whether every call of the headers is ours too, with the same number."""
    assert len(known) > 280
    assert {name: ours.get(name) for name in known} == {n: int(known[n]) for n in known}
    return True


def test_an_unknown_architecture_is_an_error() -> None:
    for build in (
        lambda: build_filter("riscv64", allow_memfd=True),
        lambda: build_profile("riscv64"),
    ):
        with pytest.raises(SandboxUnavailable, match="riscv64"):
            build()


UNDER_FILTER = """
import ctypes, runpy, sys
program = open(sys.argv[1], "rb").read()
class Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_char_p)]
libc = ctypes.CDLL(None, use_errno=True)
assert libc.prctl(38, 1, 0, 0, 0) == 0  # PR_SET_NO_NEW_PRIVS
filter = Program(len(program) // 8, program)
assert libc.prctl(22, 2, ctypes.byref(filter), 0, 0) == 0, ctypes.get_errno()  # PR_SET_SECCOMP
sys.argv = sys.argv[2:]
if sys.argv[0] == "-c":
    exec(sys.argv[1])
else:
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""
NUMERIC = """
import numpy as np
a = np.random.default_rng(0).normal(size=(300, 300))
assert np.allclose(np.linalg.inv(a) @ a, np.eye(300), atol=1e-6)
print(np.load.__name__)
"""
PARALLEL = """
import asyncio, concurrent.futures, multiprocessing, threading
async def main():
    server = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    assert await reader.read() == b""
    process = await asyncio.create_subprocess_exec("true")
    assert await process.wait() == 0
    writer.close(); server.close()
asyncio.run(main())
with concurrent.futures.ProcessPoolExecutor(2, multiprocessing.get_context("fork")) as pool:
    assert list(pool.map(abs, [-1, -2])) == [1, 2]
assert multiprocessing.get_context("fork").Queue().empty()
print("load")
"""


@pytest.mark.skipif(platform.machine() not in MACHINES, reason="no filter for this architecture")
@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        (["-c", NUMERIC], "load"),
        (["-c", PARALLEL], "load"),
        (["pip", "--version"], "pip"),
        (["ensurepip", "--version"], "pip"),
    ],
    ids=["numpy", "parallel", "pip", "ensurepip"],
)
def test_ordinary_libraries_run_under_the_filter(
    tmp_path: Path, argv: list[str], expected: str
) -> None:
    program = tmp_path / "filter"
    program.write_bytes(build_filter(platform.machine(), allow_memfd=True))
    done = subprocess.run(
        [sys.executable, "-c", UNDER_FILTER, str(program), *argv],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert expected in done.stdout


ASK = """
import os, socket
try: os.setpriority(os.PRIO_PROCESS, 0, 19)
except OSError as error: print(error.errno)
for protocol in (0, 4, 9, 15, 16):
    try: socket.socket(16, 3, protocol).close(); print(protocol)
    except OSError as error: print(error.errno)
"""


def test_the_filter_is_what_refuses(tmp_path: Path) -> None:
    """The same start, and calls that any process may make."""
    program = tmp_path / "filter"
    program.write_bytes(build_filter(platform.machine(), allow_memfd=True))
    argv = [sys.executable, "-c", UNDER_FILTER, str(program), "-c", ASK]
    done = subprocess.run(argv, capture_output=True, timeout=60)
    assert done.stdout.split() == [b"1", b"0", b"4", b"1", b"1", b"1"]
