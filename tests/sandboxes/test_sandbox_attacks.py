"""Hostile programs. Each runs inside a sandbox only; afterwards the sandbox answers as before."""

import asyncio
import os
import socket
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agentgym.sandbox import ExecResult, Limits, Sandbox, Status
from agentgym.sandboxes.box import ENVIRONMENT

pytestmark = pytest.mark.sandbox

# A program reports what it achieved by printing BREACH; `refused` prints what stopped it.
PRELUDE = """
import os, sys, socket, signal, time, ctypes, errno
libc = ctypes.CDLL(None, use_errno=True)
def attempt(what, f, *a):
    try: got = f(*a)
    except (OSError, ValueError) as e: print("refused", what, type(e).__name__, e.args[:1])
    else: print("BREACH", what, got)
def call(what, *a):
    ctypes.set_errno(0)
    got = libc.syscall(*a)
    print("BREACH" if got != -1 else "refused", what, got, errno.errorcode.get(ctypes.get_errno()))
"""


@pytest.fixture
async def victim(sandbox: Sandbox) -> AsyncIterator[Sandbox]:
    """A sandbox that must still work when the attack is over."""
    yield sandbox
    result = await sandbox.python("print('still here')")
    assert result.stdout == b"still here\n"
    assert await sandbox.reset()


async def attack(sandbox: Sandbox, code: str, **limits: float) -> ExecResult:
    quick = Limits.model_validate({"wall_s": 5.0} | limits)
    return await sandbox.python(PRELUDE + code, limits=quick)


async def assert_refused(sandbox: Sandbox, code: str) -> None:
    result = await attack(sandbox, code)
    assert result.exit_code == 0, result  # it got to its end
    assert b"refused" in result.stdout
    assert b"BREACH" not in result.stdout, result.stdout.decode()


# --- exhausting the machine ---------------------------------------------------------------------


IGNORE = """
for s in range(1, 65):
    try: signal.signal(s, 1)
    except (OSError, ValueError): pass
"""


@pytest.mark.parametrize("ignore", ["", IGNORE], ids=["plain", "ignores signals"])
async def test_a_fork_bomb_hits_its_limit(victim: Sandbox, ignore: str) -> None:
    code = f"""
{ignore}
while True:
    try: os.fork()
    except OSError: pass
"""
    began = time.monotonic()
    result = await attack(victim, code, wall_s=0.5, cpu_s=60, pids=32)
    assert result.status is Status.TIMEOUT
    assert not result.sandbox_lost
    assert time.monotonic() - began < 10


async def test_the_number_of_processes_is_limited(victim: Sandbox) -> None:
    code = """
made = 0
try:
    while made < 500:
        if os.fork() == 0: time.sleep(60)
        made += 1
except OSError as error: print(made, errno.errorcode[error.errno])
"""
    result = await attack(victim, code, pids=20)
    assert result.stdout == b"19 EAGAIN\n"


async def test_threads_count_as_processes(victim: Sandbox) -> None:
    code = """
import threading
try:
    for n in range(500): threading.Thread(target=time.sleep, args=(9,), daemon=True).start()
except RuntimeError: print(n)
"""
    assert (await attack(victim, code, pids=20)).stdout == b"19\n"


async def test_a_memory_bomb_is_killed(victim: Sandbox) -> None:
    result = await attack(victim, "x = []\nwhile True: x.append(bytes(1 << 24))", cpu_s=60)
    assert result.status is Status.OOM or b"MemoryError" in result.stderr


async def test_children_share_the_memory_limit(victim: Sandbox) -> None:
    if victim.info.enforced["memory"] == "rlimit":
        pytest.skip("rlimits hold per process")
    code = """
for _ in range(12):
    if os.fork() == 0:
        x = b"x" * (60 << 20)
        time.sleep(60)
time.sleep(1)
"""
    result = await attack(victim, code, memory_bytes=256 << 20)
    assert (result.status, result.oom_kills > 4) == (Status.OOM, True)


async def test_places_to_write_are_small(victim: Sandbox) -> None:
    code = """
for path in ("/tmp/a", "/box/a", "/dev/shm/a"):
    try:
        with open(path, "wb", 0) as file:
            while file.write(bytes(1 << 20)): pass
    except OSError as e: print(errno.errorcode[e.errno], os.path.getsize(path) >> 20)
"""
    result = await attack(victim, code, file_bytes=1 << 30)
    assert result.stdout == b"ENOSPC 64\nENOSPC 64\nENOSPC 16\n"


async def test_a_file_has_a_largest_size(victim: Sandbox) -> None:
    code = "attempt('write', lambda: [open('f', 'ab').write(bytes(1 << 20)) for _ in range(9)])"
    result = await attack(victim, code, file_bytes=4 << 20)
    assert b"refused write OSError (27,)" in result.stdout


