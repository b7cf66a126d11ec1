import math
from itertools import product

import pytest
import torch
from hypothesis import given, strategies as st

from agentgym.trainers.losses.preference import trajectory_preference_loss

ROWS = st.lists(
    st.tuples(st.floats(-50, 50), st.booleans(), st.integers(0, 2)), min_size=1, max_size=12
)


@given(ROWS)
def test_it_is_the_mean_over_pairs_of_a_group(rows: list[tuple[float, bool, int]]) -> None:
    pairs = [
        math.log1p(math.exp(-(a - b)))
        for (a, won, group), (b, other_won, other) in product(rows, rows)
        if won and not other_won and group == other
    ]
    expected = sum(pairs) / len(pairs) if pairs else 0.0
    assert _loss(*zip(*rows, strict=True)).item() == pytest.approx(expected)


def test_without_a_pair_it_is_zero_and_its_gradient_too() -> None:
    scores = torch.tensor([1.0, 2.0], requires_grad=True)
    loss = trajectory_preference_loss(scores, torch.tensor([True, True]), torch.tensor([0, 0]))
    loss.backward()
    assert loss.item() == 0
    assert scores.grad is not None
    assert scores.grad.tolist() == [0, 0]


def test_scores_far_apart_stay_finite_and_are_pulled_the_right_way() -> None:
    scores = torch.tensor([-1e4, 1e4], requires_grad=True)
    loss = trajectory_preference_loss(scores, torch.tensor([True, False]), torch.tensor([0, 0]))
    loss.backward()
    assert loss.item() == pytest.approx(2e4)
    assert scores.grad is not None
    assert scores.grad.tolist() == [-1, 1]


def _loss(scores, success, group) -> torch.Tensor:
    values = torch.tensor(scores, dtype=torch.float64)
    return trajectory_preference_loss(values, torch.tensor(success), torch.tensor(group))
