"""Programs that look for what is not theirs: files, secrets, other sandboxes."""

import asyncio
import contextlib
import os
import secrets
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from agentgym.check.report import NotChecked
from agentgym.check.sandbox.judges import expect, refused, says, shown
from agentgym.check.sandbox.program import SCAN, program
from agentgym.check.sandbox.row import Row, attack
from agentgym.check.sandbox.target import Target
from agentgym.sandbox import Limits
from agentgym.sandboxes.machine import ENVIRONMENT

_ROOT = Path(__file__).resolve().parents[3]
_WALK_S = 60.0
_SEARCH = """
import re
wanted = re.compile({needle!r}.encode())
count = 0
def holds(path):
    found = os.lstat(path)
    is_new = found.st_mtime >= {began} or path.startswith("/proc/")
    if found.st_mode >> 12 != 8 or not is_new: return False
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try: return wanted.search(os.read(fd, 1 << 16))
    finally: os.close(fd)
for top, folders, names in os.walk("/"):
    if top == "/sys": folders.clear()
    count += len(names)
    for name in names:
        path = os.path.join(top, name)
        try:
            if "agentgym" in name or holds(path): print("BREACH", path)
        except OSError: pass
print("searched", count)
"""
_PLANT = """
secret = bytes.fromhex({secret!r})
with open("/tmp/mine", "wb") as file: file.write(secret)
if os.fork() == 0: os.execv("/bin/sh", ["sh", "-c", "sleep 60; :", secret])
"""


@contextlib.contextmanager
def _secret_file() -> Iterator[tuple[str, str]]:
    """A file of the host that anybody may read, and what stands in it."""
    secret = secrets.token_hex(16)
    with tempfile.TemporaryDirectory(prefix="agentgym-secret-") as folder:
        os.chmod(folder, 0o755)
        path = Path(folder, "secret")
        path.write_text(secret)
        yield str(path), secret


async def _host_files(target: Target) -> str:
    with _secret_file() as (path, secret):
        paths = [path, str(_ROOT / "pyproject.toml"), str(Path.home() / ".bashrc"), "/root/.ssh"]
        paths += ["/var/run/docker.sock", "/run/docker.sock", "/run/containerd", "/var/lib/docker"]
        paths += ["/dev/mem", "/dev/kmsg", "/dev/vda", "/dev/sda", "/dev/kvm", "/dev/fuse"]
        paths += ["/sys/kernel/debug", "/sys/kernel/tracing", "/sys/fs/cgroup/agentgym"]
        code = f"""
def open_it(path): return os.listdir(path) or os.open("/nowhere", 0) if os.path.isdir(path) else os.open(path, 0)
for path in {paths!r}: attempt(path, open_it, path)
for way in ("/proc/1/root", "/proc/self/root/../..", "/proc/self/cwd/../..", "/oldroot", "/.old",
            "/newroot", "/mnt", "/host", "/proc/self/task/../../1/root", "/proc/1/cwd/.."):
    attempt(way, os.open, way + {path!r}, 0)
attempt("shadow", lambda: open("/etc/shadow").read())
"""
        async with target.sandbox() as sandbox:
            result = await sandbox.python(program(code))
            expect(secret.encode() not in result.stdout, "it read a file of the host")
            return refused(result)


async def _host_environment(target: Target) -> str:
    name, value = "AGENTGYM_CHECK_SECRET", secrets.token_hex(16)
    os.environ[name] = value
    try:
        code = """
import glob
found = [open(p, "rb").read() for p in glob.glob("/proc/[0-9]*/environ") if os.access(p, 4)]
print(repr(found), sorted(os.environ))
"""
        async with target.another(spares=0) as sandboxes, sandboxes.lease() as sandbox:
            result = await sandbox.python(program(code))
    finally:
        del os.environ[name]
    expect(value.encode() not in result.stdout, "it read a variable of the host")
    names = sorted({"PWD", *ENVIRONMENT})
    known = (repr(names), repr(sorted(ENVIRONMENT)), repr(sorted({"HOSTNAME", *ENVIRONMENT})))
    listed = result.stdout.decode("utf-8", "replace").strip()
    expect(listed.endswith(known), f"its variables are {listed[-300:]}")
    return f"{len(ENVIRONMENT)} variables, all ours"


async def _hidden_tests(target: Target) -> str:
    """Search files as new as one of the host, /proc and all memory for what stands in that one."""
    began = time.time() - 60
    with _secret_file() as (_, secret):
        needle = secret[:1] + "[" + secret[1] + "]" + secret[2:]
        search = program(_SEARCH.format(needle=needle, began=began)) + SCAN.format(needle=needle)
        plant = _PLANT.format(secret=secret.encode().hex())
        limits = Limits(wall_s=_WALK_S, cpu_s=_WALK_S)
        async with target.sandbox() as sandbox:
            result = await sandbox.python(search, limits=limits)
            control = await sandbox.python(program(plant) + search, limits=limits)
    found = control.stdout.decode("utf-8", "replace")
    for place in ("BREACH /tmp/mine", "/cmdline", "BREACH memory"):
        expect(place in found, f"the search is blind: no {place} in {found[:300]!r}")
    lines = result.stdout.decode("utf-8", "replace").splitlines()
    expect(lines[1:] == ["scanned"] and lines[0].startswith("searched"), shown(result))
    return f"{lines[0]} files, and all memory"


