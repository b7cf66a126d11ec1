"""What a sandbox promises to those who use it."""

import asyncio
import contextlib
import os
import signal
import time
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from agentgym.errors import SandboxDied
from agentgym.sandbox import Limits, Sandbox, Status
from agentgym.sandboxes.box import checked_path
from agentgym.sandboxes.pool import Pool

pytestmark = pytest.mark.sandbox


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("pass", 0),
        ("raise SystemExit", 0),
        ("import sys; sys.exit(7)", 7),
        ("import sys; sys.exit(256)", 0),
        ("import sys; sys.exit('no')", 1),
        ("exit(3)", 3),
        ("import os; os._exit(255)", 255),
        ("1 / 0", 1),
        ("x = (", 1),
        (
            "import os\nfor fd in range(300):\n  try: os.close(fd)\n  except OSError: pass\nexit(7)",
            7,
        ),
        ("def f(): f()\nf()", 1),
    ],
)
async def test_the_exit_code_is_exact(sandbox: Sandbox, code: str, expected: int) -> None:
    result = await sandbox.python(code)
    assert (result.status, result.signal) == (Status.EXITED, None)
    assert result.exit_code == expected


@pytest.mark.parametrize("number", [signal.SIGABRT, signal.SIGSEGV, signal.SIGKILL])
async def test_a_signal_is_told_from_an_exit(sandbox: Sandbox, number: int) -> None:
    result = await sandbox.python(f"import os; os.kill(os.getpid(), {int(number)})")
    assert (result.status, result.exit_code, result.signal) == (Status.SIGNALED, None, number)


async def test_python_is_like_an_interpreter(sandbox: Sandbox) -> None:
    code = """
import atexit, sys, threading, time
atexit.register(lambda: print("atexit"))
threading.Thread(target=lambda: (time.sleep(0.05), print("thread"))).start()
class Point: pass
import pickle
assert type(pickle.loads(pickle.dumps(Point()))) is Point
print(__name__, input())
sys.stderr.write("no newline")
"""
    result = await sandbox.python(code, stdin=b"typed\n")
    assert result.stdout == b"__main__ typed\nthread\natexit\n"
    assert (result.stderr, result.exit_code) == (b"no newline", 0)


async def test_a_traceback_shows_the_program_only(sandbox: Sandbox) -> None:
    result = await sandbox.python("def f():\n  return 1 / 0\nf()")
    assert b'File "<program>", line 3, in <module>' in result.stderr
    assert b"worker" not in result.stderr


async def test_modules_of_the_box_can_be_imported(sandbox: Sandbox) -> None:
    await sandbox.write_file("solution.py", b"answer = 42")
    assert (await sandbox.python("import solution; print(solution.answer)")).stdout == b"42\n"


async def test_programs_do_not_see_each_other(sandbox: Sandbox) -> None:
    patch = "import os, builtins, sys\nos._exit = os.write = print\nbuiltins.len = None\nsys.x = 1"
    await sandbox.python(patch)
    assert (await sandbox.python("import sys; print(len('ab'), hasattr(sys, 'x'))")).stdout == (
        b"2 False\n"
    )


async def test_bytes_pass_unchanged(sandbox: Sandbox) -> None:
    every = bytes(range(256)) * 4000
    limits = Limits(keep_output_bytes=2 << 20)
    copy = "import sys; sys.stdout.buffer.write(sys.stdin.buffer.read())"
    assert (await sandbox.python(copy, stdin=every, limits=limits)).stdout == every
    assert (await sandbox.exec(["cat"], stdin=every, limits=limits)).stdout == every


async def test_a_program_need_not_read_its_input(sandbox: Sandbox) -> None:
    assert (await sandbox.python("print(1)", stdin=b"x" * (1 << 20))).stdout == b"1\n"


async def test_of_long_output_the_ends_are_kept(sandbox: Sandbox) -> None:
    code = "import sys\nprint('a' * 300_000)\nprint('b' * 300_000)\nsys.stderr.write('short')"
    result = await sandbox.python(code, limits=Limits(keep_output_bytes=100))
    assert result.stdout == b"a" * 50 + b"b" * 49 + b"\n"
    assert (result.stdout_total, result.stderr, result.stderr_total) == (600_002, b"short", 5)


