"""Programs that want more processes, more time or other processes."""

import asyncio

from agentgym.check.sandbox import host
from agentgym.check.sandbox.judges import ends, expect, says, shown, soon
from agentgym.check.sandbox.program import program
from agentgym.check.sandbox.row import Row, attack
from agentgym.check.sandbox.target import Target, namespace_of
from agentgym.sandbox import Limits, Status

_BOMB = """
while True:
    try: os.fork()
    except OSError: pass
"""
_COUNT = """
made = 0
try:
    while made < 500:
        %s
        made += 1
except (OSError, RuntimeError): pass
print("few" if 0 < made < 20 else f"BREACH {made}", flush=True)
os._exit(0)
"""
_DAEMON = """
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.closerange(0, 100)
        while True:
            with open("/tmp/heartbeat", "a") as file: file.write(".")
            time.sleep(0.01)
    os._exit(0)
while not os.path.exists("/tmp/heartbeat"): time.sleep(0.01)
"""


async def _kernel_user(target: Target) -> str:
    async with target.sandbox() as sandbox, namespace_of(sandbox) as namespace:
        running = asyncio.ensure_future(sandbox.exec(["sleep", "0.5"]))
        await asyncio.sleep(0.2)
        users = [host.users_of(pid) for pid in host.processes_in(namespace)]
        await running
        expect(len(users) > 1, f"{len(users)} of its processes are seen, not worker and program")
        uids = set().union(*users)
        expect("0" not in uids, "one of its processes is root to the kernel")
        return f"{len(users)} processes run as user {', '.join(sorted(uids))}"


async def _daemon(target: Target) -> str:
    async with target.sandbox() as sandbox:
        result = await sandbox.python(program(_DAEMON))
        expect(result.exit_code == 0, shown(result))
        beats = await sandbox.read_file("/tmp/heartbeat")
        await asyncio.sleep(0.1)
        more = len(await sandbox.read_file("/tmp/heartbeat")) - len(beats)
        expect(more == 0, "the daemon goes on when its program has ended")
        return "the daemon ended with its program"


async def _bystander(target: Target) -> str:
    pid = target.bystander
    code = f"for pid in ({pid}, -{pid}, -1): attempt(pid, os.kill, pid, 9)"
    async with target.sandbox() as sandbox:
        result = await sandbox.python(program(code))
        expect(host.lives(pid), "a process of the host died")
        return f"nobody else died; {result.status}"


async def _cpu_of_threads(target: Target) -> str:
    code = """
import threading
def burn():
    while True: pass
for _ in range(40): threading.Thread(target=burn, daemon=True).start()
time.sleep(60)
"""
    async with target.sandbox() as sandbox:
        limits = Limits(cpu_s=1.0, wall_s=10.0)
        result = await sandbox.python(program(code), limits=limits)
        expect(result.status is Status.CPU_LIMIT, shown(result))
        expect(result.cpu_s < 3.5, f"it had {result.cpu_s:.1f} s of 1 s")
        return f"ended after {result.cpu_s:.1f} s of processor time"


