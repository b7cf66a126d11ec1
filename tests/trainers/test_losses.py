import json
from pathlib import Path
from typing import get_args

import pytest
import torch
from batches import call, make_batch
from hypothesis import given, settings, strategies as st
from pydantic import ValidationError

from agentgym.trainers.losses import PPO, AnyLoss, Normalizer
from agentgym.trainers.losses.cispo import CISPO
from agentgym.trainers.losses.corrections import (
    TIS,
    IcePop,
    NoCorrection,
    OffPolicyMask,
    Rejection,
)
from agentgym.trainers.losses.gspo import GSPO
from agentgym.trainers.losses.opmd import OPMD
from agentgym.trainers.losses.rec import REC
from agentgym.trainers.losses.topr import TOPR

VECTORS = Path(__file__).parents[1] / "vectors" / "credit.json"


def vector():
    vectors = json.loads(VECTORS.read_text())["vectors"]
    return next(v for v in vectors if v["id"] == "ppo.dual_clip_and_aggregation")


def test_loss_agrees_with_the_worked_example():
    case = vector()
    inputs = {k: torch.tensor(v, dtype=torch.float64) for k, v in case["inputs"].items()}
    mask = inputs["mask"]
    batch = make_batch(mask, torch.zeros_like(mask), inputs["advantages"])
    loss = PPO(clip_low=0.2, clip_high=0.28, dual_clip=3.0)
    got = call(loss, inputs["ratio"].log(), batch)
    expected = case["expected"]["aggregated"]["token-mean"]
    assert got.loss.item() == pytest.approx(expected, abs=case["tolerance"])
    assert got.metrics["clip_fraction"].item() == pytest.approx(3 / 5)
    cut = got.clipped[:, 1:].tolist()
    assert cut == [[True, False, False], [True, True, False]]


def random_case(seed, rows=3, width=5):
    generator = torch.Generator().manual_seed(seed)

    def normal():
        return torch.randn((rows, width), generator=generator, dtype=torch.float64)

    mask = torch.rand((rows, width), generator=generator) < 0.7
    mask[0, 0] = True
    return mask, -normal().abs(), normal(), -normal().abs(), normal().abs(), -normal().abs()


@given(st.integers(0, 10_000))
def test_loss_agrees_with_the_loop_over_tokens(seed):
    mask, old, advantages, logprobs, entropy, reference = random_case(seed)
    loss = PPO(dual_clip=2.0, entropy_bonus=0.1, kl_penalty=0.3)
    masked_entropy = entropy * mask
    got = call(
        loss,
        logprobs * mask,
        make_batch(mask, old, advantages, reference),
        entropy=masked_entropy,
    )
    total = 0.0
    for row, column in mask.nonzero().tolist():
        ratio = float((logprobs - old)[row, column].exp())
        advantage = float(advantages[row, column])
        clipped = min(max(ratio, 0.8), 1.28)
        token = max(-ratio * advantage, -clipped * advantage)
        if advantage < 0:
            token = min(token, -2.0 * advantage)
        gap = float((reference - logprobs)[row, column])
        total += token - 0.1 * float(entropy[row, column])
        total += 0.3 * (float(torch.tensor(gap, dtype=torch.float64).exp()) - gap - 1)
    assert got.loss.item() == pytest.approx(total / int(mask.sum()))


def test_gradient_is_that_of_finite_differences():
    mask, old, advantages, logprobs, entropy, reference = random_case(3)
    batch = make_batch(mask, old, advantages, reference)
    loss = PPO(dual_clip=2.0, entropy_bonus=0.1, kl_penalty=0.3)
    logprobs.requires_grad_()
    entropy.requires_grad_()

    def value(logprobs, entropy):
        return call(loss, logprobs * mask, batch, entropy=entropy * mask).loss

    assert torch.autograd.gradcheck(value, (logprobs, entropy))


