"""Runs inside a sandbox as its PID 1 and starts one program after the other.

The source is sent over stdin and needs nothing but a bare CPython 3.9. It is in reach of the
programs it starts (they run as the same user): what keeps them off is that it is not dumpable,
that signals to PID 1 are ignored, and that a program has none of its file descriptors. Private
modules (`_signal`, `_ctypes`) stand for public ones because start-up is most of its cost.
"""
# ruff: noqa: SIM105, BLE001  (contextlib takes time to import; a program may raise anything)

import _ctypes
import _signal  # type: ignore[import-not-found]
import builtins
import errno
import gc
import os
import resource
import select
import stat
import struct
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:  # `typing` would take longer to import than everything above
    from typing import Any, NoReturn

    Fields = tuple[Any, ...]
    Usage = dict[str, tuple[int, int, int]]

REQUEST = struct.Struct(">IcdIQIIQQQII")
"""id, operation, wall_s, cpu_s, memory (0: counted outside), pids, open files, file bytes, kept
output, most output, length of the subject, length of the input. Then subject and input."""
REPLY = struct.Struct(">IBiQQddII")
"""id, status, exit code or signal, total stdout, total stderr, wall_s, cpu_s, length of stdout,
length of stderr. Then the two."""
EXITED, SIGNALED, TIMEOUT, OUTPUT_LIMIT = range(4)

_channel = -1
_ROOTS = ("/box", "/tmp", "/dev/shm")
_PR_SET_DUMPABLE = 4
_CHUNK = 65536
_chunk = bytearray(_CHUNK)


