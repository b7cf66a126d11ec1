"""Potential-based shaping keeps the optimum (Ng, Harada, Russell, ICML 1999)."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, strategies as st
from strategies import Rewards, make_group, make_step, tables

from agentgym.table import StepTable, build_table
from agentgym.trainers.credit.base import discounted_returns
from agentgym.trainers.shaping.forms import Potential
from agentgym.trainers.shaping.terms import Term, Terms

GAMMAS = st.sampled_from([1.0, 0.95, 0.5])


def with_potential(*, gamma: float, initial: float = 0.0, weight: float = 1.0) -> Terms:
    form = Potential(gamma=gamma, initial=initial)
    level = Term(term="format", scope="step", weight=weight, form=form)
    return Terms(terms=(Term(term="outcome", scope="step"), level))


def starts(table: StepTable, rewards: np.ndarray, *, gamma: float) -> np.ndarray:
    """The discounted return of each trajectory, [M]."""
    return discounted_returns(table, rewards, gamma=gamma)[table.step_start[:-1]]


@given(tables(), GAMMAS, Rewards, Rewards)
def test_the_discounted_return_differs_by_what_no_action_changes(
    table: StepTable, gamma: float, initial: float, weight: float
) -> None:
    shaper = with_potential(gamma=gamma, initial=initial, weight=weight)
    shaped = starts(table, shaper(table, progress=0.0).rewards, gamma=gamma)
    plain = starts(table, table.term("outcome"), gamma=gamma)
    assert shaped == pytest.approx(plain - weight * initial, abs=1e-9)


@given(tables(), GAMMAS)
def test_from_every_step_on_the_return_loses_the_potential_of_its_state(
    table: StepTable, gamma: float
) -> None:
    """G_t shaped = G_t - phi(s_t): among steps of one state nothing changes."""
    shaper = with_potential(gamma=gamma, initial=0.25)
    shaped = discounted_returns(table, shaper(table, progress=0.0).rewards, gamma=gamma)
    plain = discounted_returns(table, table.term("outcome"), gamma=gamma)
    levels = table.term("format")
    potentials = [
        0.25 if step == 0 else levels[row - 1] for row, step in enumerate(table.step.tolist())
    ]
    assert shaped == pytest.approx(plain - potentials, abs=1e-9)


def test_a_level_is_paid_as_it_rises() -> None:
    table = build_table([make_group([make_step(format=each) for each in (0.5, 0.25, 1.0)])])
    rewards = with_potential(gamma=1.0, initial=0.125)(table, progress=0.0).rewards
    assert rewards.tolist() == [0.375, -0.25, -0.25]


STATES, ACTIONS, HORIZON = 3, 2, 3
POLICIES = list(product(range(ACTIONS), repeat=STATES * HORIZON))


@given(
    st.lists(st.integers(0, STATES - 1), min_size=6, max_size=6),
    st.lists(Rewards, min_size=6, max_size=6),
    st.lists(Rewards, min_size=STATES, max_size=STATES),
    GAMMAS,
)
def test_policies_of_a_small_world_keep_their_ranking(
    moves: list[int], rewards: list[float], levels: list[float], gamma: float
) -> None:
    """All 512 policies of three states, two actions and three steps, by their values."""
    table = build_table(
        [make_group(*(_walk(policy, moves, rewards, levels) for policy in POLICIES))]
    )
    shaper = with_potential(gamma=gamma, initial=levels[0])
    shaped = starts(table, shaper(table, progress=0.0).rewards, gamma=gamma)
    plain = starts(table, table.term("outcome"), gamma=gamma)
    difference = shaped - plain
    assert difference == pytest.approx(np.full(len(POLICIES), -levels[0]), abs=1e-9)
    best = set(np.flatnonzero(plain > plain.max() - 1e-9))
    assert best == set(np.flatnonzero(shaped > shaped.max() - 1e-9))
    order = np.argsort(plain, kind="stable")
    assert (np.diff(shaped[order]) > -1e-9).all()


def _walk(policy: tuple[int, ...], moves: list[int], rewards: list[float], levels: list[float]):
    """The steps of a policy that may do another thing in each state at each time."""
    state, steps = 0, []
    for time in range(HORIZON):
        choice = state * ACTIONS + policy[time * STATES + state]
        state = moves[choice]
        steps.append(make_step(outcome=rewards[choice], format=levels[state]))
    return steps


def test_a_bonus_for_a_level_is_no_potential_and_changes_the_ranking() -> None:
    """Staying beside the goal for three steps is paid above reaching it at once."""
    table = build_table(
        [
            make_group(
                [make_step(outcome=1.0, format=0.0)],
                [make_step(format=0.5, outcome=0.0) for _ in range(3)],
            )
        ]
    )
    bonus = Terms(terms=(Term(term="outcome"), Term(term="format")))
    assert starts(table, bonus(table, progress=0.0).rewards, gamma=1.0).tolist() == [1.0, 1.5]
    kept = with_potential(gamma=1.0)(table, progress=0.0).rewards
    assert starts(table, kept, gamma=1.0).tolist() == [1.0, 0.0]
