"""Groups of trajectories: made by hand, and drawn by Hypothesis."""

from collections.abc import Sequence
from dataclasses import replace

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


def annotated(table: StepTable) -> StepTable:
    """The table with every optional column: numbers that depend on trajectory and step alone.

    Also with the term `match`, where it has none.
    """
    if "match" not in table.term_names:
        terms = np.concatenate([table.terms, (table.step % 2 == 0)[:, None]], axis=1)
        table = replace(table, term_names=(*table.term_names, "match"), terms=terms)
    names = np.array([sum(name.encode()) % 97 for name in table.trajectory_ids], dtype=np.int64)
    steps = ((names[table.trajectory] * 31 + table.step * 17) % 64) / 64
    tokens = np.repeat(steps, np.diff(table.token_start))
    returns = table.per_trajectory(table.term(OUTCOME))
    means = np.bincount(table.group, weights=returns) / np.maximum(np.bincount(table.group), 1)
    return replace(
        table,
        entropy=steps + 0.1,
        value=1 - steps,
        token_value=1 - tokens,
        answer_logprob=-steps,
        process_reward=steps - 0.5,
        duration=steps + 0.5,
        pool_mean=means[table.group],
    )


def episodes(rewards: st.SearchStrategy[float] = Rewards) -> st.SearchStrategy[list[Step]]:
    """The steps of one trajectory; few states and actions, so that they recur. Any step, and with
    it any trajectory and batch, may have sampled no token."""
    sizes = st.sampled_from([1, 2, 3, 0])
    row = st.tuples(st.sampled_from([*"ABC", None]), st.sampled_from("xy"), rewards, sizes)
    return st.lists(row, min_size=1, max_size=5).map(_walk)


@st.composite
def groups(draw: st.DrawFn, *, rewards: st.SearchStrategy[float] = Rewards) -> list[Group]:
    """Groups of different sizes whose trajectories differ in length."""
    sizes = st.lists(episodes(rewards), min_size=1, max_size=4)
    drawn = draw(st.lists(sizes, min_size=1, max_size=3))
    return [make_group(*group, name=f"g{number}") for number, group in enumerate(drawn)]


def tables(*, rewards: st.SearchStrategy[float] = Rewards) -> st.SearchStrategy[StepTable]:
    """Tables of such groups."""
    return groups(rewards=rewards).map(build_table)


def _walk(rows: list[tuple[str | None, str, float, int]]) -> list[Step]:
    """Each step leads to the state of the next, the last one to none or to a state of its own; the
    action x matches the expert."""
    states = [state for state, *_ in rows[1:]] + [None if rows[0][1] == "x" else "end"]
    return [
        make_step(
            state=state,
            action=action,
            next_state=after,
            num_tokens=num_tokens,
            **{OUTCOME: reward, "format": reward * t, "match": float(action == "x")},
        )
        for t, ((state, action, reward, num_tokens), after) in enumerate(
            zip(rows, states, strict=True)
        )
    ]
