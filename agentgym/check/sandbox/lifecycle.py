"""Kills, cancellations and threads at bad moments; what one program leaves for the next."""

import asyncio
import contextlib
import os
import random
import signal
import sys
import threading
import time

from agentgym.check.report import Failed, NotChecked
from agentgym.check.sandbox import host
from agentgym.check.sandbox.judges import expect, shown
from agentgym.check.sandbox.program import program
from agentgym.check.sandbox.row import Row
from agentgym.check.sandbox.target import Target
from agentgym.errors import SandboxDied, SandboxError
from agentgym.sandbox import Limits

_GONE_S = 5.0
_BUSY = """
ignore_all()
if os.fork() == 0: os.setsid()
while True: time.sleep(0.01)
"""
_HOST = """
import asyncio, json, sys
from agentgym.check.sandbox.backends import settings_of
async def main():
    settings = settings_of(json.loads(sys.argv[1])).model_copy(update={"spares": 1})
    async with settings.build() as sandboxes, sandboxes.lease() as sandbox:
        await sandbox.python("pass")
        running = asyncio.create_task(sandbox.python(sys.argv[2]))
        await asyncio.sleep(0.3)
        print(sandbox.info.enforced["uid"], flush=True)
        await running
asyncio.run(main())
"""
_MESS = """
for top in ("/box", "/tmp", "/dev/shm"):
    os.chdir(top)
    os.makedirs("a/b/c"); open("a/b/c/file", "w").write("secret"); os.symlink("/", "a/link")
    os.mkdir("closed"); open("closed/file", "w").close(); os.mkdir("closed/inner")
    os.chmod("closed/inner", 0); os.chmod("closed", 0)
    os.mkfifo("fifo"); open(b"\\xff\\n", "w").close(); socket.socket(1).bind("socket")
    for _ in range(300): os.mkdir("d"); os.chdir("d")
    os.chdir(top); os.utime(top, (5, 5))
    for name in ("user.secret", "security.capability", "system.posix_acl_default"):
        try: os.setxattr(top, name, b"secret")
        except OSError: pass
    os.chmod(top, 0)
if os.fork() == 0: os.setsid(); time.sleep(60)
os.environ["LEFT"] = "x"; os.umask(0o777)
"""
_LOOK = """
for top in ("/box", "/tmp", "/dev/shm"):
    state = os.stat(top)
    print(os.listdir(top), oct(state.st_mode), state.st_mtime, os.listxattr(top))
print(sorted(os.environ), oct(os.umask(0)), os.getpriority(0, 0), os.getcwd())
print(len([name for name in os.listdir("/proc") if name.isdigit()]))
"""


async def _reset_leak(target: Target) -> str:
    async with target.sandbox() as sandbox:
        await sandbox.reset()
        before = await sandbox.python(program(_LOOK))
        result = await sandbox.python(program(_MESS))
        expect(result.exit_code == 0, shown(result))
        if not await sandbox.reset():
            raise Failed("a reset did not clean up")
        after = await sandbox.python(program(_LOOK))
        expect(after.stdout == before.stdout, f"{before.stdout!r} became {after.stdout!r}")
        return "as it was"


async def _killed(target: Target) -> str:
    async with target.sandbox(survives=False) as sandbox:
        running = asyncio.ensure_future(sandbox.python("import time; time.sleep(60)"))
        await asyncio.sleep(0.2)
        pids = host.processes_of(sandbox.info.enforced["uid"])
        if not pids or os.getuid() not in (0, int(sandbox.info.enforced["uid"])):
            running.cancel()
            raise NotChecked("its processes are not ours to kill")
        began = time.monotonic()
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        try:
            result = await running
        except SandboxDied:
            took = time.monotonic() - began
            expect(took < 1.0, f"it was told after {took:.1f} s")
            return f"SandboxDied after {took * 1000:.0f} ms"
        raise Failed(f"a killed sandbox gave a result: {shown(result)}")


async def _paused(target: Target) -> str:
    """Stop the worker from outside: the host's own deadline ends the call."""
    async with target.sandbox(survives=False) as sandbox:
        pids = host.processes_of(sandbox.info.enforced["uid"])
        if not pids or os.getuid() not in (0, int(sandbox.info.enforced["uid"])):
            raise NotChecked("its processes are not ours to stop")
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        result = await sandbox.python("print(1)", limits=Limits(wall_s=0.2))
        expect(result.timed_out and result.sandbox_lost, shown(result))
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
        await sandbox.close()
        await _gone(sandbox.info.enforced["uid"])
        return f"TIMEOUT after {result.wall_s:.1f} s, and the sandbox is lost"


