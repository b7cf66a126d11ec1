"""Sessions that leave, wake, block and lie: what that does to the rest of the sandbox."""

import asyncio

import pytest

from agentgym.sandbox import Limits, Sandbox, Status

pytestmark = pytest.mark.sandbox

FILL = """
import os, time
while True:
    try:
        if not os.fork(): time.sleep(60)
    except OSError: break
"""
BEAT = """
import ctypes, os, signal, sys, threading, time
def beat():
    while True:
        with open("/box/beat", "a") as file: file.write("x")
        time.sleep(0.001)
threading.Thread(target=beat, daemon=True).start()
time.sleep(0.03)
inside = sys.modules["agentgym.sandboxes.inside.session"]
"""
LATE_LEADER = """
import ctypes, os, threading, time
def beat():
    while True:
        with open("/box/beat", "a") as file: file.write("x")
        time.sleep(0.001)
threading.Thread(target=beat).start()
ctypes.CDLL(None).syscall(60, 0)  # the first thread leaves alone
"""


async def test_children_it_leaves_are_in_nobodys_way(sandbox: Sandbox) -> None:
    async with await sandbox.session() as session:
        result = await session.python(FILL)
        assert result.status is Status.EXITED, result
        await sandbox.write_file("a", b"1")
        assert await sandbox.read_file("a") == b"1"
        assert (await sandbox.python("print(2)")).stdout == b"2\n"
        assert (await session.python("3")).stdout == b"3\n"


async def test_as_many_sessions_as_may_be_leave_room_for_a_program(sandbox: Sandbox) -> None:
    for _ in range(64):
        await sandbox.session()
    assert (await sandbox.python("print(1)")).stdout == b"1\n"
    await sandbox.write_file("a", b"2")
    assert await sandbox.read_file("a") == b"2"


async def test_what_finds_no_room_is_told_so(sandbox: Sandbox) -> None:
    if sandbox.info.enforced["pids"] == "rlimit":
        pytest.skip("no control groups here")
    wide = Limits(pids=200)
    async with await sandbox.session(limits=wide) as session:
        await session.python(FILL, limits=wide)
        result = await sandbox.python("print(1)")
        assert (result.status, result.stdout) == (Status.EXITED, b"")
        assert result.exit_code
        assert result.stderr.startswith(b"no process can be started: ")
        with pytest.raises(ValueError, match="no more processes"):
            await sandbox.session()
        assert (await sandbox.python("print(1)", limits=wide)).stdout == b"1\n"
        assert (await session.python("3")).stdout == b"3\n"


async def test_a_program_whose_first_thread_left_is_ended_at_its_limit(sandbox: Sandbox) -> None:
    async with await sandbox.session() as session:
        result = await sandbox.python(LATE_LEADER, limits=Limits(wall_s=0.2))
        assert result.status is Status.TIMEOUT
        await assert_still(sandbox)
        assert (await session.python("1")).stdout == b"1\n"


async def test_a_child_whose_first_thread_left_does_not_outlive_the_call(sandbox: Sandbox) -> None:
    async with await sandbox.session() as session:
        code = f"import os\nif not os.fork():\n    os.setsid()\n    exec({LATE_LEADER!r})\n"
        await sandbox.python(code + "import time; time.sleep(0.1)")
        await assert_still(sandbox)
        await session.python(code + "import time; time.sleep(0.1)")
        await assert_still(sandbox)


async def test_two_that_wake_each_other_stand_still_or_end(sandbox: Sandbox) -> None:
    """Each says that it has done, and goes on sending SIGCONT to the other."""
    first, second = await sandbox.session(), await sandbox.session()
    other = int((await second.python("import os; os.getpid()")).stdout)
    one = int((await first.python("import os; os.getpid()")).stdout)
    for session, target in ((first, other), (second, one)):
        wake = f"def wake():\n    while True: os.kill({target}, signal.SIGCONT)\n"
        threads = "for _ in range(3): threading.Thread(target=wake, daemon=True).start()\n"
        await session.python(BEAT + wake + threads, limits=Limits(wall_s=5))
        await assert_still(sandbox)
    for _ in range(20):
        for session in (first, second):
            if not session.ended:
                await session.python("1", limits=Limits(wall_s=5))
    await assert_still(sandbox)
    await sandbox.restore(await sandbox.snapshot())
    assert (await sandbox.python("print(1)")).stdout == b"1\n"