def main() -> None:
    """Serve requests until the other side hangs up."""
    global _channel
    os.closerange(3, 1 << 20)
    _channel = os.dup(0)
    null = os.open("/dev/null", os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    os.close(null)
    _signal.signal(_signal.SIGINT, _signal.SIG_DFL)
    protected = b"dumpable" if _set_dumpable(0) == 0 else b"none"
    baseline = _usage()
    del sys.path[0]
    gc.disable()
    gc.freeze()
    size = len(protected)
    _send(REPLY.pack(0, EXITED, 0, size, 0, 0.0, 0.0, size, 0) + protected)
    while True:
        fields = REQUEST.unpack(_receive(REQUEST.size))
        subject = _receive(fields[-2])
        content = _receive(fields[-1])
        if fields[1] == b"Z":
            clean = _reset(baseline)
            _send(REPLY.pack(fields[0], EXITED, int(clean), 0, 0, 0.0, 0.0, 0, 0))
        else:
            _run(fields, subject, content)


def _set_dumpable(value: int) -> int:
    library = _ctypes.dlopen(None, 0)  # type: ignore[arg-type]  # the program itself
    prctl = _ctypes.dlsym(library, "prctl")
    return int(_ctypes.call_function(prctl, (_PR_SET_DUMPABLE, value, 0, 0, 0)))


def _receive(size: int) -> bytearray:
    data = bytearray(size)
    view = memoryview(data)
    while view:
        count = os.readv(_channel, [view])
        if not count:
            os._exit(0)
        view = view[count:]
    return data


def _send(*parts: "bytes | memoryview") -> None:
    views = [memoryview(part) for part in parts if part]
    while views:
        count = os.writev(_channel, views)
        while views and count >= len(views[0]):
            count -= len(views.pop(0))
        if views:
            views[0] = views[0][count:]


class _Kept:
    """The first and the last half of `keep` bytes of a stream, and how many there were.

    Nothing is copied to anywhere else, so that `_forget` finds all of it.
    """

    def __init__(self, keep: int) -> None:
        self.total = 0
        self.head = bytearray(keep // 2)
        self.tail = bytearray(keep - keep // 2)  # a ring

    def read(self, fd: int) -> int:
        """Take what one read gives and return how much it was."""
        count = os.readv(fd, [_chunk])
        chunk = memoryview(_chunk)[:count]
        place = memoryview(self.head)[self.total : self.total + count]
        place[:] = chunk[: len(place)]
        rest = chunk[len(place) :]
        self.total += count
        self._turn(rest[max(0, len(rest) - len(self.tail)) :])
        return count

    def parts(self) -> "list[memoryview]":
        """What is kept, in order."""
        head, tail = memoryview(self.head), memoryview(self.tail)
        count = self.total - len(head)
        if count <= len(tail):
            return [head[: self.total], tail[: max(0, count)]]
        at = count % len(tail) if tail else 0
        return [head, tail[at:], tail[:at]]

    def _turn(self, rest: memoryview) -> None:
        if not rest:
            return
        at = (self.total - len(rest) - len(self.head)) % len(self.tail)
        tail = memoryview(self.tail)
        place = tail[at : at + len(rest)]
        place[:] = rest[: len(place)]
        left = rest[len(place) :]
        tail[: len(left)] = left


def _forget(*buffers: bytearray) -> None:
    """Overwrite what passed through: forks of this memory run programs of other episodes."""
    for buffer in buffers:
        memoryview(buffer)[:] = bytes(len(buffer))


def _run(fields: "Fields", subject: bytearray, content: bytearray) -> None:
    """Run one program, kill all it left behind, and report."""
    number, _, wall_s, _, _, _, _, _, keep, most, _, _ = fields
    out, out_end = os.pipe()
    err, err_end = os.pipe()
    source, feed = os.pipe() if content else (os.open("/dev/null", os.O_RDONLY), -1)
    cpu_s = _children_cpu_s()
    began = time.monotonic()
    pid = os.fork()
    if pid == 0:
        _program(fields, bytes(subject), (source, out_end, err_end))
    for fd in (source, out_end, err_end):
        os.close(fd)
    stdout, stderr = _Kept(keep), _Kept(keep)
    verdict = _watch(pid, {out: stdout, err: stderr}, feed, content, began + wall_s, most)
    code = _kill_all(pid)
    wall_s = time.monotonic() - began
    for fd, kept in ((out, stdout), (err, stderr)):
        _drain(fd, kept, most)
        os.close(fd)
    if verdict == EXITED and max(stdout.total, stderr.total) > most:
        verdict = OUTPUT_LIMIT
    if verdict == EXITED and code < 0:
        verdict, code = SIGNALED, -code
    totals = stdout.total, stderr.total
    sizes = (min(total, keep) for total in totals)
    cpu_s = _children_cpu_s() - cpu_s
    header = REPLY.pack(number, verdict, code, *totals, wall_s, cpu_s, *sizes)
    _send(header, *stdout.parts(), *stderr.parts())
    _forget(subject, content, stdout.head, stdout.tail, stderr.head, stderr.tail, _chunk)


def _watch(
    pid: int, streams: dict[int, _Kept], feed: int, content: bytearray, deadline: float, most: int
) -> int:
    """Move bytes until the program ends or breaks a limit; leave at once if the host hung up."""
    program = os.pidfd_open(pid)
    poll = select.poll()
    poll.register(_channel, 0)  # no events: reports the hang-up only
    poll.register(program, select.POLLIN)
    for fd in streams:
        poll.register(fd, select.POLLIN)
    left = memoryview(content)
    if feed >= 0:
        os.set_blocking(feed, False)
        poll.register(feed, select.POLLOUT)
    try:
        while True:
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                return TIMEOUT
            for fd, _ in poll.poll(int(left_s * 1000) + 1):
                if fd == program:
                    return EXITED
                if fd == feed:
                    left = _feed(feed, left)
                    if not left:
                        poll.unregister(feed)
                        os.close(feed)
                        feed = -1
                elif fd in streams:
                    if not streams[fd].read(fd):
                        poll.unregister(fd)
                    if streams[fd].total > most:
                        return OUTPUT_LIMIT
                else:
                    os._exit(0)
    finally:
        os.close(program)
        if feed >= 0:
            os.close(feed)


def _feed(fd: int, content: memoryview) -> memoryview:
    try:
        return content[os.write(fd, content) :]
    except BlockingIOError:
        return content
    except OSError:  # nobody will read the rest
        return content[:0]


def _drain(fd: int, kept: _Kept, most: int) -> None:
    """Take what is left in a pipe whose writers are all dead."""
    os.set_blocking(fd, False)
    try:
        while kept.total <= most and kept.read(fd):
            pass
    except BlockingIOError:  # a writer in another sandbox cannot be; be safe all the same
        pass


def _kill_all(pid: int = -1) -> int:
    """Kill and reap every process but this one; return the exit code of `pid`."""
    code = 0
    while True:
        try:
            os.kill(-1, _signal.SIGKILL)
        except ProcessLookupError:
            pass
        try:
            reaped, status = os.waitpid(-1, 0)
        except ChildProcessError:
            return code
        if reaped == pid:
            code = os.waitstatus_to_exitcode(status)


def _children_cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _program(fields: "Fields", subject: bytes, fds: tuple[int, int, int]) -> "NoReturn":
    """Become the program, in a fork. What it patches is its own: it has no way to the host."""
    code = 1
    try:
        for target, fd in enumerate(fds):
            os.dup2(fd, target)
        os.closerange(3, 1 << 20)
        os.setsid()
        _set_dumpable(1)
        _limit(fields)
        code = _OPERATIONS[fields[1]](subject, fields)
    except BaseException as error:
        sys.excepthook(type(error), error, error.__traceback__)
    finally:
        os._exit(code)


def _limit(fields: "Fields") -> None:
    _, _, _, cpu_s, memory, pids, open_files, file_bytes, _, _, _, _ = fields
    limits = [
        (resource.RLIMIT_NPROC, pids + 1),  # this sandbox's user has one more: the worker
        (resource.RLIMIT_NOFILE, open_files),
        (resource.RLIMIT_FSIZE, file_bytes),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_MEMLOCK, 65536),
        (resource.RLIMIT_MSGQUEUE, 0),
    ]
    if memory:
        limits.append((resource.RLIMIT_AS, memory))
    for kind, value in limits:
        resource.setrlimit(kind, (value, value))
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, cpu_s + 1))


