"""An episode driven from outside: what is stepped, what is paid, and what is freed."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from outward.notes_env import NotesConfig, events

import agentgym as ag
from agentgym.envs.keydoor import KeyDoorConfig
from agentgym.errors import ConfigError, DeadlineError, EnvError
from agentgym.outward.episode import Episode
from agentgym.outward.sessions import Sessions
from agentgym.outward.stage import Stage
from agentgym.rollout.collect import collect, make_jobs
from agentgym.rollout.scripted import scripted_policies


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "log"


@pytest.fixture
async def stage(log: Path) -> AsyncIterator[Stage]:
    stage = Stage(NotesConfig(log=str(log)))
    yield stage
    await stage.close()


async def test_calls_and_texts_are_steps_and_their_terms_add_up(stage: Stage, log: Path) -> None:
    episode = await stage.open({"index": 3})
    assert [message.content for message in episode.start.messages] == ["Obey.", "Say 3."]
    assert (await episode.call("note", {"text": "a", "times": 2})).text == "2 notes"
    assert (await episode.call("note", '{"text": "b"}')).text == "3 notes"
    said = await episode.say("3")
    assert (said.terms, said.end) == ({"outcome": 1.0}, "terminated")
    assert episode.terms == {"tool_valid": 2.0, "outcome": 1.0}
    assert episode.reward == 1.0
    assert events(log) == ["start", "close"]


@pytest.mark.parametrize(
    ("name", "arguments", "told"),
    [
        ("nope", {}, "There is no tool `nope`."),
        ("note", {"txt": 1}, "`text`: Field required."),
        ("note", "{broken", "The arguments are not JSON"),
    ],
)
async def test_what_a_model_did_wrong_is_an_observation(
    stage: Stage, name: str, arguments: dict[str, object] | str, told: str
) -> None:
    episode = await stage.open()
    turn = await episode.call(name, arguments)
    assert told in turn.text
    assert not turn.is_valid
    assert turn.end is None


async def test_after_the_end_nothing_is_stepped(stage: Stage) -> None:
    episode = await stage.open()
    await episode.call("hand_in", {"number": 0})
    again = await episode.call("hand_in", {"number": 0})
    assert again.refused
    assert again.text == "The episode is over."
    assert (episode.turns, episode.reward) == (1, 1.0)


async def test_after_max_turns_the_episode_is_truncated(stage: Stage, log: Path) -> None:
    episode = await stage.open()
    ends = [(await episode.call("note", {"text": "a"})).end for _ in range(5)]
    assert ends == [None, None, None, "truncated", "truncated"]
    assert events(log) == ["start", "close"]


async def test_a_limit_of_the_caller_ends_it(stage: Stage, log: Path) -> None:
    episode = await stage.open()
    assert await episode.cut() == {}
    assert episode.end == "truncated"
    assert events(log) == ["start", "close"]


async def test_a_fault_ends_it_and_is_never_a_reward(stage: Stage, log: Path) -> None:
    episode = await stage.open()
    with pytest.raises(EnvError, match="the disk is on fire"):
        await episode.call("fail", {})
    assert (episode.end, episode.terms) == ("error", {})
    assert (await episode.say("0")).text == "The episode broke off."
    assert events(log) == ["start", "close"]


async def test_who_is_cancelled_in_a_step_leaves_nothing_open(stage: Stage, log: Path) -> None:
    episode = await stage.open()
    step = asyncio.create_task(episode.call("hang", {}))
    await asyncio.sleep(0.2)
    step.cancel()
    with pytest.raises(asyncio.CancelledError):
        await step
    assert episode.end == "error"
    assert events(log) == ["start", "hang", "close"]


async def test_a_step_that_takes_too_long_is_a_fault(log: Path) -> None:
    config = NotesConfig(log=str(log))
    task = next(config.tasks("train"))
    episode = await Episode.open(config, task, seed=0, step_s=0.2)
    with pytest.raises(DeadlineError, match=r"step of me/Notes-v0 took longer than 0.2 s"):
        await episode.call("hang", {})
    assert events(log)[-1] == "close"


async def test_closing_twice_closes_once(stage: Stage, log: Path) -> None:
    episode = await stage.open()
    await episode.close()
    await episode.close()
    await stage.close()
    assert events(log) == ["start", "close"]


async def test_tasks_come_in_order_by_name_or_by_seed(stage: Stage) -> None:
    following = [(await stage.open()).task.id for _ in range(2)]
    assert following == ["train-0", "train-1"]
    assert (await stage.open({"task_id": "train-5"})).task.id == "train-5"
    drawn = [(await stage.open(seed=seed)).task.id for seed in range(20)]
    assert drawn == [(await stage.open(seed=seed)).task.id for seed in range(20)]
    assert len(set(drawn)) > 3
    with pytest.raises(ConfigError, match="no task 'train-9'"):
        await stage.open({"task_id": "train-9"})


async def test_the_stage_ends_what_is_open(stage: Stage, log: Path) -> None:
    for _ in range(3):
        await stage.open()
    await stage.close()
    assert events(log) == ["start"] * 3 + ["close"] * 3


async def test_rewards_are_those_of_our_own_loop() -> None:
    """The expert's messages, sent one by one, are paid as `collect` pays them."""
    config = KeyDoorConfig()
    tasks = [task for task, _ in zip(config.tasks("test"), range(4), strict=False)]
    jobs = make_jobs(tasks, group_size=1, run_seed=0, prefix="t", env=config.id)
    played = await collect(jobs, config=config, make_policy=scripted_policies("scripted"))
    stage = Stage(config, split="test")
    for trajectory in played:
        episode = await stage.open({"task_id": trajectory.task.id})
        for step in trajectory.steps:
            turn = await episode.send(step.message)
            assert turn.terms == step.reward_terms
            assert turn.messages == step.replies
        assert (episode.end, episode.reward) == (trajectory.end, trajectory.outcome)
    await stage.close()


