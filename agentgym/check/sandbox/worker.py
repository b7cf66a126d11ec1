"""Programs that turn on the worker: they run as its user, as a fork of it."""

import secrets
from pathlib import Path

from agentgym.check.sandbox.judges import ends, expect, says, shown
from agentgym.check.sandbox.program import SCAN, program
from agentgym.check.sandbox.row import Row, attack
from agentgym.check.sandbox.target import Target
from agentgym.sandbox import ExecResult, Limits, Status

_FRAME = 'struct.pack(">IBiQQddII", 1, 0, 0, 1, 0, 0.0, 0.0, 1, 0) + b"!"'


_WALK = """
import gc
facts = {facts!r}  # backwards, so as not to be found themselves
todo, frame = [*gc.get_objects(), *sys.modules.values()], sys._getframe()
while frame: todo += [frame.f_locals, frame.f_globals]; frame = frame.f_back
seen, kept, num_texts, code = set(), [], 0, type((lambda: 0).__code__)
while todo:
    each = todo.pop()
    if id(each) in seen: continue
    seen.add(id(each)); kept.append(each)
    if type(each) in (bytes, bytearray, memoryview): each = bytes(each).decode("latin-1")
    if type(each) is code: todo += [each.co_filename, each.co_consts]
    if type(each) is not str: todo += gc.get_referents(each); continue
    num_texts += 1
    for fact in facts:
        if fact in each[::-1]: print("BREACH", repr(each)[:60])
print("walked", num_texts, "texts")
"""


def _lands_in_stdout(result: ExecResult) -> str:
    expect(b"BREACH" not in result.stdout, shown(result))
    expect(b"!" in result.stdout + result.stderr, "the forged frame is nowhere")
    return "the frames landed in its own output"


async def _memory(target: Target) -> str:
    """Send marks every way there is, then look for them in a fork of the worker."""
    mark = secrets.token_hex(2)
    marks = [mark.encode() * 4 + b"%d" % n for n in range(5)]
    code = b"import sys; x = '%s'; sys.stdin.read(); print('%s' * 999); sys.stderr.write('%s')"
    needle = f"[{mark[0]}]{mark[1:]}" * 4
    async with target.sandbox() as sandbox:
        await sandbox.python(code % tuple(marks[:3]), stdin=marks[3] * 999)
        await sandbox.python("print('x' * 99999)")
        await sandbox.write_file("/tmp/file", marks[4] * 99)
        await sandbox.read_file("/tmp/file")
        await sandbox.exec(["sh", "-c", "cat; echo $0", marks[0].decode()], stdin=marks[1])
        async with await sandbox.session() as session:
            await session.python(b"held = '%s'; held" % marks[2])
        await sandbox.restore(await sandbox.snapshot())
        expect(await sandbox.reset(), "it is not clean after a reset")
        scan, limits = SCAN.format(needle=needle), Limits(wall_s=20.0)
        seen = says("scanned")(await sandbox.python(scan, limits=limits))
        held = f"held = bytes.fromhex({marks[0].hex()!r})\n"
        control = await sandbox.python(held + scan, limits=limits)
        expect(b"BREACH" in control.stdout, "the search is blind: it does not find its own mark")
        return seen


async def _objects(target: Target) -> str:
    """Follow every reference to a text, from the frames, the modules and all that is collected."""
    facts = [secrets.token_hex(16), str(Path(__file__).parents[2])]
    walk = _WALK.format(facts=[fact[::-1] for fact in facts])
    async with target.sandbox() as sandbox:
        await sandbox.python(f"held = {facts[0]!r}", stdin=facts[0].encode())
        await sandbox.exec(["sh", "-c", "cat", facts[0]], env={"MARK": facts[0]})
        limits = Limits(wall_s=20.0, cpu_s=20.0)
        result = await sandbox.python(program(walk), limits=limits)
        plant = f"held = [bytes.fromhex({facts[0].encode().hex()!r}).decode()]"
        control = await sandbox.python(program(f"{plant}{walk}"), limits=limits)
        expect(b"BREACH" in control.stdout, "the walk is blind: it does not find its own mark")
        said = result.stdout.decode("utf-8", "replace").strip()
        expect(said.startswith("walked"), shown(result))
        return said


async def _own_wreck(target: Target) -> str:
    """Break whatever can be reached in one program; the next must not notice."""
    patch = """
import builtins
frame = sys._getframe(1)
while frame:
    for name in list(frame.f_globals):
        if not name.startswith("__"): frame.f_globals[name] = None
    frame = frame.f_back
os._exit = os.write = os.read = os.fork = os.waitpid = print
builtins.len = builtins.compile = builtins.exec = None
for module in list(sys.modules): sys.modules[module] = None
"""
    async with target.sandbox() as sandbox:
        await sandbox.python(program(patch))
        return says("2 7")(await sandbox.python("import math; print(len('ab'), math.gcd(14, 21))"))


