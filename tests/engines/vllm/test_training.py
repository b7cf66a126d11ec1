"""Training on a real vLLM, from the command line; every sync is verified by log-probabilities."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from agentgym.metrics import read_metrics
from agentgym.store.episodes import read_episodes
from agentgym.store.run import Run

pytestmark = pytest.mark.vllm

COMMON = """\
seed = 3
[model]
device = "cpu"
tiny = {{ layers = 2, width = 64, heads = 2, max_context = {context} }}
[engine]
name = "vllm"
[optim]
lr = 3e-3
[train]
steps = 3
[checkpoint]
every = 1
"""
KEYDOOR = """\
[env]
id = "agentgym/KeyDoor-v0"
rules = false
max_turns = 8
[warm_start]
episodes = 32
steps = 40
[rollout]
groups = 4
group_size = 4
sampling.max_tokens = 4
[eval]
every = 3
episodes = 8
"""
CODE = """\
[env]
id = "agentgym/Code-v0"
max_turns = 3
[warm_start]
policy = "scripted:teacher"
episodes = 64
steps = 120
[rollout]
groups = 3
group_size = 4
sampling.max_tokens = 64
[shaping]
name = "gated"
levels = [{ term = "outcome" }, { term = "tool_valid" }]
"""


def agentgym(*words: object, **options) -> subprocess.Popen:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", "agentgym", *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        **options,
    )


def finish(process: subprocess.Popen, *, code: int = 0) -> str:
    out, err = process.communicate(timeout=240)
    assert process.returncode == code, err[-3000:]
    return out + err


def assert_trained(root: Path) -> None:
    run = Run.open(root)
    steps = read_metrics(run.metrics_path)
    trained = [steps[step] for step in (1, 2, 3)]
    for scalars in trained:
        assert scalars["sync/gap"] <= 1e-3
        assert scalars["logprob_gap"] <= 1e-3
        assert scalars["drift"] == scalars["faults"] == 0
    for scalars in trained[1:]:
        assert scalars["sync/moved"] > 10 * scalars["sync/gap"]
    versions = {
        (each.group_id.split("-")[1], version)
        for each in read_episodes(root)
        if each.group_id.startswith("train-")
        for step in each.steps
        for _, version in step.completion.versions
    }
    assert versions == {("000000", 0), ("000001", 1), ("000002", 2)}


def test_keydoor_is_trained(tmp_path: Path) -> None:
    file, root = tmp_path / "keydoor.toml", tmp_path / "run"
    file.write_text(COMMON.format(context=256) + KEYDOOR)
    finish(agentgym("train", file, f"out={root}"))
    assert_trained(root)


@pytest.mark.soak
def test_keydoor_is_interrupted_and_resumed(tmp_path: Path) -> None:
    file, root = tmp_path / "keydoor.toml", tmp_path / "run"
    file.write_text(COMMON.format(context=256) + KEYDOOR)
    training = agentgym("train", file, f"out={root}", start_new_session=True)
    for line in training.stdout:
        if line.startswith("step 1/"):
            break
    training.send_signal(signal.SIGINT)
    assert "agentgym resume" in finish(training, code=130)
    finish(agentgym("resume", root))
    assert_trained(root)
    finish(agentgym("check", "run", root))


@pytest.mark.soak
def test_keydoor_is_trained_while_it_plays_ahead_and_interrupted(tmp_path: Path) -> None:
    file, root = tmp_path / "keydoor.toml", tmp_path / "run"
    file.write_text(COMMON.format(context=256) + KEYDOOR)
    words = ("train.max_staleness=2", "train.steps=5", "loss.correction.name=icepop", f"out={root}")
    training = agentgym("train", file, *words, start_new_session=True)
    for line in training.stdout:
        if line.startswith("step 2/"):
            break
    training.send_signal(signal.SIGINT)
    assert "agentgym resume" in finish(training, code=130)
    finish(agentgym("resume", root))
    steps = read_metrics(Run.open(root).metrics_path)
    assert all(steps[step]["sync/gap"] <= 1e-3 for step in range(1, 6))
    assert 0 < max(steps[step]["staleness/max"] for step in range(1, 6)) <= 2
    finish(agentgym("check", "run", root))


@pytest.mark.skipif(shutil.which("bwrap") is None, reason="bubblewrap is not installed")
def test_code_is_trained(tmp_path: Path) -> None:
    file, root = tmp_path / "code.toml", tmp_path / "run"
    file.write_text(COMMON.format(context=384) + CODE)
    finish(agentgym("train", file, f"out={root}"))
    assert_trained(root)
