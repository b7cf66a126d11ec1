"""The formulas of the viewer are those of the losses, which are of torch."""

import numpy as np
import pytest
import torch
from batches import call, make_batch

from agentgym.trainers.losses import PPO
from agentgym.trainers.losses.cispo import CISPO
from agentgym.trainers.losses.corrections import TIS, IcePop, OffPolicyMask, Rejection
from agentgym.trainers.losses.dcpo import DCPO
from agentgym.trainers.losses.gspo import GSPO
from agentgym.trainers.losses.opmd import OPMD
from agentgym.trainers.losses.rec import REC
from agentgym.trainers.losses.topr import TOPR
from agentgym.viewer.clipping import Tokens, clip, correct, is_near

LOSSES = [
    PPO(),
    PPO(clip_low=0.1, clip_high=0.5, dual_clip=1.5),
    DCPO(),
    DCPO(clip_low=0.02, clip_high=3.0, cap=11.0, dual_clip=None),
    GSPO(clip_low=0.05, clip_high=0.05),
    *(REC(clip=each) for each in ("none", "one-side", "two-side", "ring")),
    REC(clip="gspo-one-side", clip_low=0.02, clip_high=0.02),
    CISPO(),
    TOPR(),
    OPMD(),
]
CORRECTIONS = [
    TIS(cap=1.2, floor=0.5),
    TIS(level="sequence"),
    IcePop(low=0.7, high=1.3),
    Rejection(low=0.7, high=1.1),
    Rejection(low=0.7, high=1.1, compat=True),
    OffPolicyMask(delta=0.05),
]


def drawn(seed):
    """Columns [B, T] of a batch, with a mask that leaves some out."""
    chance = np.random.default_rng(seed)
    shape = (6, 9)
    mask = chance.random(shape) < 0.7
    mask[:, 0] = True
    old = -chance.exponential(size=shape)
    moved = chance.normal(scale=0.4, size=shape)
    engine = old + chance.normal(scale=0.3, size=shape)
    advantage = chance.choice([-1.5, 0.0, 0.7], size=shape)
    return mask, *(each.astype(np.float32) for each in (old, old + moved, engine, advantage))


def both(loss, seed):
    """What the loss says, and the tokens that the viewer would ask about."""
    mask, old, new, engine, advantage = drawn(seed)
    tensors = [torch.tensor(each) for each in (mask, old, advantage)]
    batch = make_batch(*tensors, rollout=torch.tensor(engine))
    out = call(loss, torch.tensor(new * mask), batch)
    inside = torch.nn.functional.pad(torch.tensor(mask), (1, 0))
    row = np.broadcast_to(np.arange(len(mask))[:, None], mask.shape)
    columns = (each[mask].astype(np.float64) for each in (new, old, engine, old, advantage))
    return out, inside, Tokens(*columns, row[mask])


@pytest.mark.parametrize("loss", LOSSES, ids=repr)
@pytest.mark.parametrize("seed", range(3))
def test_what_is_cut_off_is_cut_off(loss, seed):
    out, inside, tokens = both(loss, seed)
    found = clip(loss, tokens)
    certain = ~is_near(found.ratio, found.low, found.high)
    assert certain.mean() > 0.9
    np.testing.assert_array_equal(found.is_cut[certain], out.clipped[inside].numpy()[certain])
    assert found.is_cut.any() == loss.cuts or loss == REC(clip="none")


@pytest.mark.parametrize("how", CORRECTIONS, ids=repr)
@pytest.mark.parametrize("seed", range(3))
def test_weights_of_corrections_are_theirs(how, seed):
    loss = PPO(correction=how)
    out, inside, tokens = both(loss, seed)
    found = correct(loss, tokens)
    share = 1 / float(inside.sum())
    np.testing.assert_allclose(found.weight * share, out.weights[inside].numpy(), rtol=1e-5)
    assert np.isfinite(found.number).all()


def test_without_a_correction_every_weight_is_one():
    _, _, tokens = both(PPO(), 0)
    found = correct(PPO(), tokens)
    assert (found.weight == 1).all()
    assert np.isnan(found.number).all()


@pytest.mark.parametrize("how", CORRECTIONS[:-1], ids=repr)
def test_what_is_not_known_stays_unknown(how):
    _, _, tokens = both(PPO(), 0)
    unknown = tokens._replace(own=np.full(len(tokens.own), np.nan), old=tokens.own * np.nan)
    found = correct(PPO(correction=how), unknown)
    assert np.isnan(found.number).all()
    assert np.isnan(found.weight).all()
    clipped = clip(PPO(), unknown)
    assert np.isnan(clipped.ratio).all()
    assert not clipped.is_cut.any()


def test_by_hand():
    """exp(0.3) = 1.35 is above 1.28 and cuts only what is good; exp(-0.5) = 0.61 only what is bad."""
    zeros = np.zeros(4)
    moved = np.array([0.3, 0.3, -0.5, -0.5])
    signs = np.array([1.0, -1.0, 1.0, -1.0])
    found = clip(PPO(), Tokens(moved, zeros, zeros, zeros, signs, np.arange(4)))
    assert found.is_cut.tolist() == [True, False, False, True]
    assert found.high.tolist() == [1.28, np.inf, 1.28, np.inf]
    assert found.low.tolist() == [-np.inf, 0.8, -np.inf, 0.8]
