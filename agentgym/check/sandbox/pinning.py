"""Programs that have the kernel hold memory which is in no process."""

from agentgym.check.report import NotChecked
from agentgym.check.sandbox.judges import expect, expect_died, says, shown
from agentgym.check.sandbox.program import program
from agentgym.check.sandbox.row import Row
from agentgym.check.sandbox.target import Target, expect_alive
from agentgym.sandbox import Limits, Status

_SMALLEST = 32 << 20
_PIPES = """
held, stands = [], 0
try:
    while True:
        held += os.pipe(); os.set_blocking(held[-1], False)
        try: fcntl.fcntl(held[-1], 1031, 1 << 20)
        except PermissionError: pass  # its user has had its share of large ones
        try:
            while True: stands += os.write(held[-1], bytes(1 << 20))
        except BlockingIOError: pass
except OSError: print(stands)
"""
_SOCKETS = """
held, stands = [], 0
try:
    while True:
        held += socket.socketpair()
        for end in held[-2:]: end.setsockopt(1, 7, 1 << 30); end.setblocking(False)
        try:
            while True: stands += held[-1].send(bytes(1 << 16))
        except BlockingIOError: pass
except OSError: print(stands)
"""


async def _in_flight(target: Target) -> str:
    """Send a large file without a name round and round through sockets that nobody has open."""
    code = """
a, b = socket.socketpair()
with open("/tmp/big", "wb") as file: file.write(bytes(32 << 20))
fd = os.open("/tmp/big", 0); os.unlink("/tmp/big")
socket.send_fds(a, [b"x"], [fd, a.fileno(), b.fileno()])
socket.send_fds(b, [b"x"], [fd, a.fileno(), b.fileno()])
print("sent")
"""
    free = "import os; print(os.statvfs('/tmp').f_bfree, os.listdir('/tmp'))"
    async with target.sandbox(survives=False) as sandbox:
        before = (await sandbox.python(free)).stdout
        says("sent")(await sandbox.python(program(code)))
        if not await sandbox.reset():
            await expect_died(sandbox.python("pass"))
            return "replaced"
        after = (await sandbox.python(free)).stdout
        expect(after == before, f"a reset left blocks in use: {before!r} became {after!r}")
        return "gone after a reset"


async def _pinned(target: Target, code: str) -> str:
    """Have the kernel hold memory that is in no process, until there is no more of it.

    Whom the kernel kills then may be the worker, for neither it nor the program has much itself.
    """
    async with target.sandbox(survives=False) as sandbox:
        if sandbox.info.enforced["memory"] == "rlimit":
            raise NotChecked("without control groups nothing counts what no process holds")
        limits = Limits(memory_bytes=_SMALLEST, open_files=4096, wall_s=5.0, cpu_s=20.0)
        result = await sandbox.python(program(code), limits=limits)
        if result.sandbox_lost:
            expect(result.status is Status.OOM, shown(result))
            await expect_died(sandbox.python("pass"))
            return "oom, and the sandbox is replaced"
        await expect_alive(sandbox)
        if result.status is Status.OOM:
            return f"oom, {result.oom_kills} killed"
        stands = int(result.stdout or -1)
        expect(0 < stands < _SMALLEST, f"{stands >> 20} MiB are held; {shown(result)}")
        return f"{stands >> 20} MiB, and no more of them"


async def _pipes(target: Target) -> str:
    return await _pinned(target, _PIPES)


async def _sockets(target: Target) -> str:
    return await _pinned(target, _SOCKETS)


ROWS = (
    Row(
        name="fds_in_flight", must="gone after a reset, or the sandbox is replaced", run=_in_flight
    ),
    Row(name="pipe_pinning", must="what stands in pipes counts", run=_pipes),
    Row(name="socket_pinning", must="what stands in sockets counts", run=_sockets),
)