def test_clipped_tokens_have_no_gradient():
    mask, old, advantages, logprobs, _, _ = random_case(5)
    logprobs.requires_grad_()
    got = call(PPO(), logprobs * mask, make_batch(mask, old, advantages))
    got.loss.backward()
    cut = got.clipped[:, 1:]
    assert cut.any()
    assert not cut[~mask].any()
    assert not logprobs.grad[cut].any()
    assert logprobs.grad[mask & ~cut].all()


def test_equal_policies_give_minus_the_mean_advantage():
    mask, old, advantages, *_ = random_case(7)
    got = call(PPO(), old * mask, make_batch(mask, old, advantages))
    assert got.loss.item() == pytest.approx(-float(advantages[mask].mean()))
    assert got.metrics["approx_kl"].item() == 0
    assert got.metrics["clip_fraction"].item() == 0


def test_a_huge_ratio_stays_finite():
    mask = torch.ones((1, 2))
    batch = make_batch(mask, torch.tensor([[-400.0, -1.0]]), torch.tensor([[-1.0, 1.0]]))
    logprobs = torch.tensor([[-0.1, -1.0]], requires_grad=True)
    got = call(PPO(), logprobs, batch)
    got.loss.backward()
    assert torch.isfinite(got.loss)
    assert torch.isfinite(logprobs.grad).all()


LOSSES = [
    *(kind() for kind in get_args(get_args(AnyLoss)[0])),
    REC(clip="gspo-one-side", weight="gspo_importance_sampling"),
    REC(clip="ring", weight="advantage", temperature=0.5),
]
AGGREGATES = [
    {"aggregate": "token-mean"},
    {"aggregate": "seq-mean-token-sum"},
    {"aggregate": "seq-mean-token-mean"},
    {"aggregate": "seq-mean-token-sum-norm", "length": 7},
]
CORRECTIONS = [
    NoCorrection(),
    TIS(),
    TIS(level="sequence", cap=3.0, floor=0.5),
    IcePop(),
    Rejection(),
    OffPolicyMask(delta=0.1),
]


def every_setting():
    for loss in LOSSES:
        for aggregate in AGGREGATES:
            for correction in CORRECTIONS:
                settings = {"entropy_bonus": 0.1, "kl_penalty": 0.3, "correction": correction}
                yield loss.model_copy(update=aggregate | settings)


@settings(max_examples=10)
@given(st.integers(0, 10_000))
def test_micro_batches_add_up_to_the_whole(seed):
    mask, old, advantages, logprobs, entropy, reference = random_case(seed, rows=4)
    mask[:, 0] = True
    rollout = old + 0.3 * reference
    normalizer = Normalizer(tokens=float(mask.sum()), rows=float(len(mask)))

    def run(loss, rows):
        leaf = logprobs[rows].clone().requires_grad_()
        batch = make_batch(mask[rows], old[rows], advantages[rows], reference[rows], rollout[rows])
        out = call(
            loss,
            leaf * mask[rows],
            batch,
            entropy=entropy[rows] * mask[rows],
            normalizer=normalizer,
        )
        out.loss.backward()
        return out, leaf.grad

    for loss in every_setting():
        whole, gradient = run(loss, slice(None))
        parts = [run(loss, slice(at, at + 1)) for at in range(4)]
        assert torch.isfinite(gradient).all(), loss
        total = sum(out.loss.item() for out, _ in parts)
        assert total == pytest.approx(whole.loss.item(), abs=1e-9), loss
        assert torch.allclose(torch.cat([each for _, each in parts]), gradient), loss
        for name, value in whole.metrics.items():
            added = sum(out.metrics[name].item() for out, _ in parts)
            assert added == pytest.approx(value.item(), abs=1e-6), (loss, name)


