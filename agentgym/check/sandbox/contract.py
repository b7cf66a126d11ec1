"""The rules of `agentgym/sandbox.py` that every backend keeps: calls, results, files."""

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any

from agentgym.check.report import Failed, NotChecked
from agentgym.check.sandbox.judges import expect, expect_died, expect_refused, says, shown
from agentgym.check.sandbox.row import Row
from agentgym.check.sandbox.target import Target
from agentgym.sandbox import ExecResult, Limits, Status

_EXITS: dict[str, int] = {
    "pass": 0,
    "raise SystemExit": 0,
    "import sys; sys.exit(7)": 7,
    "import sys; sys.exit(256)": 0,  # as POSIX has it: an exit code is no verdict
    "import sys; sys.exit('no')": 1,
    "exit(3)": 3,
    "import os; os._exit(255)": 255,
    "import os; os._exit(137)": 137,  # no want of memory
    "1 / 0": 1,
    "x = (": 1,
    "def f(): f()\nf()": 1,
}
_INTERPRETER = """
import atexit, sys, threading, time, pickle
atexit.register(lambda: print("atexit"))
threading.Thread(target=lambda: (time.sleep(0.05), print("thread"))).start()
class Point: pass
assert type(pickle.loads(pickle.dumps(Point()))) is Point
print(__name__, input())
sys.stderr.write("no newline")
"""
_UNSEEN_CHILD = """
import os, signal, time
signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # reaped by nobody, so in no rusage
if os.fork() == 0:
    while time.process_time() < 0.4: pass
    open("done", "w").close()
    os._exit(0)
while not os.path.exists("done"): time.sleep(0.05)
"""


async def _exit_spoofs(target: Target) -> str:
    async with target.sandbox() as sandbox:
        for code, expected in _EXITS.items():
            result = await sandbox.python(code)
            is_exact = (result.status, result.exit_code) == (Status.EXITED, expected)
            expect(is_exact and result.signal is None, f"{code!r}: {shown(result)}")
        for number in (6, 9, 11):
            result = await sandbox.python(f"import os; os.kill(os.getpid(), {number})")
            is_exact = (result.status, result.signal) == (Status.SIGNALED, number)
            expect(is_exact and result.exit_code is None, f"signal {number}: {shown(result)}")
    return f"{len(_EXITS)} exit codes and 3 signals"


async def _interpreter(target: Target) -> str:
    async with target.sandbox() as sandbox:
        result = await sandbox.python(_INTERPRETER, stdin=b"typed\n")
        expect(result.stdout == b"__main__ typed\nthread\natexit\n", shown(result))
        expect((result.stderr, result.exit_code) == (b"no newline", 0), shown(result))
        failed = await sandbox.python("def f():\n  return 1 / 0\nf()")
        expect(b'File "<program>", line 3, in <module>' in failed.stderr, shown(failed))
        expect(b"worker" not in failed.stderr, "a traceback shows the worker")
        await sandbox.write_file("solution.py", b"answer = 42")
        return says("42")(await sandbox.python("import solution; print(solution.answer)"))


async def _exec(target: Target) -> str:
    async with target.sandbox() as sandbox:
        result = await sandbox.exec(["sh", "-c", "echo $0 $1; pwd; exit 3", "a b", "c"])
        expect((result.stdout, result.exit_code) == (b"a b c\n/box\n", 3), shown(result))
        result = await sandbox.exec(["sh", "-c", "echo $X $HOME; pwd"], env={"X": "é"}, cwd="/tmp")
        expect(result.stdout == "é /box\n/tmp\n".encode(), shown(result))
        await sandbox.write_file("data", b"no program")
        for argv, code in (["no-such-program"], 127), (["/box/data"], 126):
            result = await sandbox.exec(argv)
            expect(result.exit_code == code, f"{argv}: {shown(result)}")
        expect((await sandbox.exec(["true"], cwd="/nowhere")).exit_code == 127, "no folder")
        for argv in ([], ["echo", "a\0b"]):
            await expect_refused(sandbox.exec(argv), repr(argv))
    return "arguments, variables, folder and exit codes"


async def _both_streams(target: Target) -> str:
    code = "import sys\nprint('a' * 300_000)\nprint('b' * 300_000)\nsys.stderr.write('short')"
    async with target.sandbox() as sandbox:
        result = await sandbox.python(code, limits=Limits(keep_output_bytes=100))
        expect(result.stdout == b"a" * 50 + b"b" * 49 + b"\n", shown(result))
        totals = result.stdout_total, result.stderr, result.stderr_total
        expect(totals == (600_002, b"short", 5), shown(result))
    return "the ends are kept, and all is counted"


