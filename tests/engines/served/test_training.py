"""A training whose engines are elsewhere, and die: it samples from the right weights all the same."""

import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest
from served_engine import Serving, kill, serving, wait_until

from agentgym.config.overlay import resolve
from agentgym.config.run import RunConfig
from agentgym.engines.served.directory import private_directory
from agentgym.metrics import read_metrics
from agentgym.store.episodes import read_episodes
from agentgym.trainers.setup import load_first_model

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("served")]

WORDS = [
    "env.id=agentgym/KeyDoor-v0",
    "env.rules=false",
    "env.max_turns=4",
    "model.device=cpu",
    "rollout.groups=2",
    "rollout.group_size=4",
    "rollout.sampling.max_tokens=4",
    "warm_start.episodes=16",
    "warm_start.steps=60",
    "train.steps=5",
    "checkpoint.every=10",
]
TINY = ["model.tiny.layers=1", "model.tiny.width=32", "model.tiny.heads=2"]
STEPS = 5


async def make_model(folder: Path) -> None:
    """A model that knows the words of the environment."""
    config = resolve(RunConfig, overrides=[*WORDS, *TINY, "model.tiny.max_context=1024"]).config
    await load_first_model(config, folder, env=config.env.config, sandboxes=None, seen=[])


def train(server: Serving, model: Path, out: Path) -> "subprocess.Popen[bytes]":
    served = ["engine.name=served", f"engine.url={server.url}", f"model.path={model}"]
    words = [*WORDS, *served, f"engine.token_file={server.token_file}", f"out={out}"]
    return subprocess.Popen(
        [sys.executable, "-m", "agentgym", "train", *words],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )


def steps_of(run: Path) -> list[dict[str, Any]]:
    file = run / "metrics.jsonl"
    steps = read_metrics(file).values() if file.is_file() else ()
    return [each for each in steps if "sync/gap" in each]


async def test_a_training_goes_on_where_a_replica_is_killed_and_no_front_leaves_orphans(
    tmp_path: Path,
) -> None:
    model, run = tmp_path / "model", tmp_path / "run"
    await make_model(model)
    with serving(model, "limits.probe_every_s=0.1") as server:
        training = train(server, model, run)
        try:
            wait_until(lambda: bool(steps_of(run)) or training.poll() is not None, 90)
            kill(server.pids()[0])
            _, told = training.communicate(timeout=90)
        finally:
            training.kill()
        assert training.returncode == 0, told.decode()
        steps = steps_of(run)
        assert len(steps) == STEPS
        trained = [each for each in steps if "logprob_gap" in each]
        assert trained
        assert max(each["logprob_gap"] for each in trained) < 1e-3
        assert max(each["sync/gap"] for each in steps) < 1e-3
        assert steps[-1]["engine/restarts"] == 1
        assert steps[-1]["engine/retries"] > 0
        assert all(each.end != "error" for each in read_episodes(run))
        assert server.status()["version"] == 0  # the trainer took its weights back
        below = psutil.Process(server.process.pid).children(recursive=True)
        assert [each.pid for each in below] == server.pids()
        kill(server.process.pid, signal.SIGKILL)
        assert not psutil.wait_procs(below, timeout=5)[1]
        assert server.token_file.exists()
        with private_directory(weights_bytes=0):  # the next server clears away what that one left
            assert not server.token_file.exists()