ROWS = (
    attack(
        "fork_bomb",
        "EAGAIN at the limit, and TIMEOUT",
        _BOMB,
        ends(Status.TIMEOUT),
        wall_s=0.5,
        cpu_s=60,
        pids=32,
    ),
    attack(
        "fork_bomb_sigign",
        "the same where it ignores every signal",
        f"ignore_all()\n{_BOMB}",
        ends(Status.TIMEOUT),
        wall_s=0.5,
        cpu_s=60,
        pids=32,
    ),
    Row(name="fork_bomb_as_root", must="no program is root to the kernel", run=_kernel_user),
    attack(
        "process_count",
        "no more processes than the limit",
        _COUNT % "os.fork() or time.sleep(60)",
        says("few"),
        pids=20,
    ),
    attack(
        "thread_bomb",
        "threads count as processes",
        "import threading\n"
        + _COUNT % "threading.Thread(target=time.sleep, args=(9,), daemon=True).start()",
        says("few"),
        pids=20,
    ),
    attack(
        "loop_ignore_sigterm",
        "TIMEOUT by SIGKILL",
        "ignore_all()\nwhile True: time.sleep(1)",
        ends(Status.TIMEOUT),
        wall_s=0.3,
    ),
    attack(
        "catch_everything_sleep",
        "TIMEOUT, whatever it catches",
        "while True:\n  try: time.sleep(60)\n  except BaseException: pass",
        ends(Status.TIMEOUT),
        wall_s=0.3,
    ),
    attack(
        "sigstop_self",
        "TIMEOUT, and killed though it is stopped",
        "os.kill(os.getpid(), signal.SIGSTOP)",
        ends(Status.TIMEOUT),
        wall_s=0.3,
    ),
    attack(
        "stop_and_continue_games",
        "TIMEOUT while its processes stop and continue each other",
        """
ignore_all()
if os.fork() == 0:
    os.setsid()
    while True:
        for number in (signal.SIGSTOP, signal.SIGCONT):
            try: os.kill(-1, number)
            except OSError: pass
while True: os.kill(os.getppid(), 0) or os.fork() or os._exit(0)
""",
        ends(Status.TIMEOUT, Status.EXITED, Status.SIGNALED),
        wall_s=0.5,
        pids=32,
    ),
    attack(
        "vfork_hang",
        "a parent that waits for its vfork ends like any other",
        """
import subprocess
for _ in range(4):
    if os.fork() == 0: subprocess.run(["sh", "-c", "kill -STOP $$"], close_fds=False)
if os.fork() == 0: libc.vfork() or libc.pause()
time.sleep(60)
""",
        ends(Status.TIMEOUT, Status.SIGNALED),
        wall_s=0.5,
    ),
    Row(name="double_fork_daemon", must="a daemon is dead before the reply", run=_daemon),
    attack(
        "daemon_holds_stdout",
        "the reply does not wait for who holds stdout",
        "if os.fork() == 0: time.sleep(60)\nprint('done')",
        soon(says("done")),
    ),
    attack(
        "orphan_storm",
        "orphans are killed and buried",
        """
for _ in range(500):
    try:
        if os.fork() == 0:
            if os.fork() == 0: time.sleep(60)
            os._exit(0)
    except OSError: os._exit(0)
""",
        ends(Status.EXITED),
        pids=100,
    ),
    attack(
        "zombie_storm",
        "the dead count as processes and are buried",
        """
try:
    while os.fork(): pass
except OSError: os._exit(0)
os._exit(0)
""",
        ends(Status.EXITED),
        pids=100,
    ),
    attack(
        "subreaper_keeps_orphans",
        "orphans die although a process of the program adopts them",
        """
libc.prctl(36, 1, 0, 0, 0)
for _ in range(9):
    if os.fork() == 0:
        os.fork() or time.sleep(60)
        os._exit(0)
if os.fork() == 0:
    libc.prctl(36, 1, 0, 0, 0)
    if os.fork() == 0: time.sleep(60)
    time.sleep(60)
""",
        ends(Status.EXITED),
    ),
    attack(
        "fork_when_parent_dies",
        "who forks whenever another dies is killed all the same",
        """
def again(*_):
    if os.fork() == 0: hang()
def hang():
    os.setsid(); libc.prctl(1, signal.SIGUSR1, 0, 0, 0)
    signal.signal(signal.SIGUSR1, again); signal.signal(signal.SIGCHLD, again)
    while True: time.sleep(60)
for _ in range(9):
    if os.fork() == 0: hang()
time.sleep(0.2)
""",
        ends(Status.EXITED, Status.SIGNALED),
    ),
    attack(
        "kill_minus1",
        "reaches its own processes only",
        "try: os.kill(-1, 9)\nexcept ProcessLookupError: pass\n"
        "print('alone' if alone() else 'BREACH')",
        says("alone"),
    ),
    Row(name="kill_bystanders", must="no process of the host dies", run=_bystander),
    Row(name="cpu_burn_threads", must="CPU_LIMIT for all threads together", run=_cpu_of_threads),
    attack(
        "zombie_leader",
        "threads that outlive the first one end with the program",
        """
import threading
threading.Thread(target=lambda: [time.sleep(1) for _ in range(60)]).start()
libc.pthread_exit(None)
""",
        ends(Status.TIMEOUT),
        wall_s=0.5,
    ),
    attack(
        "limits_cannot_be_raised",
        "every rlimit is refused above its value",
        """
import resource
for name in ("NPROC", "NOFILE", "FSIZE", "CORE", "CPU", "MSGQUEUE", "MEMLOCK"):
    attempt(name, resource.setrlimit, getattr(resource, "RLIMIT_" + name), (1 << 40, 1 << 40))
""",
    ),
)
