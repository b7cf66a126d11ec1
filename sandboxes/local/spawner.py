"""A small process that starts and ends sandboxes for a big one.

It is single-threaded, so that "die with the parent" means with this process, and small, so that
starting a process is cheap. It runs as `python -I -S spawner.py FD PARENT PLACES`: one end of a
socket, the process it serves, and JSON with `home` (files by which it joins its own control
groups) and `folders` (where groups named after it are its to remove). When either the socket or
the process ends, it kills every sandbox, removes the groups and goes. Requests are JSON, files
come along with them:

    {"op": "spawn", "id": 1, "argv": [...], "uid": 200000 or null, "join": [files]}
        + [the worker's socket, stderr, seccomp program]; they become fds 0 and 1, 2 and 3;
        fd 4 is where bwrap tells the process id of the worker
    {"op": "kill", "id": 1}
    -> {"id": 1, "gone": "why"}, once for each spawn, when nothing of the sandbox is left

It never waits for the host to read, which may itself wait until it is read from.
"""

import contextlib
import ctypes
import errno
import json
import os
import resource
import select
import signal
import socket
import sys
import time
from collections import deque

_PR_SET_CHILD_SUBREAPER = 36
_INFO_FD = 4
_GRACE_S = 5.0
_INFO_S = 1.0
_OPEN_FILES = 4096  # one for each sandbox, of which a pool may have a thousand, and some more
_OOM_SCORE = "/proc/self/oom_score_adj"
_OOM_SCORE_MORE, _OOM_SCORE_MOST = 500, 1000


class Child:
    """A running bwrap."""

    def __init__(self, number: int, info: int) -> None:
        self.number = number
        self.info = info
        self.is_killed = False