@settings(max_examples=10)
@given(st.integers(0, 10_000))
def test_nothing_that_is_masked_out_counts(seed):
    mask, old, advantages, logprobs, entropy, reference = random_case(seed)
    rollout = old + 0.3 * reference
    for loss in every_setting():
        leaf = logprobs.clone().requires_grad_()
        batch = make_batch(mask, old, advantages, reference, rollout)
        out = call(loss, leaf * mask, batch, entropy=entropy * mask)
        out.loss.backward()
        assert not leaf.grad[~mask].any(), loss
        assert not out.weights[:, 1:][~mask].any(), loss
        assert not out.clipped[:, 1:][~mask].any(), loss


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.name)
@pytest.mark.parametrize("gap", [-400.0, 400.0])
def test_policies_far_apart_stay_finite(loss, gap):
    mask = torch.ones((2, 2))
    old = torch.full((2, 2), min(-0.1, -0.1 - gap))
    logprobs = torch.full((2, 2), min(-0.1, -0.1 + gap), requires_grad=True)
    advantages = torch.tensor([[1.0, -1.0], [-1.0, 1.0]])
    changes = {"correction": TIS(level="sequence"), "kl_penalty": 1.0}
    batch = make_batch(mask, old, advantages, reference=old, rollout=logprobs.detach())
    out = call(loss.model_copy(update=changes), logprobs, batch)
    out.loss.backward()
    assert torch.isfinite(out.loss)
    assert torch.isfinite(logprobs.grad).all()


def test_what_is_detached_is_only_a_weight():
    """The gradient of CISPO, TOPR and OPMD is that of a weighted log-probability."""
    mask, old, advantages, logprobs, *_ = random_case(11)
    ratio = (logprobs - old).exp()
    weights = {
        "cispo": ratio.clamp(0.0, 1.28),
        "topr": ratio.clamp(max=1.0).where(advantages <= 0, 1.0),
        "opmd": torch.full_like(ratio, 0.5),
    }
    for loss in (CISPO(), TOPR(level="token"), OPMD(tau=1.0)):
        leaf = logprobs.clone().requires_grad_()
        call(loss, leaf * mask, make_batch(mask, old, advantages)).loss.backward()
        expected = -weights[loss.name] * advantages * mask / mask.sum()
        assert torch.allclose(leaf.grad, expected), loss


def test_gspo_moves_all_tokens_of_a_row_or_none():
    mask, old, advantages, logprobs, *_ = random_case(12)
    mask[:] = True
    advantages = advantages[:, :1].expand_as(mask).clone()
    leaf = logprobs.clone().requires_grad_()
    out = call(GSPO(clip_low=0.2, clip_high=0.2), leaf, make_batch(mask, old, advantages))
    out.loss.backward()
    moved = (leaf.grad != 0).sum(dim=1)
    assert set(moved.tolist()) <= {0, mask.shape[1]}
    assert (out.clipped[:, 1:].sum(dim=1) == mask.shape[1] - moved).all()


RATIOS = [0.3, 0.7, 1.0, 1.5, 3.5]


@pytest.mark.parametrize(
    ("clip", "good", "bad"),
    [
        ("none", RATIOS, RATIOS),
        ("one-side", [0.3, 0.7, 1.0], [1.0, 1.5, 3.5]),
        ("two-side", [1.0], [1.0]),
        ("ring", [0.3, 1.0], [1.0, 3.5]),
    ],
)
def test_what_rec_lets_through(clip, good, bad):
    ratio = torch.tensor([RATIOS, RATIOS], dtype=torch.float64)
    ones = torch.ones_like(ratio)
    batch = make_batch(ones, -ones, ones * torch.tensor([[1.0], [-1.0]]))
    leaf = (ratio.log() - 1).requires_grad_()
    out = call(REC(clip=clip), leaf, batch)
    out.loss.backward()
    for row, expected, sign in ((0, good, -1), (1, bad, 1)):
        passed = [each in expected for each in RATIOS]
        assert out.clipped[row, 1:].tolist() == [not each for each in passed]
        assert leaf.grad[row].tolist() == pytest.approx([sign * each / 10 for each in passed])


