import time
from dataclasses import replace

import numpy as np
import pytest
from strategies import make_group, make_step
from updated import SEED, take_step

from agentgym.config.methods import Training, recorded_training
from agentgym.demo import write_demo
from agentgym.errors import StoreError
from agentgym.rollout.collect import to_groups
from agentgym.table import build_table
from agentgym.trainers.causes import Cause
from agentgym.trainers.credit.grpo import GRPO
from agentgym.trainers.losses import PPO
from agentgym.trainers.losses.cispo import CISPO
from agentgym.trainers.losses.corrections import TIS, IcePop, OffPolicyMask, Rejection
from agentgym.trainers.losses.dcpo import DCPO
from agentgym.trainers.losses.gspo import GSPO
from agentgym.trainers.losses.opmd import OPMD
from agentgym.trainers.losses.rec import REC
from agentgym.trainers.losses.topr import TOPR
from agentgym.trainers.recompute import SCHEMA, Update, read_updates
from agentgym.types import Segment
from agentgym.viewer.weights import TokenWeights

AGGREGATES = ["token-mean", "seq-mean-token-sum", "seq-mean-token-mean"]
LOSSES = [
    PPO(),
    PPO(dual_clip=1.5, aggregate="seq-mean-token-sum-norm", length=50),
    PPO(entropy_bonus=0.01),
    *(PPO(aggregate=each) for each in AGGREGATES),
    GSPO(),
    DCPO(),
    CISPO(),
    TOPR(),
    OPMD(),
    REC(clip="ring"),
    REC(clip="gspo-one-side", weight="importance_sampling"),
]
CORRECTED = [
    PPO(correction=TIS(cap=1.1)),
    PPO(correction=TIS(level="sequence"), aggregate="seq-mean-token-mean"),
    PPO(correction=IcePop(low=0.3, high=1.8)),
    DCPO(correction=Rejection(low=0.5, high=1.5)),
    PPO(correction=OffPolicyMask(delta=0.1)),
]


def weights_of(tiny, loss, **train):
    return TokenWeights(*take_step(tiny, loss=loss, **train), SEED)


def assert_agrees(found, *, known):
    """Cause and weight come out as they were recorded, of at least this share of the tokens."""
    sure = found.derived >= 0
    np.testing.assert_array_equal(found.derived[sure], found.cause[sure])
    assert sure.mean() >= known
    trained = found.cause == Cause.TRAINED
    assert trained.any()
    np.testing.assert_allclose(
        (found.shares.share * found.corrected.weight)[trained], found.weight[trained], rtol=1e-4
    )


@pytest.mark.parametrize("loss", LOSSES, ids=repr)
@pytest.mark.parametrize("train", [{}, {"minibatches": 3, "epochs": 2}], ids=["once", "often"])
def test_cause_and_weight_of_every_token_come_out_again(tiny, loss, train):
    found = weights_of(tiny, loss, **train)
    assert_agrees(found, known=0.95)
    assert Cause.NOT_IN_BATCH in found.cause
    if loss.cuts and loss != REC(clip="none"):
        assert Cause.CLIPPED in found.cause


@pytest.mark.parametrize("loss", CORRECTED, ids=repr)
def test_so_do_corrected_ones_as_far_as_the_record_goes(tiny, loss):
    assert_agrees(weights_of(tiny, loss), known=0.95)
    assert_agrees(weights_of(tiny, loss, minibatches=3), known=0.3)
    assert_agrees(weights_of(tiny, loss, minibatches=2, epochs=2), known=0.0)


def without_tokens(trajectory):
    """What is read of the other episodes: how many tokens, and where."""
    steps = [
        replace(
            step,
            completion=replace(
                step.completion, token_ids=range(len(step.completion.token_ids)), logprobs=()
            ),
        )
        for step in trajectory.steps
    ]
    segments = [
        replace(each, token_ids=[], sampled=[], logprobs=[]) for each in trajectory.segments
    ]
    return replace(trajectory, steps=steps, segments=segments)


def by_token(table, _):
    return np.sin(np.arange(table.token_start[-1])) * (np.arange(table.token_start[-1]) % 3 > 0)


@pytest.mark.parametrize("credit", [None, by_token], ids=["steps", "tokens"])
@pytest.mark.parametrize("loss", [LOSSES[4], GSPO(), CORRECTED[1], CORRECTED[-1]], ids=repr)
def test_the_tokens_of_one_episode_need_no_others(tiny, loss, credit):
    whole = weights_of(tiny, loss, minibatches=2, credit=credit)
    assert_agrees(whole, known=0.3)
    for place, trajectory in enumerate(whole.update.trajectories):
        opened = [without_tokens(each) for each in whole.update.trajectories]
        opened[place] = trajectory
        update = replace(whole.update, trajectories=tuple(opened))
        found = TokenWeights(update, whole.training, SEED, trajectory.id)
        span = whole.span(trajectory.id)
        assert found.span(trajectory.id) == slice(0, found.num_tokens)
        np.testing.assert_array_equal(found.derived, whole.derived[span])
        for name, values in whole.columns(trajectory.id).items():
            np.testing.assert_array_equal(found.columns(trajectory.id)[name], values)
        with pytest.raises(KeyError):
            found.span("nobody")
    with pytest.raises(KeyError):
        TokenWeights(whole.update, whole.training, SEED, "nobody")


def test_the_demo_agrees_with_itself(tmp_path):
    """It pretends updates, but cuts them up as the trainer does."""
    run = write_demo(tmp_path / "demo")
    training = recorded_training(run.config_path)
    for update in read_updates(run.root):
        assert_agrees(TokenWeights(update, training, run.info["seed"]), known=0.3)