@pytest.mark.parametrize("fd", [1, 2])
async def test_a_flood_of_output_is_cut(sandbox: Sandbox, fd: int) -> None:
    code = f"import os\nwhile True: os.write({fd}, b'x' * 65536)"
    result = await sandbox.python(code, limits=Limits(max_output_bytes=1 << 20))
    assert result.status is Status.OUTPUT_LIMIT
    assert len(result.stdout) + len(result.stderr) == Limits().keep_output_bytes
    assert await _answers(sandbox)


@pytest.mark.parametrize(
    "code",
    [
        "import time; time.sleep(60)",
        "import time\nwhile True:\n  try: time.sleep(60)\n  except BaseException: pass",
        "import os, signal; os.kill(os.getpid(), signal.SIGSTOP)",
        "import signal\nfor s in range(1, 65):\n  try: signal.signal(s, signal.SIG_IGN)\n"
        "  except Exception: pass\nimport time\ntime.sleep(60)",
    ],
    ids=["sleep", "catch everything", "stop", "ignore signals"],
)
async def test_the_wall_clock_ends_a_program(sandbox: Sandbox, code: str) -> None:
    began = time.monotonic()
    result = await sandbox.python(code, limits=Limits(wall_s=0.3))
    assert (result.status, result.exit_code) == (Status.TIMEOUT, None)
    assert result.timed_out
    assert not result.sandbox_lost
    assert 0.3 <= time.monotonic() - began < 2.0
    assert await _answers(sandbox)


async def test_cpu_time_has_its_own_limit(sandbox: Sandbox) -> None:
    result = await sandbox.python("while True: pass", limits=Limits(cpu_s=1.0, wall_s=30))
    assert result.status is Status.CPU_LIMIT
    assert 0.5 < result.cpu_s < 3.0  # the kernel counts in ticks


async def test_cpu_time_of_children_counts(sandbox: Sandbox) -> None:
    _needs_cgroups(sandbox)
    code = """
import os, signal, time
signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # reaped by nobody, so in no rusage
if os.fork() == 0:
    while time.process_time() < 0.4: pass
    open("done", "w").close()
    os._exit(0)
while not os.path.exists("done"): time.sleep(0.05)
"""
    result = await sandbox.python(code, limits=Limits(cpu_s=0.3, wall_s=20))
    assert result.status is Status.CPU_LIMIT


async def test_want_of_memory_is_seen_in_the_counter(sandbox: Sandbox) -> None:
    _needs_cgroups(sandbox)
    limits = Limits(memory_bytes=64 << 20)
    result = await sandbox.python("x = []\nwhile True: x.append(bytes(1 << 24))", limits=limits)
    assert result.status is Status.OOM
    assert result.oom_kills >= 1
    assert (await sandbox.python("raise SystemExit(137)")).status is Status.EXITED
    assert (await sandbox.python("x = bytes(100 << 20)")).exit_code == 0  # the default limit again


async def test_exec_runs_a_program_afresh(sandbox: Sandbox) -> None:
    result = await sandbox.exec(["sh", "-c", "echo $0 $1; pwd; exit 3", "a b", "c"])
    assert (result.stdout, result.exit_code) == (b"a b c\n/box\n", 3)
    result = await sandbox.exec(["sh", "-c", "echo $X $HOME; pwd"], env={"X": "é"}, cwd="/tmp")
    assert result.stdout == "é /box\n/tmp\n".encode()


async def test_a_program_that_cannot_start_is_a_result(sandbox: Sandbox) -> None:
    await sandbox.write_file("data", b"no program")
    assert (await sandbox.exec(["no-such-program"])).exit_code == 127
    assert (await sandbox.exec(["/box/data"])).exit_code == 126
    assert (await sandbox.exec(["true"], cwd="/nowhere")).exit_code == 127


async def test_arguments_that_cannot_be_are_refused(sandbox: Sandbox) -> None:
    with pytest.raises(ValueError, match="empty"):
        await sandbox.exec([])
    with pytest.raises(ValueError, match="NUL"):
        await sandbox.exec(["echo", "a\0b"])
    assert await _answers(sandbox)


async def test_files_come_back_as_written(sandbox: Sandbox) -> None:
    every = bytes(range(256)) * 1000
    await sandbox.write_file("a/b/c.bin", every, mode=0o750)
    assert await sandbox.read_file("/box/a/b/c.bin") == every
    assert (await sandbox.exec(["stat", "-c", "%a", "a/b/c.bin"])).stdout == b"750\n"
    await sandbox.write_file("a/b/c.bin", b"")
    assert await sandbox.read_file("a/b/../b/c.bin".replace("../b/", "./")) == b""


