import numpy as np
import pytest
import torch
from hypothesis import given, strategies as st

from agentgym.table import build_table
from agentgym.trainers.batch import Batch, pad
from agentgym.trainers.causes import Cause
from agentgym.trainers.rows import Row, imitation_row, make_rows, split_rows
from agentgym.types import Completion, Group, Message, Segment, Step, Task, Trajectory


def make_trajectory(lengths, *, name="a", gap=2):
    """An episode whose step k samples lengths[k] tokens, with `gap` foreign tokens before each."""
    segment = Segment()
    steps = []
    for number, length in enumerate(lengths):
        segment.token_ids += [1] * gap
        segment.sampled += [False] * gap
        segment.logprobs += [0.0] * gap
        first = len(segment.token_ids)
        ids = tuple(range(10, 10 + length))
        logprobs = tuple(-0.5 * (k + 1) for k in range(length))
        segment.token_ids += ids
        segment.sampled += [True] * length
        segment.logprobs += logprobs
        segment.steps.append((number, first, first + length))
        steps.append(
            Step(
                message=Message("assistant"),
                completion=Completion(token_ids=ids, logprobs=logprobs, finish_reason="stop"),
            )
        )
    return Trajectory(
        id=name,
        task=Task("t"),
        group_id="g",
        steps=steps,
        segments=[segment],
        end="terminated",
    )


def table_of(*trajectories):
    return build_table([Group(trajectories[0].task, list(trajectories))])


def test_advantages_of_steps_lie_on_the_tokens_of_their_steps():
    trajectory = make_trajectory([2, 3])
    rows = make_rows([trajectory], table_of(trajectory), np.array([1.5, -2.0]))
    (row,) = rows.rows
    assert row.advantages.tolist() == [0, 0, 1.5, 1.5, 0, 0, -2, -2, -2]
    assert row.loss_mask.tolist() == trajectory.segments[0].sampled
    assert row.old_logprobs.tolist() == trajectory.segments[0].logprobs
    assert row.token.tolist() == [-1, -1, 0, 1, -1, -1, 2, 3, 4]
    assert rows.cause.tolist() == [Cause.TRAINED] * 5


def test_a_row_ends_with_its_last_sampled_token():
    """An answer of the environment that filled the context was never answered."""
    trajectory = make_trajectory([2, 3])
    segment = trajectory.segments[0]
    whole = len(segment.token_ids)
    segment.token_ids += [1] * 50
    segment.sampled += [False] * 50
    segment.logprobs += [0.0] * 50
    trajectory.segments.append(Segment(token_ids=[1], sampled=[False], logprobs=[0.0]))
    (row,) = make_rows([trajectory], table_of(trajectory), np.array([1.5, -2.0])).rows
    assert len(row.token_ids) == len(row.advantages) == len(row.old_logprobs) == whole


def test_advantages_may_be_given_per_token():
    first, second = make_trajectory([2, 1], name="a"), make_trajectory([3], name="b")
    rows = make_rows([first, second], table_of(first, second), np.arange(6.0))
    assert rows.cause[:2].tolist() == [Cause.ZERO_ADVANTAGE, Cause.TRAINED]
    assert rows.rows[0].advantages[rows.rows[0].loss_mask].tolist() == [0, 1, 2]
    assert rows.rows[1].advantages[rows.rows[1].loss_mask].tolist() == [3, 4, 5]


def test_rows_without_advantage_are_left_out():
    first, second = make_trajectory([2, 1], name="a"), make_trajectory([3], name="b")
    rows = make_rows([first, second], table_of(first, second), np.array([0.0, 0.0, 1.0]))
    assert len(rows.rows) == 1
    assert rows.cause.tolist() == [Cause.ZERO_ADVANTAGE] * 3 + [Cause.TRAINED] * 3


def test_a_step_without_advantage_is_told_from_the_others_of_its_row():
    trajectory = make_trajectory([2, 3])
    rows = make_rows([trajectory], table_of(trajectory), np.array([0.0, 1.0]))
    assert rows.rows[0].num_trained == 5
    assert rows.cause.tolist() == [Cause.ZERO_ADVANTAGE] * 2 + [Cause.TRAINED] * 3


