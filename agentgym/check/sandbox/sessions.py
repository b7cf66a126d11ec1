"""Sessions that lie, wake, or take from each other."""

import asyncio

from agentgym.check.report import Failed
from agentgym.check.sandbox.judges import expect, shown
from agentgym.check.sandbox.program import program
from agentgym.check.sandbox.row import Row
from agentgym.check.sandbox.target import Target
from agentgym.errors import SandboxDied, SandboxProtocolError
from agentgym.sandbox import Limits, Sandbox, Session

_BEAT = """
import threading
def beat():
    while True:
        with open("/box/beat", "a") as file: file.write("x")
        time.sleep(0.005)
threading.Thread(target=beat, daemon=True).start()
time.sleep(0.03)
"""
_BY_TIMER = """
class Event(ctypes.Structure):
    _fields_ = [("value", ctypes.c_void_p), ("signal", ctypes.c_int), ("rest", ctypes.c_char * 52)]
event, timer = Event(None, signal.SIGCONT, b""), ctypes.c_int()
syscall("timer_create", 1, ctypes.byref(event), ctypes.byref(timer))
syscall("timer_settime", timer, 0, (ctypes.c_long * 4)(0, 20_000_000, 0, 20_000_000), 0)
"""
_BY_PIPE = """
try:
    fcntl.fcntl(1, 8, os.getpid()); fcntl.fcntl(1, 10, signal.SIGCONT)
    fcntl.fcntl(1, 4, fcntl.fcntl(1, 3) | 0o20000 | os.O_NONBLOCK)
except OSError: pass
def fill():
    try:
        while True: os.write(1, b"x" * 4096)
    except OSError: pass
inside = sys.modules["agentgym.sandboxes.inside.session"]
fill(); os.write(3, inside.DONE.pack(0, 0))
while True: fill()
"""
_BY_TERMINAL = """
master, slave = os.openpty()
try: fcntl.ioctl(slave, 0x540e, 1)
except OSError: pass
signal.signal(signal.SIGHUP, signal.SIG_IGN)
if os.fork() == 0: time.sleep(60)
os.close(master)
if os.fork() == 0:
    os.setpgid(0, 0)
    if os.fork() == 0: os.setpgid(0, os.getsid(0)); time.sleep(60)
    time.sleep(60)
syscall("clone", signal.SIGCONT, 0, 0, 0, 0) or time.sleep(60)
"""


async def _expect_still(sandbox: Sandbox) -> str:
    """Expect that a session with a beating thread stands still when it is not called."""
    await asyncio.sleep(0.4)
    size = len(await sandbox.read_file("beat"))
    expect(size < 30, f"it ran between calls: {size} beats in 0.4 s")
    return "it stood still"


async def _wakes(target: Target, code: str) -> str:
    async with target.sandbox() as sandbox, await sandbox.session() as session:
        limits = Limits(wall_s=2.0)
        result = await session.python(program(_BEAT + code), limits=limits)
        expect(b"Traceback" not in result.stderr, shown(result))
        return await _expect_still(sandbox)


async def _by_timer(target: Target) -> str:
    return await _wakes(target, _BY_TIMER)


async def _by_pipe(target: Target) -> str:
    return await _wakes(target, _BY_PIPE)


async def _by_terminal(target: Target) -> str:
    return await _wakes(target, _BY_TERMINAL)


async def _lies(target: Target, code: str) -> str:
    """Run lies in one session; another one, and the sandbox, must not notice."""
    async with target.sandbox() as sandbox:
        async with await sandbox.session() as bystander, await sandbox.session() as liar:
            await bystander.python("x = 5")
            await _run(liar, code)
            for _ in range(3):
                await _provoke(liar)
            result = await bystander.python("x")
            expect(result.stdout == b"5\n", f"another session says {shown(result)}")
        return "another session is as it was"


async def _run(session: Session, code: str) -> None:
    """Run a lie to its end."""
    result = await session.python(program(code), limits=Limits(wall_s=1.0))
    expect(b"Traceback" not in result.stderr, shown(result))


async def _provoke(session: Session) -> None:
    """Call a session that may answer anything; an answer of ours is an error or a result."""
    limits = Limits(wall_s=0.3)
    if not session.ended:
        await session.python("1", limits=limits)
    if session.ended:
        return
    try:
        for copy in await session.fork(2):
            await copy.python("1", limits=limits)
            await copy.close()
    except ValueError:
        return


async def _forged_frames(target: Target) -> str:
    code = """
inside = sys.modules["agentgym.sandboxes.inside.session"]
frames = (b"lie" * 99, inside.DONE.pack(0, 0) * 9, inside.DONE.pack(0, 1 << 31), bytes(1 << 16))
for fd in range(3, 64):
    os.set_blocking(fd, False) if os.path.exists(f"/proc/self/fd/{fd}") else None
    for frame in frames:
        try: os.write(fd, frame)
        except OSError: pass
    os.set_blocking(fd, True) if os.path.exists(f"/proc/self/fd/{fd}") else None
"""
    return await _lies(target, code)


