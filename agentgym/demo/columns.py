"""The columns of a table that need a model, drawn: so that every estimator can be tried on the demo."""

from dataclasses import replace

import numpy as np

from agentgym.table import StepTable
from agentgym.types import OUTCOME, derive_seed


def annotated(table: StepTable, *, step: int) -> StepTable:
    """Return the table with all of its optional columns; better trajectories have higher values."""
    chance = np.random.default_rng(derive_seed("columns", step))
    outcomes = table.per_trajectory(table.term(OUTCOME))
    sizes = np.bincount(table.group, minlength=table.num_groups)
    mean = np.bincount(table.group, weights=outcomes) / np.maximum(sizes, 1)
    done = (table.step + 1) / table.lengths[table.trajectory]
    hope = mean[table.step_group] * (1 - done) + outcomes[table.trajectory] * done
    value = (hope + chance.normal(0, 0.1, table.num_steps)).clip(0, 1)
    tokens = np.diff(table.token_start)
    return replace(
        table,
        entropy=chance.gamma(2.0, 0.15, table.num_steps),
        value=value,
        token_value=np.repeat(value, tokens) + chance.normal(0, 0.02, int(tokens.sum())),
        answer_logprob=-3.0 * (1 - value) - 0.05,
        process_reward=(value + chance.normal(0, 0.15, table.num_steps)).clip(0, 1),
        pool_mean=mean[table.group],
    )