async def _wall_clock(target: Target) -> str:
    async with target.sandbox() as sandbox:
        await sandbox.python("pass")
        began = time.monotonic()
        result = await sandbox.python("import time; time.sleep(60)", limits=Limits(wall_s=0.3))
        took = time.monotonic() - began
        is_over = result.status is Status.TIMEOUT and result.timed_out
        expect(is_over and result.exit_code is None and not result.sandbox_lost, shown(result))
        expect(0.3 <= took < 2.0, f"a limit of 0.3 s took {took:.2f} s")
        return f"{took:.2f} s at a limit of 0.3 s"


async def _cpu_limit(target: Target) -> str:
    async with target.sandbox() as sandbox:
        alone = await sandbox.python("while True: pass", limits=Limits(cpu_s=1.0, wall_s=30))
        expect(alone.status is Status.CPU_LIMIT, shown(alone))
        expect(0.5 < alone.cpu_s < 3.0, f"1 s was {alone.cpu_s:.1f} s")
        if sandbox.info.enforced["cpu"] not in ("cgroup1", "cgroup2"):
            return f"{alone.cpu_s:.1f} s; children that nobody waits for are not counted here"
        result = await sandbox.python(_UNSEEN_CHILD, limits=Limits(cpu_s=0.3, wall_s=20))
        expect(result.status is Status.CPU_LIMIT, f"of a child: {shown(result)}")
        return f"{alone.cpu_s:.1f} s at a limit of 1 s, and that of children counts"


async def _oom_counter(target: Target) -> str:
    async with target.sandbox() as sandbox:
        if sandbox.info.enforced["memory"] not in ("cgroup1", "cgroup2"):
            raise NotChecked("no control group here tells who was killed for want of memory")
        bomb = "x = []\nwhile True: x.append(bytes(1 << 24))"
        result = await sandbox.python(bomb, limits=Limits(memory_bytes=64 << 20))
        expect(result.status is Status.OOM and result.oom_kills, shown(result))
        again = await sandbox.python("x = bytes(100 << 20)")
        expect(again.exit_code == 0, f"the limit of one call held in the next: {shown(again)}")
        return f"{result.oom_kills} killed, and the next call has its own limit"


async def _turns(target: Target) -> str:
    async with target.sandbox() as sandbox:
        slow = asyncio.ensure_future(sandbox.python("import time; time.sleep(0.2); print(1)"))
        await asyncio.sleep(0.05)
        waiting = asyncio.ensure_future(sandbox.python("print(2)"))
        given_up = asyncio.ensure_future(sandbox.python("print(3)"))
        await asyncio.sleep(0.05)
        given_up.cancel()
        said = [(await call).stdout for call in (slow, waiting, sandbox.python("print(4)"))]
        expect(said == [b"1\n", b"2\n", b"4\n"], f"three calls said {said}")
    return "one after the other, and one that gives up disturbs none"


async def _cancelled(target: Target) -> str:
    async with target.sandbox(survives=False) as sandbox:
        call = asyncio.ensure_future(sandbox.python("import time; time.sleep(60)"))
        await asyncio.sleep(0.1)
        call.cancel()
        await asyncio.wait([call])
        expect(call.cancelled(), "a cancelled call was not cancelled")
        await expect_died(sandbox.python("pass"))
    async with target.sandbox() as another:
        expect(another.id != sandbox.id, "a destroyed sandbox is leased again")
    return "the sandbox is destroyed, another takes its place"


async def _close(target: Target) -> str:
    async with target.sandbox(survives=False) as sandbox:
        running = asyncio.ensure_future(sandbox.python("import time; time.sleep(60)"))
        await asyncio.sleep(0.1)
        closing = asyncio.ensure_future(sandbox.close())
        await asyncio.sleep(0)
        closing.cancel()
        await sandbox.close()
        await sandbox.close()
        await expect_died(running)
        await expect_died(sandbox.read_file("x"))
        expect(not await sandbox.reset(), "a closed sandbox can be reset")
    return "idempotent, ends what runs, and may be cancelled"


async def _files(target: Target) -> str:
    every = bytes(range(256)) * 1000
    async with target.sandbox() as sandbox:
        await sandbox.write_file("a/b/c.bin", every, mode=0o750)
        expect(await sandbox.read_file("/box/a/b/c.bin") == every, "not what was written")
        mode = (await sandbox.exec(["stat", "-c", "%a", "a/b/c.bin"])).stdout
        expect(mode == b"750\n", f"mode 750 became {mode!r}")
        await sandbox.write_file("/tmp/empty", b"")
        expect(await sandbox.read_file("/tmp/empty") == b"", "an empty file is not empty")
        await expect_refused(sandbox.read_file("a/b/c.bin", max_bytes=1000), "a large file")
        await expect_refused(sandbox.write_file("big", bytes(65 << 20)), "65 MiB")
        try:
            await sandbox.read_file("none")
        except FileNotFoundError:
            return "bytes and modes come back"
        raise Failed("a file that is not there was read")


