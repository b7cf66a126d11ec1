"""A run that is killed goes on as if nothing had happened."""

import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
import torch

from agentgym.store.episodes import read_heads
from agentgym.store.notes import read_notes
from agentgym.trainers.checkpoint import latest_checkpoint, load_state

CHILD = """
import asyncio, sys
from pathlib import Path
from agentgym.config.run import RunConfig
from agentgym.store.run import Run
from agentgym.trainers.trainer import train

root, mode = Path(sys.argv[1]), sys.argv[2]
config = RunConfig.model_validate({
    "seed": 7,
    "env": {"id": "agentgym/KeyDoor-v0", "rules": False, "max_turns": 6},
    "model": {"tiny": {"layers": 1, "width": 16, "heads": 2, "max_context": 256, "max_words": 64}},
    "rollout": {
        "groups": 2, "group_size": 4, "sampling": {"max_tokens": 3},
        "deterministic": mode == "deterministic", "max_refills": 1,
        "refill_equal_groups": True,
    },
    "shaping": {"name": "gated", "levels": [{"term": "outcome"}, {"term": "valid"}]},
    "optim": {"lr": 0.01, "warmup_steps": 2, "decay": "cosine"},
    "warm_start": {"policy": "scripted:random", "episodes": 24, "steps": 50, "batch_size": 4},
    "train": {"steps": 6, "minibatches": 2, "max_staleness": 2 if mode == "ahead" else 0},
    "eval": {"every": 3, "episodes": 3},
    "checkpoint": {"every": 2},
})
print("ready", flush=True)
if (root / "run.json").exists():
    run = Run.resume(root)
else:
    run = Run.create(root, config_text="", command=[], seed=7, clean=True)
with run:
    asyncio.run(train(config, run, env=config.env.config))
print("done", flush=True)
"""


def start(root, mode):
    process = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(root), mode],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "ready\n", process.communicate()[1]
    return process


def finish(process):
    out, err = process.communicate(timeout=240)
    assert process.returncode == 0, err
    assert "done" in out


def run_to_the_end(root, mode):
    """Return how long it took, from when the imports were done."""
    process = start(root, mode)
    began = time.perf_counter()
    finish(process)
    return time.perf_counter() - began


def kill_and_resume(root, mode, *, kills, seconds, seed):
    chance = random.Random(seed)
    for _ in range(kills):
        process = start(root, mode)
        time.sleep(chance.uniform(0, seconds))
        process.send_signal(signal.SIGKILL)
        process.communicate()
    finish(start(root, mode))


def final_state(root: Path):
    folder = latest_checkpoint(root / "checkpoints")
    return (folder / "model.safetensors").read_bytes(), load_state(folder)


def assert_equal(a, b):
    """Compare nested values, tensors bit for bit."""
    assert type(a) is type(b)
    if isinstance(a, torch.Tensor):
        assert torch.equal(a, b)
    elif isinstance(a, dict):
        assert a.keys() == b.keys()
        for key in a:
            assert_equal(a[key], b[key])
    elif isinstance(a, list | tuple):
        assert len(a) == len(b)
        for x, y in zip(a, b, strict=True):
            assert_equal(x, y)
    else:
        assert a == b


def history(root):
    """The trajectories that each step used; the last note of a step counts."""
    return {
        note.payload["step"]: note.payload["trajectories"] for note in read_notes(root, "update")
    }


def assert_used_exactly_once(root):
    complete = [head for head in read_heads(root) if head.end != "error"]
    slots = Counter((head.group_id, head.member) for head in complete)
    assert set(slots.values()) == {1}
    used = Counter(name for names in history(root).values() for name in names)
    assert set(used.values()) == {1}
    assert sorted(history(root)) == list(range(6))
    trained = {head.id for head in complete if head.group_id.startswith("train-")}
    assert set(used) <= trained


def assert_survives(tmp_path, *, kills, seed):
    seconds = run_to_the_end(tmp_path / "quiet", "deterministic")
    kill_and_resume(tmp_path / "killed", "deterministic", kills=kills, seconds=seconds, seed=seed)
    quiet, killed = final_state(tmp_path / "quiet"), final_state(tmp_path / "killed")
    assert quiet[0] == killed[0]
    assert_equal(quiet[1], killed[1])
    assert history(tmp_path / "quiet") == history(tmp_path / "killed")
    assert_used_exactly_once(tmp_path / "killed")


@pytest.mark.slow
def test_two_kills_change_no_bit_of_the_weights(tmp_path):
    assert_survives(tmp_path, kills=2, seed=1)


@pytest.mark.soak
def test_ten_kills_change_no_bit_of_the_weights(tmp_path):
    assert_survives(tmp_path, kills=10, seed=2)


@pytest.mark.slow
def test_in_the_default_mode_every_completed_episode_is_used_once(tmp_path):
    root = tmp_path / "run"
    kill_and_resume(root, "default", kills=2, seconds=6, seed=3)
    assert_used_exactly_once(root)


@pytest.mark.soak
def test_killed_while_it_plays_ahead_every_completed_episode_is_used_once(tmp_path):
    root = tmp_path / "run"
    seconds = run_to_the_end(tmp_path / "quiet", "ahead")
    kill_and_resume(root, "ahead", kills=10, seconds=seconds, seed=4)
    assert_used_exactly_once(root)


@pytest.mark.slow
def test_ctrl_c_saves_and_the_run_goes_on(tmp_path):
    root = tmp_path / "run"
    process = start(root, "default")
    while not (root / "checkpoints" / "000000").exists():
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.05)
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode != 0
    from agentgym.store.run import Run

    assert Run.open(root).status == "interrupted"
    steps = [event["step"] for event in Run.open(root).events() if event["kind"] == "checkpoint"]
    assert max(history(root), default=-1) + 1 == max(steps)
    finish(start(root, "default"))
    assert Run.open(root).status == "finished"
    assert_used_exactly_once(root)
