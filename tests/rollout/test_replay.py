from collections.abc import Iterator
from dataclasses import replace
from typing import Any, ClassVar

import pytest

from agentgym.env import Env, EnvConfig, EnvStep, Reset
from agentgym.rollout.episode import DeadlineConfig, Job, run_episode
from agentgym.rollout.replay import replay
from agentgym.rollout.scripted import scripted_policies
from agentgym.types import Message, Task, Trajectory


class Echo(Env):
    """Repeats the message with the seed; the episode ends at the third turn."""

    inline = True
    answer: ClassVar[str] = "said"
    turns: ClassVar[int] = 3

    def reset(self, task: Task, *, seed: int) -> Reset:
        self.turn, self.seed = 0, seed
        return Reset((Message("user", f"{task.prompt} {seed}"),))

    def step(self, message: Message) -> EnvStep:
        self.turn += 1
        if message.content == "raise":
            raise ValueError("broken")
        reply = Message("user", f"{self.answer} {message.content} {self.seed}")
        return EnvStep((reply,), {"outcome": self.turn / 7}, self.turn == self.turns)

    def actions(self) -> tuple[str, ...]:
        return ("a", "b", "c")


class EchoConfig(EnvConfig):
    id = "test/Echo-v0"
    kind: type[Echo] = Echo

    def tasks(self, split: str) -> Iterator[Task]:
        yield Task("say", id="only")

    def build(self, sandboxes: Any = None) -> Env:
        return self.kind()


async def recorded(**config: Any) -> Trajectory:
    return await run_episode(
        Job(task=Task("say"), group_id="g", member=2, run_seed=5),
        config=EchoConfig(**config),
        make_policy=scripted_policies("scripted:random"),
    )


@pytest.mark.parametrize("max_turns", [2, 3, 16])
async def test_an_episode_replays_equally(max_turns: int) -> None:
    trajectory = await recorded(max_turns=max_turns)
    found = await replay(trajectory, EchoConfig(max_turns=max_turns))
    assert found.unverifiable is None
    assert found.differences == ()


async def test_an_episode_cut_by_the_context_replays_equally() -> None:
    trajectory = await recorded(max_turns=1)
    trajectory.reason = "context"
    assert (await replay(trajectory, EchoConfig())).differences == ()


async def test_another_observation_is_named_with_its_step() -> None:
    class Changed(Echo):
        answer = "heard"

    trajectory = await recorded()
    found = await replay(trajectory, EchoConfig(kind=Changed))
    assert [(each.step, each.what) for each in found.differences] == [
        (0, "replies"),
        (0, "next_state_key"),
        (1, "replies"),
        (1, "state_key"),
        (1, "next_state_key"),
        (2, "replies"),
        (2, "state_key"),
        (2, "next_state_key"),
    ]
    assert found.differences[0].recorded[0].content.startswith("said ")
    assert found.differences[0].replayed[0].content.startswith("heard ")


async def test_another_reward_seed_and_end_are_named() -> None:
    trajectory = await recorded()
    trajectory.steps[1].reward_terms["outcome"] += 1e-15
    trajectory.end = "truncated"
    found = await replay(trajectory, EchoConfig())
    assert [(each.step, each.what) for each in found.differences] == [
        (1, "reward_terms"),
        (None, "end"),
    ]
    other = replace(await recorded(), seed=1)
    assert (await replay(other, EchoConfig())).differences[0].what == "prompt"


async def test_an_environment_that_ends_earlier_or_later_differs() -> None:
    class Shorter(Echo):
        turns = 2

    trajectory = await recorded()
    found = await replay(trajectory, EchoConfig(kind=Shorter))
    assert [(each.step, each.what) for each in found.differences] == [(2, "step")]
    found = await replay(replace(trajectory, steps=trajectory.steps[:2]), EchoConfig())
    assert [(each.step, each.what) for each in found.differences] == [(None, "end")]


async def test_an_environment_that_now_fails_differs() -> None:
    class Failing(Echo):
        def step(self, message: Message) -> EnvStep:
            raise ValueError("broken")

    found = await replay(await recorded(), EchoConfig(kind=Failing))
    assert found.differences[-1].what == "end"
    assert "broken" in found.differences[-1].replayed[1]


async def test_faults_and_time_limits_are_unverifiable() -> None:
    trajectory = await recorded()
    late = replace(trajectory, reason="episode_deadline")
    assert (await replay(late, EchoConfig())).unverifiable == "a time limit fired in the episode"
    fault = replace(trajectory, end="error", reason="SandboxDied: gone")
    found = await replay(fault, EchoConfig())
    assert found.unverifiable == "the episode ended by a fault: SandboxDied: gone"


async def test_a_time_limit_in_the_replay_is_unverifiable() -> None:
    class Slow(Echo):
        async def step(self, message: Message) -> EnvStep:  # type: ignore[override]
            import asyncio

            await asyncio.sleep(5)
            raise AssertionError

    deadlines = DeadlineConfig(episode_s=0.05)
    found = await replay(await recorded(), EchoConfig(kind=Slow), deadlines=deadlines)
    assert found.unverifiable == "a time limit fired in the replay"
