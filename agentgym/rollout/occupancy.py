"""How well an engine was used: shares of the time in which episodes were under way."""

import statistics
import time


class Occupancy:
    """Integrals over time since the last report; it is told of each change."""

    def __init__(self, slots: int | None) -> None:
        self._slots = slots
        self._episodes = self._busy = self._most = 0
        self._since = time.perf_counter()
        self._restart()

    def change(self, episodes: int, busy: int) -> None:
        """From now on so many episodes are under way, and so many of them at the engine."""
        self._settle()
        if episodes > self._episodes:
            self._tail_s = 0.0
        self._episodes, self._busy = episodes, min(busy, self._slots or busy)
        self._most = max(self._most, episodes)

    def end(self, wait_s: float, seconds: float) -> None:
        """An episode ended; of its seconds it waited `wait_s` for its turns."""
        self._wait_s += wait_s
        self._seconds.append(seconds)

    def scalars(self) -> dict[str, float]:
        """Return the shares since the last call, and begin anew; {}: no episode was under way."""
        self._settle()
        if not self._active_s:
            return {}
        found = {
            "rollout/in_flight": self._episode_s / self._active_s,
            "rollout/most_in_flight": float(self._most),
            "rollout/tail_share": self._tail_s / self._active_s,
        }
        if self._slots:
            capacity = self._slots * self._active_s
            found["rollout/idle_share"] = max(0.0, 1 - self._busy_s / capacity)
            found["rollout/oversubscription"] = self._episode_s / capacity
        if self._seconds:
            median = statistics.median(self._seconds)
            found["rollout/wait_share"] = self._wait_s / max(sum(self._seconds), 1e-9)
            found["rollout/straggling"] = max(self._seconds) / max(median, 1e-9)
        self._restart()
        return found

    def _settle(self) -> None:
        now = time.perf_counter()
        passed, self._since = now - self._since, now
        if not self._episodes:
            return
        self._active_s += passed
        self._tail_s += passed
        self._episode_s += passed * self._episodes
        self._busy_s += passed * self._busy

    def _restart(self) -> None:
        self._active_s = self._tail_s = self._episode_s = self._busy_s = self._wait_s = 0.0
        self._seconds: list[float] = []
        self._most = self._episodes
