import json
from pathlib import Path

import pytest
import torch
from hypothesis import given, strategies as st

from agentgym.trainers.batch import Batch
from agentgym.trainers.losses import PPO

VECTORS = Path(__file__).parents[1] / "vectors" / "credit.json"


def make_batch(mask, old_logprobs, advantages, reference=None):
    """Batches begin with a column that nothing can predict."""
    mask, old_logprobs, advantages = (
        torch.nn.functional.pad(values, (1, 0)) for values in (mask, old_logprobs, advantages)
    )
    mask = mask.bool()
    if reference is not None:
        reference = torch.nn.functional.pad(reference, (1, 0))
    return Batch(
        token_ids=torch.zeros(mask.shape, dtype=torch.int64),
        loss_mask=mask,
        old_logprobs=old_logprobs * mask,
        advantages=advantages * mask,
        token=torch.full(mask.shape, -1),
        lengths=torch.full((len(mask),), mask.shape[1]),
        reference_logprobs=reference,
    )


def call(loss, logprobs, batch, *, entropy=None, normalizer=None):
    logprobs = torch.nn.functional.pad(logprobs, (1, 0))
    entropy = (
        torch.zeros_like(logprobs) if entropy is None else torch.nn.functional.pad(entropy, (1, 0))
    )
    return loss(
        logprobs,
        batch,
        normalizer=normalizer or float(batch.loss_mask.sum()),
        entropy=entropy,
    )


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
