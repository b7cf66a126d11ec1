"""Columns of the table that need the policy: one pass without gradients before credit is given."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from agentgym.table import StepTable
from agentgym.trainers.batch import pad
from agentgym.trainers.policy import TrainerPolicy
from agentgym.trainers.rows import make_rows, split_rows
from agentgym.types import Trajectory


def annotate(
    table: StepTable,
    trajectories: Sequence[Trajectory],
    *,
    columns: Sequence[str],
    policy: TrainerPolicy,
    max_tokens: int,
) -> StepTable:
    """Return the table with those of `recompute.FILLED` that are asked for."""
    if "entropy" not in columns:
        return table
    entropy = np.zeros(int(table.token_start[-1]))
    rows = make_rows(trajectories, table, np.ones(table.num_steps)).rows
    for part in split_rows(rows, max_tokens=max_tokens):
        batch = pad(part, device=policy.device)
        with torch.no_grad():
            stats = policy.stats(batch.token_ids, batch.loss_mask)
        token = batch.token[batch.loss_mask].cpu().numpy()
        entropy[token] = stats.entropy[batch.loss_mask].cpu().numpy()
    sums = np.concatenate([[0.0], np.cumsum(entropy)])[table.token_start]
    counts = np.maximum(np.diff(table.token_start), 1)
    return replace(table, entropy=np.diff(sums) / counts)
