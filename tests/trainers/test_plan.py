"""What is told of a training before anything is made."""

import numpy as np
import pytest
from strategies import make_group, make_step

from agentgym.config.run import RunConfig, resolve_words
from agentgym.errors import ConfigError
from agentgym.table import StepTable, build_table
from agentgym.trainers.credit.g2po import G2PO
from agentgym.trainers.credit.gigpo import GiGPO
from agentgym.trainers.plan import check_settings, doubts

ENV = "env.id=agentgym/KeyDoor-v0"


def config(*words: str) -> RunConfig:
    return resolve_words([ENV, *words]).config


def with_potential(gamma: float, *words: str) -> RunConfig:
    level = f'{{term="near",scope="step",form={{name="potential",gamma={gamma}}}}}'
    terms = f'shaping.terms=[{{term="outcome"}},{level}]'
    return config("shaping.name=terms", terms, *words)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (
            ["credit.name=turn_gae"],
            "turn_gae needs the column 'value' of the table, which training",
        ),
        (["credit.name=empg"], None),
        (["credit.name=duration_aware"], None),
        (["rollout.sampling.temperature=0"], "never varies learns nothing"),
        ([], None),
    ],
)
def test_what_cannot_be_trained_is_refused(words: list[str], told: str | None) -> None:
    if told is None:
        check_settings(config(*words))
        return
    with pytest.raises(ConfigError, match=told):
        check_settings(config(*words))


@pytest.mark.parametrize(
    ("gamma", "words", "told"),
    [
        (0.95, [], "gigpo compares returns discounted by 0.95 and 1"),
        (0.95, [], "set the gamma of the potential and credit.gamma to 1"),
        (1, [], "the potential 'near' has gamma 1, and gigpo"),
        (1, ["credit.gamma=1"], None),
        (1, ["credit.name=hgpo", "credit.gamma=1"], None),
        (1, ["credit.name=hgpo"], "set the gamma of the potential to 0.95"),
        (0.95, ["credit.name=hgpo"], None),
        (0.95, ["credit.name=hgpo", "credit.with_base=true"], "discounted by 0.95 and 1:"),
        (0.95, ["credit.name=graft"], None),
        (0.95, ["credit.name=graft", "credit.base_weight=1"], "leave the base out"),
        (1, ["credit.name=gigpo", "credit.step_weight=0"], None),
        (1, ["credit.name=empg", "credit.base.name=gigpo"], "and credit.base.gamma to 1"),
        (1, ["credit.name=g2po"], None),
        (0.95, ["credit.name=g2po"], "set the gamma of the potential to 1"),
        (1, ["credit.name=gae"], None),
        (0.99, ["credit.name=gae", "credit.gamma=0.99"], "from token to token, by 0.99:"),
        (
            1,
            ["credit.name=reinforce_pp", "credit.gamma=0.99"],
            "set credit.gamma to 1, and the gamma of the potential to 1",
        ),
        (0.95, ["credit.name=bilevel_gae", "credit.gamma=0.9"], "potential to 0.95"),
        (1, ["credit.name=grpo"], None),
        (0.95, ["credit.name=grpo"], "set the gamma of the potential to 1"),
        (0.95, ["credit.name=discounted_grpo"], None),
        (1, ["credit.name=discounted_grpo"], "set the gamma of the potential to 0.95"),
        (0.95, ["credit.name=turn_gae"], None),
        (0.95, ["credit.name=bilevel_gae"], None),
        (1, ["credit.name=salt"], None),
        (1, ["credit.name=salt", "credit.base.name=discounted_grpo"], "salt compares"),
        (0.9, ["credit.name=igpo", "credit.gamma=0.9"], "igpo compares returns discounted by 1:"),
    ],
)
def test_a_potential_wants_the_discount_of_the_returns_that_are_compared(
    gamma: float, words: list[str], told: str | None
) -> None:
    found = doubts(with_potential(gamma, *words))
    assert (not found) if told is None else (told in found[0])


def test_without_a_potential_there_is_nothing_to_tell() -> None:
    assert doubts(config()) == []
    assert doubts(config("shaping.name=datarus")) == []


def test_what_the_loss_doubts_is_told() -> None:
    (found,) = doubts(config("loss.kl_penalty=0.1", "loss.kl_estimator=k1"))
    assert "set loss.kl_estimator to k2" in found


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["train.max_staleness=20", "train.steps=20"], "episodes of all steps begin at once"),
        (["train.max_staleness=19", "train.steps=20"], None),
        (["rollout.budget.dollars_per_hour=2"], "plays no part without rollout.budget.dollars"),
        (["rollout.budget.dollars=2"], "is never spent where rollout.budget.dollars_per_hour is 0"),
        (["rollout.budget={dollars=2,dollars_per_hour=1}"], None),
        (["rollout.budget={tokens=2,seconds=1}"], None),
    ],
)
def test_limits_that_limit_nothing_are_doubtful(words: list[str], told: str | None) -> None:
    found = doubts(config(*words, "loss.correction.name=tis"))
    assert (not found) if told is None else (told in found[0])


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["hgpo", "base.name=rloo"], "base of hgpo plays no part where with_base is false"),
        (["graft", "base.name=rloo"], "base of graft plays no part where base_weight is 0"),
        (["empg", "base={name='hgpo',base={name='rloo'}}"], "base of hgpo plays no part"),
        (["gigpo", "gamma=0.5", "step_weight=0"], "gamma of gigpo plays no part"),
        (["hgpo", "base.name=rloo", "with_base=true"], None),
        (["gigpo", "step_weight=0"], None),
    ],
)
def test_settings_of_credit_that_play_no_part_are_doubtful(
    words: list[str], told: str | None
) -> None:
    name, *others = words
    found = doubts(config(f"credit.name={name}", *(f"credit.{each}" for each in others)))
    assert (not found) if told is None else (told in found[0])


def near_the_goal() -> StepTable:
    """The better one goes through ten steps near the goal, the worse one through one."""
    long = [make_step(near=1.0) for _ in range(9)] + [make_step(outcome=1.0)]
    return build_table([make_group(long, [make_step(outcome=0.8)])])


@pytest.mark.parametrize("gamma", [1.0, 0.95])
def test_gigpo_keeps_the_order_of_two_episodes_with_gamma_1_only(gamma: float) -> None:
    """The sum of the potential's terms is -(1 - gamma) x 9: with 0.95 the better one loses 0.45."""
    table, credit = near_the_goal(), GiGPO(gamma=gamma)
    settings = with_potential(gamma, f"credit.gamma={gamma}")
    plain = credit(table, table.term("outcome"))
    shaped = credit(table, settings.shaping(table, progress=0.0).rewards)
    assert np.sign(plain[[0, -1]]).tolist() == [1, -1]
    kept = np.allclose(shaped[[0, -1]], plain[[0, -1]], atol=1e-4)
    assert kept == (gamma == 1.0) == (not doubts(settings))
    assert kept or np.sign(shaped[[0, -1]]).tolist() == [-1, 1]


@pytest.mark.parametrize("gamma", [1.0, 0.9])
def test_g2po_sees_no_potential_of_gamma_1_only(gamma: float) -> None:
    """Its own gamma, 0.95, is not that of the returns that it compares."""
    table, credit, settings = near_the_goal(), G2PO(), with_potential(gamma, "credit.name=g2po")
    plain = credit(table, table.term("outcome"))
    shaped = credit(table, settings.shaping(table, progress=0.0).rewards)
    assert np.allclose(shaped, plain) == (gamma == 1.0) == (not doubts(settings))
