"""A fork of PID 1 becomes a program. What it patches is its own: it has no way to the host."""

import _ctypes
import _signal  # type: ignore[import-not-found]
import builtins
import errno
import gc
import os
import resource
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, NoReturn

    from agentgym.sandboxes.inside.wire import Request

_PR_SET_DUMPABLE = 4


def set_dumpable(value: int) -> int:
    """Forbid or allow processes of the same user to look into this one; 0 when it worked."""
    library = _ctypes.dlopen(None, 0)  # type: ignore[arg-type]  # the program itself
    prctl = _ctypes.dlsym(library, "prctl")
    return int(_ctypes.call_function(prctl, (_PR_SET_DUMPABLE, value, 0, 0, 0)))


def become(
    program: "Callable[[Request], int]",
    request: "Request",
    fds: tuple[int, ...],
    *,
    lasting: bool = False,
) -> "NoReturn":
    """Run a program in a fork, on its descriptors, under its limits, and end."""
    code = 1
    try:
        for target, fd in enumerate(fds):
            os.dup2(fd, target)
        os.closerange(len(fds), 1 << 20)
        os.setsid()
        set_dumpable(1)
        _offer()
        limit(request, lasting=lasting)
        code = program(request)
    except BaseException as error:
        sys.excepthook(type(error), error, error.__traceback__)
    finally:
        os._exit(code)


def _offer() -> None:
    """Have the kernel take this program, and not the worker, where memory runs out."""
    try:
        fd = os.open("/proc/self/oom_score_adj", os.O_WRONLY)
    except OSError:  # read-only, as in a local sandbox
        return
    try:
        os.write(fd, b"1000")
    finally:
        os.close(fd)


def limit(request: "Request", *, lasting: bool) -> None:
    """Set what holds for each process; a lasting one sets its CPU time call by call."""
    limits = [
        (resource.RLIMIT_NPROC, request.pids + 1),  # this sandbox's user has one more: PID 1
        (resource.RLIMIT_NOFILE, request.open_files),
        (resource.RLIMIT_FSIZE, request.file_bytes),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_MEMLOCK, 65536),
        (resource.RLIMIT_MSGQUEUE, 0),
    ]
    if request.memory:
        limits.append((resource.RLIMIT_AS, request.memory))
    for kind, value in limits:
        value = _at_most(value, kind)
        resource.setrlimit(kind, (value, value))
    if not lasting:
        hard = _at_most(request.cpu_s + 1, resource.RLIMIT_CPU)
        resource.setrlimit(resource.RLIMIT_CPU, (min(request.cpu_s, hard), hard))


def _at_most(value: int, kind: int) -> int:
    """Return what may be set: the machine may hold us to less."""
    _, hard = resource.getrlimit(kind)
    return value if hard == resource.RLIM_INFINITY else min(value, hard)


def make_main() -> "dict[str, Any]":
    """Return the name space of a new main module, with /box on its path, as of an interpreter."""
    _signal.signal(_signal.SIGINT, _signal.default_int_handler)
    main = type(sys)("__main__")
    main.__dict__["__builtins__"] = builtins
    sys.modules["__main__"] = main
    sys.path.insert(0, "/box")
    vars(builtins).update(exit=sys.exit, quit=sys.exit)
    gc.enable()
    return main.__dict__


def python(request: "Request") -> int:
    """Run source as the main module, and end as an interpreter does."""
    space = make_main()
    status = 0
    try:
        exec(compile(bytes(request.subject), "<program>", "exec"), space)
    except SystemExit as leaving:
        status = exit_status(leaving.code)
    except BaseException as error:
        tell(error)
        status = 1
    return end(status)


def end(status: int) -> int:
    """Wait for threads, run what was left for the end, and flush."""
    if "threading" in sys.modules:
        sys.modules["threading"]._shutdown()
    if "atexit" in sys.modules:
        sys.modules["atexit"]._run_exitfuncs()
    return flush() or status


def flush() -> int:
    """Write out what is buffered; 120, as interpreters have it, where that fails."""
    status = 0
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None and not getattr(stream, "closed", False):
                stream.flush()
        except Exception:  # a program may have put anything there
            status = 120
    return status


def tell(error: BaseException) -> None:
    """Print a traceback without the frame that called the program."""
    own = error.__traceback__
    error = error.with_traceback(own and own.tb_next)
    sys.excepthook(type(error), error, error.__traceback__)


def exit_status(code: object) -> int:
    """Return what `sys.exit(code)` exits with."""
    if code is None:
        return 0
    if isinstance(code, int):
        return code & 0xFF
    sys.stderr.write(str(code) + "\n")
    return 1


def execute(request: "Request") -> int:
    """Replace this process; 127 and 126 as shells have it."""
    cwd, count, *words = bytes(request.subject).split(b"\0")
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
        said = os.strerror(error.errno or errno.EIO)
        os.write(2, what + b": " + said.encode() + b"\n")
        return 127 if error.errno == errno.ENOENT else 126


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
