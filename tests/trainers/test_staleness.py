"""Training on tokens of older policies: how old they may be, and what stays as it is."""

import asyncio
import threading

import pytest
from ahead_training import assert_used_exactly_once, resolve, resume_training, run_training

from agentgym.check.report import Status
from agentgym.check.run import check_run
from agentgym.errors import ConfigError, EngineError
from agentgym.metrics import read_metrics
from agentgym.store.episodes import read_episodes, read_heads
from agentgym.store.notes import read_notes
from agentgym.store.run import Run
from agentgym.trainers.plan import check_settings, doubts
from agentgym.trainers.player import Player
from agentgym.trainers.staleness import describe_staleness, staleness
from agentgym.trainers.update import Updater
from agentgym.types import Completion, Message, Step, Task, Trajectory
from agentgym.viewer.versions import ribbon


def test_each_token_is_as_old_as_the_policy_that_sampled_it():
    """Two steps: tokens of versions 3 3 4, and of 5; trained at 5."""
    completions = [
        Completion(
            token_ids=ids, logprobs=(-1.0,) * len(ids), finish_reason="stop", versions=versions
        )
        for ids, versions in [((1, 2, 3), ((0, 3), (2, 4))), ((4,), ((0, 5),))]
    ]
    steps = [Step(message=Message("assistant", ""), completion=each) for each in completions]
    given = Step(message=Message("assistant", ""))
    trajectory = Trajectory(
        id="a", task=Task("t"), group_id="g", member=0, prompt=(), steps=[steps[0], given, steps[1]]
    )
    found = staleness([trajectory], version=5)
    assert found.tolist() == [2, 2, 1, 0]
    assert describe_staleness(found) == {
        "staleness/mean": 1.25,
        "staleness/max": 2.0,
        "staleness/share": 0.75,
    }
    assert describe_staleness(staleness([], version=5)) == {}


@pytest.mark.parametrize("max_staleness", [1, 3])
async def test_no_token_is_older_than_allowed_and_all_is_recorded(tmp_path, max_staleness):
    words = (
        f"train.max_staleness={max_staleness}",
        "train.steps=5",
        "eval.every=3",
        "eval.episodes=4",
    )
    run = await run_training(tmp_path / "run", *words)
    assert (run.status, run.step) == ("finished", 5)
    assert_used_exactly_once(run.root, steps=5)
    by_id = {each.id: each for each in read_episodes(run.root)}
    oldest = 0
    for note in read_notes(run.root, "update"):
        trajectories = [by_id[name] for name in note.payload["trajectories"]]
        recorded = note.columns["staleness"]
        step = note.payload["step"]
        assert recorded.tolist() == staleness(trajectories, version=step).tolist()
        lags = [
            each.lag for t in trajectories for each in ribbon(t, trained=note.payload["version"])
        ]
        assert max(lags) == recorded.max()
        assert 0 <= recorded.min() <= recorded.max() <= min(step, max_staleness)
        scalars = read_metrics(run.metrics_path)[step + 1]
        assert scalars["staleness/max"] == recorded.max()
        assert scalars["sync/gap"] < 1e-4
        oldest = max(oldest, recorded.max())
    assert oldest == max_staleness
    evals = {head.version_min for head in read_heads(run.root) if head.group_id.startswith("eval")}
    assert evals == {0, 3, 5}
    found = {each.name: each for each in check_run(run).results}
    assert {name for name, each in found.items() if each.status is Status.FAILED} == set()
    assert found["versions"].status is Status.PASSED


async def test_the_next_episodes_are_played_while_the_weights_are_updated(tmp_path, monkeypatch):
    """Those of step 1 begin when the first update did, which ends when they are there."""
    updating, played = asyncio.Event(), threading.Event()
    loop, update, whole = asyncio.get_running_loop(), Updater.update, Player.play

    def slow(self, rows, **kwargs):
        loop.call_soon_threadsafe(updating.set)
        assert played.wait(60)
        return update(self, rows, **kwargs)

    async def play(self, step):
        if step == 1:
            await updating.wait()
        collected = await whole(self, step)
        if step == 1:
            played.set()
        return collected

    monkeypatch.setattr(Updater, "update", slow)
    monkeypatch.setattr(Player, "play", play)
    run = await run_training(tmp_path / "run", "train.max_staleness=1", "train.steps=2")
    assert read_metrics(run.metrics_path)[1]["overlap"] > 0