ROWS = (
    attack(
        "signal_pid1",
        "the worker ignores every signal, however it is sent",
        """
worker = os.pidfd_open(1)
info = (ctypes.c_int * 32)(0, 0, -1)
for number in range(1, 65):
    for send in (lambda: os.kill(1, number), lambda: signal.pidfd_send_signal(worker, number)):
        try: send()
        except (OSError, ValueError): pass
    syscall("tgkill", 1, 1, number); syscall("tkill", 1, number)
    info[0] = number
    syscall("rt_sigqueueinfo", 1, number, info)
time.sleep(0.1); print("alive" if os.path.exists("/proc/1") else "BREACH")
""",
        says("alive"),
    ),
    attack(
        "sigio_pid1",
        "the worker ignores signals that a descriptor sends in the program's place",
        """
for number in (0, 9, 19, 2, 34):
    a, b = socket.socketpair()
    try:
        fcntl.fcntl(a, 8, 1)
        fcntl.fcntl(a, 10, number)
        fcntl.fcntl(a, 4, os.O_NONBLOCK | 0o20000)
    except OSError: pass
    b.send(b"x"); b.close()
time.sleep(0.1); print("alive" if os.path.exists("/proc/1") else "BREACH")
""",
        says("alive"),
    ),
    attack(
        "terminal_signals_pid1",
        "no terminal of the program sends signals to the worker",
        """
import termios
ignore_all()
master, slave = os.openpty()
try: fcntl.ioctl(slave, termios.TIOCSCTTY, 1)
except OSError: pass
attempt("tcsetpgrp", os.tcsetpgrp, slave, 1)
for number in (9, 19, 2, 20):
    try: fcntl.ioctl(master, 0x40045436, number)
    except OSError: pass
os.write(master, b"\\x03\\x1a\\x1c"); time.sleep(0.1)
""",
    ),
    attack(
        "ptrace_worker",
        "no way into the worker's memory or what /proc tells of it",
        """
attempt("ptrace", lambda: libc.ptrace(16, 1, 0, 0) == -1 and os.open("/nowhere", 0))
for name in ("mem", "maps", "environ", "auxv", "stack", "syscall", "pagemap", "personality"):
    attempt(name, lambda: open("/proc/1/" + name, "rb").read(1) or os.open("/nowhere", 0))
for name in ("fd", "map_files", "fdinfo"): attempt(name, os.listdir, "/proc/1/" + name)
for name in ("ns/pid", "ns/user", "ns/net", "root", "cwd", "exe"):
    attempt(name, os.readlink, "/proc/1/" + name)
for name in ("mem", "oom_score_adj", "comm", "coredump_filter", "clear_refs", "timerslack_ns"):
    attempt("write " + name, lambda: os.write(os.open("/proc/1/" + name, os.O_WRONLY), b"1"))
worker = os.pidfd_open(1)
call("process_vm_readv", 1, 0, 0, 0, 0, 0)
call("process_vm_writev", 1, 0, 0, 0, 0, 0)
call("kcmp", 1, os.getpid(), 0, 0, 0)
call("process_madvise", worker, 0, 0, 4, 0)
call("process_mrelease", worker, 0)
call("get_robust_list", 1, ctypes.byref(ctypes.c_void_p()), ctypes.byref(ctypes.c_size_t()))
call("migrate_pages", 1, 0, 0, 0)
""",
    ),
    attack(
        "pidfd_getfd_worker",
        "no descriptor of the worker can be taken",
        "worker = os.pidfd_open(1)\nfor fd in range(9): call('pidfd_getfd', worker, fd, 0)",
    ),
    attack(
        "forge_reply_proc_fd",
        "the worker's descriptors cannot be opened",
        """
for fd in range(64):
    for how in (os.O_RDONLY, os.O_WRONLY, os.O_RDWR):
        for path in (f"/proc/1/fd/{fd}", f"/proc/1/task/1/fd/{fd}"):
            attempt(path, os.open, path, how)
""",
    ),
    attack(
        "forge_reply_own_fds",
        "forged frames land in the program's own output",
        f"""
frame = {_FRAME}
for fd in range(64):
    try: os.write(fd, frame)
    except OSError: pass
""",
        _lands_in_stdout,
    ),
    attack(
        "three_descriptors",
        "a program has stdin, stdout, stderr and nothing else",
        "fd = os.open('/proc/self/fd', 0); print(sorted(map(int, os.listdir(fd))))",
        says("[0, 1, 2, 3, 4]"),  # the folder, twice
    ),
    attack(
        "prlimit_worker",
        "the worker's limits are not its to set",
        """
import resource
for name in ("CPU", "NOFILE", "AS", "FSIZE"):
    attempt(name, resource.prlimit, 1, getattr(resource, "RLIMIT_" + name), (1, 1))
""",
    ),
    attack(
        "renice_affinity_worker",
        "the worker cannot be slowed",
        """
attempt("nice", os.setpriority, os.PRIO_PROCESS, 1, 19)
attempt("affinity", os.sched_setaffinity, 1, [0])
attempt("scheduler", os.sched_setscheduler, 1, os.SCHED_IDLE, os.sched_param(0))
call("ioprio_set", 1, 1, 3 << 13)
""",
    ),
    Row(
        name="walk_worker_frames",
        must="nothing of the host in its frames and objects",
        run=_objects,
    ),
    Row(
        name="worker_memory",
        must="what others sent through the worker is overwritten",
        run=_memory,
        cost="slow",
    ),
    Row(name="patch_everything", must="the next program does not notice", run=_own_wreck),
    attack(
        "exit_handlers",
        "code that runs while the program ends runs in the program",
        """
import atexit, threading
sys.excepthook = sys.unraisablehook = lambda *_: print("hook")
class Late:
    def __del__(self): time.sleep(60)
late = Late(); atexit.register(time.sleep, 60)
os._exit = print
""",
        ends(Status.TIMEOUT),
        wall_s=0.5,
    ),
    attack(
        "worker_environment",
        "no process shows its environment but the program its own",
        """
import glob
for path in glob.glob("/proc/[0-9]*/environ"):
    if path != f"/proc/{os.getpid()}/environ": attempt(path, lambda: open(path, "rb").read())
""",
    ),
)
