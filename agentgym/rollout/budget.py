"""What a run may spend: sampled tokens, seconds, dollars."""

import time

from pydantic import BaseModel, Field

from agentgym.errors import BudgetError


class BudgetConfig(BaseModel, extra="forbid", frozen=True):
    """Limits on one process, `train`, `resume` or `run`; null: none.

    Once one is reached no episode begins; those under way end where they next ask for more.
    """

    tokens: int | None = Field(default=None, ge=1)
    """Sampled tokens, those of episodes that ended by a fault included."""
    seconds: float | None = Field(default=None, gt=0)
    """Since the first episode began."""
    dollars: float | None = Field(default=None, gt=0)
    """What answers of a model behind a URL cost, and `dollars_per_hour`."""
    dollars_per_hour: float = Field(default=0.0, ge=0)
    """What this machine costs."""


class Budget:
    """Counts what is spent, from the first question on."""

    def __init__(self, config: BudgetConfig | None = None) -> None:
        self._config = config or BudgetConfig()
        self._has_limit = self._config != BudgetConfig()
        self._began: float | None = None
        self.tokens = 0
        self.cost = 0.0
        """Of answers, without the machine."""

    @property
    def seconds(self) -> float:
        """Since the first question."""
        return 0.0 if self._began is None else time.perf_counter() - self._began

    @property
    def dollars(self) -> float:
        """Of answers and machine."""
        return self.cost + self.seconds / 3600 * self._config.dollars_per_hour

    def add(self, *, tokens: int, cost: float) -> None:
        """Count an answer."""
        self.tokens += tokens
        self.cost += cost

    def check(self) -> None:
        """Raise a BudgetError where a limit is reached."""
        if not self._has_limit:
            return
        if self._began is None:
            self._began = time.perf_counter()
        for name, unit in (("tokens", "tokens"), ("seconds", "s"), ("dollars", "dollars")):
            limit, spent = getattr(self._config, name), getattr(self, name)
            if limit is not None and spent >= limit:
                raise BudgetError(
                    f"the budget is spent: {spent:.6g} {unit}, and "
                    f"rollout.budget.{name} = {limit:g}",
                    hint="what was played is recorded; allow more, or ask for fewer episodes",
                )
