"""What a control group counts, read before a call and after it."""

import os
from typing import NamedTuple, Self

from agentgym.sandboxes.cgroups import Group

_MOST = 4096


class Counts(NamedTuple):
    """What was counted, ever."""

    oom_kills: int
    """Processes that were killed for want of memory."""
    cpu_s: float | None
    """None where it is not counted."""


class Counters:
    """The counters of one group, held open: to open one takes six times as long as to read it.

    They are held for one call and not for longer, since every sandbox would have two descriptors
    more.
    """

    def __init__(self, group: Group | None) -> None:
        """Open them; without a group nothing is counted.

        Raises:
            OSError: the group is gone.
        """
        self._version = group.version if group else 0
        self._fds: list[int] = []
        try:
            for file in group.counter_files if group else ():
                self._fds.append(os.open(file, os.O_RDONLY | os.O_CLOEXEC))
        except OSError:
            self.close()
            raise

    def read(self) -> Counts:
        """Return what they say now.

        Raises:
            OSError: the group is gone.
        """
        if not self._fds:
            return Counts(0, None)
        oom, *cpu = self._fds
        return Counts(_field(oom, b"oom_kill"), self._cpu_s(cpu[0]) if cpu else None)

    def close(self) -> None:
        """Let go of them."""
        for fd in self._fds:
            os.close(fd)

    def _cpu_s(self, fd: int) -> float:
        if self._version == 2:
            return _field(fd, b"usage_usec") / 1e6
        return int(os.pread(fd, _MOST, 0)) / 1e9

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _field(fd: int, name: bytes) -> int:
    for line in os.pread(fd, _MOST, 0).splitlines():
        key, _, value = line.partition(b" ")
        if key == name:
            return int(value)
    return 0