class Spawner:
    """The children and the loop that serves them."""

    def __init__(self, control: socket.socket, parent: int, home: list[str]) -> None:
        self._control = control
        self._parent = os.pidfd_open(parent)
        self._children: dict[int, Child] = {}
        self._home = home
        self._reports: deque[bytes] = deque()
        self._own_score = _oom_score()
        self._their_score = min(self._own_score + _OOM_SCORE_MORE, _OOM_SCORE_MOST)
        self._wake, wake_end = os.pipe()
        for fd in (self._wake, wake_end):
            os.set_blocking(fd, False)
        signal.set_wakeup_fd(wake_end, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)

    def serve(self) -> None:
        """Work until the host is gone, then end everything."""
        poll = select.poll()
        for fd in (self._control.fileno(), self._parent, self._wake):
            poll.register(fd, select.POLLIN)
        while True:
            room = select.POLLOUT if self._reports else 0
            poll.modify(self._control.fileno(), select.POLLIN | room)
            ready = dict(poll.poll())
            if self._wake in ready:
                os.read(self._wake, 4096)
                self._reap()
            if self._parent in ready:
                return
            asked = ready.get(self._control.fileno(), 0) & ~select.POLLOUT
            if asked and not self._take_request():
                return
            self._send_reports()

    def end(self) -> None:
        """Kill and reap every sandbox."""
        for pid in self._children:
            self._kill(pid)
        deadline = time.monotonic() + _GRACE_S
        while self._reap() and time.monotonic() < deadline:
            _is_readable(self._wake, 0.1)

    def _take_request(self) -> bool:
        try:
            data, fds, _, _ = socket.recv_fds(self._control, 1 << 16, 3, socket.MSG_CMSG_CLOEXEC)
        except ConnectionError:
            return False
        if not data:
            return False
        for fd in fds:
            os.set_inheritable(fd, False)
        request = json.loads(data)
        if request["op"] == "kill":
            for pid, child in self._children.items():
                if child.number == request["id"]:
                    self._kill(pid)
            return True
        try:
            self._spawn(request, fds)
        except OSError as error:
            self._report(request["id"], str(error))
        finally:
            for fd in fds:
                os.close(fd)
        return True

    def _spawn(self, request: dict, fds: list[int]) -> None:  # type: ignore[type-arg]
        """Start as a child of the right groups and user: a fork inherits both."""
        if len(fds) != 3:  # the rest found no room in our table, and was closed
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        box, stderr, seccomp = fds
        info, info_end = os.pipe()
        argv = request["argv"]
        plan = ((box, 0), (box, 1), (stderr, 2), (seccomp, 3), (info_end, _INFO_FD))
        actions = [(os.POSIX_SPAWN_DUP2, fd, target) for fd, target in plan]
        try:
            _join(request["join"])
            _set_oom_score(self._their_score)
            _become(request["uid"])
            pid = os.posix_spawn(argv[0], argv, {}, file_actions=actions, setsid=True)
        except OSError:
            os.close(info)
            raise
        finally:
            os.close(info_end)
            _become_root_again(request["uid"])
            _set_oom_score(self._own_score)
            _join(self._home)
        self._children[pid] = Child(request["id"], info)

    def _kill(self, pid: int) -> None:
        """Kill the worker, so that bwrap ends after everything inside has; else bwrap itself."""
        child = self._children[pid]
        if child.is_killed:
            return
        child.is_killed = True
        text = os.read(child.info, 4096) if _is_readable(child.info, _INFO_S) else b""
        _, found, rest = text.partition(b'"child-pid":')
        worker = int(rest.split(b",")[0].split(b"\n")[0]) if found else 0
        if not (worker and _kill_child(worker, pid)):
            os.kill(pid, signal.SIGKILL)

    def _reap(self) -> bool:
        """Bury the dead, orphans of a killed bwrap too, and say whether any process is left."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return False
            if not pid:
                return True
            child = self._children.pop(pid, None)
            if child:
                os.close(child.info)
                self._report(child.number, f"it ended with {os.waitstatus_to_exitcode(status)}")

    def _report(self, number: int, why: str) -> None:
        self._reports.append(json.dumps({"id": number, "gone": why}).encode())

    def _send_reports(self) -> None:
        with contextlib.suppress(OSError):  # no room now, or no host, as the loop is about to see
            while self._reports:
                self._control.send(self._reports[0], socket.MSG_DONTWAIT)
                self._reports.popleft()


def _kill_child(pid: int, parent: int) -> bool:
    """Kill `pid` if it is a child of `parent`; asked after its pidfd is held, to be sure."""
    try:
        fd = os.pidfd_open(pid)
    except OSError:
        return False
    try:
        with open(f"/proc/{pid}/stat") as file:
            is_child = int(file.read().rpartition(")")[2].split()[1]) == parent
        if is_child:
            signal.pidfd_send_signal(fd, signal.SIGKILL)
        return is_child
    except OSError:
        return False
    finally:
        os.close(fd)


def _is_readable(fd: int, timeout_s: float) -> bool:
    poll = select.poll()  # select would refuse the numbers of 1024 and up
    poll.register(fd, select.POLLIN)
    return bool(poll.poll(timeout_s * 1000))


def _oom_score() -> int:
    try:
        with open(_OOM_SCORE) as file:
            return int(file.read())
    except OSError:
        return 0


def _set_oom_score(score: int) -> None:
    """Say how fit a victim this process is, and what it starts, where memory ends.

    A machine without room is to lose a sandbox, not what it serves. Where the file is closed to
    us, as in some containers, they are as fit as each other.
    """
    with contextlib.suppress(OSError), open(_OOM_SCORE, "w") as file:
        file.write(str(score))


def _join(files: list[str]) -> None:
    """Move this process, which is one thread, into control groups."""
    for file in files:
        fd = os.open(file, os.O_WRONLY)
        try:
            os.write(fd, b"0")
        finally:
            os.close(fd)


def _become(uid: int | None) -> None:
    """Take the identity the sandbox is to have, in such a way that root can be taken back."""
    if uid is not None:
        os.setresgid(uid, uid, 0)
        os.setresuid(uid, uid, 0)


def _become_root_again(uid: int | None) -> None:
    if uid is not None:
        os.setresuid(0, 0, 0)
        os.setresgid(0, 0, 0)


def _remove_groups(folders: list[str]) -> None:
    numbering = os.stat("/proc/self/ns/pid").st_ino
    for folder in folders:
        for name in os.listdir(folder):
            if name.startswith(f"{os.getpid()}-") and f"-{numbering}." in name:
                # What would not die keeps its group; the next start tries again.
                with contextlib.suppress(OSError):
                    os.rmdir(f"{folder}/{name}")


def _want_open_files() -> None:
    least, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(least, min(_OPEN_FILES, most)), most))


def main(fd: int, parent: int, places: dict) -> None:  # type: ignore[type-arg]
    """Serve, then leave nothing behind."""
    os.chdir("/")
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    _want_open_files()
    _join(places["home"])
    if os.getuid() == 0:
        os.setgroups([])
    for name in os.listdir("/proc/self/fd"):  # what we were given is not for the sandboxes
        with contextlib.suppress(OSError):
            os.set_inheritable(int(name), int(name) <= 2)
    while os.open("/dev/null", os.O_RDWR) <= _INFO_FD:  # a source fd must not be a target
        pass
    spawner = Spawner(socket.socket(fileno=fd), parent, places["home"])
    try:
        spawner.serve()
    finally:
        spawner.end()
        _remove_groups(places["folders"])


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), json.loads(sys.argv[3]))
