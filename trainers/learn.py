"""From the groups of a step to new weights: table, annotations, rewards, advantages, rows, update."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from agentgym.errors import AgentGymError
from agentgym.table import Floats, StepTable, build_table
from agentgym.trainers.annotate import annotate
from agentgym.trainers.episodes import usable
from agentgym.trainers.exact import check_exact
from agentgym.trainers.rows import make_rows
from agentgym.trainers.setup import Settings
from agentgym.trainers.shaping.base import Shaped
from agentgym.trainers.update import Updater
from agentgym.trainers.updated import Updated
from agentgym.trainers.watch import Watch
from agentgym.types import Group, Trajectory, derive_seed


@dataclass(frozen=True, kw_only=True, eq=False)
class Learnt:
    """What a step was made of, and what it did."""

    trajectories: list[Trajectory]
    """[M], those of the table."""
    table: StepTable
    shaped: Shaped
    advantages: Floats
    """[S] or [N]"""
    updated: Updated


def learn(
    groups: Sequence[Group],
    *,
    settings: Settings,
    updater: Updater,
    shape: Callable[[StepTable], Shaped],
    step: int,
    lr: float,
    watch: Watch,
) -> Learnt:
    """Move the weights of the updater's policy by what groups teach.

    Raises:
        AgentGymError: there is nothing to learn from, or a token is not as it was sampled.
    """
    trajectories = [each for group in groups for each in group.trajectories if usable(each)]
    check_exact(trajectories)
    table = build_table(groups)
    if not table.num_steps:
        raise AgentGymError(
            f"no episode of step {step} came to an end without a fault",
            hint="the reasons are in the run directory: agentgym show RUN",
        )
    with watch.phase("annotate"):
        table = annotate(
            table,
            trajectories,
            columns=settings.credit.columns,
            policy=updater.policy,
            max_tokens=settings.train.max_tokens_per_micro_batch,
        )
    shaped = shape(table)
    advantages = settings.credit(table, shaped.rewards)
    rows = make_rows(trajectories, table, advantages)
    with watch.phase("update"):
        seed = derive_seed(settings.seed, "shuffle", step)
        updated = updater.update(rows, lr=lr, seed=seed)
    return Learnt(
        trajectories=trajectories,
        table=table,
        shaped=shaped,
        advantages=advantages,
        updated=updated,
    )
