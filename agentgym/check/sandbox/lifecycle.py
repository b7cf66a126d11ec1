"""Kills, cancellations and threads at bad moments; what one program leaves for the next."""

import asyncio
import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from agentgym.check.report import Failed, NotChecked
from agentgym.check.sandbox import host
from agentgym.check.sandbox.held import gone, sandboxes_of
from agentgym.check.sandbox.judges import expect, expect_died, shown
from agentgym.check.sandbox.program import program
from agentgym.check.sandbox.row import Row
from agentgym.check.sandbox.target import Target, namespace_of
from agentgym.sandbox import Limits, Sandbox

T = TypeVar("T")

_LEASES_S = 30.0
_BUSY = """
ignore_all()
if os.fork() == 0: os.setsid()
while True: time.sleep(0.01)
"""
_HOST = """
import asyncio, json, sys
from agentgym.check.report import NotChecked
from agentgym.check.sandbox.backends import settings_of
from agentgym.check.sandbox.target import namespace_of
async def main():
    settings = settings_of(json.loads(sys.argv[1])).model_copy(update={"spares": 1})
    async with settings.build() as sandboxes, sandboxes.lease() as idle, sandboxes.lease() as busy:
        try:
            async with namespace_of(idle) as one, namespace_of(busy) as other:
                running = asyncio.create_task(busy.python(sys.argv[2]))
                await asyncio.sleep(0.3)
                print(json.dumps([one, other]), flush=True)
                await running
        except NotChecked: print("[]")
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
    async with target.sandbox(survives=False) as sandbox, namespace_of(sandbox) as namespace:
        _expect_ours(namespace)
        running = asyncio.ensure_future(sandbox.python("import time; time.sleep(60)"))
        await asyncio.sleep(0.2)
        began = time.monotonic()
        host.tell(namespace, signal.SIGKILL)
        await expect_died(running)
        took = time.monotonic() - began
        expect(took < 1.0, f"it was told after {took:.1f} s")
        return f"SandboxDied after {took * 1000:.0f} ms"


async def _paused(target: Target) -> str:
    """Stop the worker from outside: the host's own deadline ends the call."""
    async with target.sandbox(survives=False) as sandbox, namespace_of(sandbox) as namespace:
        _expect_ours(namespace)
        host.tell(namespace, signal.SIGSTOP)
        result = await sandbox.python("print(1)", limits=Limits(wall_s=0.2))
        expect(result.timed_out and result.sandbox_lost, shown(result))
        await sandbox.close()
        await gone(lambda: host.processes_in(namespace), "processes")
        return f"TIMEOUT after {result.wall_s:.1f} s, and the sandbox is lost"


def _expect_ours(namespace: str) -> None:
    """Raise NotChecked unless this process may send signals to those of a sandbox."""
    try:
        for pid in host.processes_in(namespace):
            os.kill(pid, 0)
    except PermissionError as error:
        raise NotChecked("its processes are not ours to stop") from error


async def _dying_thread(target: Target) -> str:
    """Start everything in a thread that ends, and go on in another: the loop is the same."""
    sandboxes = target.another(spares=0)
    stack = contextlib.AsyncExitStack()

    async def begin() -> Sandbox:
        await stack.enter_async_context(sandboxes)
        return await stack.enter_async_context(sandboxes.lease(fresh=True))

    with contextlib.closing(asyncio.new_event_loop()) as loop:
        try:
            sandbox = await in_thread(loop, begin())
            await asyncio.sleep(0.1)
            result = await in_thread(loop, sandbox.python("print('lives')"))
        finally:
            await in_thread(loop, stack.aclose())
            await in_thread(loop, loop.shutdown_default_executor())
    expect(result.stdout == b"lives\n", shown(result))
    return "the sandbox outlives the thread that started it"


async def in_thread(loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, T]) -> T:
    """Run a loop for a while in a thread that has ended when this returns."""
    with ThreadPoolExecutor(1) as threads:
        limited = asyncio.wait_for(work, _LEASES_S)
        running = threads.submit(loop.run_until_complete, limited)
        return await asyncio.wrap_future(running)


async def _host_killed(target: Target, code: str) -> str:
    """Kill a process that holds sandboxes; what it held must be gone soon."""
    owner = await asyncio.create_subprocess_exec(
        *[sys.executable, "-c", _HOST, target.words, code], stdout=asyncio.subprocess.PIPE
    )
    try:
        assert owner.stdout is not None
        said = await owner.stdout.readline()
        expect(said, "the process with the sandboxes did not start")
        namespaces = json.loads(said)
        if not namespaces:
            raise NotChecked("its processes are not those of this machine")
        everything = await asyncio.to_thread(sandboxes_of, target)
        names = {each.name for each in everything if each.owner == owner.pid}
        processes = host.named(host.descendants(owner.pid))
        for each in namespaces:
            processes |= host.named(host.processes_in(each))
    finally:
        owner.kill()
        await owner.communicate()
    took = await gone(lambda: host.living(processes), "processes")
    await gone(lambda: names & {each.name for each in sandboxes_of(target)}, "sandboxes")
    return f"gone after {took:.2f} s, all {len(processes)} processes"


async def _host_killed_idle(target: Target) -> str:
    return await _host_killed(target, "import time; time.sleep(60)")


async def _host_killed_busy(target: Target) -> str:
    return await _host_killed(target, program(_BUSY))


ROWS = (
    Row(name="reset_leak", must="the next episode finds all as it was", run=_reset_leak),
    Row(name="killed_mid_exec", must="SandboxDied, at once, and no result", run=_killed),
    Row(
        name="stopped_mid_exec", must="TIMEOUT at the host's own deadline", run=_paused, cost="slow"
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
)
