"""Which replica an episode is served by: the one that has its prefix in its cache."""

import time
from collections import Counter, OrderedDict
from collections.abc import Sequence

_IDLE_S = 3600.0
_MOST = 100_000  # names that a client may make up and never release


class Sessions:
    """Sticky sessions over numbered replicas; forgotten when released, idle, or too many."""

    def __init__(self) -> None:
        self._places: OrderedDict[str, tuple[int, float]] = OrderedDict()
        self._counts: Counter[int] = Counter()

    def place(self, session: str, up: Sequence[int]) -> int:
        """Return the replica of a session; of a new one, or where it is not up, that with fewest.

        Args:
            session: its name.
            up: the replicas that can be asked, at least one.
        """
        found = self._places.get(session)
        if found is not None and found[0] in up:
            number = found[0]
        else:
            self.forget(session)
            number = min(up, key=lambda each: self._counts[each])
            self._counts[number] += 1
        self._places[session] = number, time.monotonic()
        self._places.move_to_end(session)
        return number

    def forget(self, session: str) -> int | None:
        """Forget a session and return which replica had it."""
        found = self._places.pop(session, None)
        if found is None:
            return None
        self._counts[found[0]] -= 1
        return found[0]

    def drop(self, number: int) -> None:
        """Forget all sessions of a replica: its caches are gone."""
        for session in [each for each, (at, _) in self._places.items() if at == number]:
            self.forget(session)

    def outdated(self) -> list[tuple[int, str]]:
        """Forget those that are idle or too many, and return them with their replicas."""
        old: list[tuple[int, str]] = []
        limit = time.monotonic() - _IDLE_S
        for session, (number, used) in list(self._places.items()):
            if used > limit and len(self._places) <= _MOST:
                break
            self.forget(session)
            old.append((number, session))
        return old

    def count(self, number: int) -> int:
        """Return how many sessions a replica has."""
        return self._counts[number]
