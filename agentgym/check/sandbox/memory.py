"""Programs that want all the memory, in every way a kernel gives it."""

from agentgym.check.report import NotChecked
from agentgym.check.sandbox.judges import Judge, ends, expect, says, shown
from agentgym.check.sandbox.program import program
from agentgym.check.sandbox.row import Row, attack
from agentgym.check.sandbox.target import Target
from agentgym.sandbox import ExecResult, Limits, Status

_SMALL = 128 << 20


def _bounded(*also: str) -> Judge:
    """Expect that it was killed for want of memory, or was told that there is none."""

    def judge(result: ExecResult) -> str:
        said = result.stdout.decode("utf-8", "replace").strip()
        is_told = b"MemoryError" in result.stderr or said.startswith(("refused", *also))
        expect(result.status is Status.OOM or is_told, shown(result))
        return f"{result.status}, {result.oom_kills} killed" if not is_told else said or "refused"

    return judge


async def _forked(target: Target) -> str:
    code = """
for _ in range(12):
    if os.fork() == 0:
        held = b"x" * (60 << 20)
        time.sleep(60)
time.sleep(1)
"""
    async with target.sandbox() as sandbox:
        if sandbox.info.enforced["memory"] == "rlimit":
            raise NotChecked("without control groups memory is limited for each process alone")
        limits = Limits(memory_bytes=256 << 20, wall_s=5.0)
        result = await sandbox.python(program(code), limits=limits)
        expect(result.status is Status.OOM, shown(result))
        expect(result.oom_kills > 4, f"{result.oom_kills} were killed; {shown(result)}")
        return f"{result.oom_kills} of 12 killed"


async def _inodes(target: Target) -> str:
    code = """
made = 0
try:
    for made in range(400000): os.close(os.open(f"/tmp/{made}", os.O_CREAT | os.O_WRONLY))
except OSError as error: print(made, errno.errorcode[error.errno])
"""
    async with target.sandbox(survives=False) as sandbox:
        if sandbox.info.enforced["memory"] == "rlimit":
            raise NotChecked("without control groups nothing counts files in memory")
        limits = Limits(wall_s=20.0, cpu_s=20.0, memory_bytes=_SMALL)
        result = await sandbox.python(program(code), limits=limits)
        is_bounded = b"ENOSPC" in result.stdout or result.status is Status.OOM
        expect(is_bounded, f"400,000 files were made; {shown(result)}")
        if await sandbox.reset():
            clean = await sandbox.python("import os; print(os.listdir('/tmp'))")
            expect(clean.stdout == b"[]\n", "a reset left files")
        return result.stdout.decode().strip() or str(result.status)


async def _deep_folders(target: Target) -> str:
    code = """
try:
    for _ in range(20000): os.mkdir("d"); os.chdir("d")
except OSError as error: print(errno.errorcode[error.errno])
"""
    async with target.sandbox(survives=False) as sandbox:
        await sandbox.python(program(code), limits=Limits(wall_s=20.0))
        clean = await sandbox.reset()
        if not clean:
            result = "replaced"
            expect(not await sandbox.reset(), "a sandbox that was not clean is in use again")
        else:
            found = await sandbox.python("import os; print(os.listdir('/box'))")
            expect(found.stdout == b"[]\n", "a reset left folders")
            result = "wiped"
        return result


