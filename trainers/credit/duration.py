"""Duration-aware credit: slow actions weigh more, as a sampler bound by time sees fewer of them."""

from typing import ClassVar, Literal

from agentgym.trainers.credit.base import CreditConfig, Floats, StepTable, Sureness, sampled
from agentgym.trainers.credit.refined import GRPO, AnyRefinedCredit


class DurationAware(CreditConfig):
    """Scales the advantages of any estimator by how long each action took.

        A'_{i,t} = A_{i,t} dt_{i,t} / mean dt    over the steps of the batch with tokens

    Where collecting stops by the clock and not by the count, an action that takes dt is sampled
    T / dt times; this undoes it. With a fixed number of episodes a batch it would only bias.

    Source: the policy gradient of reinforcement learning for machine-learning agents, by way of a
    detailed note on the paper; the numbers of its rescaling reproduced.
    """

    name: Literal["duration_aware"] = "duration_aware"
    sureness: ClassVar[Sureness] = "second-hand"
    requires: ClassVar[tuple[str, ...]] = ("duration",)
    base: AnyRefinedCredit = GRPO()
    """What is scaled."""

    def advantages(self, table: StepTable, rewards: Floats) -> Floats:
        """Return [S]."""
        return self.scale(table, self.base(table, rewards))

    def scale(self, table: StepTable, advantages: Floats) -> Floats:
        """Scale advantages [S]; where no action took any time they stay."""
        assert table.duration is not None, "it is required"
        seconds = table.duration[sampled(table)]
        mean = seconds.mean() if len(seconds) else 0.0
        return advantages * (table.duration / mean) if mean > 0 else advantages