async def _other_sandboxes(target: Target) -> str:
    mark = secrets.token_hex(16)
    look = f"""
import glob
for path in glob.glob("/proc/[0-9]*/cmdline") + glob.glob("/proc/[0-9]*/environ"):
    try: held = open(path, "rb").read()
    except OSError: continue
    if {mark[:16]!r}.encode() + {mark[16:]!r}.encode() in held: print("BREACH", path)
for top in ("/box", "/tmp", "/dev/shm"): print("BREACH" if os.listdir(top) else "refused", top)
"""
    show = ["sh", "-c", "echo $MARK; sleep 1; :", mark]
    async with target.sandbox() as one, target.sandbox() as other:
        for top in ("/box", "/tmp"):
            await one.write_file(f"{top}/mark", mark.encode())
        running = asyncio.ensure_future(one.exec(show, env={"MARK": mark}))
        await asyncio.sleep(0.3)
        looked = time.monotonic()
        seen = refused(await other.python(program(look)))
        expect(not running.done(), "the other program had ended before it was looked for")
        result = await running
        expect(result.stdout.decode().strip() == mark, shown(result))
        began = time.monotonic() - result.wall_s
        expect(began < looked, "the other program had not begun when it was looked for")
        return seen


async def _pipes(target: Target) -> str:
    """Take all large pipes that a user may have; another sandbox must have as many."""
    take = """
taken, held = 0, []
try:
    while taken < 500:
        held += os.pipe(); fcntl.fcntl(held[-1], 1031, 1 << 20); taken += 1
except OSError: pass
print(taken, flush=True); time.sleep({seconds})
"""
    limits = Limits(open_files=4096)
    async with target.sandbox() as one, target.sandbox() as other:
        if one.info.enforced["uid"] == other.info.enforced["uid"]:
            raise NotChecked("all sandboxes of an ordinary user run as that user")
        running = asyncio.ensure_future(one.python(program(take.format(seconds=1)), limits=limits))
        await asyncio.sleep(0.4)
        other_has = int((await other.python(program(take.format(seconds=0)), limits=limits)).stdout)
        expect(not running.done(), "the one had ended before the other began")
        one_has = int((await running).stdout)
        if not 0 < one_has < 500:
            raise NotChecked(f"large pipes are not counted by user here: one took {one_has}")
        expect(other_has >= one_has, f"one took {one_has}, the other {other_has}")
        return f"one took {one_has}, the other {other_has}"


async def _watch_shared(target: Target) -> str:
    """Watch files of /usr while another sandbox uses them."""
    watch = """
seen = []
signal.signal(signal.SIGIO, lambda *_: seen.append("by dnotify"))
fd = libc.inotify_init1(0o4000)
libc.inotify_add_watch(fd, b"/usr/bin", 0xfff)
try: fcntl.fcntl(os.open("/usr/bin", 0), 1026, 0x8000003f)
except OSError: pass
print("watching", flush=True)
began = time.monotonic()
while time.monotonic() - began < 1: time.sleep(0.1)
try: seen += [os.read(fd, 4096)] if fd >= 0 else []
except OSError: pass
print(f"BREACH {seen}" if seen else "nothing seen")
"""
    async with target.sandbox() as one, target.sandbox() as other:
        running = asyncio.ensure_future(one.python(program(watch)))
        await asyncio.sleep(0.3)
        used = await other.exec(["/usr/bin/env"])
        expect(used.exit_code == 0, shown(used))
        expect(not running.done(), "it had ended before there was anything to see")
        return says("watching\nnothing seen")(await running).splitlines()[-1]


ROWS = (
    Row(name="host_files", must="no file of the host is there", run=_host_files),
    Row(name="host_environment", must="only our few variables", run=_host_environment),
    Row(
        name="hidden_tests_reach",
        must="a search of all files finds nothing of ours",
        run=_hidden_tests,
        cost="slow",
    ),
    Row(name="other_sandboxes", must="no file and no process of others", run=_other_sandboxes),
    attack(
        "inotify_cross_sandbox",
        "refused: no watch is there to be taken from others",
        "call('inotify_init1', 0); call('inotify_add_watch', 0, b'/box', 1)",
    ),
    Row(name="pipes_cross_sandbox", must="what one takes the other has", run=_pipes),
    Row(name="watch_shared_files", must="nobody sees what others read", run=_watch_shared),
    attack(
        "machine_name",
        "the host's name and processes are not told",
        f"""
print("BREACH" if os.uname().nodename == {os.uname().nodename!r} else "refused", os.uname().nodename)
pids = [int(name) for name in os.listdir("/proc") if name.isdigit()]
print("BREACH" if len(pids) > 3 else "refused", pids)
cgroup = open("/proc/self/cgroup").read()
print("BREACH" if "agentgym" in cgroup or "docker" in cgroup else "refused", "cgroup")
""",
    ),
    attack(
        "core_pattern_pipe",
        "a crash starts nothing, whatever the host does with cores",
        """
import resource
pid = os.fork()
if pid == 0: os.chdir("/tmp"); os.abort()
print("no core" if not os.WCOREDUMP(os.waitpid(pid, 0)[1]) else "BREACH")
""",
        says("no core"),
    ),
)