ROWS = (
    attack(
        "mem_bomb",
        "OOM by the kernel's counter, or MemoryError",
        "held = []\nwhile True: held.append(bytes(1 << 24))",
        _bounded(),
        cpu_s=60,
    ),
    Row(name="mem_bomb_forked", must="children share the memory limit", run=_forked),
    attack(
        "mem_bomb_shared",
        "shared anonymous memory counts",
        """
import mmap
held = []
for _ in range(64):
    held.append(mmap.mmap(-1, 16 << 20)); held[-1][:] = b"x" * (16 << 20)
print("BREACH")
""",
        _bounded(),
        memory_bytes=_SMALL,
    ),
    attack(
        "tmpfs_fill",
        "ENOSPC at 64, 64 and 16 MiB",
        """
for path in ("/tmp/a", "/box/a", "/dev/shm/a"):
    try:
        with open(path, "wb", 0) as file:
            while file.write(bytes(1 << 20)): pass
    except OSError as e: print(errno.errorcode[e.errno], os.path.getsize(path) >> 20)
""",
        says("ENOSPC 64\nENOSPC 64\nENOSPC 16"),
        file_bytes=1 << 30,
    ),
    attack(
        "file_size",
        "EFBIG at the limit",
        "attempt('write', lambda: [open('f', 'ab').write(bytes(1 << 20)) for _ in range(9)])",
        file_bytes=4 << 20,
    ),
    attack(
        "sparse_file",
        "a hole is as large as what it pretends to be",
        """
fd = os.open("hole", os.O_CREAT | os.O_WRONLY)
attempt("truncate", os.ftruncate, fd, 1 << 40)
attempt("pwrite", os.pwrite, fd, b"x", 1 << 40)
attempt("fallocate", os.posix_fallocate, fd, 0, 1 << 40)
""",
        file_bytes=4 << 20,
    ),
    Row(
        name="inode_fill", must="ENOSPC or OOM, and no file after a reset", run=_inodes, cost="slow"
    ),
    Row(name="deep_dirs", must="wiped, or the sandbox is replaced", run=_deep_folders),
    attack(
        "unlinked_files",
        "files without a name count, and are gone with their program",
        """
held = []
try:
    for n in range(100):
        held.append(os.open("/tmp", os.O_TMPFILE | os.O_WRONLY, 0o600))
        os.write(held[-1], bytes(1 << 20))
except OSError as e: print(errno.errorcode[e.errno])
""",
        says("ENOSPC"),
    ),
    attack(
        "vmsplice_pinning",
        "memory given to pipes counts, or is refused",
        """
import mmap
held = []
class Part(ctypes.Structure): _fields_ = [("base", ctypes.c_void_p), ("size", ctypes.c_size_t)]
for _ in range(200):
    area = mmap.mmap(-1, 1 << 20); area[:] = b"x" * (1 << 20)
    end = os.pipe(); fcntl.fcntl(end[1], 1031, 1 << 20); held.append((area, end))
    part = Part(ctypes.addressof(ctypes.c_char.from_buffer(area)), 1 << 20)
    if syscall("vmsplice", end[1], ctypes.byref(part), 1, 8 | 2) == -1:
        print("refused", errno.errorcode[ctypes.get_errno()]); break
else: print("BREACH")
""",
        _bounded(),
        memory_bytes=_SMALL,
        open_files=4096,
    ),
    attack(
        "memfd_fill",
        "memory files count, or are refused",
        """
try:
    fd = os.memfd_create("x")
    for _ in range(64): os.write(fd, bytes(16 << 20))
    print("BREACH")
except OSError as e: print("refused", errno.errorcode[e.errno])
""",
        _bounded(),
        memory_bytes=_SMALL,
        file_bytes=2 << 30,
    ),
    attack(
        "sysv_shm",
        "refused: it would outlive the program",
        "call('shmget', 0, 32 << 20, 0o1600); call('semget', 0, 1, 0o1600)\n"
        "call('msgget', 0, 0o1600); call('mq_open', b'q', 0o102, 0o600, 0)",
    ),
    attack(
        "locked_memory",
        "no more than a little of it",
        """
import mmap
area = mmap.mmap(-1, 16 << 20)
at = ctypes.addressof(ctypes.c_char.from_buffer(area))
ctypes.set_errno(0)
print("refused" if libc.mlock(ctypes.c_void_p(at), 16 << 20) else "BREACH", "mlock")
print("refused" if libc.mlockall(7) else "BREACH", "mlockall")
""",
    ),
    attack(
        "huge_pages",
        "none of those that the machine holds back",
        """
libc.mmap.restype = ctypes.c_void_p
got = libc.mmap(None, ctypes.c_size_t(64 << 20), 3, 0x40022, -1, 0)
print("refused mmap" if got == ctypes.c_void_p(-1).value else "BREACH")
""",
    ),
    attack(
        "fd_exhaustion",
        "EMFILE at the limit",
        "attempt('dup', lambda: [os.dup(1) for _ in range(1000)])",
        open_files=64,
    ),
    attack(
        "huge_argv",
        "E2BIG, or within the memory limit",
        """
attempt("execve", os.execv, "/bin/true", ["true", "x" * (1 << 20)])
attempt("execve", os.execv, "/bin/true", ["true"] + ["x" * 100_000] * 100)
""",
    ),
    attack(
        "recursion",
        "an error or a signal of the program alone",
        "sys.setrecursionlimit(10**9)\ndef f(): f()\nf()",
        ends(Status.SIGNALED, Status.EXITED, Status.OOM),
        cpu_s=20,
    ),
)
