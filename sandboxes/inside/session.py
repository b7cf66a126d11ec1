"""A session's own process: runs one piece of code after the other in one name space.

It hears of its calls over a socket, the fourth of its descriptors. Whatever untrusted code says
there in its place can end or confuse this one session, and nothing else.
"""

import _socket
import os
import resource
import stat
import struct
import sys

from agentgym.sandboxes.inside.programs import exit_status, flush, make_main, tell

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from agentgym.sandboxes.inside.wire import Request

CALL = struct.Struct(">cII")
"""What is asked (P: run code, F: fork), CPU seconds or number of forks, length of the code."""
DONE = struct.Struct(">iI")
"""Exit code, length of a reason. Then the reason."""
HELLO = struct.Struct(">i")
"""A fork's first word: its process id."""

CONTROL = 3
_NUM_FDS = 3  # of a fork: stdout, stderr, control
_ONLY_AST = 0x0400  # ast.PyCF_ONLY_AST


def serve(_: "Request") -> int:
    """Answer calls until the code exits or the other side hangs up."""
    space = make_main()
    control = _socket.socket(fileno=CONTROL)
    while True:
        header = _receive(control, CALL.size)
        _bury()
        what, number, size = CALL.unpack(header)
        if what == b"F":
            _fork(control, number)
            continue
        code = _receive(control, size)
        _limit_cpu(number)
        leaving, status = _run(code, space)
        status = flush() or status
        if leaving:
            return status
        control.sendall(DONE.pack(status, 0))


def _receive(control: "_socket.socket", size: int) -> bytes:
    data = b""
    while len(data) < size:
        chunk = control.recv(size - len(data))
        if not chunk:
            os._exit(0)
        data += chunk
    return data


def _bury() -> None:
    """Reap what was killed after the last call."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


def _limit_cpu(seconds: int) -> None:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(
        resource.RLIMIT_CPU, (int(usage.ru_utime + usage.ru_stime) + seconds + 1, hard)
    )


def _run(code: bytes, space: "dict[str, Any]") -> tuple[bool, int]:
    """Run code as a notebook does: the value of a last expression is shown."""
    try:
        for part in _parts(code):
            exec(part, space)
    except SystemExit as leaving:
        return True, exit_status(leaving.code)
    except BaseException as error:
        tell(error)
        return False, 1
    return False, 0


def _parts(code: bytes) -> "list[Any]":
    tree: Any = compile(code, "<session>", "exec", _ONLY_AST)
    if not tree.body or type(tree.body[-1]).__name__ != "Expr":
        return [compile(tree, "<session>", "exec")]
    ast = _ast_types()
    last = ast.Interactive([tree.body.pop()])
    return [compile(tree, "<session>", "exec"), compile(last, "<session>", "single")]


def _ast_types() -> "Any":
    """Return the types alone; `ast` itself takes longer to import."""
    import _ast

    return _ast


def _fork(control: "_socket.socket", number: int) -> None:
    """Fork, and answer; in a fork, say hello on the fork's own socket.

    Forks are made by a process that ends at once, so that they become children of PID 1.
    """
    _, rights, _, _ = control.recvmsg(1, _socket.CMSG_LEN(4 * _NUM_FDS * number))
    sent = b"".join(data for _, _, data in rights)
    fds = struct.unpack(f"{len(sent) // 4}i", sent)
    reason = _what_forbids_forking(fds, _NUM_FDS * number)
    if not reason:
        random = sys.modules.get("random")  # it is drawn anew in a fork; copies should be equal
        state = random.getstate() if random else None
        middle = os.fork()
        if not middle:
            _fork_all(fds)
            if random:
                random.setstate(state)
            control.sendall(HELLO.pack(os.getpid()))
            return
        if os.waitpid(middle, 0)[1]:
            reason = "it may have no more processes"
    for fd in fds:
        os.close(fd)
    said = reason.encode()
    control.sendall(DONE.pack(0, len(said)) + said)


def _fork_all(fds: tuple[int, ...]) -> None:
    """Fork once for each three descriptors; return in the forks only, with theirs in place."""
    code = 1
    try:
        for at in range(0, len(fds), _NUM_FDS):
            if not os.fork():
                for target, fd in zip((1, 2, CONTROL), fds[at : at + _NUM_FDS]):
                    os.dup2(fd, target)
                for fd in fds:
                    os.close(fd)
                return
        code = 0
    except OSError:
        pass
    os._exit(code)


def _what_forbids_forking(own: tuple[int, ...], wanted: int) -> str:
    """Return what a fork would not carry, or lack; empty: nothing."""
    try:
        number = len(os.listdir("/proc/self/task"))
        names = os.listdir("/proc/self/fd")
    except OSError:
        number, names = 1, []
    if number > 1:
        return f"it runs {number} threads, and a fork has one"
    if len(own) < wanted or not names:
        return "it may have no more files open"
    for name in names:
        fd = int(name)
        if fd == CONTROL or fd in own:
            continue
        try:
            is_socket = stat.S_ISSOCK(os.fstat(fd).st_mode)
        except OSError:  # the one that listed the folder
            continue
        if is_socket:
            return f"its descriptor {fd} is a socket, which forks would share"
    return ""