async def _cancelled(target: Target, times: int) -> str:
    """Cancel calls at moments of chance; no call after it may see another's answer."""
    moments = random.Random(times)
    before = _num_descriptors()
    async with target.another(spares=2) as sandboxes:
        for n in range(times):
            async with contextlib.AsyncExitStack() as stack:
                if n % 5 == 0:  # else the start is what is cancelled most
                    held = await stack.enter_async_context(sandboxes.lease())
                with contextlib.suppress(TimeoutError, SandboxError):
                    async with asyncio.timeout(moments.uniform(0, 0.03)):
                        if n % 5:
                            held = await stack.enter_async_context(sandboxes.lease(fresh=True))
                        while True:
                            await held.python("import os; os.fork(); print('x' * 9999)")
        async with sandboxes.lease() as sandbox:
            for n in range(5):
                result = await sandbox.python(f"print({n})")
                expect(result.stdout == b"%d\n" % n, f"out of step: {shown(result)}")
    # The other sandboxes of this check may have connected to their engine once more.
    most = 0 if target.backend == "local" else 2 * (os.cpu_count() or 1)
    left = _num_descriptors() - before
    expect(left <= most, f"{left} descriptors are left")
    return f"{times} cancelled, nothing left"


def _num_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


async def _dying_thread(target: Target) -> str:
    """Make a sandbox in a thread that ends, and use it from the one that lives."""
    loop = asyncio.get_running_loop()
    async with target.another(spares=0) as sandboxes, contextlib.AsyncExitStack() as stack:
        held = []

        def begin() -> None:
            lease = stack.enter_async_context(sandboxes.lease(fresh=True))
            held.append(asyncio.run_coroutine_threadsafe(lease, loop).result(30))

        thread = threading.Thread(target=begin)
        thread.start()
        while thread.is_alive():  # noqa: ASYNC110  a thread raises no event of a loop
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)
        result = await held[0].python("print('lives')")
        expect(result.stdout == b"lives\n", shown(result))
        return "the sandbox lives on"


async def _host_killed(target: Target, code: str) -> str:
    """Kill a process that holds sandboxes; what it held must be gone soon."""
    owner = await asyncio.create_subprocess_exec(
        *[sys.executable, "-c", _HOST, target.words, code], stdout=asyncio.subprocess.PIPE
    )
    try:
        assert owner.stdout is not None
        uid = (await owner.stdout.readline()).decode().strip()
        expect(uid, "the process with the sandboxes did not start")
        if not host.processes_of(uid):
            raise NotChecked("its processes are not those of this machine")
    finally:
        owner.kill()
        await owner.communicate()
    took = await _gone(uid)
    return f"gone after {took:.2f} s"


async def _gone(uid: str) -> float:
    """Wait until a user has no processes, and return how long that took."""
    began = time.monotonic()
    while left := host.processes_of(uid):
        took = time.monotonic() - began
        expect(took < _GONE_S, f"{len(left)} processes are left after {took:.1f} s")
        await asyncio.sleep(0.005)
    return time.monotonic() - began


async def _host_killed_idle(target: Target) -> str:
    return await _host_killed(target, "import time; time.sleep(60)")


async def _host_killed_busy(target: Target) -> str:
    return await _host_killed(target, program(_BUSY))


async def _descriptors(target: Target) -> str:
    async with target.sandbox() as sandbox:
        await sandbox.python("pass")
        before = _num_descriptors()
        for _ in range(50):
            await sandbox.python("print(1)")
            await sandbox.write_file("x", b"x")
        left = _num_descriptors() - before
        expect(left == 0, f"{left} descriptors more after 100 calls")
        return "100 calls leave no descriptor"


async def _cancel_few(target: Target) -> str:
    return await _cancelled(target, 100)


async def _cancel_many(target: Target) -> str:
    return await _cancelled(target, 1000)


ROWS = (
    Row(name="reset_leak", must="the next episode finds all as it was", run=_reset_leak),
    Row(name="killed_mid_exec", must="SandboxDied, at once, and no result", run=_killed),
    Row(
        name="stopped_mid_exec", must="TIMEOUT at the host's own deadline", run=_paused, cost="slow"
    ),
    Row(name="cancel_mid_exec", must="100 times, nothing left", run=_cancel_few, cost="slow"),
    Row(
        name="cancel_mid_exec_1000", must="1,000 times, nothing left", run=_cancel_many, cost="soak"
    ),
    Row(name="spawn_from_dying_thread", must="the sandbox lives on", run=_dying_thread),
    Row(
        name="host_sigkill_idle",
        must="nothing left of a killed host's sandboxes",
        run=_host_killed_idle,
        cost="slow",
    ),
    Row(
        name="host_sigkill_busy",
        must="the same while they run what ignores signals",
        run=_host_killed_busy,
        cost="slow",
    ),
    Row(name="descriptor_leak", must="calls leave no descriptor of the host's", run=_descriptors),
)
