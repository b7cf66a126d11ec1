"""Optimiser steps that were really taken, by a model that is small and random."""

import copy
from dataclasses import replace

import numpy as np
from trained_run import make_episode

from agentgym.config.methods import Training
from agentgym.rollout.collect import to_groups
from agentgym.table import build_table
from agentgym.trainers.credit.gigpo import GiGPO
from agentgym.trainers.policy import TrainerPolicy
from agentgym.trainers.recompute import SCHEMA, Update
from agentgym.trainers.rows import make_rows
from agentgym.trainers.settings import OptimConfig, TrainConfig
from agentgym.trainers.update import Updater
from agentgym.types import Segment, Trajectory, derive_seed

SEED = 7


def take_step(model, *, loss, step=2, credit=None, lr=3e-3, **train) -> tuple[Update, Training]:
    """One optimiser step on three groups of four; one of them has a context that was rewritten."""
    settings = TrainConfig(**train)
    trajectories = _episodes(step)
    table = build_table(to_groups(trajectories))
    rewards = table.term("outcome")
    advantages = (credit or GiGPO())(table, rewards)
    updater = Updater(
        TrainerPolicy(copy.deepcopy(model)), loss=loss, optim=OptimConfig(lr=lr), train=settings
    )
    updated = updater.update(
        make_rows(trajectories, table, advantages),
        lr=lr,
        seed=derive_seed(SEED, "shuffle", step),
    )
    update = Update(
        step=step,
        schema=SCHEMA,
        version=step,
        schedules={"progress": 0.5},
        trajectories=tuple(trajectories),
        table=table,
        columns={
            "step_start": table.step_start,
            "token_start": table.token_start,
            "rewards": rewards,
            "advantages": advantages,
            "logprobs": updated.logprobs,
            "weights": updated.weights,
            "cause": updated.cause,
        },
    )
    return update, Training(loss=loss, train=settings)


def _episodes(step: int) -> list[Trajectory]:
    chance = np.random.default_rng(step)
    found = [make_episode(chance, step, group, member) for group in range(3) for member in range(4)]
    for trajectory in found:
        _say_other_logprobs(trajectory, chance)
    found[0] = _rewritten(found[0])
    return found


def _say_other_logprobs(trajectory: Trajectory, chance: np.random.Generator) -> None:
    """Let the engine have its own opinion of each token."""
    (segment,) = trajectory.segments
    for number, first, stop in segment.steps:
        said = (-3.4 + chance.normal(size=stop - first)).astype(np.float32).tolist()
        segment.logprobs[first:stop] = said
        step = trajectory.steps[number]
        assert step.completion is not None
        step.completion = replace(step.completion, logprobs=tuple(said))


def _rewritten(trajectory: Trajectory) -> Trajectory:
    """Leave the first step out of the segments, and put the last one into another."""
    (segment,) = trajectory.segments
    last, first, stop = segment.steps[-1]
    moved = Segment(
        token_ids=[1, 2, *segment.token_ids[first:stop]],
        sampled=[False] * 2 + [True] * (stop - first),
        logprobs=[0.0] * 2 + segment.logprobs[first:stop],
        steps=[(last, 2, 2 + stop - first)],
        parent=0,
        reason="edit",
    )
    kept = replace(segment, steps=segment.steps[1:-1])
    places = {place for _, first, stop in kept.steps for place in range(first, stop)}
    kept.sampled = [place in places for place in range(len(kept.token_ids))]
    return replace(trajectory, segments=[kept, moved])
