"""What one sandbox may use, set in its control group before each call."""

import asyncio
import errno
import time

from agentgym.sandbox import Limits
from agentgym.sandboxes.cgroups import Group
from agentgym.sandboxes.counters import Counters

ROOM = 256 << 20
"""Memory for what is no program: the worker holds a file while one of its own writes it."""

_BUSY_S = 1.0
# Each program's own limit holds it to its number of processes; in the group there is room for all
# that sessions hold, for one program more, the worker and what started it.
_OTHERS = 3


class Limiter:
    """Holds one sandbox, all its sessions and its worker to what the next call may use."""

    def __init__(
        self,
        group: Group | None,
        *,
        defaults: Limits,
        cpus: float,
        held: Limits | None = None,
    ) -> None:
        self._group = group
        self._is_ours = group is not None and group.is_ours
        self._defaults = defaults
        self._cpus = cpus
        self._held = held
        self._applied: tuple[int, int] | None = None
        self._most = self._of(defaults)

    def must_count_memory(self, memory_bytes: int) -> bool:
        """Whether the worker has to limit processes: nobody keeps the whole of it to this much."""
        return not self._is_ours and (self._held is None or memory_bytes < self._held.memory_bytes)

    async def hold_to(self, limits: Limits) -> bool:
        """Set what a program may use; False: more memory than that is held already.

        Raises:
            OSError: the group is gone, or takes no limits.
        """
        wanted = self._of(limits)
        if wanted == self._applied or not self._is_ours:
            return True
        self._most = max(self._most[0], wanted[0]), max(self._most[1], wanted[1])
        return await self._apply(wanted)

    async def make_room(self, size: int = 0) -> None:
        """Let the worker do what is no program, with a file of this size.

        It must not fail for what programs left: there is more room than they ever had.

        Raises:
            OSError: the group is gone, or takes no limits.
        """
        memory, pids = self._applied or (0, 0)
        wanted = max(memory, self._most[0] + ROOM + 2 * size), max(pids, self._most[1])
        if self._is_ours and wanted != self._applied:
            await self._apply(wanted)

    async def start_over(self) -> bool:
        """Set the defaults, now that nothing is left of what ran; False: something is.

        Raises:
            OSError: the group is gone, or takes no limits.
        """
        self._most = self._of(self._defaults)
        return await self.hold_to(self._defaults)

    def counters(self) -> Counters:
        """Open what the group counts.

        Raises:
            OSError: the group is gone.
        """
        return Counters(self._group)

    def _of(self, limits: Limits) -> tuple[int, int]:
        """Return what of these a group holds: memory and processes."""
        return limits.memory_bytes, max(limits.pids, self._defaults.pids) + _OTHERS

    async def _apply(self, wanted: tuple[int, int]) -> bool:
        assert self._group is not None
        memory, pids = wanted
        self._applied = None
        deadline = time.monotonic() + _BUSY_S
        while True:
            try:
                self._group.limit(memory_bytes=memory, pids=pids, cpus=self._cpus)
            except OSError as error:
                if error.errno != errno.EBUSY:
                    raise
                if time.monotonic() > deadline:
                    return False
            else:
                self._applied = wanted
                return True
            await asyncio.sleep(0.01)  # the kernel takes back the memory of the dead a little later
