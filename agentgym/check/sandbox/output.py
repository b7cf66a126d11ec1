"""Programs that say too much, too little, or say it strangely."""

from collections.abc import Callable

from agentgym.check.sandbox.judges import Judge, ends, exits, expect, says, shown, soon
from agentgym.check.sandbox.program import program
from agentgym.check.sandbox.row import Row, attack
from agentgym.check.sandbox.target import Target
from agentgym.sandbox import ExecResult, Limits, Status

_MOST = 1 << 20
_UNCOPIED = """
with open("/tmp/page", "wb") as file: file.write(b"x" * 65536)
page, start = os.open("/tmp/page", os.O_RDONLY), ctypes.c_long()
source, end = os.pipe()
os.write(end, b"x" * 4096)
def splice():
    start.value = 0
    return syscall("splice", page, ctypes.byref(start), 1, 0, 65536, 0)
"""
_WAYS = {
    "sendfile": "os.sendfile(1, page, 0, 65536)",
    "splice": "splice()",
    "tee": 'syscall("tee", source, 1, 4096, 0)',
}
"""Each gives how many bytes came to stdout; a way that is closed ends the program at once."""


def _cut(result: ExecResult) -> str:
    expect(result.status is Status.OUTPUT_LIMIT, shown(result))
    kept = len(result.stdout) + len(result.stderr)
    expect(kept <= 2 * Limits().keep_output_bytes, f"{kept} bytes were kept")
    total = result.stdout_total + result.stderr_total
    expect(total < _MOST + (64 << 20), f"{total} bytes were taken of at most {_MOST}")
    return f"killed after {total >> 10} KiB, {kept >> 10} KiB kept"


def _is(check: Callable[[ExecResult], object], what: str) -> Judge:
    def judge(result: ExecResult) -> str:
        expect(check(result), f"expected {what}; {shown(result)}")
        return what

    return judge


async def _bytes(target: Target) -> str:
    odd = bytes(range(256)) * 64 + b"\x1b]0;title\x07\x1b[2J" + b"\xed\xa0\x80\xf4\x90\x80\x80\0"
    copy = "sys.stdout.buffer.write(sys.stdin.buffer.read())"
    async with target.sandbox() as sandbox:
        limits = Limits(keep_output_bytes=1 << 20)
        result = await sandbox.python(program(copy), stdin=odd, limits=limits)
        expect(result.stdout == odd, "the bytes are not those that were written")
        line = await sandbox.python("print('x' * 5_000_000)")
        expect(line.stdout_total == 5_000_001, f"of 5,000,001 bytes {line.stdout_total} counted")
        return f"{len(odd)} bytes unchanged, a line of 5 MB cut"


async def _core(target: Target) -> str:
    code = """
import resource
try: resource.setrlimit(resource.RLIMIT_CORE, (1 << 40, 1 << 40))
except (OSError, ValueError): pass
os.abort()
"""
    async with target.sandbox() as sandbox:
        result = await sandbox.python(program(code))
        expect(result.status is Status.SIGNALED, shown(result))
        left = await sandbox.python("import os; print(os.listdir('/box'), os.listdir('/tmp'))")
        expect(left.stdout == b"[] []\n", f"it left {left.stdout!r}")
        return "no core file"


ROWS = (
    attack(
        "output_flood_out",
        "OUTPUT_LIMIT, and little of it kept",
        "while True: os.write(1, b'x' * 65536)",
        _cut,
        max_output_bytes=_MOST,
    ),
    attack(
        "output_flood_err",
        "the same on stderr",
        "while True: os.write(2, b'x' * 65536)",
        _cut,
        max_output_bytes=_MOST,
    ),
    attack(
        "output_flood_nul",
        "the same for bytes of zero, from many processes at once",
        "os.fork(); os.fork(); os.fork()\nzeros = bytes(1 << 20)\n"
        "while True: os.write(1, zeros); os.write(2, zeros)",
        _cut,
        max_output_bytes=_MOST,
    ),
    *(
        attack(
            f"output_flood_{way}",
            "the same where the kernel moves the bytes",
            f"{_UNCOPIED}\nwhile {call} > 0: pass",
            _cut,
            max_output_bytes=_MOST,
        )
        for way, call in _WAYS.items()
    ),
    attack(
        "output_pipe_resized",
        "the same where the pipe is as large as can be",
        "try: fcntl.fcntl(1, 1031, 1 << 20)\nexcept OSError: pass\n"
        "while True: os.write(1, b'x' * (1 << 20))",
        _cut,
        max_output_bytes=_MOST,
    ),
    attack(
        "output_read_back",
        "reading its own output harms nobody",
        """
fd = os.open("/proc/self/fd/1", os.O_RDONLY | os.O_NONBLOCK)
os.write(1, b"x" * 1000)
try:
    while os.read(fd, 1 << 20): pass
except BlockingIOError: pass
os.set_blocking(1, False); fcntl.fcntl(1, 4, os.O_NONBLOCK | 0o20000)
sys.exit(3)
""",
        exits(3),
    ),
    attack(
        "close_stdio",
        "the exit code is exact with stdio closed",
        "for fd in (0, 1, 2): os.close(fd)\nos._exit(7)",
        exits(7),
    ),
    attack(
        "close_all_fds",
        "the exit code is exact with every descriptor closed",
        "os.closerange(0, 65536); os._exit(3)",
        exits(3),
    ),
    Row(name="binary_output", must="bytes come unchanged, and are counted", run=_bytes),
    attack(
        "segfault",
        "SIGNALED",
        "ctypes.string_at(1)",
        ends(Status.SIGNALED),
    ),
    Row(name="core_file", must="none is written, whatever the limit", run=_core),
    attack(
        "replaced_stdout",
        "the exit code is told though nothing can be flushed",
        "sys.stdout = sys.stderr = None\nos._exit(5)",
        exits(5),
    ),
    attack(
        "never_reads_stdin",
        "the reply does not wait for who reads",
        "print('done')",
        soon(says("done")),
        stdin=b"x" * (1 << 20),
    ),
)
