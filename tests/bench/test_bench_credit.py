"""Figures of credit: rows of every estimator, and a stand-in for the reference beside them."""

from pathlib import Path

import numpy as np
import pytest

from agentgym.bench.credit import Row, bench_credit
from agentgym.bench.credit_batches import OBSERVATION_CHARS, Shape, draw_batch
from agentgym.bench.credit_reference import CHECKOUT, load_reference
from agentgym.errors import ConfigError, EnvError
from agentgym.table import build_table

SMALL = Shape(2, 3, 4)

REFERENCE = """
from difflib import SequenceMatcher
import numpy as np
import torch
from verl import DataProto

def compute_step_discounted_returns(batch, gamma):
    print("noise")
    rewards, owner = batch.non_tensor_batch["rewards"], batch.non_tensor_batch["traj_uid"]
    returns, after = np.zeros(len(rewards)), 0.0
    for row in reversed(range(len(rewards))):
        same = row + 1 < len(rewards) and owner[row] == owner[row + 1]
        after = returns[row] = rewards[row] + gamma * after * same
    return torch.tensor(returns)

def similar(a, b, threshold):
    return SequenceMatcher(None, a, b).ratio() >= threshold

def compute_gigpo_outcome_advantage(token_level_rewards, step_rewards, response_mask, anchor_obs,
                                    index, traj_index, mode, enable_similarity, similarity_thresh):
    assert mode == "mean_norm"
    leaders = []
    for text in anchor_obs:
        known = dict.fromkeys(leaders) if enable_similarity else ()
        alike = (each for each in known if similar(text, each, similarity_thresh))
        leaders.append(next(alike, text))
    scores = token_level_rewards.sum(-1).double()
    for row in range(len(scores)):
        alike = [n for n in range(len(scores)) if index[n] == index[row]]
        near = [n for n in alike if leaders[n] == leaders[row]]
        step = step_rewards[row] - step_rewards[near].mean()
        response_mask[row] = token_level_rewards[row] - token_level_rewards[alike].mean() + step
    return response_mask * FACTOR, None
"""


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "gigpo" / "core_gigpo.py"
    file.parent.mkdir()
    file.write_text(REFERENCE.replace("FACTOR", "1"))
    monkeypatch.setenv(CHECKOUT, str(tmp_path))
    return file


@pytest.mark.slow
def test_the_reference_stands_beside(checkout: Path) -> None:
    pytest.importorskip("torch")
    rows = _rows()
    assert [row.estimator for row in rows] == [
        "gigpo",
        "verl-agent:gigpo",
        "gigpo:similar",
        "verl-agent:gigpo:similar",
    ]
    assert rows[1].peak_mb is None


def test_a_reference_that_computes_something_else_is_told(checkout: Path) -> None:
    pytest.importorskip("torch")
    checkout.write_text(REFERENCE.replace("FACTOR", "2"))
    with pytest.raises(EnvError, match="they do not compute the same"):
        _rows()


def test_a_checkout_without_the_file_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(CHECKOUT, str(tmp_path))
    with pytest.raises(ConfigError, match="has no gigpo"):
        load_reference()
    monkeypatch.delenv(CHECKOUT)
    assert load_reference() is None


def test_batches_are_as_large_as_they_say_and_states_recur() -> None:
    table = build_table(draw_batch(Shape(2, 8, 10), seed=0))
    assert (table.num_groups, table.num_trajectories, table.num_steps) == (2, 16, 160)
    assert {len(key) for key in table.state_keys} == {OBSERVATION_CHARS}
    assert len(np.unique(table.state)) < 100
    similar = build_table(draw_batch(Shape(2, 8, 10), seed=0, similar=True))
    assert len(np.unique(similar.state)) == 160


def _rows() -> list[Row]:
    return list(bench_credit([SMALL], seconds=0, names=["gigpo"], reference=load_reference()))
