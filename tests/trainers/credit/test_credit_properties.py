"""What is true of every estimator in the table, whatever the trajectories."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, strategies as st
from strategies import annotated, by_trajectory, groups, make_group, make_step, make_table, tables

from agentgym.table import StepTable, build_table
from agentgym.trainers.credit import CREDITS
from agentgym.trainers.credit.base import CreditConfig
from agentgym.trainers.credit.bnpo import BNPO
from agentgym.trainers.credit.discounted_grpo import DiscountedGRPO
from agentgym.trainers.credit.dr_grpo import DrGRPO
from agentgym.trainers.credit.gigpo import GiGPO
from agentgym.trainers.credit.grpo import GRPO
from agentgym.trainers.credit.rloo import RLOO
from agentgym.trainers.credit.salt import SALT
from agentgym.types import OUTCOME, Group

VARIANTS: list[CreditConfig] = [
    *(estimator() for estimator in CREDITS.values()),
    GRPO(singletons="raw"),
    RLOO(singletons="raw"),
    GiGPO(norm="mean_norm", base=DrGRPO()),
    GiGPO(base=GRPO(cross_steps=True, singletons="raw")),
    GiGPO(norm="mean_norm", base=RLOO(), gamma=1.0, step_weight=0.5),
    SALT(base=RLOO(), history=1),
]
TOKENS = {"reinforce_pp", "gae", "bilevel_gae"}
"""They give each token its own."""
BATCH_WIDE = {"reinforce_pp", "reinforce_pp_baseline", "gae", "gdpo", "bnpo", "riskpo"}
BATCH_WIDE |= {"empg", "duration_aware", "copo"}
"""They standardise over the batch, or look at several groups of it."""
OWN_SIGNAL = {"gdpo", "igpo", "istar", "prorag", "turn_gae", "gae", "bilevel_gae"}
"""They look at raw terms, or at a column, beside the rewards."""
ABSOLUTE = {"ngrpo", "reinforce_ada"}
"""Compared with what is not in the group: a success, all samples drawn."""
WITHIN = {"reinforce_pp", "td_state", "g2po"}
"""They compare the steps of one trajectory with each other."""
UNDISCOUNTED: list[CreditConfig] = [GRPO(), RLOO(), SALT(), SALT(base=RLOO())]

# Drawing costs more than estimating, so that each property tries every variant on what it draws.


@given(tables(rewards=st.floats(-5, 5)))
def test_every_step_gets_a_finite_float64(table: StepTable) -> None:
    table = annotated(table)
    for credit in VARIANTS:
        advantages = credit(table, table.term(OUTCOME))
        size = int(table.token_start[-1]) if credit.name in TOKENS else table.num_steps
        assert advantages.shape == (size,), credit
        assert advantages.dtype == np.float64, credit
        assert np.isfinite(advantages).all(), credit


@given(tables())
def test_inputs_are_left_alone(table: StepTable) -> None:
    table = annotated(table)
    rewards = table.term(OUTCOME).copy()
    rewards.flags.writeable = False
    for column in vars(table).values():
        if isinstance(column, np.ndarray):
            column.flags.writeable = False
    for credit in VARIANTS:
        assert credit(table, rewards).tolist() == credit(table, rewards).tolist(), credit


@given(tables())
def test_zero_rewards_give_zero_advantages(table: StepTable) -> None:
    table = annotated(replace(table, terms=np.zeros_like(table.terms)))
    for credit in VARIANTS:
        if credit.name not in ABSOLUTE | OWN_SIGNAL:
            assert not credit(table, np.zeros(table.num_steps)).any(), credit


@given(groups(), st.data())
def test_order_does_not_matter(drawn: list[Group], data: st.DataObject) -> None:
    """Neither of the groups nor of the trajectories inside them."""
    shuffled = [
        Group(group.task, data.draw(st.permutations(group.trajectories)))
        for group in data.draw(st.permutations(drawn))
    ]
    for credit in VARIANTS:
        if credit.name in TOKENS | {"riskpo"}:  # which bundles groups in their order
            continue
        assert _advantages(credit, shuffled) == _approx(_advantages(credit, drawn)), credit


@given(groups())
def test_groups_know_nothing_of_each_other(drawn: list[Group]) -> None:
    for credit in VARIANTS:
        if credit.name in BATCH_WIDE | TOKENS:
            continue
        alone = {
            name: values for group in drawn for name, values in _advantages(credit, [group]).items()
        }
        assert _advantages(credit, drawn) == _approx(alone), credit


@given(groups(), st.integers(-8, 8))
def test_equal_returns_give_zeros(drawn: list[Group], total: int) -> None:
    """Wherever in a trajectory the rewards lie, and however long it is: without a discount."""
    for group in drawn:
        for trajectory in group.trajectories:
            trajectory.steps[0].reward_terms[OUTCOME] += total - trajectory.outcome
    table = build_table(drawn)
    for credit in UNDISCOUNTED:
        assert not credit(table, table.term(OUTCOME)).any(), credit


@given(st.floats(-5, 5), st.integers(2, 5), st.integers(1, 5), st.booleans())
def test_equal_trajectories_give_zeros(
    reward: float, size: int, length: int, has_states: bool
) -> None:
    """Equal in length as well, as a discount tells lengths apart; with or without keys."""
    episode = [
        make_step(state=f"s{t}" if has_states else None, action="x", outcome=reward)
        for t in range(length)
    ]
    table = annotated(build_table([make_group(*[episode] * size)]))
    for credit in VARIANTS:
        if credit.name in ABSOLUTE | OWN_SIGNAL | WITHIN:
            continue
        assert not credit(table, table.term(OUTCOME)).any(), credit


@given(tables())
def test_trajectories_of_a_group_sum_to_zero(table: StepTable) -> None:
    for credit in (GRPO(), RLOO(), DiscountedGRPO(), GiGPO(step_weight=0.0)):
        firsts = credit(table, table.term(OUTCOME))[table.step_start[:-1]]
        sums = np.bincount(table.group, weights=firsts)
        assert sums == pytest.approx(0.0, abs=1e-9), credit


def test_pass_rates_that_hardly_differ_are_weighed() -> None:
    """By the height of a narrow peak: Beta(p; 526, 1545), whose normaliser alone overflows."""
    table = make_table([[1.0], [0.0], [0.0], [0.0]], [[1.0], [0.03125], [0.0], [0.0]])
    advantages = BNPO()(table, table.term(OUTCOME))
    assert advantages[0] == pytest.approx(0.75 / 38.34784, rel=1e-5)


@given(tables())
def test_grpo_on_discounted_returns_without_a_discount_is_grpo(table: StepTable) -> None:
    rewards = table.term(OUTCOME)
    expected = pytest.approx(GRPO()(table, rewards), abs=1e-9)
    assert DiscountedGRPO(gamma=1.0)(table, rewards) == expected


def _advantages(credit: CreditConfig, drawn: Sequence[Group]) -> dict[str, list[float]]:
    table = annotated(build_table(drawn))
    return by_trajectory(table, credit(table, table.term(OUTCOME)))


def _approx(expected: dict[str, list[float]]) -> dict[str, object]:
    """Sums in another order differ by rounding, which division by EPS magnifies."""
    return {name: pytest.approx(values, abs=1e-8) for name, values in expected.items()}