async def test_many_files_are_wiped_or_the_sandbox_goes(sandbox: Sandbox) -> None:
    await attack(sandbox, "for n in range(30000): open(f'/tmp/{n}', 'w').close()")
    clean = await sandbox.reset()
    assert clean or sandbox.lost  # type: ignore[attr-defined]


async def test_open_files_are_limited(victim: Sandbox) -> None:
    code = "attempt('open', lambda: [os.dup(1) for _ in range(1000)])"
    result = await attack(victim, code, open_files=64)
    assert b"refused open OSError (24,)" in result.stdout


async def test_limits_cannot_be_raised(victim: Sandbox) -> None:
    code = """
import resource
for name in ("NPROC", "NOFILE", "FSIZE", "CORE", "CPU", "MSGQUEUE"):
    attempt(name, resource.setrlimit, getattr(resource, "RLIMIT_" + name), (1 << 40, 1 << 40))
"""
    await assert_refused(victim, code)


async def test_zombies_and_orphans_are_buried(victim: Sandbox) -> None:
    code = """
for _ in range(40):
    if os.fork() == 0:
        if os.fork() == 0: time.sleep(60)
        os._exit(0)
"""
    assert (await attack(victim, code, pids=100)).exit_code == 0


# --- the worker ---------------------------------------------------------------------------------


async def test_kill_reaches_no_one_else(victim: Sandbox) -> None:
    result = await attack(victim, "os.kill(-1, 9); print('alone')")
    assert result.status in (Status.EXITED, Status.SIGNALED)


async def test_the_worker_ignores_signals(victim: Sandbox) -> None:
    code = """
for number in range(1, 65):
    try: os.kill(1, number)
    except (OSError, ValueError): pass
time.sleep(0.1); print(sorted(n for n in os.listdir("/proc") if n.isdigit())[0])
"""
    assert (await attack(victim, code)).stdout == b"1\n"


async def test_the_worker_cannot_be_debugged(victim: Sandbox) -> None:
    code = """
attempt("ptrace", lambda: libc.ptrace(16, 1, 0, 0) == -1 and os.open("/nowhere", 0))
for name in ("mem", "maps", "environ", "auxv", "stack", "syscall", "fd", "ns/pid", "root", "cwd"):
    path = "/proc/1/" + name
    attempt(name, os.listdir if name == "fd" else os.readlink if "/" in name else os.open,
            *([path] if name == "fd" or "/" in name else [path, os.O_RDONLY]))
for name in ("mem", "oom_score_adj", "comm", "coredump_filter", "clear_refs"):
    attempt("write " + name, os.open, "/proc/1/" + name, os.O_WRONLY)
call("process_vm_readv", 310, 1, 0, 0, 0, 0, 0)
call("pidfd_getfd", 438, os.pidfd_open(1), 3, 0)
call("kcmp", 312, 1, os.getpid(), 0, 0, 0)
call("process_madvise", 440, os.pidfd_open(1), 0, 0, 4, 0)
"""
    await assert_refused(victim, code)


async def test_a_reply_cannot_be_forged(victim: Sandbox) -> None:
    code = """
import struct
frame = struct.pack(">IBiQQddII", 1, 0, 0, 1, 0, 0.0, 0.0, 1, 0) + b"!"
for fd in range(64):
    attempt("/proc/1/fd", os.open, f"/proc/1/fd/{fd}", os.O_WRONLY)
    try: os.write(fd, frame)
    except OSError: pass
"""
    result = await attack(victim, code)
    assert b"BREACH" not in result.stdout
    assert result.stdout_total > 1000
    assert b"!" in result.stdout + result.stderr


async def test_a_program_has_three_descriptors(victim: Sandbox) -> None:
    code = "fd = os.open('/proc/self/fd', 0); print(sorted(map(int, os.listdir(fd))))"
    assert (await attack(victim, code)).stdout == b"[0, 1, 2, 3, 4]\n"  # the folder, twice


async def test_the_worker_cannot_be_slowed_or_limited(victim: Sandbox) -> None:
    code = """
attempt("nice", os.setpriority, os.PRIO_PROCESS, 1, 19)
attempt("affinity", os.sched_setaffinity, 1, [0])
attempt("scheduler", os.sched_setscheduler, 1, os.SCHED_IDLE, os.sched_param(0))
import resource
attempt("prlimit", resource.prlimit, 1, resource.RLIMIT_CPU, (1, 1))
call("ioprio_set", 251, 1, 1, 3 << 13)
"""
    await assert_refused(victim, code)


