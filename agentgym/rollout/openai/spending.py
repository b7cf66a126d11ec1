"""What the answers of a run cost, and the limit on it."""

from collections.abc import Mapping
from dataclasses import dataclass

from agentgym.errors import BudgetError, ConfigError
from agentgym.rollout.openai.settings import OpenAIConfig

_MILLION = 1e6


@dataclass
class Spending:
    """Sums over all answers of a run, those of episodes that ended by a fault included."""

    config: OpenAIConfig
    requests: int = 0
    """All that were begun."""
    retries: int = 0
    prompt_tokens: float = 0.0
    completion_tokens: float = 0.0
    cost: float = 0.0
    cut: int = 0
    """Answers that ended at a limit on their tokens."""
    has_cost: bool = False
    """Whether any answer had a price."""
    refused: str = ""
    """What the server says, where it wants to be paid before it answers again."""

    def begin(self) -> None:
        """Let a request begin, and count it.

        Raises:
            BudgetError: nothing may be spent any more.
        """
        self.check()
        self.requests += 1

    def check(self) -> None:
        """Raise a BudgetError where `max_cost` is spent, or the server wants to be paid."""
        if self.refused:
            raise BudgetError(self.refused, hint="what was answered before is recorded")
        limit = self.config.max_cost
        if limit is not None and self.cost >= limit:
            raise BudgetError(
                f"the run stopped: {self.cost:.4g} is spent and openai.max_cost is {limit:g}",
                hint="what was answered is recorded; allow more, or run fewer episodes (-n)",
            )

    def add(self, usage: Mapping[str, float]) -> dict[str, float]:
        """Count an answer, and return its usage with its cost.

        Raises:
            ConfigError: there is a limit on cost, and nobody knows the cost.
        """
        found = {**usage, **self._cost(usage)}
        if self.config.max_cost is not None and "cost" not in found:
            raise ConfigError(
                "openai.max_cost cannot be kept: the server says neither what an answer costs nor, "
                "where prices are set, how many tokens it has",
                hint="set openai.prompt_price and openai.completion_price, or no openai.max_cost",
            )
        self.prompt_tokens += found.get("prompt_tokens", 0.0)
        self.completion_tokens += found.get("completion_tokens", 0.0)
        self.cost += found.get("cost", 0.0)
        self.cut += int(found.get("cut", 0.0))
        self.has_cost = self.has_cost or "cost" in found
        return found

    def to_json(self) -> dict[str, float | None]:
        """Return the sums; `cost` is null where no answer had a price."""
        return {
            "requests": self.requests,
            "retries": self.retries,
            "prompt_tokens": int(self.prompt_tokens),
            "completion_tokens": int(self.completion_tokens),
            "cut": self.cut,
            "cost": self.cost if self.has_cost else None,
        }

    def _cost(self, usage: Mapping[str, float]) -> dict[str, float]:
        prices = self.config.prompt_price, self.config.completion_price
        if prices == (None, None):
            return {}
        if not {"prompt_tokens", "completion_tokens"} <= usage.keys():
            return {}
        tokens = usage["prompt_tokens"], usage["completion_tokens"]
        pairs = zip(tokens, prices, strict=True)
        return {"cost": sum(count * (price or 0.0) for count, price in pairs) / _MILLION}
