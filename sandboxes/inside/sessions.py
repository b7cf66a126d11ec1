"""The sessions of a sandbox, as PID 1 holds them."""

import _signal  # type: ignore[import-not-found]
import _socket
import errno
import os
import select
import struct
import time

from agentgym.sandboxes.inside.processes import count, end_all, parent
from agentgym.sandboxes.inside.programs import become
from agentgym.sandboxes.inside.session import CALL, DONE, HELLO, serve
from agentgym.sandboxes.inside.streams import Streams, Watch, ended, forget
from agentgym.sandboxes.inside.wire import EXITED, SESSION_ENDED, SIGNALED, answer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence, Set

    from agentgym.sandboxes.inside.wire import Request

_MOST = 64
_TOO_MANY = b"there can be %d sessions at once" % _MOST
_NO_ROOM = b"there may be no more processes"
_NO_ANSWER = b"it did not answer, and has ended"
_MOST_SAID = 4096


class Session:
    """One process, and the ends of its socket and of its output."""

    __slots__ = ("control", "err", "out", "pid", "process")

    def __init__(self, pid: int, control: "_socket.socket", out: int, err: int) -> None:
        self.pid = pid
        self.process = os.pidfd_open(pid)
        self.control = control
        self.out = out
        self.err = err

    def close(self) -> None:
        """Let go of it; it is dead, or about to be."""
        self.control.close()
        for fd in (self.process, self.out, self.err):
            os.close(fd)

    def ask(self, what: bytes, fds: "Sequence[int]" = ()) -> bool:
        """Send it a few bytes; False: it does not listen."""
        rights = struct.pack(f"{len(fds)}i", *fds)
        try:
            sent = self.control.send(what)
            if fds:
                self.control.sendmsg([b"\0"], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, rights)])
        except OSError:
            return False
        return sent == len(what)

    def wake(self) -> None:
        """Let it go on, unless it is dead."""
        try:
            _signal.pidfd_send_signal(self.process, _signal.SIGCONT)
        except ProcessLookupError:
            pass

    def cpu_s(self) -> float:
        """Seconds that it ran, ever; 0.0 when it is gone."""
        try:
            return time.clock_gettime(~self.pid << 3 | 2)  # as clock_getcpuclockid has it
        except OSError:
            return 0.0


class Ends:
    """What a session will have, and what stays here of it."""

    __slots__ = ("control", "err", "out", "theirs")

    def __init__(self) -> None:
        self.control, control = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_STREAM, 0)
        self.out, out = os.pipe()
        self.err, err = os.pipe()
        self.theirs = (out, err, control.detach())

    def close_theirs(self) -> None:
        """Let go of what the session has now."""
        for fd in self.theirs:
            os.close(fd)

    def keep(self, pid: int) -> Session:
        """Return the session whose process this is."""
        return Session(pid, self.control, self.out, self.err)

    def adopt(self, deadline: float, known: "Set[int]") -> "Session | None":
        """Return the session whose process says hello; None: no new child of ours does."""
        poll = select.poll()
        poll.register(self.control.fileno(), select.POLLIN)
        poll.poll(max(0, int((deadline - time.monotonic()) * 1000)))
        self.control.setblocking(False)
        try:
            (pid,) = HELLO.unpack(self.control.recv(HELLO.size))
            return self.keep(pid) if pid not in known and parent(pid) == 1 else None
        except (OSError, struct.error):
            return None

    def close(self) -> None:
        """There will be no session."""
        self.control.close()
        os.close(self.out)
        os.close(self.err)


