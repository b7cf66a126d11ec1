"""Numbers about where the signal is: by hand, against slow loops, and for any table."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from strategies import annotated, make_group, make_step, make_table, tables
from trained_run import make_trained_run

from agentgym.config.methods import recorded_methods
from agentgym.table import build_table
from agentgym.trainers.causes import Cause
from agentgym.trainers.credit import CREDITS
from agentgym.trainers.credit.gigpo import GiGPO
from agentgym.trainers.credit.grpo import GRPO
from agentgym.trainers.credit.salt import SALT
from agentgym.trainers.diagnostics import (
    anchors,
    diagnose,
    signal,
    step_against_episode,
    tokens_by_cause,
)
from agentgym.trainers.recompute import read_updates
from agentgym.types import OUTCOME


def states(*keys, **terms):
    return [make_step(state=key, **terms) for key in keys]


def test_anchors_by_hand():
    table = build_table(
        [
            make_group(states("a", "b", "a"), states("a", None), name="g"),
            make_group(states("a"), states("c"), name="h"),
        ]
    )
    found = anchors(table)
    assert found["anchors/groups"] == 5  # a and b and one without a key; a and c of the other task
    assert found["anchors/size"] == pytest.approx(7 / 5)
    assert found["anchors/largest"] == 3
    assert found["anchors/singletons"] == pytest.approx(4 / 7)
    assert found["anchors/without_key"] == pytest.approx(1 / 7)
    assert found["anchors/steps_2_3"] == pytest.approx(3 / 7)
    assert found["anchors/steps_16_up"] == 0


def test_signal_by_hand():
    table = make_table([[0.0, 1.0], [0.0]], [[1.0], [1.0]], [[1.0, 0.0]])
    rewards = table.term(OUTCOME)
    found = signal(table, rewards, GRPO()(table, rewards))
    assert found["signal/groups"] == found["signal/single_groups"] == pytest.approx(1 / 3)
    assert found["signal/trajectories"] == pytest.approx(2 / 5)
    assert found["signal/steps"] == pytest.approx(3 / 7)


def test_tokens_whose_advantages_cancel_out_are_signal():
    table = make_table([[0.0]])
    assert signal(table, np.zeros(1), np.array([1.0, -1.0]))["signal/steps"] == 1


def test_the_terms_of_gigpo():
    table = build_table(
        [make_group([make_step(state="s", outcome=1.0)], [make_step(state="s", outcome=0.0)])]
    )
    rewards = table.term(OUTCOME)
    for weight in (0.0, 1.0, 3.0):
        credit = GiGPO(step_weight=weight, gamma=1.0)
        found = step_against_episode(credit, table, rewards, credit(table, rewards))
        assert found["credit/episode"] == pytest.approx(0.7071, abs=1e-4)
        assert found["credit/step"] == pytest.approx(weight * found["credit/episode"])
        assert found["credit/step_share"] == pytest.approx(weight / (1 + weight))


def test_an_estimator_without_a_base_is_parted_by_the_mean_of_trajectories():
    table = make_table([[1.0, 0.0], [0.0, 0.0]])
    advantages = np.array([1.0, 3.0, -1.0, -1.0])
    found = step_against_episode(GRPO(), table, table.term(OUTCOME), advantages)
    assert found["credit/episode"] == 1.5
    assert found["credit/step"] == 0.5
    assert found["credit/step_share"] == 0.25


def test_tokens_by_hand():
    cause = np.array([Cause.TRAINED, Cause.TRAINED, Cause.CLIPPED, Cause.ZERO_ADVANTAGE])
    assert tokens_by_cause(cause) == {
        "tokens/trained": 0.5,
        "tokens/zero_advantage": 0.25,
        "tokens/not_in_batch": 0,
        "tokens/clipped": 0.25,
        "tokens/dropped": 0,
    }


@given(tables())
def test_anchors_against_a_loop(table):
    keys = [
        (table.step_group[s], table.state[s] if table.state[s] >= 0 else f"alone {s}")
        for s in range(table.num_steps)
    ]
    sizes = Counter(keys)
    found = anchors(table)
    assert found["anchors/groups"] == len(sizes)
    assert found["anchors/largest"] == max(sizes.values())
    alone = sum(sizes[key] == 1 for key in keys)
    assert found["anchors/singletons"] == pytest.approx(alone / table.num_steps)
    shares = sum(value for name, value in found.items() if "/steps_" in name)
    assert found["anchors/singletons"] + shares == pytest.approx(1)


@pytest.mark.parametrize("name", sorted(CREDITS))
@given(table=tables())
def test_any_table_has_finite_numbers(name, table):
    table = annotated(table)
    rewards = table.term(OUTCOME)
    credit = CREDITS[name]()
    advantages = credit(table, rewards)
    cause = np.zeros(int(table.token_start[-1]), dtype=np.int8)
    found = diagnose(credit, table, rewards, advantages, cause)
    assert all(np.isfinite(value) and value >= 0 for value in found.values())
    shares = [value for key, value in found.items() if key.startswith(("signal/", "tokens/"))]
    assert max(shares) <= 1
    whole = 1 if len(cause) else 0
    assert sum(found[f"tokens/{each.name.lower()}"] for each in Cause) == pytest.approx(whole)


def test_a_record_can_be_asked(tmp_path):
    root = make_trained_run(tmp_path / "r", "credit.name=salt")
    credit = recorded_methods(tmp_path / "r" / "config.toml").credit
    assert credit == SALT()
    for update in read_updates(root):
        cause = update.columns["cause"]
        found = diagnose(credit, update.table, update.rewards, update.advantages, cause)
        assert found["tokens/trained"] == (cause == Cause.TRAINED).mean()
        assert found["anchors/singletons"] < 0.5
