"""The loss that a process reward model is trained with: successes above failures, pair by pair."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def trajectory_preference_loss(scores: "Tensor", success: "Tensor", group: "Tensor") -> "Tensor":
    """Return the mean of -log sigmoid(score of a success - score of a failure) over all pairs.

    It is differentiable in `scores`, and 0 where no group has both a success and a failure.

    Args:
        scores: [M], what the model gives each trajectory: in iStar the mean over its steps of the
            implicit rewards (`agentgym.trainers.credit.istar.implicit_reward`).
        success: [M] bool.
        group: [M] int; pairs are inside a group.

    Source: Tongyi-ConvAI/Qwen-Character, CharacterRL-iStar/istar/rm_utils.py (its numbers
    reproduced). Its docstring speaks of one-to-one pairs; its code, and this, take all of them.
    """
    paired = success[:, None] & ~success[None, :] & (group[:, None] == group[None, :])
    gap = (scores[:, None] - scores[None, :])[paired]
    losses = (-gap).clamp(min=0) + (-gap.abs()).exp().log1p()
    return losses.sum() / max(len(losses), 1)