@pytest.mark.parametrize(
    ("rec", "other"),
    [
        (REC(weight="importance_sampling"), PPO(clip_high=0.2)),
        (
            REC(
                clip="gspo-one-side",
                weight="gspo_importance_sampling",
                aggregate="seq-mean-token-mean",
            ),
            GSPO(clip_low=0.2, clip_high=0.2),
        ),
    ],
    ids=["ppo", "gspo"],
)
@given(seed=st.integers(0, 10_000))
@settings(max_examples=20)
def test_rec_weighted_by_its_ratio_is_another_loss(rec, other, seed):
    mask, old, advantages, logprobs, *_ = random_case(seed)
    gradients, cuts = [], []
    for loss in (rec, other):
        leaf = logprobs.clone().requires_grad_()
        out = call(loss, leaf * mask, make_batch(mask, old, advantages))
        out.loss.backward()
        gradients.append(leaf.grad)
        cuts.append(out.clipped)
    assert torch.allclose(*gradients)
    assert torch.equal(*cuts)


def test_rec_weighs_by_the_advantage():
    mask, old, advantages, logprobs, *_ = random_case(14)
    leaf = logprobs.clone().requires_grad_()
    rec = REC(clip="none", weight="advantage", temperature=2.0)
    call(rec, leaf * mask, make_batch(mask, old, advantages)).loss.backward()
    assert torch.allclose(leaf.grad, -(advantages / 2).exp() * advantages * mask / mask.sum())


@pytest.mark.parametrize("aggregate", AGGREGATES, ids=lambda each: each["aggregate"])
def test_entropy_and_divergence_are_logged_as_means_over_tokens(aggregate):
    mask, old, advantages, logprobs, entropy, reference = random_case(13)
    gap = (reference - logprobs)[mask]
    out = call(
        PPO(kl_penalty=1.0, **aggregate),
        logprobs * mask,
        make_batch(mask, old, advantages, reference),
        entropy=entropy * mask,
    )
    assert out.metrics["entropy"].item() == pytest.approx(entropy[mask].mean().item())
    expected = (gap.exp() - gap - 1).mean().item()
    assert out.metrics["kl_reference"].item() == pytest.approx(expected)


@pytest.mark.parametrize(
    ("correction", "weight", "dropped", "bounded"),
    [
        (TIS(cap=2.1, floor=0.3), (0.3 + 1.5 + 2.1 + 2.1) / 4, 0.0, 0.75),
        (IcePop(low=0.5, high=2.0), 1.5 / 4, 0.75, 0.75),
        (Rejection(low=0.5, high=4.0), 2 / 4, 0.5, 0.5),
        (OffPolicyMask(delta=0.5), 1.0, 0.0, 0.0),
    ],
    ids=lambda each: getattr(each, "name", ""),
)
def test_what_a_correction_does_is_told(correction, weight, dropped, bounded):
    ratio = torch.tensor([[0.1, 1.5, 3.0], [5.0, 1.0, 1.0]])
    mask = torch.tensor([[1.0, 1.0, 1.0], [1.0, 0.0, 0.0]])
    batch = make_batch(mask, ratio.log(), mask, rollout=torch.zeros_like(mask))
    found = call(PPO(correction=correction), batch.old_logprobs[:, 1:], batch).metrics
    assert found["correction/weight"].item() == pytest.approx(weight)
    assert found["correction/dropped"].item() == pytest.approx(dropped)
    assert found["correction/bounded"].item() == pytest.approx(bounded)


def test_without_a_correction_nothing_is_told_of_one():
    mask, old, advantages, *_ = random_case(7)
    found = call(PPO(), old * mask, make_batch(mask, old, advantages)).metrics
    assert not [name for name in found if name.startswith("correction/")]


