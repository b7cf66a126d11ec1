"""What estimators say of probes: again and again, in groups of several sizes.

In each draw a probe's own episode goes on otherwise after its step, and the others of the group
are other episodes of the same policy at the same task. An estimator's answers then differ as
they would from batch to batch, while the step stays the same.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from agentgym.lab.probes import Probe
from agentgym.table import Floats, StepTable, build_table
from agentgym.trainers.credit import CreditConfig
from agentgym.types import OUTCOME, Group, Trajectory

Estimates = dict[tuple[str, int], Floats]
"""By estimator and group size: [P, R], the advantage of each probe in each draw."""


def estimate(
    probes: Sequence[Probe],
    pool: Mapping[str, Sequence[Trajectory]],
    estimators: Mapping[str, CreditConfig],
    *,
    sizes: Sequence[int],
    seed: int,
    on_draw: Callable[[int, int], None] = lambda done, total: None,
) -> Estimates:
    """Ask every estimator about every probe, once for each of its draws and each size.

    All probes of a draw are one batch, each with a group of its own.

    Args:
        probes: each with as many draws.
        pool: episodes by group id, of which the others of a group are taken.
        estimators: by name.
        sizes: of groups, the probe's episode counted.
        seed: of who is in which group.
        on_draw: sees how many batches of how many are done.
    """
    num_draws = len(probes[0].draws)
    found = {
        (name, size): np.zeros((len(probes), num_draws)) for name in estimators for size in sizes
    }
    chance = random.Random(seed)
    for draw in range(num_draws):
        mates = [_mates(probe, pool, max(sizes) - 1, chance) for probe in probes]
        for place, size in enumerate(sizes):
            groups = [
                Group(probe.trajectory.task, [probe.draws[draw], *others[: size - 1]])
                for probe, others in zip(probes, mates, strict=True)
            ]
            table = _one_token_each(build_table(groups))
            first = np.searchsorted(table.group, np.arange(len(probes)))
            rows = table.step_start[first] + np.array([probe.step for probe in probes])
            for name, estimator in estimators.items():
                found[name, size][:, draw] = estimator(table, table.term(OUTCOME))[rows]
            on_draw(draw * len(sizes) + place + 1, num_draws * len(sizes))
    return found


def _mates(
    probe: Probe, pool: Mapping[str, Sequence[Trajectory]], number: int, chance: random.Random
) -> list[Trajectory]:
    others = [each for each in pool[probe.trajectory.group_id] if each is not probe.trajectory]
    return chance.sample(others, number)


def _one_token_each(table: StepTable) -> StepTable:
    """Let each step have sampled one token, so that estimators of tokens answer for steps."""
    return replace(table, token_start=np.arange(table.num_steps + 1))
