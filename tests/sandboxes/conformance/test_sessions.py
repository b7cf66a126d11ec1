"""Sessions: variables live, processes do not; copies go their own ways."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from agentgym.sandbox import Limits, Sandbox, Session, Status

pytestmark = pytest.mark.sandbox


@pytest_asyncio.fixture(loop_scope="module")
async def session(sandbox: Sandbox) -> AsyncIterator[Session]:
    async with await sandbox.session() as session:
        yield session


async def said(session: Session, code: str) -> str:
    result = await session.python(code)
    assert result.status is Status.EXITED, result
    return result.stdout.decode().rstrip("\n")


async def test_variables_functions_and_imports_live_across_calls(session: Session) -> None:
    assert await said(session, "import math\nx = 2\ndef f(y): return math.sqrt(x * y)") == ""
    assert await said(session, "print(f(8))") == "4.0"


@pytest.mark.parametrize(
    ("code", "shown"),
    [
        ("1 + 1", "2"),
        ("'a'", "'a'"),
        ("None", ""),
        ("x = 1", ""),
        ("1; 2", "2"),
        ("print(1)\n2", "1\n2"),
        ("if True:\n    3", ""),
        ("", ""),
    ],
)
async def test_the_last_expression_is_shown(session: Session, code: str, shown: str) -> None:
    assert await said(session, code) == shown


async def test_an_exception_is_told_and_leaves_the_session(session: Session) -> None:
    await said(session, "x = 1")
    result = await session.python("x = 2\n1 / 0")
    assert (result.status, result.exit_code) == (Status.EXITED, 1)
    assert result.stderr.startswith(
        b'Traceback (most recent call last):\n  File "<session>", line 2'
    )
    assert b"ZeroDivisionError" in result.stderr
    assert not result.session_ended
    assert await said(session, "x") == "2"
    result = await session.python("syntax error")
    assert b"SyntaxError" in result.stderr
    assert await said(session, "x") == "2"


@pytest.mark.parametrize(
    ("code", "status", "exit_code"),
    [
        ("raise SystemExit(3)", Status.EXITED, 3),
        ("exit()", Status.EXITED, 0),
        ("import os; os._exit(4)", Status.EXITED, 4),
        ("import os; os.kill(os.getpid(), 9)", Status.SIGNALED, None),
        (
            "import os\nif os.fork() == 0:\n  while 1: pass\nos.kill(-1, 9)\nexit(7)",
            Status.EXITED,
            7,
        ),
    ],
)
async def test_code_that_ends_the_process_ends_the_session(
    sandbox: Sandbox, session: Session, code: str, status: Status, exit_code: int | None
) -> None:
    result = await session.python(code)
    assert (result.status, result.exit_code) == (status, exit_code)
    assert result.session_ended
    assert session.ended
    with pytest.raises(ValueError, match="the session has ended"):
        await session.python("1")
    assert (await sandbox.python("print(1)")).stdout == b"1\n"
    async with await sandbox.session() as another:
        assert await said(another, "2") == "2"


@pytest.mark.parametrize(
    ("code", "limits", "status"),
    [
        ("while True: pass", Limits(wall_s=0.2), Status.TIMEOUT),
        ("import time\ntime.sleep(60)", Limits(wall_s=0.2), Status.TIMEOUT),
        ("while True: pass", Limits(wall_s=20, cpu_s=1), Status.CPU_LIMIT),
        ("while True: print('x' * 10000)", Limits(max_output_bytes=1 << 20), Status.OUTPUT_LIMIT),
    ],
)
async def test_a_call_over_its_limit_ends_the_session(
    sandbox: Sandbox, session: Session, code: str, limits: Limits, status: Status
) -> None:
    await said(session, "x = 1")
    result = await session.python(code, limits=limits)
    assert result.status is status
    assert result.session_ended
    assert not result.sandbox_lost
    assert session.ended
    assert (await sandbox.python("print(1)")).stdout == b"1\n"


async def test_cpu_time_is_counted_call_by_call(session: Session) -> None:
    burn = "import time\nbegan = time.process_time()\nwhile time.process_time() - began < 0.6: pass"
    for _ in range(3):
        result = await session.python(burn, limits=Limits(wall_s=20, cpu_s=2))
        assert result.status is Status.EXITED, result
        assert 0.5 < result.cpu_s < 2


async def test_want_of_memory_ends_it(sandbox: Sandbox, session: Session) -> None:
    if sandbox.info.enforced["memory"] == "rlimit":
        pytest.skip("no control groups here")
    result = await session.python(
        "held = []\nwhile True: held.append(bytearray(16 << 20))",
        limits=Limits(memory_bytes=128 << 20),
    )
    assert result.status is Status.OOM
    assert result.session_ended


async def test_nothing_but_the_session_outlives_a_call(sandbox: Sandbox, session: Session) -> None:
    await said(
        session,
        "import os, subprocess, time\n"
        "child = subprocess.Popen(['sleep', '60'])\n"
        "if not os.fork():\n"
        "    os.setsid()\n"
        "    while True:\n"
        "        open('/box/beat', 'a').write('x')\n"
        "        time.sleep(0.001)\n"
        "time.sleep(0.05)",
    )
    size = len(await sandbox.read_file("beat"))
    await asyncio.sleep(0.1)
    assert len(await sandbox.read_file("beat")) == size
    alive = await said(
        session,
        "[p for p in os.listdir('/proc') if p.isdigit() and int(p) not in (1, os.getpid())]",
    )
    assert alive == "[]"
    assert await said(session, "child.poll() is not None") == "True"


async def test_threads_stand_still_between_calls(sandbox: Sandbox, session: Session) -> None:
    await said(
        session,
        "import threading, time\nn = 0\n"
        "def run():\n    global n\n    while True:\n        n += 1\n        time.sleep(0.001)\n"
        "threading.Thread(target=run, daemon=True).start()\ntime.sleep(0.05)",
    )
    before = int(await said(session, "n"))
    await asyncio.sleep(0.5)
    assert int(await said(session, "n")) - before < 50
    assert int(await said(session, "time.sleep(0.1)\nn")) > before


async def test_programs_and_sessions_share_files_and_nothing_else(
    sandbox: Sandbox, session: Session
) -> None:
    await said(session, "x = 1\nopen('/box/shared', 'w').write('from the session')")
    result = await sandbox.python("print(open('/box/shared').read(), 'x' in globals())")
    assert result.stdout == b"from the session False\n"
    async with await sandbox.session() as other:
        assert await said(other, "'x' in globals()") == "False"
    assert await said(session, "x") == "1"


async def test_a_program_that_kills_everything_ends_the_session(
    sandbox: Sandbox, session: Session
) -> None:
    await sandbox.python("import os; os.kill(-1, 9)")
    result = await session.python("1")
    assert (result.status, result.session_ended) == (Status.SIGNALED, True)


async def test_a_reset_ends_sessions(sandbox: Sandbox, session: Session) -> None:
    assert await sandbox.reset()
    assert (await session.python("1")).session_ended


async def test_a_cancelled_call_destroys_the_sandbox(sandbox: Sandbox, session: Session) -> None:
    call = asyncio.create_task(session.python("import time; time.sleep(60)"))
    await asyncio.sleep(0.1)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert not await sandbox.reset()


async def test_there_are_only_so_many(sandbox: Sandbox) -> None:
    for _ in range(64):
        await sandbox.session()
    with pytest.raises(ValueError, match="64 sessions"):
        await sandbox.session()
    assert await sandbox.reset()
    async with await sandbox.session() as session:
        assert await said(session, "1") == "1"


async def test_copies_begin_alike_and_go_their_own_ways(session: Session) -> None:
    await said(session, "import random\nrandom.seed(1)\nheld = {'n': [0]}")
    copies = await session.fork(3)
    drawn = [await said(copy, "random.random()") for copy in (session, *copies)]
    assert len(set(drawn)) == 1
    for number, copy in enumerate(copies, start=1):
        await said(copy, f"held['n'].append({number})")
    assert [await said(copy, "held['n']") for copy in (session, *copies)] == [
        "[0]",
        "[0, 1]",
        "[0, 2]",
        "[0, 3]",
    ]


async def test_copies_of_copies_outlive_what_they_are_copies_of(session: Session) -> None:
    await said(session, "x = 1")
    (child,) = await session.fork()
    await said(child, "x = 2")
    await session.close()
    grandchildren = await child.fork(2)
    await child.close()
    assert [await said(each, "x") for each in grandchildren] == ["2", "2"]
    result = await grandchildren[0].python("raise SystemExit")
    assert result.session_ended
    assert await said(grandchildren[1], "x + 1") == "3"


async def test_copies_can_be_called_at_once(session: Session) -> None:
    copies = await session.fork(8)
    answers = await asyncio.gather(
        *(said(copy, f"sum(range({n}))") for n, copy in enumerate(copies))
    )
    assert answers == [str(sum(range(n))) for n in range(8)]


async def test_a_copy_over_its_limit_ends_alone(session: Session) -> None:
    first, second = await session.fork(2)
    result = await first.python("while True: pass", limits=Limits(wall_s=0.2))
    assert (result.status, result.session_ended) == (Status.TIMEOUT, True)
    assert await said(second, "1") == "1"
    assert await said(session, "2") == "2"


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (
            "import threading, time\n"
            "threading.Thread(target=time.sleep, args=(60,), daemon=True).start()",
            "2 threads",
        ),
        ("import socket\ns = socket.socket()", "is a socket"),
    ],
)
async def test_what_a_fork_cannot_carry_is_refused_with_the_reason(
    session: Session, code: str, reason: str
) -> None:
    await said(session, f"x = 1\n{code}")
    with pytest.raises(ValueError, match=reason):
        await session.fork(2)
    assert await said(session, "x") == "1"


async def test_more_copies_than_processes_are_refused_and_leave_none(sandbox: Sandbox) -> None:
    async with await sandbox.session(limits=Limits(pids=4)) as session:
        await said(session, "x = 1")
        with pytest.raises(ValueError, match="no more processes"):
            await session.fork(20)
        assert await said(session, "x") == "1"


@pytest.mark.parametrize("k", [0, -1])
async def test_fewer_than_one_copy_is_an_error(session: Session, k: int) -> None:
    with pytest.raises(ValueError, match="cannot be made"):
        await session.fork(k)


async def test_the_worker_does_not_grow(sandbox: Sandbox) -> None:
    async def worker_kb() -> int:
        result = await sandbox.python("print(open('/proc/1/status').read())")
        return int(result.stdout.split(b"RssAnon:")[1].split()[0])

    async def use() -> None:
        await sandbox.python("print('x' * 100_000)", stdin=b"y" * 100_000)
        async with await sandbox.session() as session:
            await session.python("print('x' * 100_000)")
            for copy in await session.fork(2):
                await copy.close()

    for _ in range(20):
        await use()
    before = await worker_kb()
    for _ in range(100):
        await use()
    assert await worker_kb() - before < 500
