"""Trajectories become rows of tokens. A row is one segment of a trajectory that is trained on.

Nothing here needs torch. Letters as in `agentgym/types.py`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agentgym.table import Floats, Ints, StepTable
from agentgym.trainers.causes import Cause
from agentgym.types import Segment, Trajectory


@dataclass(frozen=True, kw_only=True, eq=False)
class Row:
    """One segment, ready to be trained on."""

    token_ids: Ints
    """[L]"""
    loss_mask: NDArray[np.bool_]
    """[L], True where the token is trained on."""
    old_logprobs: NDArray[np.float32]
    """[L], under the policy that sampled; 0 where masked out. Where the loss corrects for the
    engine's numbers they are the trainer's own."""
    advantages: NDArray[np.float32]
    """[L], 0 where masked out."""
    token: Ints
    """[L], the token's number among the N sampled tokens; -1 where it is none of them."""
    rollout_logprobs: NDArray[np.float32] | None = None
    """[L], as the engine had them, where `old_logprobs` are the trainer's."""

    @property
    def num_trained(self) -> int:
        """How many tokens are trained on."""
        return int(self.loss_mask.sum())


@dataclass(frozen=True, kw_only=True, eq=False)
class Rows:
    """The rows of one optimiser step, and what became of each of its N sampled tokens."""

    rows: list[Row]
    cause: NDArray[np.int8]
    """[N], a `Cause`, as far as advantages decide."""


def make_rows(trajectories: Sequence[Trajectory], table: StepTable, advantages: Floats) -> Rows:
    """Lay advantages over the tokens of trajectories, which stand in the order of the table.

    `advantages` is [S], one for all tokens of a step, or [N]. A row whose advantages are all 0
    is left out: entropy and KL terms of a loss act where there is something to learn.

    Raises:
        ValueError: `advantages` has another shape, or is not finite.
    """
    per_token = _per_token(advantages, table)
    cause = np.full(len(per_token), Cause.NOT_IN_BATCH, dtype=np.int8)
    rows: list[Row] = []
    for trajectory, first_step in zip(trajectories, table.step_start[:-1], strict=True):
        for segment in trajectory.segments:
            row = _row(segment, per_token, table.token_start[first_step:])
            advantage = row.advantages[row.loss_mask]
            cause[row.token[row.loss_mask]] = np.where(
                advantage == 0, Cause.ZERO_ADVANTAGE, Cause.TRAINED
            )
            if advantage.any():
                rows.append(row)
    return Rows(rows=rows, cause=cause)


def _per_token(advantages: Floats, table: StepTable) -> Floats:
    num_tokens = int(table.token_start[-1])
    if not np.isfinite(advantages).all():
        raise ValueError("an advantage is not finite")
    if advantages.shape == (table.num_steps,):
        return np.repeat(advantages, np.diff(table.token_start))
    if advantages.shape == (num_tokens,):
        return advantages
    raise ValueError(
        f"advantages have the shape {advantages.shape}, "
        f"expected ({table.num_steps},) or ({num_tokens},)"
    )


def _row(segment: Segment, per_token: Floats, token_start: Ints) -> Row:
    """Lay out a segment up to its last sampled token; what follows may exceed the context.

    `token_start` begins at the first step of the segment's trajectory.
    """
    length = max((stop for _, _, stop in segment.steps), default=0)
    token = np.full(length, -1, dtype=np.int64)
    for step, first, stop in segment.steps:
        token[first:stop] = token_start[step] + np.arange(stop - first)
    mask = token >= 0
    advantages = np.zeros(length, dtype=np.float32)
    advantages[mask] = per_token[token[mask]]
    return Row(
        token_ids=np.asarray(segment.token_ids[:length], dtype=np.int64),
        loss_mask=mask,
        old_logprobs=np.where(mask, np.asarray(segment.logprobs[:length], dtype=np.float32), 0),
        advantages=advantages,
        token=token,
    )


def imitation_row(token_ids: Sequence[int], sampled: Sequence[bool]) -> Row:
    """Return a row in which every token marked `sampled` is to be imitated."""
    mask = np.asarray(sampled, dtype=np.bool_)
    return Row(
        token_ids=np.asarray(token_ids, dtype=np.int64),
        loss_mask=mask,
        old_logprobs=np.zeros(len(mask), dtype=np.float32),
        advantages=mask.astype(np.float32),
        token=np.full(len(mask), -1, dtype=np.int64),
    )


def split_rows(rows: Iterable[Row], *, max_tokens: int) -> list[list[Row]]:
    """Cut rows into micro-batches of at most `max_tokens`, padding included.

    Rows of like length go together; one that is longer than the budget goes alone.
    """
    parts: list[list[Row]] = []
    for row in sorted(rows, key=lambda row: -len(row.token_ids)):
        width = len(parts[-1][0].token_ids) if parts else 0
        if parts and width * (len(parts[-1]) + 1) <= max_tokens:
            parts[-1].append(row)
        else:
            parts.append([row])
    return parts
