"""Runs with optimiser steps in their record, made without a model."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from agentgym.config.overlay import render_toml
from agentgym.config.run import resolve_words
from agentgym.rollout.collect import to_groups
from agentgym.store.episodes import EpisodeWriter
from agentgym.store.run import Run
from agentgym.table import build_table
from agentgym.trainers.causes import Cause
from agentgym.trainers.record import Recorder
from agentgym.trainers.rows import make_rows
from agentgym.trainers.staleness import staleness
from agentgym.trainers.updated import Updated
from agentgym.types import Completion, Message, Segment, Step, Task, Trajectory

ENV = "agentgym/KeyDoor-v0"
LOGPROB = float(np.float32(-0.7))


def make_episode(
    chance: np.random.Generator, step: int, group: int, member: int, *, lag: int = 0
) -> Trajectory:
    """A walk of up to four turns over few states, two tokens a turn; some are cut off.

    The policy of its first turn is older than that of the others, by `lag` steps where it can be.
    """
    group_id = f"train-{step:06d}-{group:03d}"
    segment, steps = Segment(), []
    cut = member == 2
    states = ["start", *chance.choice(["a", "b", "c"], size=chance.integers(1, 4))]
    won = not cut and bool(chance.random() < 0.5)
    for turn, state in enumerate(states):
        is_last = turn == len(states) - 1
        ids = tuple(chance.integers(5, 20, size=2).tolist())
        first = len(segment.token_ids) + 3
        segment.token_ids += [1, 2, 3, *ids]
        segment.sampled += [False] * 3 + [True] * 2
        segment.logprobs += [0.0] * 3 + [LOGPROB] * 2
        segment.steps.append((turn, first, first + 2))
        steps.append(
            Step(
                message=Message("assistant", "go"),
                replies=(Message("user", "there"),),
                reward_terms={
                    "outcome": float(won and is_last),
                    "valid": float(chance.random() < 0.7) / 8,
                },
                state_key=str(state),
                next_state_key=None if is_last else str(states[turn + 1]),
                action_key=str(ids[0]),
                completion=Completion(
                    token_ids=ids,
                    logprobs=(LOGPROB,) * 2,
                    finish_reason="stop",
                    versions=((0, step if turn else max(0, step - lag)),),
                ),
            )
        )
    return Trajectory(
        id=f"{group_id}.{member}.0",
        task=Task("Go.", id=f"task{step}.{group}", env=ENV),
        group_id=group_id,
        member=member,
        prompt=(Message("user", "Go."),),
        steps=steps,
        segments=[segment],
        end="truncated" if cut else "terminated",
        reason="max_turns" if cut else "env",
    )


def make_trained_run(root: Path, *words: str, steps: int = 3, seed: int = 0, lag: int = 0) -> str:
    """Record `steps` optimiser steps of three groups of four; methods as `words` say."""
    resolved = resolve_words([f"env.id={ENV}", *words])
    config, chance = resolved.config, np.random.default_rng(seed)
    text = render_toml(resolved)
    with (
        Run.create(root, config_text=text, command=["x"], seed=0, env=ENV) as run,
        EpisodeWriter(root) as writer,
    ):
        run.update(kind="train", status="finished", step=steps)
        recorder = Recorder(root)
        for step in range(steps):
            places = [(step, group, member) for group in range(3) for member in range(4)]
            made = [make_episode(chance, *place, lag=lag) for place in places]
            fault = replace(made[0], id=f"{made[0].id}x", end="error", reason="EnvError: broke")
            for trajectory in [*made, fault]:
                writer.append(trajectory)
            record_step(recorder, config, made, step, steps, chance)
        recorder.close()
    return str(root)


def record_step(
    recorder: Recorder,
    config,
    made: Sequence[Trajectory],
    step: int,
    steps: int,
    chance: np.random.Generator,
) -> None:
    """Note an optimiser step that used these episodes."""
    table = build_table(to_groups(made))
    table = replace(table, entropy=chance.random(table.num_steps))
    progress = step / steps
    shaped = config.shaping(table, progress=progress)
    advantages = config.credit(table, shaped.rewards)
    rows = make_rows(made, table, advantages)
    trained = rows.cause == Cause.TRAINED
    weight = 1 / max(1, sum(row.num_trained for row in rows.rows))  # as PPO's token-mean has it
    recorder.update(
        step=step,
        version=step,
        schedules={"progress": progress, "lr": 0.1},
        table=table,
        shaped=shaped,
        advantages=advantages,
        updated=Updated(
            metrics={},
            logprobs=np.where(trained, LOGPROB, np.nan).astype(np.float32),
            weights=np.where(trained, weight, 0).astype(np.float32),
            cause=rows.cause,
        ),
        staleness=staleness(made, version=step),
    )
