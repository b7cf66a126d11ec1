"""The table of steps: the batch of one optimiser step as columns.

Shapers and credit estimators are pure functions over it. Rows are steps, trajectory by
trajectory, each in order; trajectories that ended by a fault are not in it.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import count
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentgym.types import Group, Step, Trajectory

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True, eq=False)
class StepTable:
    """S steps of M trajectories, in groups.

    Keys are interned: equal numbers mean equal keys, over the whole table. States are compared
    inside a group only, which estimators see to.
    """

    trajectory: Ints
    """[S], row of the step's trajectory, ascending."""
    step: Ints
    """[S], position in its trajectory, from 0."""
    state: Ints
    """[S], the state before the action; -1 where it has no key."""
    next_state: Ints
    """[S], the state after it, numbered like `state`; -1 where no observation followed."""
    action: Ints
    """[S]"""
    term_names: tuple[str, ...]
    """[K]"""
    terms: Floats
    """[S, K], the raw reward terms; 0 where a step has none."""
    token_start: Ints
    """[S + 1]; step s sampled the tokens token_start[s] to token_start[s + 1] of the batch's N."""
    group: Ints
    """[M], the trajectory's group, ascending from 0."""
    step_start: Ints
    """[M + 1]; trajectory m has the rows step_start[m] to step_start[m + 1]."""
    terminated: Bools
    """[M]; False: truncated."""
    trajectory_ids: tuple[str, ...]
    """[M]"""
    state_keys: tuple[str, ...] = ()
    """The key of each number in `state` and `next_state`."""
    state_texts: tuple[str, ...] = ()
    """The observation of each number in `state` and `next_state`, as it was first seen; keys are
    mostly digests."""

    entropy: Floats | None = None
    """[S], annotation: mean token entropy of the step, in nats."""
    value: Floats | None = None
    """[S], annotation: value of the state before the action."""
    token_value: Floats | None = None
    """[N], annotation: value at each sampled token."""
    answer_logprob: Floats | None = None
    """[S], annotation: mean log-probability of the true answer before the step."""
    process_reward: Floats | None = None
    """[S], annotation: score of the step by a process reward model."""
    duration: Floats | None = None
    """[S]: seconds the action took, generated and answered; None where a step has no timings."""
    pool_mean: Floats | None = None
    """[M], annotation: mean return of all samples drawn for the task, also of those not kept."""

    @property
    def num_steps(self) -> int:
        """S."""
        return len(self.trajectory)

    @property
    def num_trajectories(self) -> int:
        """M."""
        return len(self.group)

    @property
    def num_groups(self) -> int:
        """How many groups there are."""
        return int(self.group[-1]) + 1 if len(self.group) else 0

    @cached_property
    def step_group(self) -> Ints:
        """[S], the group of each step."""
        return self.group[self.trajectory]

    @cached_property
    def lengths(self) -> Ints:
        """[M], steps of each trajectory."""
        return np.diff(self.step_start)

    def term(self, name: str) -> Floats:
        """Return a reward term as [S]; zeros where no environment gave it."""
        if name not in self.term_names:
            return np.zeros(self.num_steps)
        return self.terms[:, self.term_names.index(name)]

    def per_trajectory(self, values: Floats) -> Floats:
        """Sum [S] over the steps of each trajectory, giving [M]."""
        sums = np.bincount(self.trajectory, weights=values, minlength=self.num_trajectories)
        return sums.astype(np.float64)


def build_table(groups: Sequence[Group]) -> StepTable:
    """Lay the trajectories of `groups` out as columns.

    Trajectories that ended by a fault, or have no steps, are left out, and so are groups of which
    nothing is left.
    """
    kept = [
        (number, trajectory)
        for number, group in enumerate(groups)
        for trajectory in group.trajectories
        if trajectory.end != "error" and trajectory.steps
    ]
    trajectories = [trajectory for _, trajectory in kept]
    steps = [step for trajectory in trajectories for step in trajectory.steps]
    step_start = _offsets([len(trajectory.steps) for trajectory in trajectories])
    trajectory = np.repeat(np.arange(len(trajectories)), np.diff(step_start))
    states, actions = _numbering(), _numbering()
    state = _numbers([step.state_key for step in steps], states)
    next_state = _numbers([step.next_state_key for step in steps], states)
    term_names, terms = _terms([step.reward_terms for step in steps])
    return StepTable(
        trajectory=trajectory,
        step=np.arange(len(steps)) - step_start[trajectory],
        state=state,
        next_state=next_state,
        action=_numbers([step.action_key for step in steps], actions),
        term_names=term_names,
        terms=terms,
        token_start=_offsets(
            [len(step.completion.token_ids) if step.completion else 0 for step in steps]
        ),
        group=_numbers([number for number, _ in kept], _numbering()),
        step_start=step_start,
        terminated=np.array([t.end == "terminated" for t in trajectories], dtype=np.bool_),
        trajectory_ids=tuple(t.id for t in trajectories),
        state_keys=tuple(key for key in states if key is not None),
        state_texts=_texts(trajectories, state, next_state),
        duration=_duration(steps),
    )


def _numbering() -> dict[Any, int]:
    """Return a dictionary that numbers new keys as they are looked up; None is -1."""
    return defaultdict(count().__next__, {None: -1})


def _numbers(keys: Sequence[Any], numbering: dict[Any, int]) -> Ints:
    return np.fromiter(map(numbering.__getitem__, keys), dtype=np.int64, count=len(keys))


def _texts(trajectories: Sequence[Trajectory], state: Ints, next_state: Ints) -> tuple[str, ...]:
    """Return what was observed where each state first comes up: numbers rise with first sight."""
    column = np.concatenate([state, next_state])
    highest = np.maximum.accumulate(np.concatenate([[-1], column]))
    seen = np.flatnonzero(column > highest[:-1]).tolist()
    starts = _offsets([len(trajectory.steps) for trajectory in trajectories])
    owners = np.searchsorted(starts, np.array(seen, dtype=np.int64) % max(1, len(state)), "right")
    texts = []
    for place, owner in zip(seen, (owners - 1).tolist(), strict=True):
        trajectory = trajectories[owner]
        # The state before step t is what the answer to step t - 1 shows.
        row = (
            place - starts[owner] - 1 if place < len(state) else place - len(state) - starts[owner]
        )
        messages = trajectory.steps[row].replies if row >= 0 else trajectory.prompt
        texts.append("\n".join([message.content for message in messages]))
    return tuple(texts)


def _terms(rows: Sequence[Mapping[str, float]]) -> tuple[tuple[str, ...], Floats]:
    names = tuple(sorted({name for row in rows for name in row}))
    terms = np.zeros((len(rows), len(names)))
    for column, name in enumerate(names):
        terms[:, column] = [row.get(name, 0.0) for row in rows]
    return names, terms


def _duration(steps: Sequence[Step]) -> Floats | None:
    seconds = np.array([step.timings.generate_s + step.timings.env_s for step in steps])
    return seconds if len(seconds) and (seconds > 0).all() else None


def _offsets(counts: Sequence[int]) -> Ints:
    return np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])
