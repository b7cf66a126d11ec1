"""Programs that lay traps in the file system, and names that lead out of it."""

import asyncio

from agentgym.check.report import Failed
from agentgym.check.sandbox.judges import expect, expect_refused, says, shown
from agentgym.check.sandbox.program import program
from agentgym.check.sandbox.row import Row, attack
from agentgym.check.sandbox.target import Target
from agentgym.sandbox import Sandbox

_FETCH_S = 10.0
_LEFT = f"[('{'d' * 60}', 0), ('x', 0), ('y', 0)]\n".encode()


async def _expect_unreadable(sandbox: Sandbox, path: str) -> None:
    try:
        async with asyncio.timeout(_FETCH_S):
            got = await sandbox.read_file(path)
    except (ValueError, FileNotFoundError):
        return
    except TimeoutError as error:
        raise Failed(f"reading {path!r} hung") from error
    raise Failed(f"reading {path!r} gave {got[:60]!r}")


async def _traps(target: Target) -> str:
    lay = """
os.symlink("/etc/shadow", "result.txt"); os.symlink("/", "up"); os.mkfifo("pipe"); os.mkdir("dir")
os.symlink("/proc/self/environ", "environment"); os.symlink("loop", "loop")
os.symlink("/proc/1/root/etc/passwd", "worker"); socket.socket(1).bind("socket")
open("/tmp/huge", "wb").truncate(60 << 20)
"""
    names = ["result.txt", "up/etc/passwd", "up/proc/version", "pipe", "dir", "environment"]
    names += ["loop", "worker", "socket", "/tmp/huge", "dir/../result.txt", "none"]
    async with target.sandbox() as sandbox:
        result = await sandbox.python(program(lay))
        expect(result.exit_code == 0, shown(result))
        for name in names:
            await _expect_unreadable(sandbox, name)
        await sandbox.write_file("result.txt", b"mine")
        expect(await sandbox.read_file("result.txt") == b"mine", "a write followed a link")
        await expect_refused(sandbox.write_file("up/box/through", b"x"), "a write through a link")
        return f"{len(names)} traps"


async def _traversal(target: Target) -> str:
    names = ["../x", "a/../../etc/passwd", "/etc/passwd", "/proc/self/root/box/x", "/box/../etc/x"]
    names += ["a\0b", "", ".", "/", "/box", "/boxes/x", "/dev/shm/x", "x" * 256, "a/" * 2048 + "x"]
    async with target.sandbox() as sandbox:
        for name in names:
            await expect_refused(sandbox.read_file(name), f"reading {name!r}, no place in the box,")
            await expect_refused(sandbox.write_file(name, b"x"), f"writing {name!r}")
        return f"{len(names)} names refused"


async def _names(target: Target) -> str:
    code = """
attempt("256", open, "n" * 256, "w")
for name in (b"n" * 255, b"new\\nline", b"\\xff\\xfe", b"\\x1b[2J", b"-rf", b" ", b"*", b"a\\\\b", "é".encode()):
    os.close(os.open(name, os.O_CREAT | os.O_WRONLY))
"""
    async with target.sandbox() as sandbox, target.sandbox() as other:
        result = await sandbox.python(program(code))
        expect(b"refused 256" in result.stdout, shown(result))
        await other.restore(await sandbox.snapshot())
        look = "import os; print(sorted(os.listdir(b'/box')))"
        same = (await other.python(look)).stdout == (await sandbox.python(look)).stdout
        expect(same, "a name was not carried over")
        return "names of any bytes pass"


async def _swapped(target: Target) -> str:
    """Read what a session swaps for links and pipes, wherever it was when it was stopped."""
    swap = """
import threading
def swap():
    while True:
        for make in (lambda: os.symlink("/proc/self/environ", "new"),
                     lambda: os.mkfifo("new"), lambda: open("new", "w").write("own")):
            try: make(); os.rename("new", "target")
            except OSError: pass
for _ in range(3): threading.Thread(target=swap, daemon=True).start()
time.sleep(0.1)
"""
    seen: list[bytes | None] = []
    async with target.sandbox() as sandbox, await sandbox.session() as session:
        await session.python(program(swap))
        for _ in range(30):
            seen.append(await _content(sandbox, "target"))
            again = await _content(sandbox, "target")
            expect(again == seen[-1], f"swapped while it was read: {seen[-1]!r}, then {again!r}")
            await session.python("time.sleep(0.001)")
    expect(set(seen) <= {b"own", b"", None}, f"it read {set(seen)}")
    expect({b"own", None} <= set(seen), f"nothing was swapped: 30 times {set(seen)}")
    return f"{len(seen) - seen.count(None)} times a regular file, {seen.count(None)} times refused"


async def _content(sandbox: Sandbox, path: str) -> bytes | None:
    """Return what is in a file; None: it is refused."""
    try:
        return await sandbox.read_file(path)
    except (ValueError, FileNotFoundError):
        return None