async def test_sessions_have_an_episode_each(stage: Stage, log: Path) -> None:
    sessions = Sessions(stage)
    first, second = [await sessions.episode(name) for name in ("a", "b")]
    assert first is await sessions.episode("a")
    assert {first.task.id, second.task.id} == {"train-0", "train-1"}
    await sessions.end("a")
    assert (first.is_closed, second.is_closed) == (True, False)
    again = await sessions.restart("b", {"index": 4})
    assert (again.task.id, second.is_closed) == ("train-4", True)
    with pytest.raises(ConfigError):
        await sessions.restart("b", {"index": 99})
    assert not again.is_closed


async def test_one_session_that_asks_twice_at_once_starts_one_episode(
    stage: Stage, log: Path
) -> None:
    sessions = Sessions(stage)
    first, second = await asyncio.gather(sessions.episode("a"), sessions.episode("a"))
    assert first is second
    assert events(log) == ["start"]


async def test_who_is_silent_for_too_long_is_ended(stage: Stage) -> None:
    sessions = Sessions(stage, idle_s=0.2)
    episode = await sessions.episode("a")
    reaper = asyncio.create_task(sessions.end_idle())
    for _ in range(200):
        if episode.is_closed:
            break
        await asyncio.sleep(0.02)
    reaper.cancel()
    assert episode.is_closed
    assert len(sessions) == 0


def test_a_split_that_is_not_there_is_refused() -> None:
    with pytest.raises(ConfigError, match="unknown split 'tset'"):
        Stage(NotesConfig(), split="tset")


async def test_an_environment_that_cannot_start_is_a_fault_and_is_closed(log: Path) -> None:
    class Broken(NotesConfig):
        def build(self, sandboxes: object = None) -> ag.Env:
            env = super().build(sandboxes)
            env.start = lambda task, *, seed: 1 / 0  # type: ignore[assignment]
            return env

    with pytest.raises(EnvError, match="ZeroDivisionError"):
        await Stage(Broken(log=str(log))).open()
    assert events(log) == ["close"]


async def test_closing_breaks_off_a_step_that_is_under_way(stage: Stage, log: Path) -> None:
    episode = await stage.open()
    hanging = asyncio.create_task(episode.call("hang", {}))
    while "hang" not in events(log):  # noqa: ASYNC110  it is a file
        await asyncio.sleep(0.01)
    await episode.close()
    with pytest.raises(EnvError, match="was broken off: the episode was closed"):
        await asyncio.wait_for(hanging, 5)
    assert events(log) == ["start", "hang", "close"]
    assert (episode.end, episode.fault) == ("error", None)


async def test_a_session_that_ends_while_its_episode_starts_leaves_none_open(log: Path) -> None:
    may = asyncio.Event()

    class Slow(NotesConfig):
        def build(self, sandboxes: object = None) -> Any:
            env = super().build(sandboxes)
            reset = env.reset

            async def wait(task: ag.Task, *, seed: int) -> Any:
                await may.wait()
                return await reset(task, seed=seed)

            env.reset = wait
            return env

    sessions = Sessions(Stage(Slow(log=str(log))))
    started = asyncio.create_task(sessions.episode("a"))
    await asyncio.sleep(0)
    ended = asyncio.create_task(sessions.end("a"))
    await asyncio.sleep(0.01)
    may.set()
    await ended
    assert (await started).is_closed
    assert events(log) == ["start", "close"]
    assert len(sessions) == 0


async def test_closing_while_a_deadline_fires_closes() -> None:
    class Late(ag.Env):
        async def reset(self, task: ag.Task, *, seed: int) -> ag.Reset:
            return ag.Reset((ag.Message("user", task.prompt),))

        async def step(self, message: ag.Message) -> ag.EnvStep:
            try:
                await asyncio.sleep(60)
            finally:
                await episode.close()

    class LateConfig(NotesConfig):
        def build(self, sandboxes: object = None) -> ag.Env:
            return Late()

    episode = await Episode.open(LateConfig(), ag.Task("Go."), seed=0, step_s=0.05)
    with pytest.raises(EnvError, match="was broken off: the episode was closed"):
        await episode.say("a")


async def test_a_close_that_hangs_is_given_up(caplog: pytest.LogCaptureFixture) -> None:
    class Stuck(ag.Env):
        async def reset(self, task: ag.Task, *, seed: int) -> ag.Reset:
            return ag.Reset((ag.Message("user", task.prompt),))

        async def step(self, message: ag.Message) -> ag.EnvStep:
            return ag.EnvStep(())

        async def close(self) -> None:
            await asyncio.sleep(60)

    class StuckConfig(NotesConfig):
        def build(self, sandboxes: object = None) -> ag.Env:
            return Stuck()

    episode = await Episode.open(StuckConfig(), ag.Task("Go."), seed=0, step_s=0.05)
    await asyncio.wait_for(episode.close(), 5)
    assert "closing an episode failed" in caplog.text