def _python(code: bytes, _: "Fields") -> int:
    """Run source as the main module, and end as an interpreter does."""
    _signal.signal(_signal.SIGINT, _signal.default_int_handler)
    main = type(sys)("__main__")
    main.__dict__["__builtins__"] = builtins
    sys.modules["__main__"] = main
    sys.path.insert(0, "/box")
    vars(builtins).update(exit=sys.exit, quit=sys.exit)
    gc.enable()
    status = 0
    try:
        exec(compile(code, "<program>", "exec"), main.__dict__)
    except SystemExit as leaving:
        status = _exit_status(leaving.code)
    except BaseException as error:
        own = error.__traceback__  # this function, which is not the program's business
        error = error.with_traceback(own and own.tb_next)
        sys.excepthook(type(error), error, error.__traceback__)
        status = 1
    if "threading" in sys.modules:
        sys.modules["threading"]._shutdown()
    if "atexit" in sys.modules:
        sys.modules["atexit"]._run_exitfuncs()
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except (OSError, ValueError):
        status = status or 120
    return status


def _exit_status(code: object) -> int:
    if code is None:
        return 0
    if isinstance(code, int):
        return code & 0xFF
    sys.stderr.write(str(code) + "\n")
    return 1


def _exec(subject: bytes, _: "Fields") -> int:
    """Replace this process; 127 and 126 as shells have it."""
    cwd, count, *words = subject.split(b"\0")
    argv = words[: int(count)]
    env = dict(word.split(b"=", 1) for word in words[int(count) :])
    for name in (_signal.SIGINT, _signal.SIGPIPE, _signal.SIGXFSZ):
        _signal.signal(name, _signal.SIG_DFL)
    what = cwd
    try:
        os.chdir(cwd)
        what = argv[0]
        _replace(argv, env)
    except OSError as error:
        os.write(2, what + b": " + os.strerror(_number(error)).encode() + b"\n")
        return 127 if error.errno == errno.ENOENT else 126