async def test_walking_the_frames_finds_nothing_of_the_host(victim: Sandbox) -> None:
    await victim.python("pass", stdin=b"an earlier secret")
    code = """
import gc
frame = sys._getframe(); seen = []
while frame: seen += [repr(dict(frame.f_locals)), repr(list(frame.f_globals))]; frame = frame.f_back
text = repr(seen) + repr([o for o in gc.get_objects() if isinstance(o, (bytes, str))])
print("earlier " + "secret" in text)
sys._getframe(1).f_globals["_send"] = sys._getframe(1).f_globals["_kill_all"] = None
os._exit = lambda code: None
"""
    result = await attack(victim, code)
    assert result.stdout == b"False\n"


async def test_memory_of_the_worker_holds_nothing_of_earlier_programs(sandbox: Sandbox) -> None:
    """A program is a fork of the worker: what others sent through it must be overwritten."""
    marks = [b"7f3a" * 4 + b"%d" % n for n in range(5)]
    code = b"import sys; x = '%s'; sys.stdin.read(); print('%s' * 999); sys.stderr.write('%s')"
    await sandbox.python(code % tuple(marks[:3]), stdin=marks[3] * 999)
    await sandbox.python("print('x' * 99999)")
    await sandbox.write_file("/tmp/file", marks[4] * 99)
    assert await sandbox.read_file("/tmp/file") == marks[4] * 99
    await sandbox.exec(["sh", "-c", "cat; echo $0", marks[0].decode()], stdin=marks[1])
    assert await sandbox.reset()
    scan = """
import re
wanted = re.compile(b"[7]f3a[7]f3a[7]f3a[7]f3a")
with open("/proc/self/maps") as maps, open("/proc/self/mem", "rb", 0) as memory:
    for line in maps.read().splitlines():
        start, end = (int(x, 16) for x in line.split()[0].split("-"))
        if line.split()[1][0] == "r" and "[v" not in line:
            memory.seek(start)
            found = wanted.findall(memory.read(end - start))
            if found: print(line, len(found))
print("scanned")
"""
    result = await sandbox.python(scan)
    assert result.stdout == b"scanned\n", result


# --- the host -----------------------------------------------------------------------------------


async def test_files_of_the_host_are_not_there(victim: Sandbox) -> None:
    paths = ["/etc/shadow", "/etc/passwd", "/root", "/home", "/sys", "/run", "/var", "/boot"]
    paths += ["/var/run/docker.sock", "/dev/mem", "/dev/kmsg", "/dev/vda", "/dev/kvm", "/dev/fuse"]
    paths += ["/opt", "/mnt", "/srv", sys.prefix, str(Path(__file__).parents[2]), str(Path.home())]
    await assert_refused(victim, f"for path in {paths!r}: attempt(path, os.stat, path)")
    code = """
for top in ("/usr/local", "/usr/src", "/usr/lib/python3/dist-packages"):
    if os.path.isdir(top): print(os.listdir(top))
attempt("kcore", lambda: open("/proc/kcore", "rb").read(1))
attempt("kmsg", lambda: open("/proc/kmsg", "rb").read(1))
"""
    assert set((await attack(victim, code)).stdout.decode().splitlines()) <= {
        "[]",
        "refused kcore PermissionError (13,)",
        "refused kmsg PermissionError (13,)",
        "refused kcore FileNotFoundError (2,)",
    }


async def test_the_kernel_cannot_be_configured(victim: Sandbox) -> None:
    paths = ["/proc/sys/kernel/core_pattern", "/proc/sysrq-trigger", "/proc/self/uid_map"]
    paths += ["/proc/sys/vm/overcommit_memory", "/proc/self/oom_score_adj", "/proc/self/setgroups"]
    paths += ["/proc/sys/kernel/hostname", "/proc/sys/user/max_user_namespaces", "/proc/irq"]
    await assert_refused(
        victim, f"for path in {paths!r}: attempt(path, os.open, path, os.O_WRONLY)"
    )


async def test_nothing_but_three_places_is_writable(victim: Sandbox) -> None:
    code = """
for top in ("/", "/usr", "/usr/bin", "/usr/local", "/dev", "/proc", "/bin", "/lib", "/dev/pts"):
    attempt(top, os.open, top + "/x", os.O_WRONLY | os.O_CREAT)
attempt("mknod", os.mknod, "/box/sda", 0o60600, os.makedev(8, 0))
"""
    await assert_refused(victim, code)


