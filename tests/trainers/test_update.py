import copy
from dataclasses import replace

import numpy as np
import pytest
import torch

from agentgym.errors import AgentGymError
from agentgym.trainers.causes import Cause
from agentgym.trainers.losses import PPO
from agentgym.trainers.losses.corrections import TIS, IcePop, NoCorrection, OffPolicyMask
from agentgym.trainers.policy import TrainerPolicy
from agentgym.trainers.rows import Row, Rows
from agentgym.trainers.settings import OptimConfig, TrainConfig
from agentgym.trainers.update import Updater


def make_rows(count=6, *, seed=0, scale=1.0):
    """Rows of unlike length whose log-probabilities are those of some other policy."""
    generator = np.random.default_rng(seed)
    rows, token = [], 0
    for _ in range(count):
        length = int(generator.integers(5, 20))
        mask = generator.random(length) < 0.6
        mask[0], mask[1] = False, True
        number = np.full(length, -1)
        number[mask] = token + np.arange(mask.sum())
        token += int(mask.sum())
        rows.append(
            Row(
                token_ids=generator.integers(0, 29, length),
                loss_mask=mask,
                old_logprobs=np.where(mask, -3.4 - 0.3 * generator.random(length), 0).astype("f4"),
                advantages=np.where(mask, scale * generator.normal(size=length), 0).astype("f4"),
                token=number,
            )
        )
    return Rows(rows=rows, cause=np.zeros(token, dtype=np.int8))


def make_updater(model, *, loss=None, **train):
    return Updater(
        TrainerPolicy(copy.deepcopy(model)),
        loss=loss or PPO(entropy_bonus=0.01),
        optim=OptimConfig(lr=1e-2),
        train=TrainConfig(**train),
    )


def weights(updater):
    return [parameter.detach().clone() for parameter in updater.policy.parameters()]


def test_micro_batches_give_the_gradient_of_the_whole_batch(tiny):
    results = []
    for budget in (10_000, 40, 1):
        updater = make_updater(tiny, max_tokens_per_micro_batch=budget)
        updated = updater.update(make_rows(), lr=1e-2, seed=0)
        results.append((updated, weights(updater)))
    (whole, reference), *others = results
    for updated, moved in others:
        torch.testing.assert_close(moved, reference, rtol=1e-4, atol=1e-5)
        assert updated.metrics == pytest.approx(whole.metrics, rel=1e-4)
        np.testing.assert_allclose(updated.logprobs, whole.logprobs, rtol=1e-4)
        np.testing.assert_array_equal(updated.weights, whole.weights)


def test_what_became_of_each_token_is_noted(tiny):
    rows = make_rows()
    rows.cause[:] = Cause.NOT_IN_BATCH
    num_tokens = len(rows.cause)
    left_out = Rows(rows=rows.rows[1:], cause=rows.cause)
    absent = rows.rows[0].num_trained
    policy = make_updater(tiny)
    updated = policy.update(left_out, lr=1e-2, seed=0)
    assert updated.cause[:absent].tolist() == [Cause.NOT_IN_BATCH] * absent
    assert np.isnan(updated.logprobs[:absent]).all()
    assert not updated.weights[:absent].any()
    trained = updated.cause[absent:]
    assert set(trained) == {Cause.TRAINED, Cause.CLIPPED}
    assert np.isfinite(updated.logprobs[absent:]).all()
    expected = np.where(trained == Cause.CLIPPED, 0, 1 / (num_tokens - absent))
    np.testing.assert_allclose(updated.weights[absent:], expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        (PPO(), Cause.ZERO_ADVANTAGE),
        (PPO(correction=IcePop(low=0.999)), Cause.ZERO_ADVANTAGE),
        (PPO(entropy_bonus=0.1), Cause.TRAINED),
        (PPO(kl_penalty=0.1), Cause.TRAINED),
    ],
)
def test_a_token_without_advantage_has_a_gradient_from_entropy_and_kl_alone(tiny, loss, expected):
    rows = make_rows(1)
    (row,) = rows.rows
    idle = np.flatnonzero(row.loss_mask)[::2]
    row.advantages[idle] = 0
    updater = make_updater(tiny, loss=loss)
    if loss.kl_penalty:
        updater.reference = copy.deepcopy(updater.policy)
    updated = updater.update(rows, lr=1e-2, seed=0)
    at = row.token[idle]
    assert updated.cause[at].tolist() == [expected] * len(at)
    assert (updated.weights[at] != 0).all() == (expected == Cause.TRAINED)
    assert Cause.ZERO_ADVANTAGE not in np.delete(updated.cause, at)