async def test_only_regular_files_of_a_fair_size_are_read(sandbox: Sandbox) -> None:
    await sandbox.exec(["sh", "-c", "ln -s /proc/self/environ l; mkfifo f; mkdir d; ln -s / up"])
    await sandbox.write_file("big", b"x" * 1001)
    for path in ("l", "f", "d", "up/proc/version", "big/x"):
        with pytest.raises(ValueError, match=path.split("/")[0]):
            await sandbox.read_file(path)
    with pytest.raises(ValueError, match="larger"):
        await sandbox.read_file("big", max_bytes=1000)
    with pytest.raises(FileNotFoundError):
        await sandbox.read_file("none")


async def test_a_write_replaces_a_link_and_follows_none(sandbox: Sandbox) -> None:
    await sandbox.exec(["sh", "-c", "echo old > target; ln -s target l; mkfifo f; ln -s /tmp d"])
    await sandbox.write_file("l", b"new")
    await sandbox.write_file("f", b"new")
    assert await sandbox.read_file("target") == b"old\n"
    assert await sandbox.read_file("l") == await sandbox.read_file("f") == b"new"
    with pytest.raises(ValueError, match="link"):
        await sandbox.write_file("d/x", b"")


async def test_a_file_larger_than_the_box_is_refused(sandbox: Sandbox) -> None:
    with pytest.raises(ValueError, match="No space"):
        await sandbox.write_file("big", bytes(65 << 20))
    assert await _answers(sandbox)


@pytest.mark.parametrize(
    "path",
    [
        *("", ".", "/", "/box", "../x", "a/../../x", "/etc/passwd", "/proc/self/mem", "/boxes/x"),
        *("/box/../etc/passwd", "/tmp/../box/x", "/dev/shm/x", "a\0b"),
        *("x" * 256, "a/" * 2048 + "x"),
    ],
)
def test_paths_that_lead_elsewhere_are_refused(path: str) -> None:
    with pytest.raises(ValueError, match="not a path under"):
        checked_path(path)


@given(st.text() | st.text("/.ab\0"))
def test_an_accepted_path_stays_inside(path: str) -> None:
    try:
        raw = checked_path(path)
    except ValueError:
        return
    assert os.path.normpath(raw) == raw
    assert raw.startswith((b"/box/", b"/tmp/"))