def _number(error: OSError) -> int:
    return error.errno or errno.EIO


def _replace(argv: list[bytes], env: dict[bytes, bytes]) -> "NoReturn":
    if b"/" in argv[0]:
        os.execve(argv[0], argv, env)
    failure = OSError(errno.ENOENT, "")
    for folder in env.get(b"PATH", b"").split(b":"):
        try:
            os.execve(folder + b"/" + argv[0], argv, env)
        except FileNotFoundError:
            pass
        except OSError as error:
            failure = error
    raise failure


def _read(path: bytes, fields: "Fields") -> int:
    """Write a regular file to stdout; the exit code is an errno."""
    try:
        folder, name = _folder(path)
        fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode):
            return errno.EINVAL
        if found.st_size > fields[9]:
            return errno.EFBIG
        while chunk := os.read(fd, _CHUNK):
            os.write(1, chunk)
    except OSError as error:
        return _number(error)
    return 0


def _write(subject: bytes, _: "Fields") -> int:
    """Replace whatever stands at a path by a file with the bytes of stdin."""
    mode, path = subject.split(b"\0")
    try:
        folder, name = _folder(path, make=True)
        try:
            os.unlink(name, dir_fd=folder)
        except FileNotFoundError:
            pass
        fd = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600, dir_fd=folder)
        while chunk := os.read(0, _CHUNK):
            while chunk:
                chunk = chunk[os.write(fd, chunk) :]
        os.fchmod(fd, int(mode, 8))
    except OSError as error:
        return _number(error)
    return 0


def _folder(path: bytes, *, make: bool = False) -> tuple[int, bytes]:
    """Open the folder of a path one name at a time, following no link."""
    *parts, name = path.strip(b"/").split(b"/")
    fd = os.open(b"/", os.O_RDONLY)
    for part in parts:
        if make:
            try:
                os.mkdir(part, dir_fd=fd)
            except OSError:  # what matters is whether it can be opened
                pass
        fd = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=fd)
    return fd, name


def _reset(baseline: "Usage") -> bool:
    """Kill, wipe and compare with how it was at the start."""
    try:
        _kill_all()
        for root, (mode, *_) in baseline.items():
            _wipe(root, mode)
        alone = [name for name in os.listdir("/proc") if name.isdigit()] == ["1"]
        return alone and _usage() == baseline
    except OSError:
        return False


def _usage() -> "Usage":
    """Mode, blocks and inodes in use of each place a program can write to."""
    usage = {}
    for root in _ROOTS:
        space = os.statvfs(root)
        mode = stat.S_IMODE(os.stat(root).st_mode)
        usage[root] = (mode, space.f_blocks - space.f_bfree, space.f_files - space.f_ffree)
    return usage


def _wipe(root: str, mode: int) -> None:
    """Empty a folder. Nested folders move up one by one, so that no depth is too deep."""
    os.chmod(root, mode)
    for name in os.listxattr(root):
        os.removexattr(root, name)
    moved = 0
    top = os.fsencode(root)
    while names := os.listdir(top):
        for path in (top + b"/" + name for name in names):
            if not _is_dir(path):
                os.unlink(path)
                continue
            os.chmod(path, 0o700)
            for inner in (path + b"/" + name for name in os.listdir(path)):
                if _is_dir(inner):
                    os.chmod(inner, 0o700)
                    os.rename(inner, b"%s/.%d" % (top, moved))
                    moved += 1
                else:
                    os.unlink(inner)
            os.rmdir(path)
    os.utime(root, (0, 0))


def _is_dir(path: bytes) -> bool:
    return stat.S_ISDIR(os.lstat(path).st_mode)


_OPERATIONS = {b"P": _python, b"X": _exec, b"R": _read, b"W": _write}


if __name__ == "__main__":
    main()
