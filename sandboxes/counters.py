"""What a control group counts, read before a call and after it."""

import os
from types import TracebackType
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

    def __init__(self, group: Group) -> None:
        """Open them.

        Raises:
            OSError: the group is gone.
        """
        self._version = group.version
        oom_file, cpu_file = group.counter_files
        self._oom = os.open(oom_file, os.O_RDONLY | os.O_CLOEXEC)
        self._cpu = -1
        try:
            if cpu_file:
                self._cpu = os.open(cpu_file, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            os.close(self._oom)
            raise

    def read(self) -> Counts:
        """Return what they say now.

        Raises:
            OSError: the group is gone.
        """
        return Counts(_field(self._oom, b"oom_kill"), self._cpu_s())

    def _cpu_s(self) -> float | None:
        if self._cpu < 0:
            return None
        if self._version == 2:
            return _field(self._cpu, b"usage_usec") / 1e6
        return int(os.pread(self._cpu, _MOST, 0)) / 1e9

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        os.close(self._oom)
        if self._cpu >= 0:
            os.close(self._cpu)


def _field(fd: int, name: bytes) -> int:
    for line in os.pread(fd, _MOST, 0).splitlines():
        key, _, value = line.partition(b" ")
        if key == name:
            return int(value)
    return 0
