"""The recomputed numbers of losses and corrections, as data: tests/vectors/credit.json."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from batches import call, make_batch
from torch import Tensor

from agentgym.trainers.losses.base import Loss
from agentgym.trainers.losses.cispo import CISPO
from agentgym.trainers.losses.corrections import TIS, IcePop, Rejection
from agentgym.trainers.losses.dcpo import DCPO
from agentgym.trainers.losses.gspo import GSPO
from agentgym.trainers.losses.opmd import OPMD
from agentgym.trainers.losses.ppo import PPO
from agentgym.trainers.losses.preference import trajectory_preference_loss
from agentgym.trainers.losses.topr import TOPR

_PATH = Path(__file__).parents[1] / "vectors" / "credit.json"
VECTORS = {vector["id"]: vector for vector in json.loads(_PATH.read_text())["vectors"]}
FAMILIES = {"ppo", "gspo", "cispo", "topr", "opmd", "dcpo", "tis", "icepop", "verl"}
COVERED = [
    "ppo.dual_clip_and_aggregation",
    "gspo",
    "cispo.verl",
    "topr.token",
    "opmd",
    "dcpo.bounds",
    "tis.token",
    "tis.sequence",
    "icepop",
    "verl.token_k1_asymmetric",
    "istar.trajectory_dpo_loss",
]
AGGREGATES = ["token-mean", "seq-mean-token-sum", "seq-mean-token-mean", "seq-mean-token-sum-norm"]


def test_every_vector_of_these_families_is_covered() -> None:
    these = [name for name in VECTORS if name.split(".")[0] in FAMILIES]
    assert sorted(COVERED) == sorted([*these, "istar.trajectory_dpo_loss"])


@pytest.mark.parametrize("aggregate", AGGREGATES)
def test_ppo(aggregate: str) -> None:
    vector = VECTORS["ppo.dual_clip_and_aggregation"]
    inputs = vector["inputs"]
    length = len(inputs["mask"][0]) if aggregate.endswith("norm") else None
    loss = PPO(
        clip_low=inputs["clip_low"],
        clip_high=inputs["clip_high"],
        dual_clip=inputs["clip_c"],
        aggregate=aggregate,
        length=length,
    )
    assert _loss(loss, inputs) == pytest.approx(vector["expected"]["aggregated"][aggregate])


def test_preference_of_trajectories() -> None:
    vector = VECTORS["istar.trajectory_dpo_loss"]
    won, lost = vector["inputs"]["traj_score_success"], vector["inputs"]["traj_score_fail"]
    scores = torch.tensor(won + lost)
    success = torch.tensor([True] * len(won) + [False] * len(lost))
    loss = trajectory_preference_loss(scores, success, torch.zeros(len(scores), dtype=torch.int64))
    assert loss.item() == pytest.approx(vector["expected"], abs=vector["tolerance"])


def test_gspo() -> None:
    vector = VECTORS["gspo"]
    inputs = vector["inputs"]
    loss = GSPO(clip_low=inputs["clip_low"], clip_high=inputs["clip_high"])
    assert _loss(loss, inputs) == pytest.approx(vector["expected"]["loss"])


def test_cispo() -> None:
    vector = VECTORS["cispo.verl"]
    inputs = vector["inputs"]
    loss = CISPO(clip_low=inputs["clip_low"], clip_high=inputs["clip_high"])
    assert _loss(loss, inputs) == pytest.approx(vector["expected"]["loss"])


def test_topr() -> None:
    vector = VECTORS["topr.token"]
    ratio, advantages = (
        _tensor(vector["inputs"]["ratio"]),
        _tensor(vector["inputs"]["reward_or_adv"]),
    )
    alpha = TOPR(level="token").alpha(ratio.log()[None], advantages[None])
    assert alpha[0].tolist() == pytest.approx(vector["expected"]["alpha"])


def test_opmd() -> None:
    """The scale of the loss; its baselines are credit."""
    vector = VECTORS["opmd"]
    ones = torch.ones((1, 1), dtype=torch.float64)
    out = call(OPMD(tau=vector["inputs"]["tau"]), -ones, make_batch(ones, -ones, ones))
    assert out.loss.item() == pytest.approx(vector["expected"]["loss_scale"])


def test_dcpo_bounds() -> None:
    vector = VECTORS["dcpo.bounds"]
    inputs = vector["inputs"]
    loss = DCPO(clip_low=inputs["eps_low"], clip_high=inputs["eps_high"], cap=inputs["cap"])
    low, high = loss.bounds(_tensor(inputs["old_prob"]))
    assert low.tolist() == pytest.approx(vector["expected"]["low"])
    assert high.tolist() == pytest.approx(vector["expected"]["high"])


@pytest.mark.parametrize("level", ["token", "sequence"])
def test_tis(level: str) -> None:
    vector = VECTORS[f"tis.{level}"]
    correction = TIS(level=level, cap=vector["inputs"]["cap"])
    assert _weights(correction, vector) == vector["expected"]


def test_icepop() -> None:
    vector = VECTORS["icepop"]
    correction = IcePop(low=vector["inputs"]["low"], high=vector["inputs"]["high"])
    assert _weights(correction, vector) == vector["expected"]


def test_rejection_as_in_verl() -> None:
    vector = VECTORS["verl.token_k1_asymmetric"]
    low, high = (float(bound) for bound in vector["inputs"]["threshold"].split("_"))
    compat = Rejection(low=low, high=high, compat=True)
    assert _weights(compat, vector) == vector["expected"]
    ours = Rejection(low=low, high=high)
    assert _weights(ours, vector) == [[0, 1, 1], [1, 1, 0]]


def _tensor(values: Any) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def _loss(loss: Loss, inputs: dict[str, Any]) -> float:
    mask, ratio = _tensor(inputs["mask"]), _tensor(inputs["ratio"])
    old = _tensor(inputs["old_logp"]) if "old_logp" in inputs else torch.zeros_like(mask)
    batch = make_batch(mask, old, _tensor(inputs["advantages"]))
    return call(loss, (ratio.log() + old) * mask, batch).loss.item()


def _weights(correction: Any, vector: dict[str, Any]) -> list[list[float]]:
    inputs = vector["inputs"]
    mask, ratio = _tensor(inputs["mask"]), _tensor(inputs["ratio_train_over_rollout"])
    old = ratio.log()
    batch = make_batch(mask, old, torch.zeros_like(mask), rollout=torch.zeros_like(mask))
    weights = correction(batch, batch.old_logprobs)[:, 1:].tolist()
    return [[pytest.approx(weight, abs=1e-9) for weight in row] for row in weights]
