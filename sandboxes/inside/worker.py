"""PID 1 of a sandbox: starts one program after the other, and reports what became of it."""

import _signal  # type: ignore[import-not-found]
import gc
import os
import resource
import select
import sys

from agentgym.sandboxes.inside.archive import restore, snapshot
from agentgym.sandboxes.inside.files import read, write
from agentgym.sandboxes.inside.programs import become, execute, python, set_dumpable
from agentgym.sandboxes.inside.sessions import Sessions, exit_code
from agentgym.sandboxes.inside.streams import Streams, Watch, ended, give_back
from agentgym.sandboxes.inside.wiping import usage, wipe
from agentgym.sandboxes.inside.wire import (
    CALL,
    END,
    EXEC,
    EXITED,
    FORK,
    OPEN,
    PYTHON,
    READ,
    REPLY,
    RESET,
    RESTORE,
    SNAPSHOT,
    WRITE,
    Request,
    answer,
    receive_request,
    refuse,
    send,
    take_channel,
)

_PROGRAMS = {
    PYTHON: python,
    EXEC: execute,
    READ: read,
    WRITE: write,
    SNAPSHOT: snapshot,
    RESTORE: restore,
}


def main() -> None:
    """Serve requests until the other side hangs up."""
    channel = take_channel()
    _signal.signal(_signal.SIGINT, _signal.SIG_DFL)
    protection = b"dumpable" if set_dumpable(0) == 0 else b"none"
    said = b"%s %s" % (protection, _seccomp_mode())
    baseline = usage()
    del sys.path[0]
    compile("", "", "exec")  # makes a hundred types, once: else every fork would
    gc.disable()
    gc.freeze()
    sessions = Sessions(channel)
    serve = {OPEN: sessions.open, CALL: sessions.call, FORK: sessions.fork, END: sessions.end}
    size = len(said)
    send(REPLY.pack(0, EXITED, 0, size, 0, 0.0, 0.0, size, 0), said)
    while True:
        request = receive_request()
        if request.operation in _PROGRAMS:
            _run(request, channel, sessions)
        elif request.operation == RESET:
            sessions.end_everything()
            answer(request, code=int(wipe(baseline)))
        else:
            serve[request.operation](request)
        del request
        give_back()


def _run(request: Request, channel: int, sessions: Sessions) -> None:
    """Run one program, kill all it left behind, and report."""
    out, out_end = os.pipe()
    err, err_end = os.pipe()
    source, feed = os.pipe() if request.content else (os.open("/dev/null", os.O_RDONLY), -1)
    before = _children_cpu_s()
    streams = Streams(out, err, request)
    try:
        pid = os.fork()
    except OSError as error:  # what sessions hold leaves no room
        for fd in (out, out_end, err, err_end, source, feed):
            if fd >= 0:
                os.close(fd)
        refuse(request, error)
        return
    if pid == 0:
        become(_PROGRAMS[request.operation], request, (source, out_end, err_end))
    for fd in (source, out_end, err_end):
        os.close(fd)
    process = os.pidfd_open(pid)
    watch = Watch(channel)
    watch.add(process, select.POLLIN, ended)
    if request.content:
        watch.add_input(feed, request.content, close=True)
    verdict = streams.run(watch)
    code = exit_code(sessions.end_calls().get(pid))
    cpu_s = _children_cpu_s() - before
    streams.report(streams.finish(verdict), code, cpu_s=cpu_s)
    for fd in (process, out, err):
        os.close(fd)


def _seccomp_mode() -> bytes:
    """Return what the kernel says of us: 2 where it filters our system calls."""
    with open("/proc/self/status", "rb") as status:
        for line in status:
            if line.startswith(b"Seccomp:"):
                return line.split()[1]
    return b"0"


def _children_cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