async def test_the_environment_of_the_host_is_not_there(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AGENTGYM_TEST_SECRET", "hunter2")
    code = """
import glob
found = [open(p, "rb").read() for p in glob.glob("/proc/[0-9]*/environ") if os.access(p, os.R_OK)]
print(repr(found), sorted(os.environ))
"""
    result = await attack(sandbox, code)
    assert b"hunter2" not in result.stdout
    names = sorted({"PWD", *ENVIRONMENT})
    assert repr(names).encode() in result.stdout


async def test_there_is_no_network(victim: Sandbox) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0)
        port = listener.getsockname()[1]
        code = f"""
def connect(host, port):
    with socket.socket() as s: s.settimeout(1); s.connect((host, port))
attempt("host loopback", connect, "127.0.0.1", {port})
attempt("test net", connect, "192.0.2.1", 80)
attempt("udp", lambda: socket.socket(2, 2).sendto(b"x", ("192.0.2.1", 53)))
attempt("name", socket.gethostbyname, "example.com")
attempt("raw", socket.socket, 2, 3, 1)
for family in (17, 31, 38, 40): attempt(family, socket.socket, family, 3 if family == 17 else 1)
"""
        await assert_refused(victim, code)
        with pytest.raises(BlockingIOError):
            listener.accept()


async def test_sockets_of_the_host_have_no_name_inside(victim: Sandbox) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("\0agentgym-test-listener")
        listener.listen()
        code = "attempt('abstract', socket.socket(1).connect, '\\0agentgym-test-listener')"
        await assert_refused(victim, code)


async def test_its_own_loopback_works(victim: Sandbox) -> None:
    code = """
server = socket.create_server(("127.0.0.1", 0))
socket.create_connection(server.getsockname()).sendall(b"hello")
print(server.accept()[0].recv(9))
"""
    assert (await attack(victim, code)).stdout == b"b'hello'\n"


async def test_system_calls_for_more_power_are_refused(victim: Sandbox) -> None:
    code = """
CLONE_NEWUSER = 0x10000000
attempt("setuid", os.setuid, 0)
attempt("chroot", os.chroot, "/")
for what, *a in [("mount", 165, b"none", b"/tmp", b"tmpfs", 0, 0), ("umount", 166, b"/proc", 2),
    ("unshare", 272, CLONE_NEWUSER), ("setns", 308, 0, 0), ("clone", 56, CLONE_NEWUSER | 17, 0),
    ("clone3", 435, 0, 0), ("keyctl", 250, 0, -3, 0), ("add_key", 248, b"user", b"a", b"b", 1, -3),
    ("io_uring", 425, 1, 0), ("bpf", 321, 0, 0, 0), ("perf", 298, 0, 0, -1, -1, 0),
    ("userfaultfd", 323, 0), ("fanotify", 300, 0, 0), ("handle", 303, -100, b"/", 0, 0, 0),
    ("syslog", 103, 3, 0, 0), ("shmget", 29, 0, 4096, 0o1600), ("mq_open", 240, b"q", 0o102, 0, 0),
    ("settime", 227, 0, 0), ("reboot", 169, 0, 0, 0, 0), ("module", 313, 0, b"", 0),
    ("personality x32", 0x40000000 + 39)]: call(what, *a)
import fcntl
attempt("TIOCSTI", fcntl.ioctl, os.openpty()[0], 0x5412, b"x")
status = open("/proc/self/status").read()
print("refused" if "CapBnd:\\t0000000000000000" in status else "BREACH", "capabilities")
print("refused" if "NoNewPrivs:\\t1" in status and "Seccomp:\\t2" in status else "BREACH", "gains")
"""
    if os.uname().machine != "x86_64":
        pytest.skip("numbers of x86_64")
    await assert_refused(victim, code)


async def test_setuid_programs_give_nothing(victim: Sandbox) -> None:
    result = await victim.exec(["sh", "-c", "su -c id; mount -t tmpfs x /tmp; id -u"])
    assert result.stdout == b"65534\n"


async def test_no_core_file_is_written(victim: Sandbox) -> None:
    assert (await attack(victim, "os.abort()")).status is Status.SIGNALED
    assert (await victim.exec(["ls", "-A", "/box"])).stdout == b""


# --- the descriptors of the host ----------------------------------------------------------------


async def test_hundreds_of_calls_leak_no_descriptor(sandbox: Sandbox) -> None:
    await sandbox.python("pass")
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(50):
        await sandbox.python("print(1)")
        await sandbox.write_file("x", b"x")
    assert len(os.listdir("/proc/self/fd")) == before


async def test_bystanders_are_unharmed(victim: Sandbox) -> None:
    """A process of the host, even of root's, outlives every kill."""
    bystander = await asyncio.create_subprocess_exec("sleep", "60")
    await attack(victim, f"for pid in (-1, {bystander.pid}): attempt(pid, os.kill, pid, 9)")
    await asyncio.sleep(0.05)
    assert bystander.returncode is None
    bystander.kill()
    await bystander.wait()
