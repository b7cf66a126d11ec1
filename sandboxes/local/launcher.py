"""The host's end of the spawner: what is launched, with which user and which control group."""

import array
import asyncio
import contextlib
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from agentgym.errors import SandboxUnavailable
from agentgym.sandboxes.cgroups import Cgroups, Group
from agentgym.sandboxes.owners import owner_name
from agentgym.sandboxes.uids import UIDS, check_mapped, lock_block

SECCOMP_FD, INFO_FD = 3, 4

_END_S = 10.0


@dataclass(frozen=True, slots=True)
class Slot:
    """What a sandbox has for itself while it lives, and another after it."""

    uid: int | None
    """None: our own user, which is not root."""
    group: Group | None


@dataclass(slots=True, eq=False)
class Launched:
    """A process that is becoming, is or was a sandbox."""

    slot: Slot
    channel: socket.socket
    """Stdin and stdout of the program, non-blocking."""
    stderr: int
    gone: asyncio.Future[str]
    """Done with the reason when nothing of the sandbox is left."""
    kill: Callable[[], None] = field(repr=False)


class Launcher:
    """One spawner process and the slots it serves; both end together."""

    def __init__(self, cgroups: Cgroups | None) -> None:
        """Start the spawner. Call it where an event loop runs."""
        self._loop = asyncio.get_running_loop()
        self._cgroups = cgroups
        self._launched: dict[int, Launched] = {}
        self._free: list[Slot] = []
        self._num_slots = 0
        self._num_launched = 0
        self._first_uid: int | None = None
        lock = None
        if os.getuid() == 0:
            check_mapped()
            self._first_uid, lock = lock_block()
        self._control, self._process = _start_spawner(lock, cgroups)
        self._owner = owner_name(self._process.pid)
        self.alive = True
        self._loop.add_reader(self._control, self._receive)

    def launch(self, argv: list[str], *, stdin: bytes, seccomp: bytes) -> Launched:
        """Start a program; `stdin` must fit the buffer of a socket, `seccomp` that of a pipe.

        Raises:
            SandboxUnavailable: the spawner has died, or there are too many sandboxes.
            OSError: this process has no more descriptors, or the machine no more groups.
        """
        slot = self._free.pop() if self._free else self._new_slot()
        try:
            if slot.group:
                slot.group.make()  # who numbers processes otherwise may have taken it for left
            return self._launch(argv, stdin, seccomp, slot)
        except BaseException:
            self._free.append(slot)
            raise

    def _launch(self, argv: list[str], stdin: bytes, seccomp: bytes, slot: Slot) -> Launched:
        self._num_launched += 1
        number = self._num_launched
        request = {"op": "spawn", "id": number, "argv": argv, "uid": slot.uid}
        request["join"] = slot.group.join_files if slot.group else []
        with contextlib.ExitStack() as ours, contextlib.ExitStack() as theirs:
            channel, box = socket.socketpair()
            ours.enter_context(channel)
            theirs.enter_context(box)
            stderr, stderr_end = _pipe(ours, theirs)
            filter_fd, filter_end = _pipe(theirs, theirs)
            os.write(filter_end, seccomp)
            channel.setblocking(False)
            channel.send(stdin)
            try:
                self._send(request, [box.fileno(), stderr_end, filter_fd])
            except OSError as error:
                raise SandboxUnavailable(f"the spawner has died: {error}") from error
            ours.pop_all()
        gone = self._loop.create_future()
        launched = Launched(slot, channel, stderr, gone, lambda: self._kill(number))
        self._launched[number] = launched
        return launched

    def _new_slot(self) -> Slot:
        """Return a slot that no sandbox ever had.

        Raises:
            SandboxUnavailable: there are no more.
        """
        if self._num_slots == UIDS:
            raise SandboxUnavailable(
                f"{UIDS} sandboxes are held already", hint="run fewer episodes at once"
            )
        uid = None if self._first_uid is None else self._first_uid + self._num_slots
        name = f"{self._owner}.{self._num_slots}"
        slot = Slot(uid, self._cgroups.create(name) if self._cgroups else None)
        self._num_slots += 1
        return slot

    async def close(self) -> None:
        """End the spawner, and with it every sandbox. Idempotent."""
        if self._control.fileno() >= 0:
            self._loop.remove_reader(self._control)
            self._control.close()
        self._mark_dead()
        await asyncio.to_thread(_wait, self._process)

    def _kill(self, number: int) -> None:
        with contextlib.suppress(OSError):  # the spawner died, and the sandbox with it
            self._send({"op": "kill", "id": number}, [])

    def _send(self, request: dict[str, object], fds: list[int]) -> None:
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        self._control.sendmsg([json.dumps(request).encode()], rights)

    def _receive(self) -> None:
        """Take one report; called by the event loop."""
        try:
            data = self._control.recv(1 << 16, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._loop.remove_reader(self._control)
            self._mark_dead()
            return
        report = json.loads(data)
        launched = self._launched.pop(report["id"])
        self._free.append(launched.slot)
        _settle(launched, report["gone"])

    def _mark_dead(self) -> None:
        self.alive = False
        for launched in self._launched.values():
            _settle(launched, "the spawner has ended")
        self._launched.clear()


def _pipe(reader: contextlib.ExitStack, writer: contextlib.ExitStack) -> tuple[int, int]:
    """Return the ends of a pipe, each closed with what it belongs to."""
    ends = os.pipe()
    for holder, end in zip((reader, writer), ends, strict=True):
        holder.callback(os.close, end)
    return ends


def _settle(launched: Launched, why: str) -> None:
    if not launched.gone.done():
        launched.gone.set_result(why)


def _start_spawner(
    lock: socket.socket | None, cgroups: Cgroups | None
) -> tuple[socket.socket, subprocess.Popen[bytes]]:
    """Return our end of a new spawner's socket, and its process, which then holds the lock."""
    with contextlib.ExitStack() as ours, contextlib.ExitStack() as theirs:
        held = [theirs.enter_context(lock)] if lock else []
        control, end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.enter_context(control)
        held.append(theirs.enter_context(end))
        places = {
            "home": cgroups.create_home().join_files if cgroups else [],
            "folders": [str(folder) for folder in cgroups.folders] if cgroups else [],
        }
        spawner = Path(__file__).with_name("spawner.py")
        argv = [sys.executable, "-I", "-S", str(spawner)]
        process = subprocess.Popen(
            [*argv, str(end.fileno()), str(os.getpid()), json.dumps(places)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            env={},
            pass_fds=[sock.fileno() for sock in held],
            start_new_session=True,  # Ctrl-C is for the host, which ends the spawner in order
        )
        ours.pop_all()
    return control, process


def _wait(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(_END_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
