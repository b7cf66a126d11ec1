import math

import numpy as np
import pytest

from agentgym.config.run import RunConfig
from agentgym.metrics import read_metrics
from agentgym.store.run import Run
from agentgym.trainers.trainer import train

CONFIG = {
    "seed": 0,
    "env": {"id": "agentgym/KeyDoor-v0", "rules": False, "max_turns": 30},
    "model": {"tiny": {"layers": 2, "width": 64, "heads": 4}, "threads": 1},
    "rollout": {"groups": 16, "group_size": 8, "sampling": {"max_tokens": 4}},
    "credit": {"name": "gigpo"},
    "loss": {"name": "ppo", "entropy_bonus": 0.01},
    "optim": {"lr": 1e-3},
    # Imitating chance teaches which answers there are, and nothing about which are good.
    "warm_start": {"policy": "scripted:random", "episodes": 300, "steps": 100},
    "train": {"steps": 40, "minibatches": 2, "max_tokens_per_micro_batch": 2048},
    "eval": {"every": 40, "episodes": 128},
}


@pytest.mark.slow
async def test_gigpo_learns_the_key_door_grid(tmp_path):
    config = RunConfig.model_validate(CONFIG)
    with Run.create(tmp_path / "run", config_text="", command=[], seed=0) as run:
        await train(config, run, env=config.env.config)
        evals = [event["success"] for event in run.events() if event["kind"] == "eval"]
    before, after = evals
    assert before["high"] < 0.2
    assert after["low"] > 0.4
    assert after["mean"] >= 0.5


@pytest.mark.soak
async def test_staleness_costs_no_more_than_the_choice_of_a_seed(tmp_path):
    """The 95 % intervals of the mean success over three seeds meet, at staleness 0, 1 and 4."""
    lows, highs = [], []
    for staleness in (0, 1, 4):
        found = [await mean_success(tmp_path, staleness, seed) for seed in (1, 2, 3)]
        half = 4.30 * np.std(found, ddof=1) / math.sqrt(len(found))  # Student's t, two degrees
        lows.append(np.mean(found) - half)
        highs.append(np.mean(found) + half)
        assert min(found) > 0.2
    assert max(lows) <= min(highs)


async def mean_success(tmp_path, staleness, seed):
    """Return the success over all steps of a training."""
    train_section = CONFIG["train"] | {"max_staleness": staleness}
    loss = CONFIG["loss"] | {"correction": {"name": "tis"}}
    changes = {"seed": seed, "train": train_section, "loss": loss, "eval": {"every": 0}}
    config = RunConfig.model_validate(CONFIG | changes)
    with Run.create(tmp_path / f"{staleness}-{seed}", config_text="", command=[], seed=0) as run:
        await train(config, run, env=config.env.config)
        steps = read_metrics(run.metrics_path).values()
    return np.mean([scalars["success"] for scalars in steps if "reward" in scalars])
