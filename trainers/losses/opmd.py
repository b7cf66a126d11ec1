"""OPMD: REINFORCE without a ratio, for samples of any age."""

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from agentgym.trainers.losses.base import Loss, TokenLoss

if TYPE_CHECKING:
    from torch import Tensor

    from agentgym.trainers.batch import Batch


class OPMD(Loss):
    """The advantage times the log-probability, over 1 + tau.

        loss = -A log pi / (1 + tau)

    With the credit `opmd` it is online policy mirror descent; with the credit `asymre` and tau = 0
    asymmetric REINFORCE.

    Source: Trinity-RFT's code (the loss read, and its scale reproduced).
    """

    name: Literal["opmd"] = "opmd"
    tau: float = Field(default=1.0, ge=0)
    """Strength of the pull towards the policy that sampled."""

    def token_loss(self, logprobs: "Tensor", batch: "Batch") -> TokenLoss:
        """Weigh each token's log-probability."""
        return TokenLoss(-batch.advantages * logprobs / (1 + self.tau))