async def _sparse_snapshot(target: Target) -> str:
    code = "for n in range(8): open(f'hole{n}', 'wb').truncate(60 << 20)"
    async with target.sandbox() as sandbox:
        await sandbox.python(program(code))
        try:
            blob = await sandbox.snapshot(max_bytes=1 << 20)
        except ValueError:
            return "refused: larger than asked for"
        raise Failed(f"{len(blob)} bytes came, at most {1 << 20} were asked for")


async def _hostile_tree(target: Target) -> str:
    """Snapshot what was made to break whoever walks it."""
    code = """
for _ in range(60): os.mkdir("d" * 60); os.chdir("d" * 60)
open("end", "w").write("deep"); os.chdir("/box")
os.mkfifo("pipe"); os.symlink("/", "all"); os.symlink("..", "above")
open("x", "w").write("x"); os.link("x", "y"); os.chmod("x", 0o6777)
"""
    async with target.sandbox() as sandbox, target.sandbox() as other:
        result = await sandbox.python(program(code))
        expect(result.exit_code == 0, shown(result))
        await other.restore(await sandbox.snapshot())
        look = "import os; print(sorted((n, os.stat(n).st_mode >> 9 & 7) for n in os.listdir('.')))"
        found = await other.python(look)
        expect(found.stdout == _LEFT, shown(found))
        await sandbox.python("import os; os.mkdir('closed'); os.chmod('closed', 0)")
        try:
            await sandbox.snapshot()
        except ValueError as error:
            return f"links, pipes and modes stayed behind; {error}"
        raise Failed("what cannot be read was left out without a word")


ROWS = (
    attack(
        "rootfs_write",
        "nothing can be written but /box, /tmp and /dev/shm",
        """
for top in ("/", "/usr", "/usr/bin", "/usr/lib", "/usr/local", "/dev", "/proc", "/bin", "/lib",
            "/etc", "/run", "/var", "/home", "/root", "/sys", "/opt", "/dev/pts", "/dev/mqueue"):
    attempt(top, os.open, top + "/x", os.O_WRONLY | os.O_CREAT)
    attempt(top, os.mkdir, top + "/folder")
for path in ("/usr/bin/env", "/usr/lib/os-release"):
    attempt(path, os.open, path, os.O_WRONLY)
    attempt(path, os.chmod, path, 0o777)
    attempt(path, os.utime, path)
    attempt(path, os.setxattr, path, "user.x", b"x")
    attempt(path, os.link, path, "/box/link")
    attempt(path, os.rename, path, "/usr/bin/other")
    attempt(path, os.unlink, path)
    attempt(path, lambda: fcntl.fcntl(os.open(path, 0), 1024, 1))  # F_SETLEASE
""",
    ),
    attack(
        "hard_links",
        "no link to a file of another file system",
        """
for path in ("/usr/bin/su", "/proc/self/environ", "/dev/null", "/dev/pts/ptmx"):
    for top in ("/box", "/tmp", "/dev/shm"): attempt(path, os.link, path, top + "/link")
fd = os.open("/usr/bin/env", os.O_RDONLY)
for path, flags in ((f"/proc/self/fd/{fd}".encode(), 0x400), (b"", 0x1000)):
    call("linkat", fd if not path else -100, path, -100, b"/box/link", flags)
""",
    ),
    attack(
        "programs_of_its_own",
        "a program that it writes gains nothing by its mode",
        """
import shutil, subprocess
shutil.copy("/usr/bin/id", "/box/id"); os.chmod("/box/id", 0o6755)
said = subprocess.run(["/box/id", "-u"], capture_output=True, text=True).stdout.strip()
print("same" if said == str(os.getuid()) else f"BREACH {said}")
""",
        says("same"),
    ),
    attack(
        "access_times",
        "reading what is shared leaves no trace",
        """
def times(): return [(s.st_atime_ns, s.st_mtime_ns, s.st_ctime_ns) for s in map(os.stat, paths)]
paths = ["/usr/bin/env", "/usr/bin", "/usr/lib/os-release"]
before = times()
for path in paths: os.path.isdir(path) and os.listdir(path) or open("/usr/bin/env", "rb").read()
time.sleep(0.01); print("same" if times() == before else "BREACH")
""",
        says("same"),
    ),
    Row(name="symlink_out", must="links, pipes and folders are refused, nothing hangs", run=_traps),
    Row(name="path_traversal", must="ValueError before anything is sent", run=_traversal),
    Row(name="odd_names", must="names of any bytes survive a snapshot", run=_names),
    Row(name="swapped_between_reads", must="no link is followed, nothing moves", run=_swapped),
    Row(
        name="sparse_snapshot", must="holes count as what they pretend to be", run=_sparse_snapshot
    ),
    Row(
        name="hostile_tree",
        must="links and pipes stay behind, the rest comes or is refused",
        run=_hostile_tree,
    ),
)
