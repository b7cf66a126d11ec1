"""Ctrl-C, and engines that die, while episodes of several steps are under way."""

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time

import pytest
from ahead_training import assert_used_exactly_once, resume_training, run_training

from agentgym.engines.local import LocalEngine
from agentgym.errors import AgentGymError, EngineError
from agentgym.store.run import Run
from agentgym.trainers import setup, state
from agentgym.trainers.checkpoint import latest_checkpoint
from agentgym.trainers.trainer import Trainer
from agentgym.trainers.update import Updater

WORDS = ("train.max_staleness=2", "train.steps=4", "checkpoint.every=2", "eval.every=2")
WORDS = (*WORDS, "eval.episodes=6")

MOMENTS = {
    "update": (Updater, "update"),
    "sync": (LocalEngine, "load_weights"),
    "checkpoint": (state, "save_checkpoint"),
    "eval": (Trainer, "evaluate"),
    "collect": (Trainer, "_on_episode"),
}
"""What is called when."""


def interrupt_at(monkeypatch, owner, name, *, call):
    """Press Ctrl-C as something is called for the `call`-th time."""
    whole, calls = getattr(owner, name), []

    def pressed(*args, **kwargs):
        calls.append(name)
        if len(calls) == call:
            os.kill(os.getpid(), signal.SIGINT)
        return whole(*args, **kwargs)

    monkeypatch.setattr(owner, name, pressed)


def assert_nothing_runs():
    assert [task for task in asyncio.all_tasks() if task is not asyncio.current_task()] == []
    assert "agentgym-engine" not in {thread.name for thread in threading.enumerate()}


@pytest.mark.parametrize("moment", MOMENTS)
async def test_ctrl_c_at_any_moment_saves_the_last_step_and_the_run_goes_on(
    tmp_path, monkeypatch, moment
):
    interrupt_at(monkeypatch, *MOMENTS[moment], call=30 if moment == "collect" else 2)
    with pytest.raises(KeyboardInterrupt):
        await run_training(tmp_path / "run", *WORDS)
    assert_nothing_runs()
    run = Run.open(tmp_path / "run")
    assert run.status == "interrupted"
    assert latest_checkpoint(run.checkpoints_dir).name == f"{run.step:06d}"
    monkeypatch.undo()
    run = await resume_training(tmp_path / "run", *WORDS)
    assert (run.status, run.step) == ("finished", 4)
    assert_used_exactly_once(run.root, steps=4)
    evals = [event["step"] for event in run.events() if event["kind"] == "eval"]
    assert sorted(set(evals)) == [0, 2, 4]


async def test_ctrl_c_gives_up_episodes_that_hang_before_there_is_a_model(tmp_path, monkeypatch):
    async def hanging(*_, **__):
        os.kill(os.getpid(), signal.SIGINT)
        await asyncio.sleep(60)

    monkeypatch.setattr(setup, "collect", hanging)
    with pytest.raises(KeyboardInterrupt):
        async with asyncio.timeout(20):
            await run_training(tmp_path / "run", *WORDS)
    assert_nothing_runs()
    assert Run.open(tmp_path / "run").status == "interrupted"
    monkeypatch.undo()
    assert (await resume_training(tmp_path / "run", *WORDS)).status == "finished"


async def test_an_engine_that_dies_with_episodes_of_three_steps_under_way_ends_the_run(
    tmp_path, monkeypatch
):
    generate = LocalEngine.generate

    async def dying(self, *args, **kwargs):
        if self.version:
            raise EngineError("the engine died")
        return await generate(self, *args, **kwargs)

    monkeypatch.setattr(LocalEngine, "generate", dying)
    words = (*WORDS, "eval.every=0", "rollout.groups=6")
    with pytest.raises(AgentGymError, match="ended by a fault"):
        await run_training(tmp_path / "run", *words)
    assert_nothing_runs()
    assert Run.open(tmp_path / "run").status == "failed"
    monkeypatch.undo()
    run = await resume_training(tmp_path / "run", *words, "rollout.max_fault_rate=1")
    assert_used_exactly_once(run.root, steps=4, groups=6)


async def test_a_budget_that_is_spent_ahead_ends_the_run_with_a_checkpoint(tmp_path):
    words = (*WORDS, "eval.every=0", "rollout.budget.tokens=60")
    with pytest.raises(AgentGymError, match="budget"):
        await run_training(tmp_path / "run", *words)
    assert_nothing_runs()
    run = Run.open(tmp_path / "run")
    assert run.status == "interrupted"
    assert latest_checkpoint(run.checkpoints_dir).name == f"{run.step:06d}"


SLOW = """
import asyncio, sys, time
from pathlib import Path
from ahead_training import run_training
from agentgym.trainers.update import Updater

whole = Updater._with_reference

def slow(self, batch):
    print("updating", flush=True)
    time.sleep(0.1)
    return whole(self, batch)

Updater._with_reference = slow
words = ("train.max_staleness=1", "train.max_tokens_per_micro_batch=1", "train.epochs=1000")
asyncio.run(run_training(Path(sys.argv[1]), *words))
"""


@pytest.mark.slow
def test_ctrl_c_twice_ends_an_update_half_way(tmp_path):
    path = os.pathsep.join(sys.path)
    with subprocess.Popen(
        [sys.executable, "-c", SLOW, str(tmp_path / "run")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": path},
    ) as child:
        assert child.stdout.readline() == "updating\n", child.communicate()[1]
        child.send_signal(signal.SIGINT)
        time.sleep(0.3)
        assert child.poll() is None
        child.send_signal(signal.SIGINT)
        _, said = child.communicate(timeout=30)
    assert child.returncode != 0
    assert "never retrieved" not in said
    assert said.rstrip().endswith("KeyboardInterrupt")
    run = Run.open(tmp_path / "run")
    assert run.status == "interrupted"
    assert latest_checkpoint(run.checkpoints_dir).name == "000000"