def test_the_off_policy_mask_sees_the_drift_of_the_update():
    """An engine that agrees with the trainer is no reason to keep what an update made unlikely."""
    ones = torch.ones((3, 2))
    batch = make_batch(ones, -ones, ones * torch.tensor([[-1.0], [-1.0], [1.0]]), rollout=-ones)
    logprobs = torch.tensor([[-2.5, -1.0], [-1.2, -1.2], [-3.0, -3.0]], requires_grad=True)
    out = call(PPO(clip_low=0.99, correction=OffPolicyMask()), logprobs, batch)
    out.loss.backward()
    assert (out.weights[:, 1:] == 0).tolist() == [[True, True], [False, False], [False, False]]
    assert (logprobs.grad == 0).tolist() == [[True, True], [False, False], [False, False]]


@pytest.mark.parametrize(
    ("given_settings", "reason"),
    [
        ({"aggregate": "seq-mean-token-sum-norm"}, "`length` goes with"),
        ({"length": 3}, "`length` goes with"),
        ({"correction": {"name": "icepop", "low": 3.0}}, "the lower bound 3 is above"),
        ({"correction": {"name": "tis", "floor": 3.0}}, "the lower bound 3 is above"),
        ({"entropy_bonus": float("inf")}, "finite number"),
        ({"kl_penalty": float("nan")}, "finite number"),
        ({"dual_clip": float("inf")}, "finite number"),
        ({"correction": {"name": "tis", "cap": float("inf")}}, "finite number"),
        ({"correction": {"name": "rejection", "high": float("inf")}}, "finite number"),
        ({"correction": {"name": "off_policy_mask", "delta": float("inf")}}, "finite number"),
    ],
)
def test_settings_that_mean_nothing_are_refused(given_settings, reason):
    with pytest.raises(ValidationError, match=reason):
        PPO(**given_settings)


@pytest.mark.parametrize(
    ("estimator", "value"), [("k1", 0.5), ("k2", 0.125), ("k3", 0.1065306597), ("abs", 0.5)]
)
def test_estimators_of_the_divergence(estimator, value):
    ones = torch.ones((1, 1), dtype=torch.float64)
    batch = make_batch(ones, -ones, 0 * ones, reference=-1.5 * ones)
    out = call(PPO(kl_penalty=1.0, kl_estimator=estimator), -ones, batch)
    assert out.metrics["kl_reference"].item() == pytest.approx(value)


@pytest.mark.parametrize("estimator", ["k1", "k2", "k3", "abs"])
def test_the_mean_gradient_of_an_estimator_of_the_divergence(estimator):
    """One row a token of the vocabulary, weighted by its probability, is the mean over samples."""
    generator = torch.Generator().manual_seed(0)
    logits, other = torch.randn((2, 6), generator=generator, dtype=torch.float64)
    reference = other.log_softmax(dim=0)

    def gradient(make):
        leaf = logits.clone().requires_grad_()
        return torch.autograd.grad(make(leaf.log_softmax(dim=0)), leaf)[0]

    def penalty(policy):
        total = policy.new_zeros(())
        for token, own in zip(policy, reference, strict=True):
            ones = torch.ones((1, 1), dtype=torch.float64)
            batch = make_batch(ones, token.detach() * ones, 0 * ones, reference=own * ones)
            loss = PPO(kl_penalty=1.0, kl_estimator=estimator)
            total = total + token.detach().exp() * call(loss, token * ones, batch).loss
        return total

    expected = {
        "k1": lambda policy: 0 * policy.sum(),
        "k2": lambda policy: (policy.exp() * (policy - reference)).sum(),
        "k3": lambda policy: (reference.exp() * (reference - policy)).sum(),
        "abs": lambda policy: (policy.exp() - reference.exp()).abs().sum(),
    }
    assert torch.allclose(gradient(penalty), gradient(expected[estimator]))


def test_a_penalty_without_a_gradient_is_doubtful():
    (words,) = PPO(kl_penalty=0.1, kl_estimator="k1").doubts()
    assert "set loss.kl_estimator to k2" in words
    assert PPO(kl_estimator="k1").doubts() == PPO(kl_penalty=0.1).doubts() == []