def test_tokens_of_no_segment_are_marked():
    trajectory = make_trajectory([2, 3])
    table = table_of(trajectory)
    del trajectory.segments[0].steps[0]
    rows = make_rows([trajectory], table, np.array([1.0, 1.0]))
    assert rows.cause.tolist() == [Cause.NOT_IN_BATCH] * 2 + [Cause.TRAINED] * 3
    assert rows.rows[0].num_trained == 3


def test_a_rewritten_context_gives_a_row_for_each_segment():
    trajectory = make_trajectory([2, 3])
    (segment,) = trajectory.segments
    second = Segment(reason="edit", parent=0)
    for name in ("token_ids", "sampled", "logprobs"):
        values = getattr(segment, name)
        setattr(second, name, values[4:])
        setattr(segment, name, values[:4])
    second.steps = [(1, 2, 5)]
    del segment.steps[1]
    trajectory.segments.append(second)
    rows = make_rows([trajectory], table_of(trajectory), np.array([1.0, 2.0]))
    assert [row.advantages.tolist() for row in rows.rows] == [[0, 0, 1, 1], [0, 0, 2, 2, 2]]
    assert [row.token.tolist() for row in rows.rows] == [[-1, -1, 0, 1], [-1, -1, 2, 3, 4]]


@pytest.mark.parametrize("wrong", [np.zeros(4), np.array([np.nan, 0.0]), np.zeros((2, 1))])
def test_wrong_advantages_are_refused(wrong):
    trajectory = make_trajectory([2, 3])
    with pytest.raises(ValueError, match="advantage"):
        make_rows([trajectory], table_of(trajectory), wrong)


def random_row(length, generator):
    mask = generator.random(length) < 0.5
    mask[0] = False
    return Row(
        token_ids=generator.integers(1, 29, length),
        loss_mask=mask,
        old_logprobs=np.where(mask, -generator.random(length), 0).astype(np.float32),
        advantages=np.where(mask, generator.normal(size=length), 0).astype(np.float32),
        token=np.where(mask, np.arange(length), -1),
    )


@given(st.lists(st.integers(1, 12), min_size=1, max_size=9), st.integers(0, 99))
def test_padding_undone_gives_the_rows(lengths, seed):
    generator = np.random.default_rng(seed)
    rows = [random_row(length, generator) for length in lengths]
    batch = pad(rows)
    assert batch.lengths.tolist() == lengths
    for line, row in enumerate(rows):
        for name in ("token_ids", "loss_mask", "old_logprobs", "advantages", "token"):
            column = getattr(batch, name)[line]
            assert column[: lengths[line]].tolist() == getattr(row, name).tolist()
    assert int(batch.loss_mask.sum()) == sum(row.num_trained for row in rows)


@given(st.lists(st.integers(1, 40), max_size=30), st.integers(1, 100))
def test_splitting_keeps_every_row_once_and_the_budget(lengths, budget):
    rows = [imitation_row([1] * length, [False] * length) for length in lengths]
    parts = split_rows(rows, max_tokens=budget)
    assert sorted(id(row) for part in parts for row in part) == sorted(id(row) for row in rows)
    for part in parts:
        widths = [len(row.token_ids) for row in part]
        assert len(part) == 1 or max(widths) * len(part) <= budget


def test_a_batch_checks_its_columns():
    batch = pad([imitation_row([3, 4, 5], [False, True, True])])
    columns = {name: getattr(batch, name) for name in Batch.__dataclass_fields__}
    for wrong in (
        {"advantages": torch.zeros(1, 2)},
        {"loss_mask": torch.tensor([[True, True, True]])},
        {"loss_mask": torch.tensor([[False, True, False]])},
        {"old_logprobs": torch.tensor([[-1.0, 0.0, 0.0]])},
    ):
        with pytest.raises(AssertionError):
            Batch(**columns | wrong)
