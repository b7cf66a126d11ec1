"""Groups of trajectories: made by hand, and drawn by Hypothesis."""

from collections.abc import Sequence

import numpy as np
from hypothesis import strategies as st

from agentgym.table import Floats, StepTable, build_table
from agentgym.types import OUTCOME, Completion, Group, Message, Step, Task, Trajectory

Rewards = st.integers(-8, 8).map(lambda eighths: eighths / 8)
"""Binary fractions: their sums are exact, so that equal means equal."""


def make_step(
    *,
    state: str | None = None,
    action: str = "",
    next_state: str | None = None,
    num_tokens: int = 2,
    **terms: float,
) -> Step:
    """A step that sampled `num_tokens` tokens and earned `terms`."""
    completion = Completion(
        token_ids=tuple(range(num_tokens)),
        logprobs=(-1.0,) * num_tokens,
        finish_reason="stop",
    )
    return Step(
        message=Message("assistant", action),
        reward_terms=dict(terms),
        state_key=state,
        next_state_key=next_state,
        action_key=action,
        completion=completion,
    )


def make_group(*episodes: Sequence[Step], name: str = "g") -> Group:
    """A group of terminated trajectories `{name}/0`, `{name}/1` and so on."""
    task = Task("prompt", id=name)
    return Group(
        task,
        [
            Trajectory(
                id=f"{name}/{member}",
                task=task,
                group_id=name,
                member=member,
                steps=list(steps),
                end="terminated",
            )
            for member, steps in enumerate(episodes)
        ],
    )


def make_table(*groups: Sequence[Sequence[float]]) -> StepTable:
    """A table of groups of trajectories, each the outcome terms of its steps."""
    return build_table(
        [
            make_group(
                *([make_step(outcome=reward) for reward in rewards] for rewards in group),
                name=f"g{number}",
            )
            for number, group in enumerate(groups)
        ]
    )


def by_trajectory(table: StepTable, values: Floats) -> dict[str, list[float]]:
    """The values of the steps [S] under the id of their trajectory."""
    parts = np.split(values, table.step_start[1:-1])
    return {name: part.tolist() for name, part in zip(table.trajectory_ids, parts, strict=True)}


@st.composite
def episodes(
    draw: st.DrawFn,
    *,
    rewards: st.SearchStrategy[float] = Rewards,
    states: st.SearchStrategy[str | None] = st.sampled_from([*"ABCD", None]),  # noqa: B008
    max_steps: int = 6,
) -> list[Step]:
    """The steps of one trajectory; few states and actions, so that they recur."""
    length = draw(st.integers(1, max_steps))
    keys = [draw(states) for _ in range(length + 1)]
    return [
        make_step(
            state=keys[t],
            action=draw(st.sampled_from("xy")),
            next_state=keys[t + 1],
            num_tokens=draw(st.integers(1, 3)),
            **{OUTCOME: draw(rewards), "format": draw(Rewards)},
        )
        for t in range(length)
    ]


@st.composite
def groups(
    draw: st.DrawFn,
    *,
    rewards: st.SearchStrategy[float] = Rewards,
    max_groups: int = 3,
    max_members: int = 4,
) -> list[Group]:
    """Groups of different sizes whose trajectories differ in length."""
    sizes = draw(st.lists(st.integers(1, max_members), min_size=1, max_size=max_groups))
    return [
        make_group(*(draw(episodes(rewards=rewards)) for _ in range(size)), name=f"g{number}")
        for number, size in enumerate(sizes)
    ]


def tables(*, rewards: st.SearchStrategy[float] = Rewards) -> st.SearchStrategy[StepTable]:
    """Tables of such groups."""
    return groups(rewards=rewards).map(build_table)