async def test_one_that_wakes_itself_stands_still_or_ends(sandbox: Sandbox) -> None:
    wake = "def wake():\n    while True: os.kill(os.getpid(), signal.SIGCONT)\n"
    threads = "for _ in range(4): threading.Thread(target=wake, daemon=True).start()\n"
    session = await sandbox.session()
    await session.python(BEAT + wake + threads)
    await assert_still(sandbox)
    for _ in range(20):
        if not session.ended:
            await session.python("1", limits=Limits(wall_s=5))
    await assert_still(sandbox)


@pytest.mark.parametrize(
    "deed",
    [
        "os.close(3)",
        "__import__('socket').socket(fileno=os.dup(3)).shutdown(2)",
        "os.dup2(os.open('/dev/null', os.O_RDWR), 3)",
        "os.dup2(os.pipe()[0], 3)",
    ],
)
@pytest.mark.parametrize("stays", [True, False])
async def test_one_that_hangs_up_ends_alone(sandbox: Sandbox, deed: str, *, stays: bool) -> None:
    async with await sandbox.session() as bystander:
        session = await sandbox.session(limits=Limits(wall_s=0.5))
        claim = "os.write(3, inside.DONE.pack(0, 0))\n"
        stay = "\nwhile True: time.sleep(1)" if stays else ""
        await session.python(BEAT + claim + deed + stay, limits=Limits(wall_s=0.5))
        if not session.ended:
            with pytest.raises(ValueError, match="cannot be forked"):
                await session.fork(2)
        if not session.ended:
            assert (await session.python("1", limits=Limits(wall_s=0.5))).session_ended
        await assert_still(sandbox)
        assert (await bystander.python("1")).stdout == b"1\n"


async def test_a_fork_that_is_late_ends_the_session(sandbox: Sandbox) -> None:
    session = await sandbox.session(limits=Limits(wall_s=0.3))
    patched = "import sys, time\ninside = sys.modules['agentgym.sandboxes.inside.session']\n"
    patched += "fork = inside._fork\ninside._fork = lambda *a: (time.sleep(0.6), fork(*a))\n"
    assert (await session.python(patched)).exit_code == 0
    with pytest.raises(ValueError, match="did not answer"):
        await session.fork()
    assert session.ended
    assert (await sandbox.python("print(1)")).stdout == b"1\n"


async def test_more_forks_than_files_may_be_open_are_refused(sandbox: Sandbox) -> None:
    limits = Limits(open_files=32)
    async with await sandbox.session(limits=limits) as session:
        await session.python("x = 1")
        with pytest.raises(ValueError, match="no more files open"):
            await session.fork(20)
        assert (await session.python("x")).stdout == b"1\n"
        assert len(await session.fork(4)) == 4


async def test_a_little_too_much_output_ends_it_too(sandbox: Sandbox) -> None:
    session = await sandbox.session()
    result = await session.python("print('x' * 100)", limits=Limits(max_output_bytes=10))
    assert (result.status, result.session_ended) == (Status.OUTPUT_LIMIT, True)


async def test_code_that_was_sent_is_forgotten(sandbox: Sandbox) -> None:
    session = await sandbox.session()
    look = (
        "import re\n"
        "wanted = ('secret-of' + '-the-call').encode() * 2\n"
        "found = 0\n"
        "for line in open('/proc/self/maps'):\n"
        "    ends = re.match('([0-9a-f]+)-([0-9a-f]+) rw', line)\n"
        "    if ends and '[v' not in line:\n"
        "        start, end = (int(each, 16) for each in ends.groups())\n"
        "        with open('/proc/self/mem', 'rb', 0) as mem:\n"
        "            mem.seek(start)\n"
        "            found += mem.read(end - start).count(wanted)\n"
        "print(found)"
    )
    for number in (100, 1000, 3000, 9000):
        await session.python("x = '" + "secret-of-the-call" * number + "'")
        assert (await sandbox.python(look)).stdout == b"1\n"  # what it looks for itself


async def assert_still(sandbox: Sandbox) -> None:
    """Expect that nobody writes the file any more."""
    size = len(await sandbox.read_file("beat"))
    await asyncio.sleep(0.1)
    assert len(await sandbox.read_file("beat")) == size
