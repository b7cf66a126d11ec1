"""Batches to measure credit on: episodes that are drawn, with observations of 500 characters."""

import random
from dataclasses import replace
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from agentgym.errors import ConfigError
from agentgym.table import StepTable, build_table
from agentgym.types import OUTCOME, Completion, Group, Message, Step, Task, Trajectory

OBSERVATION_CHARS = 500
_STATES_PER_STEP = 2  # a group knows so many states for each step of an episode
_ACTIONS = "abcd"
_CHANGED = 6  # letters of an observation, where those of one state are similar only
_WORDS = """
the a room door key lamp table north south east west you see open closed small large red blue green
wooden box chest on under with nothing here exit path leads to old quartz jug view gaze fix
"""
_COMPLETION = Completion(token_ids=(1, 2, 3, 4), logprobs=(-1.0,) * 4, finish_reason="stop")


class Shape(NamedTuple):
    """How large a batch is."""

    groups: int
    size: int
    """Trajectories of each group."""
    steps: int
    """Of each trajectory."""

    @classmethod
    def parse(cls, text: str) -> "Shape":
        """Read `GROUPSxSIZExSTEPS`.

        Raises:
            ConfigError: it is not written like this.

        >>> Shape.parse("16x8x50")
        Shape(groups=16, size=8, steps=50)
        """
        parts = text.split("x")
        if len(parts) != 3 or not all(part.isdecimal() and int(part) for part in parts):
            raise ConfigError(f"{text!r} is no shape of a batch", hint="write 16x8x50")
        return cls(*map(int, parts))


def draw_batch(shape: Shape, *, seed: int, similar: bool = False) -> list[Group]:
    """Draw groups of episodes in which states recur, and half of the episodes succeed.

    No text was hashed yet, as is so where episodes have just been played. With `similar`, no two
    observations of a state are equal.
    """
    chance = random.Random(seed)
    return [_draw_group(number, shape, chance, similar) for number in range(shape.groups)]


def annotated(table: StepTable, *, seed: int) -> StepTable:
    """Return the table with all that any estimator reads, so that each can be measured."""
    draw = np.random.default_rng(seed)
    count, tokens = table.num_steps, int(table.token_start[-1])
    matches = draw.random((count, 1)) < 0.5
    return replace(
        table,
        term_names=(*table.term_names, "match"),
        terms=np.concatenate([table.terms, matches], axis=1),
        entropy=draw.random(count),
        value=draw.random(count),
        token_value=draw.random(tokens),
        answer_logprob=-draw.random(count),
        process_reward=draw.random(count),
        duration=draw.random(count) + 0.1,
        pool_mean=np.full(table.num_trajectories, 0.5),
    )


def draw_table(shape: Shape, *, seed: int) -> StepTable:
    """Return the annotated table of a drawn batch."""
    return annotated(build_table(draw_batch(shape, seed=seed)), seed=seed)


def _draw_group(number: int, shape: Shape, chance: random.Random, similar: bool) -> Group:
    task = Task("", id=f"task {number}")
    states = [_observation(chance) for _ in range(_STATES_PER_STEP * shape.steps)]
    trajectories = []
    for member in range(shape.size):
        seen = [_seen(chance.choice(states), chance, similar) for _ in range(shape.steps + 1)]
        steps = [
            Step(
                message=_SAID,
                replies=(Message("user", after),),
                state_key=before,
                next_state_key=after,
                action_key=chance.choice(_ACTIONS),
                completion=_COMPLETION,
            )
            for before, after in pairwise(seen)
        ]
        steps[-1].reward_terms[OUTCOME] = float(chance.random() < 0.5)
        trajectories.append(
            Trajectory(
                id=f"{number}/{member}",
                task=task,
                group_id=task.id,
                member=member,
                prompt=(Message("user", seen[0]),),
                steps=steps,
                end="terminated",
            )
        )
    return Group(task, trajectories)


_SAID = Message("assistant", "a")


def _observation(chance: random.Random) -> str:
    words = chance.choices(_WORDS.split(), k=OBSERVATION_CHARS)
    return " ".join(words)[:OBSERVATION_CHARS]


def _seen(text: str, chance: random.Random, similar: bool) -> str:
    """Return a text of its own: equal to `text`, or similar."""
    letters = list(text)
    for _ in range(_CHANGED if similar else 0):
        letters[chance.randrange(len(letters))] = chance.choice("abcdefgh")
    return "".join(letters)