async def _fresh(target: Target) -> str:
    seen = set()
    for fresh in (True, False, True, True, False):
        async with target.sandboxes.lease(fresh=fresh) as sandbox:
            expect(not (fresh and sandbox.id in seen), "a fresh sandbox had been used before")
            seen.add(sandbox.id)
            await sandbox.python("pass")
    return "never one that ran anything"


async def _waiting(target: Target) -> str:
    """Programs wait for one slot: none of them times out for having waited."""
    async with target.another(spares=0, exec_slots=1) as sandboxes:

        async def sleep() -> ExecResult:
            async with sandboxes.lease() as sandbox:
                return await sandbox.exec(["sleep", "0.25"], limits=Limits(wall_s=0.6))

        for result in await asyncio.gather(*(sleep() for _ in range(4))):
            expect(result.status is Status.EXITED, shown(result))
    return "the clock starts when the slot is held"


async def _session(target: Target) -> str:
    async with target.sandbox() as sandbox:
        session = await sandbox.session()
        await session.python("import random\nrandom.seed(1)\nx = [0]\ndef f(): return x")
        copies = [session, *await session.fork(2)]
        drawn = [(await copy.python("random.random()")).stdout for copy in copies]
        expect(len(set(drawn)) == 1, f"copies do not begin alike: {drawn}")
        for number, copy in enumerate(copies):
            await copy.python(f"x.append({number})")
        said = [(await copy.python("f()")).stdout for copy in copies]
        expect(said == [b"[0, 0]\n", b"[0, 1]\n", b"[0, 2]\n"], f"copies say {said}")
        ended = await copies[1].python("raise SystemExit(3)")
        expect(ended.session_ended and ended.exit_code == 3, shown(ended))
        over = await copies[2].python("while True: pass", limits=Limits(wall_s=0.2))
        expect(over.session_ended and over.timed_out and not over.sandbox_lost, shown(over))
        await expect_refused(copies[1].python("1"), "a call of a session that has ended")
        alive = await session.python("len(x)")
        expect(alive.stdout == b"2\n", shown(alive))
        threads = "import threading\nthreading.Thread(target=input, daemon=True).start()\n"
        await session.python(f"{threads}import socket\ns = socket.socket()")
        await expect_refused(session.fork(), "a fork of what holds a socket")
        for each in (session, *copies):
            await each.close()
    return "variables live, copies go their own ways, one that ends takes none with it"


async def _snapshot(target: Target) -> str:
    fill = "import os\nos.makedirs('a/b'); open('a/b/x', 'w').write('kept'); os.symlink('/', 'l')"
    async with target.sandbox() as one, target.sandbox() as other:
        await one.python(fill)
        blob = await one.snapshot()
        await other.write_file("before", b"goes away")
        await other.restore(blob)
        await one.write_file("a/b/x", b"changed")
        look = "import os; print(os.listdir('.'), open('a/b/x').read())"
        seen = says("['a'] kept")(await other.python(look))
        expect(await other.snapshot() == blob, "a snapshot of what was restored is another")
        return seen


def _rule(name: str, must: str, run: Callable[[Target], Coroutine[Any, Any, str]]) -> Row:
    return Row(name=name, must=must, run=run)


ROWS = (
    _rule("exit_spoofs", "exit codes and signals are told exactly", _exit_spoofs),
    _rule("rule_interpreter", "python() is like an interpreter", _interpreter),
    _rule("rule_exec", "a missing or failing program is a result", _exec),
    _rule("rule_streams", "of long output the ends are kept", _both_streams),
    _rule("rule_wall_clock", "TIMEOUT by the worker, and the sandbox lives", _wall_clock),
    _rule("rule_cpu_limit", "CPU_LIMIT, told from TIMEOUT", _cpu_limit),
    _rule("rule_oom", "OOM by the kernel's counter alone", _oom_counter),
    _rule("rule_turns", "calls take turns", _turns),
    _rule("rule_cancelled", "a cancelled call destroys the sandbox", _cancelled),
    _rule("rule_close", "closing is final, idempotent and never raises", _close),
    _rule("rule_files", "files come back as they were written", _files),
    _rule("rule_fresh", "a fresh sandbox never ran anything", _fresh),
    _rule("rule_waiting", "waiting for a slot costs no wall time", _waiting),
    _rule("rule_session", "sessions live across calls, and fork", _session),
    _rule("rule_snapshot", "what was in the box comes back elsewhere", _snapshot),
)
