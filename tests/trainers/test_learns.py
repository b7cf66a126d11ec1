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


STALE = CONFIG | {
    "env": {"id": "agentgym/KeyDoor-v0", "rules": False, "max_turns": 12, "lava": 0},
    "rollout": {"groups": 8, "group_size": 8, "sampling": {"max_tokens": 4}},
    "loss": {"name": "ppo", "correction": {"name": "tis"}},
    "warm_start": {"policy": "scripted", "episodes": 200, "steps": 25},
    "eval": {"every": 0},
}
"""As docs/experiments/staleness.py has it."""


@pytest.mark.soak
async def test_staleness_costs_no_more_than_the_choice_of_a_seed(tmp_path):
    """The 95 % intervals of the mean success over three seeds meet, at staleness 0, 1 and 4."""
    lows, highs = [], []
    for staleness in (0, 1, 4):
        curves = [await successes(tmp_path, staleness, seed) for seed in (1, 2, 3)]
        assert all(np.mean(curve[-5:]) > np.mean(curve[:5]) for curve in curves)
        found = [np.mean(curve) for curve in curves]
        half = 4.30 * np.std(found, ddof=1) / math.sqrt(len(found))  # Student's t, two degrees
        lows.append(np.mean(found) - half)
        highs.append(np.mean(found) + half)
    assert max(lows) <= min(highs)


async def successes(tmp_path, staleness, seed):
    """Return the success of each step of a training."""
    train_section = CONFIG["train"] | {"steps": 24, "max_staleness": staleness}
    config = RunConfig.model_validate(STALE | {"seed": seed, "train": train_section})
    with Run.create(tmp_path / f"{staleness}-{seed}", config_text="", command=[], seed=0) as run:
        await train(config, run, env=config.env.config)
        steps = read_metrics(run.metrics_path).values()
    return [scalars["success"] for scalars in steps if "reward" in scalars]
