from dataclasses import replace

import numpy as np
from hypothesis import given
from strategies import groups, make_group, make_step, make_table

from agentgym.table import build_table
from agentgym.types import Group, Step, Timings


def test_lays_steps_out_in_order() -> None:
    first = [
        make_step(state="a", action="go", next_state="b", outcome=0.0, num_tokens=3),
        make_step(state="b", action="take", next_state="a", format=0.5, num_tokens=1),
    ]
    second = [make_step(state="b", action="go", outcome=1.0)]
    table = build_table([make_group(first, second, name="p"), make_group(second, name="q")])

    assert table.trajectory.tolist() == [0, 0, 1, 2]
    assert table.step.tolist() == [0, 1, 0, 0]
    assert table.group.tolist() == [0, 0, 1]
    assert table.step_group.tolist() == [0, 0, 0, 1]
    assert table.step_start.tolist() == [0, 2, 3, 4]
    assert table.token_start.tolist() == [0, 3, 4, 6, 8]
    assert table.term_names == ("format", "outcome")
    assert table.term("outcome").tolist() == [0.0, 0.0, 1.0, 1.0]
    assert table.term("format").tolist() == [0.0, 0.5, 0.0, 0.0]
    assert table.term("nobody gave this").tolist() == [0.0] * 4
    assert table.trajectory_ids == ("p/0", "p/1", "q/0")
    assert table.per_trajectory(table.term("outcome")).tolist() == [0.0, 1.0, 1.0]
    assert (table.num_steps, table.num_trajectories, table.num_groups) == (4, 3, 2)


def test_states_before_and_after_share_their_numbers() -> None:
    steps = [
        make_step(state="a", next_state="b", action="x"),
        make_step(state="b", next_state=None, action="x"),
        make_step(state=None, next_state="c", action="y"),
    ]
    table = build_table([make_group(steps)])
    assert [table.state_keys[number] for number in table.state[:2]] == ["a", "b"]
    assert table.state[2] == table.next_state[1] == -1
    assert table.next_state[0] == table.state[1]
    assert table.state_keys[table.next_state[2]] == "c"
    assert table.action.tolist() == [0, 0, 1]


def test_faults_and_empty_trajectories_are_left_out() -> None:
    dead = make_group([make_step(outcome=9.0)], name="dead")
    dead.trajectories[0].end = "error"
    mixed = make_group([make_step(outcome=1.0)], [], [make_step(outcome=2.0)], name="mixed")
    mixed.trajectories[2].end = "truncated"
    table = build_table([dead, mixed, make_group([make_step(outcome=3.0)], name="last")])
    assert table.trajectory_ids == ("mixed/0", "mixed/2", "last/0")
    assert table.group.tolist() == [0, 0, 1]
    assert table.terminated.tolist() == [True, False, True]
    assert table.term("outcome").tolist() == [1.0, 2.0, 3.0]


def test_nothing_makes_an_empty_table() -> None:
    table = build_table([])
    assert (table.num_steps, table.num_trajectories, table.num_groups) == (0, 0, 0)
    assert table.step_start.tolist() == table.token_start.tolist() == [0]
    assert table.term("outcome").shape == table.per_trajectory(np.zeros(0)).shape == (0,)


def test_a_step_without_tokens_has_an_empty_range() -> None:
    step = replace(make_step(outcome=1.0), completion=None)
    assert build_table([make_group([make_step(), step])]).token_start.tolist() == [0, 2, 2]


def test_make_table_reads_rewards() -> None:
    table = make_table([[0, 1], [2]], [[3]])
    assert table.term("outcome").tolist() == [0, 1, 2, 3]
    assert table.lengths.tolist() == [2, 1, 1]


@given(groups())
def test_every_row_is_its_step(drawn: list[Group]) -> None:
    """The slow obvious reading of the table gives back every step."""
    table = build_table(drawn)
    row = 0
    actions: dict[int, str] = {}
    for g, group in enumerate(drawn):
        for trajectory in group.trajectories:
            for t, step in enumerate(trajectory.steps):
                assert table.trajectory_ids[table.trajectory[row]] == trajectory.id
                assert (table.step_group[row], table.step[row]) == (g, t)
                assert _key(table.state_keys, table.state[row]) == step.state_key
                assert _key(table.state_keys, table.next_state[row]) == step.next_state_key
                assert actions.setdefault(table.action[row], step.action_key) == step.action_key
                assert _terms(table.terms[row], table.term_names) == step.reward_terms
                assert table.token_start[row + 1] - table.token_start[row] == _num_tokens(step)
                row += 1
    assert row == table.num_steps
    assert len(set(actions.values())) == len(actions)


@given(groups())
def test_columns_have_their_types(drawn: list[Group]) -> None:
    table = build_table(drawn)
    whole = (table.trajectory, table.step, table.state, table.next_state, table.action)
    whole += (table.token_start, table.group, table.step_start, table.lengths, table.step_group)
    assert {column.dtype for column in whole} == {np.dtype(np.int64)}
    assert table.terms.dtype == np.float64
    assert table.terminated.dtype == np.bool_


def _key(keys: tuple[str, ...], number: int) -> str | None:
    return None if number < 0 else keys[number]


def _terms(row: np.ndarray, names: tuple[str, ...]) -> dict[str, float]:
    return dict(zip(names, row.tolist(), strict=True))


def _num_tokens(step: Step) -> int:
    return len(step.completion.token_ids) if step.completion else 0


def test_a_step_took_what_its_answer_and_the_environment_took() -> None:
    steps = [make_step(), make_step()]
    steps[0].timings = Timings(generate_s=0.5, env_s=0.25)
    assert build_table([make_group(steps)]).duration is None
    steps[1].timings = Timings(generate_s=0.0, env_s=2.0)
    duration = build_table([make_group(steps)]).duration
    assert duration is not None
    assert duration.tolist() == [0.75, 2.0]