async def test_an_update_on_a_thread_is_the_update(tmp_path, monkeypatch):
    """The first step has the same episodes with and without looking ahead, and the same weights."""
    states = []
    for name, words in {"sync": (), "ahead": ("train.max_staleness=1",)}.items():
        given = (*words, "train.steps=1", "engine.max_batch=1")
        run = await run_training(tmp_path / name, *given)
        states.append((run.checkpoints_dir / "000001" / "model.safetensors").read_bytes())
    assert states[0] == states[1]


async def test_a_later_step_that_fails_stops_the_run(tmp_path, monkeypatch):
    async def play(self, step):
        if step == 2:
            raise EngineError("gone")
        return await whole(self, step)

    whole = Player.play
    monkeypatch.setattr(Player, "play", play)
    with pytest.raises(EngineError, match="gone"):
        await run_training(tmp_path / "run", "train.max_staleness=2", "train.steps=5")
    assert Run.open(tmp_path / "run").step == 0
    assert [t for t in asyncio.all_tasks() if t is not asyncio.current_task()] == []
    monkeypatch.undo()
    run = await resume_training(tmp_path / "run", "train.max_staleness=2", "train.steps=5")
    assert_used_exactly_once(run.root, steps=5)


async def test_out_of_time_leaves_nothing_under_way_and_loses_no_episode(tmp_path):
    words = ("train.max_staleness=2", "train.steps=3")
    run = await run_training(tmp_path / "run", *words, "train.max_seconds=0.01")
    assert (run.status, run.step) == ("finished", 0)

    def late(step, *_):
        if step == 1:
            raise TimeoutError

    with pytest.raises(TimeoutError):
        await run_training(tmp_path / "other", *words, on_step=late)
    run = await resume_training(tmp_path / "other", *words)
    assert_used_exactly_once(run.root, steps=3)


@pytest.mark.parametrize("every", [1, 9], ids=["saved", "killed"])
async def test_groups_keep_their_tasks_where_later_ones_were_drawn_already(
    tmp_path, monkeypatch, every
):
    """With refills the order of draws depends on the clock; checkpoint and events have it."""
    words = ("train.max_staleness=2", "rollout.refill_equal_groups=true", "rollout.max_refills=1")
    words = (*words, "train.steps=4", f"checkpoint.every={every}")
    whole = Player.play

    async def first_is_last(self, step):
        await asyncio.sleep(0 if step else 0.1)
        return await whole(self, step)

    def late(step, *_):
        if step == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(Player, "play", first_is_last)
    with pytest.raises(KeyboardInterrupt):
        await run_training(tmp_path / "run", *words, on_step=late)
    monkeypatch.undo()
    run = await resume_training(tmp_path / "run", *words)
    heads = [head for head in read_heads(run.root) if head.group_id.startswith("train-")]
    tasks = {(head.group_id, head.task_id) for head in heads}
    assert len(tasks) == len(dict(tasks)) == len({task for _, task in tasks})
    ids = [name for note in read_notes(run.root, "update") for name in note.payload["trajectories"]]
    assert set(ids) <= {head.id for head in heads if head.end != "error"}


def test_an_engine_that_shall_sleep_while_it_plays_is_told_of():
    words = ("train.max_staleness=1", "engine.name=vllm", "engine.sleep=true")
    (found,) = doubts(resolve(*words).config)
    assert "engine.sleep plays no part" in found


def test_what_cannot_be_the_same_every_time_is_refused_and_uncorrected_tokens_are_told_of():
    with pytest.raises(ConfigError, match="depends on the clock") as refused:
        check_settings(resolve("train.max_staleness=1", "rollout.deterministic=true").config)
    assert "train.max_staleness to 0" in refused.value.hint
    assert doubts(resolve("train.max_staleness=1").config) == []
    (found,) = doubts(resolve("train.max_staleness=1", 'loss.correction={name="none"}').config)
    assert "set it to tis or icepop" in found
    check_settings(resolve("rollout.deterministic=true").config)
    assert doubts(resolve('loss.correction={name="none"}').config) == []
