"""The table of steps: the batch of one optimiser step as columns.

Shapers and credit estimators are pure functions over it. Rows are steps, trajectory by
trajectory, each in order; trajectories that ended by a fault are not in it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

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

    entropy: Floats | None = None
    """[S], annotation: mean token entropy of the step, in nats."""
    value: Floats | None = None
    """[S], annotation: value of the state before the action."""
    answer_logprob: Floats | None = None
    """[S], annotation: mean log-probability of the true answer after the step."""
    process_reward: Floats | None = None
    """[S], annotation: score of the step by a process reward model."""
    duration: Floats | None = None
    """[S], annotation: seconds the action took."""

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
    """Lay the trajectories of `groups` out as columns; those that ended by a fault are left out."""
    kept = [
        (number, trajectory)
        for number, group in enumerate(groups)
        for trajectory in group.trajectories
        if trajectory.end != "error" and trajectory.steps
    ]
    _, group_rows = np.unique([number for number, _ in kept], return_inverse=True)
    trajectories = [trajectory for _, trajectory in kept]
    steps = [step for trajectory in trajectories for step in trajectory.steps]
    lengths = np.array([len(trajectory.steps) for trajectory in trajectories], dtype=np.int64)
    states = _Interner()
    actions = _Interner()
    term_names, terms = _terms(steps)
    return StepTable(
        trajectory=np.repeat(np.arange(len(trajectories)), lengths),
        step=_positions(trajectories),
        state=states.numbers([step.state_key for step in steps]),
        next_state=states.numbers([step.next_state_key for step in steps]),
        action=actions.numbers([step.action_key for step in steps]),
        term_names=term_names,
        terms=terms,
        token_start=_offsets([_num_sampled(step) for step in steps]),
        group=np.asarray(group_rows, dtype=np.int64),
        step_start=_offsets(lengths),
        terminated=np.array([t.end == "terminated" for t in trajectories], dtype=np.bool_),
        trajectory_ids=tuple(trajectory.id for trajectory in trajectories),
        state_keys=tuple(states.keys),
    )


class _Interner:
    """Numbers keys in the order they are first seen; None is -1."""

    def __init__(self) -> None:
        self.keys: dict[str, int] = {}

    def numbers(self, keys: Sequence[str | None]) -> Ints:
        known = self.keys
        return np.array(
            [-1 if key is None else known.setdefault(key, len(known)) for key in keys],
            dtype=np.int64,
        )


def _terms(steps: Sequence[Step]) -> tuple[tuple[str, ...], Floats]:
    names = tuple(sorted({name for step in steps for name in step.reward_terms}))
    column = {name: k for k, name in enumerate(names)}
    terms = np.zeros((len(steps), len(names)))
    for row, step in enumerate(steps):
        for name, value in step.reward_terms.items():
            terms[row, column[name]] = value
    return names, terms


def _positions(trajectories: Sequence[Trajectory]) -> Ints:
    ranges = [np.arange(len(trajectory.steps)) for trajectory in trajectories]
    return np.concatenate(ranges) if ranges else np.zeros(0, dtype=np.int64)


def _num_sampled(step: Step) -> int:
    return len(step.completion.token_ids) if step.completion else 0


def _offsets(counts: Sequence[int] | Ints) -> Ints:
    return np.concatenate([[0], np.cumsum(np.asarray(counts, dtype=np.int64))]).astype(np.int64)