async def test_no_process_outlives_its_program(sandbox: Sandbox) -> None:
    daemon = """
import os, time
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
    assert (await sandbox.python(daemon)).exit_code == 0
    beats = await sandbox.read_file("/tmp/heartbeat")
    await asyncio.sleep(0.1)
    assert await sandbox.read_file("/tmp/heartbeat") == beats
    alive = "import os; print(sorted(int(n) for n in os.listdir('/proc') if n.isdigit())[:-1])"
    assert (await sandbox.python(alive)).stdout == b"[1]\n"


async def test_an_orphan_that_holds_stdout_delays_nothing(sandbox: Sandbox) -> None:
    began = time.monotonic()
    result = await sandbox.python("import os, time\nif os.fork() == 0: time.sleep(60)")
    assert (result.status, result.exit_code) == (Status.EXITED, 0)
    assert time.monotonic() - began < 2.0


async def test_a_cancelled_call_destroys_the_sandbox(sandboxes: Pool) -> None:
    async with sandboxes.lease() as sandbox:
        await sandbox.python("pass")
        task = asyncio.create_task(sandbox.python("import time; time.sleep(60)"))
        await asyncio.sleep(0.1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        with pytest.raises(SandboxDied):
            await sandbox.python("pass")
    async with sandboxes.lease() as another:
        assert another is not sandbox
        assert await _answers(another)


async def test_a_deadline_around_a_call_is_a_cancellation(sandboxes: Pool) -> None:
    async with sandboxes.lease() as sandbox:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await sandbox.exec(["sleep", "60"])
        with pytest.raises(SandboxDied):
            await sandbox.exec(["true"])


async def test_calls_take_turns(sandbox: Sandbox) -> None:
    slow = asyncio.create_task(sandbox.python("import time; time.sleep(0.2); print(1)"))
    await asyncio.sleep(0.05)
    waiting = asyncio.create_task(sandbox.python("print(2)"))
    given_up = asyncio.create_task(sandbox.python("print(3)"))
    await asyncio.sleep(0.05)
    given_up.cancel()
    assert (await slow).stdout == b"1\n"
    assert (await waiting).stdout == b"2\n"
    assert (await sandbox.python("print(4)")).stdout == b"4\n"


async def test_closing_is_final_and_ends_a_running_program(sandboxes: Pool) -> None:
    async with sandboxes.lease() as sandbox:
        running = asyncio.create_task(sandbox.python("import time; time.sleep(60)"))
        await asyncio.sleep(0.1)
        await sandbox.close()
        await sandbox.close()
        with pytest.raises(SandboxDied):
            await running
        with pytest.raises(SandboxDied):
            await sandbox.read_file("x")
        assert not await sandbox.reset()


async def test_a_killed_sandbox_is_an_error_and_no_result(sandbox: Sandbox) -> None:
    running = asyncio.create_task(sandbox.python("import time; time.sleep(60)"))
    await asyncio.sleep(0.1)
    for pid in _pids_of_user(sandbox.info.enforced["uid"]):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    with pytest.raises(SandboxDied):
        await running


async def test_the_kernel_user_is_the_one_it_tells(sandbox: Sandbox) -> None:
    uid = sandbox.info.enforced["uid"]
    assert uid != "0"
    assert _pids_of_user(uid)
    assert sandbox.info.protected == "dumpable"
    assert sandbox.info.enforced["seccomp"] == "filter"


async def test_the_worker_holds_nothing_but_its_channel(sandbox: Sandbox) -> None:
    await sandbox.python("pass")
    worker = {"local": ["socket", "socket"], "docker": ["pipe", "pipe"]}[sandbox.info.backend]
    bwrap = ["anon_inode", "pipe", "socket", "socket"]
    expected = [bwrap, worker] if sandbox.info.backend == "local" else [worker]
    async with asyncio.timeout(5):  # it answers before it closes what the program had
        while _held(sandbox) != expected:  # noqa: ASYNC110  the kernel raises no event of ours
            await asyncio.sleep(0.01)


def _held(sandbox: Sandbox) -> list[list[str]]:
    return sorted(_descriptors(pid) for pid in _pids_of_user(sandbox.info.enforced["uid"]))


async def test_a_reset_leaves_nothing(sandbox: Sandbox) -> None:
    mess = """
import os
for top in ("/box", "/tmp", "/dev/shm"):
    os.chdir(top)
    os.makedirs("a/b/c"); open("a/b/c/file", "w").write("secret"); os.symlink("/", "a/link")
    os.mkdir("closed"); open("closed/file", "w").close(); os.mkdir("closed/inner")
    os.chmod("closed/inner", 0); os.chmod("closed", 0)
    os.mkfifo("fifo"); open(b"\\xff\\n", "w").close()
    for _ in range(300): os.mkdir("d"); os.chdir("d")
    os.chdir(top); os.utime(top, (5, 5))
    try: os.setxattr(top, "user.secret", b"secret")
    except OSError: pass
    os.chmod(top, 0)
if os.fork() == 0:
    import time; time.sleep(60)
"""
    look = """
import os
for top in ("/box", "/tmp", "/dev/shm"):
    state = os.stat(top)
    print(os.listdir(top), oct(state.st_mode), state.st_mtime, os.listxattr(top))
print(len([name for name in os.listdir("/proc") if name.isdigit()]))
"""
    assert await sandbox.reset()
    before = await sandbox.python(look)
    assert before.stdout.endswith(b"\n2\n")
    result = await sandbox.python(mess)
    assert result.exit_code == 0, result.stderr
    assert (await sandbox.python(look)).stdout != before.stdout
    assert await sandbox.reset()
    assert (await sandbox.python(look)).stdout == before.stdout


def _needs_cgroups(sandbox: Sandbox) -> None:
    if sandbox.info.enforced["memory"] == "rlimit":
        pytest.skip("no control groups here")


def _pids_of_user(uid: str) -> list[int]:
    found = []
    for status in Path("/proc").glob("[0-9]*/status"):
        with contextlib.suppress(OSError):
            if f"\nUid:\t{uid}\t{uid}\t{uid}\t{uid}\n" in status.read_text():
                found.append(int(status.parent.name))
    return found


def _descriptors(pid: int) -> list[str]:
    targets = [os.readlink(fd) for fd in Path(f"/proc/{pid}/fd").iterdir()]
    return sorted(target.split(":")[0] for target in targets if target != "/dev/null")


async def _answers(sandbox: Sandbox) -> bool:
    return (await sandbox.python("print('still here')")).stdout == b"still here\n"