def test_a_record_of_the_first_schema_agrees_too(tiny):
    """There a token without an advantage was trained, where others of its row had one."""
    update, training = take_step(tiny, loss=PPO(), credit=lambda table, _: table.step % 2 - 0.0)
    found = TokenWeights(update, training, SEED)
    alone = found.is_used & (found.advantage == 0)
    assert alone.any()
    cause = np.where(alone, Cause.TRAINED, found.cause).astype(np.int8)
    weights = np.where(alone, found.shares.share, found.weight).astype(np.float32)
    columns = {**update.columns, "cause": cause, "weights": weights}
    assert_agrees(
        TokenWeights(replace(update, schema=1, columns=columns), training, SEED), known=0.95
    )
    other = TokenWeights(replace(update, columns=columns), training, SEED)
    assert (other.derived[alone] == Cause.ZERO_ADVANTAGE).all()


def test_dropped_tokens_tell_their_number(tiny):
    found = weights_of(tiny, PPO(correction=IcePop(low=0.3, high=1.8)))
    dropped = found.cause == Cause.DROPPED
    assert dropped.any()
    number = found.corrected.number[dropped]
    assert ((number < 0.3) | (number > 1.8)).all()


def test_a_run_of_another_kind_does_not_agree(tiny):
    """What the agreement would miss if nothing were computed."""
    update, training = take_step(tiny, loss=PPO())
    other = TokenWeights(update, Training(loss=PPO(clip_low=0.9, clip_high=9.0)), SEED)
    assert (other.derived != other.cause).any()
    update, training = take_step(tiny, loss=PPO(), minibatches=3)
    shuffled = TokenWeights(update, training, SEED + 1)
    trained = shuffled.cause == Cause.TRAINED
    assert not np.allclose(shuffled.shares.share[trained], shuffled.weight[trained])


def test_rows_without_an_advantage_are_left_out(tiny):
    found = weights_of(tiny, PPO(), credit=GRPO(), step=0)
    idle = ~found.is_row_trained[found.row] & (found.row >= 0)
    assert idle.any()
    assert (found.cause[idle] == Cause.ZERO_ADVANTAGE).all()
    assert np.isnan(found.shares.share[idle]).all()
    assert (found.shares.minibatch[idle] == -1).all()


def test_tokens_know_their_row(tiny):
    found = weights_of(tiny, PPO())
    first = found.update.trajectories[0]
    span = found.span(first.id)
    owners = found.row[span].tolist()
    assert owners[:2] == [-1, -1]
    assert owners[-2:] == [1, 1]
    assert found.rows.segment[:3].tolist() == [0, 1, 0]
    assert found.rows.trajectory[:3].tolist() == [0, 0, 1]
    with pytest.raises(KeyError):
        found.span("nobody")


def test_columns_are_those_of_the_episode(tiny):
    found = weights_of(tiny, PPO())
    trajectory = found.update.trajectories[5]
    columns = found.columns(trajectory.id)
    assert {len(each) for each in columns.values()} == {trajectory.num_sampled}
    np.testing.assert_array_equal(columns["cause"], found.cause[found.span(trajectory.id)])
    ratio = np.exp(columns["trainer_logprobs"] - found.engine_logprobs[found.span(trajectory.id)])
    np.testing.assert_allclose(columns["ratio"], ratio, rtol=1e-5)


@pytest.mark.parametrize("name", ["weights", "cause", "logprobs"])
def test_columns_of_another_length_are_refused(tiny, name):
    update, training = take_step(tiny, loss=PPO())
    broken = replace(update, columns={**update.columns, name: update.columns[name][1:]})
    with pytest.raises(StoreError, match=name):
        TokenWeights(broken, training, SEED)


def large(num_tokens, steps=50):
    """An optimiser step of two episodes, one of them with very many tokens."""
    each = num_tokens // steps
    group = make_group(
        [make_step(outcome=1.0, num_tokens=each) for _ in range(steps)],
        [make_step(outcome=0.0)],
    )
    for trajectory in group.trajectories:
        segment = Segment()
        for number, step in enumerate(trajectory.steps):
            first = len(segment.token_ids)
            segment.token_ids += step.completion.token_ids
            segment.sampled += [True] * len(step.completion.token_ids)
            segment.logprobs += step.completion.logprobs
            segment.steps.append((number, first, len(segment.token_ids)))
        trajectory.segments = [segment]
    table = build_table(to_groups(group.trajectories))
    total = int(table.token_start[-1])
    columns = {
        "rewards": table.term("outcome"),
        "advantages": GRPO()(table, table.term("outcome")),
        "logprobs": np.full(total, -1.0, dtype=np.float32),
        "weights": np.full(total, 1 / total, dtype=np.float32),
        "cause": np.zeros(total, dtype=np.int8),
    }
    update = Update(
        step=0,
        schema=SCHEMA,
        version=0,
        schedules={},
        trajectories=tuple(group.trajectories),
        table=table,
        columns=columns,
    )
    return TokenWeights(update, Training(), SEED)


def test_an_episode_of_a_hundred_thousand_tokens_is_explained_at_once():
    seconds = []
    for _ in range(3):
        found = large(100_000)
        began = time.perf_counter()
        columns = found.columns("g/0")
        assert (found.derived == Cause.TRAINED).all()
        seconds.append(time.perf_counter() - began)
    assert len(columns["weight"]) == 100_000
    assert min(seconds) < 0.2