async def _forged_hello(target: Target) -> str:
    """A fork that says it is somebody else: PID 1, another session, nobody."""
    code = """
inside = sys.modules["agentgym.sandboxes.inside.session"]
pids = iter([1, 2, 3, -1, 0, 99999, os.getpid()] * 99)
class Hello:
    size = 4
    def pack(self, pid): return struct.pack(">i", next(pids))
inside.HELLO = Hello()
"""
    return await _lies(target, code)


async def _forged_fork(target: Target) -> str:
    """Keep what a fork was to have, answer for it, and claim that all went well."""
    code = """
inside = sys.modules["agentgym.sandboxes.inside.session"]
def fork(control, number):
    _, rights, _, _ = control.recvmsg(1, 4096)
    fds = struct.unpack(f"{len(rights[0][2]) // 4}i", rights[0][2])
    for fd in fds[2::3]:
        os.write(fd, struct.pack(">i", 1)); os.write(fd, inside.DONE.pack(0, 0) * 99)
    control.sendall(inside.DONE.pack(0, 0))
inside._fork = fork
"""
    return await _lies(target, code)


async def _stolen_socket(target: Target) -> str:
    """One session gives its socket to another, which answers in its place."""
    give = """
server = socket.socket(1); server.bind("/box/s"); server.listen()
"""
    take = """
client = socket.socket(1); client.connect("/box/s")
"""
    hand_over = "peer = server.accept()[0]; socket.send_fds(peer, [b'x'], [3])"
    forge = """
inside = sys.modules["agentgym.sandboxes.inside.session"]
_, fds, _, _ = socket.recv_fds(client, 9, 9)
for fd in fds: os.write(fd, inside.DONE.pack(99, 0) * 3)
"""
    async with target.sandbox() as sandbox:
        async with (
            await sandbox.session() as bystander,
            await sandbox.session() as one,
            await sandbox.session() as other,
        ):
            await bystander.python("x = 5")
            for session, code in ((one, give), (other, take), (one, hand_over), (other, forge)):
                await _run(session, code)
            for session in (one, other):
                await _provoke(session)
            result = await bystander.python("x")
            expect(result.stdout == b"5\n", f"another session says {shown(result)}")
        return "those two confuse each other only"


async def _deaf(target: Target) -> str:
    """A session that never answers: forks are refused, the sandbox lives or is replaced."""
    code = "inside = sys.modules['agentgym.sandboxes.inside.session']\ninside._fork = print"
    async with target.sandbox(survives=False) as sandbox:
        session = await sandbox.session(limits=Limits(wall_s=0.2))
        await session.python(program(code))
        try:
            for _ in range(20):
                await _refused_fork(session)
        except (SandboxDied, SandboxProtocolError):
            return "the sandbox is replaced"
        result = await sandbox.python("print(1)")
        expect(result.stdout == b"1\n", shown(result))
        return "20 forks refused"


async def _refused_fork(session: Session) -> None:
    if session.ended:
        return
    try:
        await session.fork(20)
    except ValueError:
        return
    raise Failed("a session that does not answer was forked")


async def _after_reset(target: Target) -> str:
    """Nothing that a session held is left when the sandbox is clean again."""
    code = f"""
{_BEAT}
server = socket.socket(1); server.bind("/tmp/s"); held = open("/tmp/held", "w")
os.fork() or time.sleep(60); os.unlink("/tmp/held"); held.write("x" * 99999)
"""
    async with target.sandbox() as sandbox:
        session = await sandbox.session()
        await session.python(program(code))
        await sandbox.python("import os; os.kill(-1, 18)")
        expect(await sandbox.reset(), "a reset did not clean up after a session")
        expect((await session.python("1")).session_ended, "a session outlived a reset")
        return "gone"


ROWS = (
    Row(name="session_wakes_by_timer", must="it stands still between calls", run=_by_timer),
    Row(name="session_wakes_by_pipe", must="it stands still between calls", run=_by_pipe),
    Row(name="session_wakes_by_terminal", must="it stands still between calls", run=_by_terminal),
    Row(name="session_forged_frames", must="it confuses itself only", run=_forged_frames),
    Row(name="session_forged_hello", must="a copy is nobody but itself", run=_forged_hello),
    Row(name="session_forged_fork", must="it confuses itself only", run=_forged_fork),
    Row(name="session_stolen_socket", must="they confuse each other only", run=_stolen_socket),
    Row(name="session_never_answers", must="an error, in good time", run=_deaf, cost="slow"),
    Row(name="session_reset", must="nothing of it outlives a reset", run=_after_reset),
)
