"""What a pool of sandboxes did, and how long it took."""

from dataclasses import dataclass, field


@dataclass(slots=True)
class Timing:
    """Durations of one kind, as far as one wants to know them later."""

    count: int = 0
    total_s: float = 0.0
    max_s: float = 0.0

    def add(self, seconds: float) -> None:
        """Take one more into account."""
        self.count += 1
        self.total_s += seconds
        self.max_s = max(self.max_s, seconds)

    @property
    def mean_s(self) -> float:
        """Seconds; 0.0 where there was none."""
        return self.total_s / self.count if self.count else 0.0


@dataclass(slots=True)
class SandboxMetrics:
    """Counted since the pool was made."""

    wait: Timing = field(default_factory=Timing)
    """From asking for a sandbox to having one."""
    start: Timing = field(default_factory=Timing)
    exec: Timing = field(default_factory=Timing)
    """Calls of every kind, from having a slot to the answer."""
    reset: Timing = field(default_factory=Timing)
    replaced: int = 0
    """Sandboxes that were given up: dead, in doubt, old, used too often, or in another's way."""

    def scalars(self) -> dict[str, float]:
        """Return them by name, as a run records them."""
        found: dict[str, float] = {"replaced": self.replaced}
        for name in ("wait", "start", "exec", "reset"):
            timing: Timing = getattr(self, name)
            found |= {f"{name}_s": timing.mean_s, f"{name}_max_s": timing.max_s}
            found[f"{name}s"] = timing.count
        return found