@pytest.mark.parametrize("correction", [NoCorrection(), TIS(), OffPolicyMask()])
def test_the_gap_is_that_to_the_engine_whatever_is_corrected(tiny, correction):
    rows = make_rows()
    updater = make_updater(tiny, loss=PPO(correction=correction))
    own = updater.update(rows, lr=0.0, seed=0).logprobs
    shifted = [
        replace(row, old_logprobs=np.where(row.loss_mask, own[row.token] - 0.5, 0).astype("f4"))
        for row in rows.rows
    ]
    updated = updater.update(replace(rows, rows=shifted), lr=0.0, seed=0)
    assert updated.metrics["logprob_gap"] == pytest.approx(0.5, abs=1e-4)


def test_minibatches_and_epochs_use_every_row_in_each_epoch(tiny):
    updater = make_updater(tiny, minibatches=4, epochs=2)
    seen = []
    original = updater._accumulate
    updater._accumulate = lambda part, updated: seen.append(part) or original(part, updated)
    rows = make_rows(6)
    updater.update(rows, lr=1e-3, seed=3)
    assert [len(part) for part in seen] == [2, 2, 1, 1] * 2
    for epoch in (seen[:4], seen[4:]):
        assert {id(row) for part in epoch for row in part} == {id(row) for row in rows.rows}


def test_the_same_seed_gives_the_same_weights_bit_for_bit(tiny):
    first, second = (make_updater(tiny, minibatches=3) for _ in range(2))
    for updater in (first, second):
        updater.update(make_rows(), lr=1e-2, seed=5)
    assert all(torch.equal(a, b) for a, b in zip(weights(first), weights(second), strict=True))


def test_advantages_move_log_probabilities_their_way(tiny):
    updater = make_updater(tiny, epochs=5, loss=PPO())
    rows = make_rows()
    before = updater.update(rows, lr=0.0, seed=0).logprobs
    updater.update(rows, lr=1e-2, seed=0)
    after = updater.update(rows, lr=0.0, seed=0).logprobs
    advantages = np.concatenate([row.advantages[row.loss_mask] for row in rows.rows])
    assert np.corrcoef(after - before, advantages)[0, 1] > 0.5


def test_no_rows_change_nothing(tiny):
    updater = make_updater(tiny)
    before = weights(updater)
    updated = updater.update(Rows(rows=[], cause=np.ones(3, dtype=np.int8)), lr=1.0, seed=0)
    assert updated.metrics == {}
    assert updated.cause.tolist() == [Cause.ZERO_ADVANTAGE] * 3
    assert all(torch.equal(a, b) for a, b in zip(before, weights(updater), strict=True))


def test_the_reference_holds_the_policy_back(tiny):
    distances = []
    for penalty in (0.0, 5.0):
        updater = make_updater(tiny, loss=PPO(kl_penalty=penalty), epochs=8)
        if penalty:
            updater.reference = copy.deepcopy(updater.policy)
        rows = make_rows()
        before = updater.update(rows, lr=0.0, seed=0).logprobs
        updater.update(rows, lr=1e-2, seed=0)
        after = updater.update(rows, lr=0.0, seed=0)
        distances.append(np.abs(after.logprobs - before).mean())
    assert distances[1] < 0.7 * distances[0]
    assert after.metrics["kl_reference"] > 0


def test_a_gradient_that_is_not_finite_stops_and_leaves_the_weights(tiny):
    updater = make_updater(tiny)
    before = weights(updater)
    with pytest.raises(AgentGymError, match="gradient"):
        updater.update(make_rows(scale=1e38), lr=1.0, seed=0)
    assert all(torch.equal(a, b) for a, b in zip(before, weights(updater), strict=True))


def test_only_matrices_decay(tiny):
    optim = OptimConfig(weight_decay=0.5)
    updater = Updater(TrainerPolicy(tiny), loss=PPO(), optim=optim, train=TrainConfig())
    for group in updater.optimizer.param_groups:
        for parameter in group["params"]:
            assert group["weight_decay"] == (0.5 if parameter.dim() >= 2 else 0.0)