class Sessions:
    """All of them, by the numbers that the host knows."""

    def __init__(self, channel: int) -> None:
        self._channel = channel
        self._open: dict[int, Session] = {}
        self._last = 0

    @property
    def pids(self) -> "set[int]":
        """Their processes, which outlive calls."""
        return {session.pid for session in self._open.values()}

    def end_calls(self, keep: "Set[int]" = frozenset()) -> "dict[int, int]":
        """Kill all but the sessions and `keep`, stop those, and forget the ones that died."""
        reaped = end_all(self.pids | keep)
        for number, session in list(self._open.items()):
            if session.pid in reaped:
                del self._open[number]
                session.close()
        return reaped

    def open(self, request: "Request") -> None:
        """Start a session, and answer with its number."""
        if len(self._open) >= _MOST:
            answer(request, code=errno.EAGAIN, text=_TOO_MANY)
            return
        if count() > request.pids:  # it would take the last place, which programs need
            answer(request, code=errno.EAGAIN, text=_NO_ROOM)
            return
        ends = Ends()
        out, err, control = ends.theirs
        try:
            pid = os.fork()
        except OSError:
            ends.close_theirs()
            ends.close()
            answer(request, code=errno.EAGAIN, text=_NO_ROOM)
            return
        if not pid:
            null = os.open("/dev/null", os.O_RDONLY)
            become(serve, request, (null, out, err, control), lasting=True)
        ends.close_theirs()
        number = self._add(ends.keep(pid))
        self.end_calls()
        answer(request, text=b"%d" % number)

    def call(self, request: "Request") -> None:
        """Run code in a session; it ends with the session where it breaks a limit."""
        session = self._open.pop(request.session, None)
        if session is None:
            answer(request, status=SIGNALED | SESSION_ENDED, code=_signal.SIGKILL)
            forget(request.subject)
            return
        streams = Streams(session.out, session.err, request)
        watch, said = self._resume(session)
        before = session.cpu_s()
        if session.ask(CALL.pack(b"P", request.cpu_s, len(request.subject))):
            watch.add_input(os.dup(session.control.fileno()), request.subject, close=True)
        verdict = streams.run(watch)
        cpu_s = session.cpu_s() - before
        is_done = verdict == EXITED and len(said) == DONE.size
        reaped = self.end_calls({session.pid} if is_done else set())
        verdict = streams.finish(verdict)
        lives = is_done and verdict == EXITED and session.pid not in reaped
        if not lives:
            reaped |= self.end_calls()
            session.close()
        code = DONE.unpack(said)[0] if is_done else exit_code(reaped.get(session.pid))
        streams.report(verdict, code, cpu_s=cpu_s, flags=0 if lives else SESSION_ENDED)
        if lives:
            self._open[request.session] = session

    def fork(self, request: "Request") -> None:
        """Fork a session, and answer with the numbers of the forks, or why there are none."""
        session = self._open.get(request.session)
        number = int(request.subject)
        if session is None:
            answer(request, code=errno.ESRCH, text=b"the session has ended")
        elif len(self._open) + number > _MOST:
            answer(request, code=errno.EAGAIN, text=_TOO_MANY)
        else:
            self._fork(request, session, number)

    def end(self, request: "Request") -> None:
        """End a session, if it has not ended."""
        if request.session in self._open:
            self._drop(request.session)
        answer(request)

    def end_everything(self) -> None:
        """Kill every process there is."""
        for session in self._open.values():
            session.close()
        self._open.clear()
        end_all()

    def _add(self, session: Session) -> int:
        self._last += 1
        self._open[self._last] = session
        return self._last

    def _resume(self, session: Session) -> "tuple[Watch, bytearray]":
        """Let a session run; what it says when it has done lands in the second."""
        said = bytearray()
        watch = Watch(self._channel)
        watch.add(session.process, select.POLLIN, ended)

        def listen() -> "int | None":
            try:
                data = session.control.recv(_MOST_SAID)
            except BlockingIOError:
                return None
            except OSError:  # it hung up on what it had not read
                data = b""
            said.extend(data)
            if data:
                return EXITED
            watch.remove(session.control.fileno())  # it is about to end
            return None

        session.control.setblocking(False)
        watch.add(session.control.fileno(), select.POLLIN, listen)
        session.wake()
        return watch, said

    def _fork(self, request: "Request", session: Session, number: int) -> None:
        all_ends = [Ends() for _ in range(number)]
        theirs = [fd for ends in all_ends for fd in ends.theirs]
        watch, said = self._resume(session)
        deadline = time.monotonic() + request.wall_s
        heard = session.ask(CALL.pack(b"F", number, 0), theirs)
        verdict = watch.run(deadline) if heard else None
        watch.close()
        for ends in all_ends:
            ends.close_theirs()
        if verdict != EXITED or len(said) < DONE.size:  # a late answer would be taken for another's
            self._drop(request.session)
            _give_up(all_ends)
            answer(request, status=EXITED | SESSION_ENDED, code=errno.EINVAL, text=_NO_ANSWER)
            return
        reason = bytes(said[DONE.size :]) or self._adopt_all(request, all_ends, deadline)
        if reason:
            _give_up(all_ends)
            self.end_calls()
            answer(request, code=errno.EINVAL, text=reason)

    def _adopt_all(self, request: "Request", all_ends: "list[Ends]", deadline: float) -> bytes:
        """Keep every fork, and answer; else return why there are none."""
        known = self.pids
        forks: list[Session] = []
        for ends in all_ends:
            fork = ends.adopt(deadline, known)
            if fork is None:
                for adopted in forks:
                    os.close(adopted.process)
                return b"a fork did not begin"
            known.add(fork.pid)
            forks.append(fork)
        numbers = [self._add(fork) for fork in forks]
        self.end_calls()
        answer(request, text=b" ".join(b"%d" % each for each in numbers))
        return b""

    def _drop(self, number: int) -> None:
        """End a session."""
        session = self._open.pop(number)
        self.end_calls()
        session.close()


def _give_up(all_ends: "list[Ends]") -> None:
    for ends in all_ends:
        ends.close()


def exit_code(status: "int | None") -> int:
    """Return what `waitpid` said as an exit code; below 0 a signal."""
    return -_signal.SIGKILL if status is None else os.waitstatus_to_exitcode(status)
