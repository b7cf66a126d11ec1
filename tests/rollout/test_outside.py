"""Episodes that programs from outside play, with a policy whose tokens are letters."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

from letters import STOP, Letters
from outside_programs import write_program

from agentgym.engine import Engine, SamplingConfig
from agentgym.env import EnvConfig
from agentgym.envs.calculator import CalculatorConfig
from agentgym.rollout.collect import token_policies
from agentgym.rollout.episode import DeadlineConfig, Job, Scene, run_episode
from agentgym.rollout.outside.gateway import Gateway, open_gateway
from agentgym.rollout.policy import MakePolicy
from agentgym.trainers.exact import check_exact
from agentgym.types import Completion, Message, Task, Trajectory

TASK = Task("What is 6 * 7?", answer=42)
ANSWER = "42"


class Saying(Engine):
    """Says texts one after the other, the last one again and again, each when it may."""

    def __init__(self, *texts: str, max_context: int = 100_000) -> None:
        self.max_context = max_context
        self.prompts: list[str] = []
        self.cancelled = 0
        self.may = asyncio.Event()
        self.may.set()
        self._texts = texts

    async def generate(self, token_ids: Sequence[int], *_: Any, **__: Any) -> Completion:
        self.prompts.append("".join(map(chr, token_ids)))
        number = len(self.prompts) - 1
        try:
            await self.may.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        ids = (*map(ord, self._texts[min(number, len(self._texts) - 1)]), STOP)
        return Completion(token_ids=ids, logprobs=(-0.5,) * len(ids), finish_reason="stop")

    async def load_weights(self, source: Any, *, version: int) -> None:
        raise NotImplementedError


def policies(engine: Engine) -> MakePolicy:
    return token_policies(engine, Letters(), SamplingConfig())


Play = Callable[[Gateway, Scene], Awaitable[None]]


async def played(
    play: Play,
    engine: Engine | None = None,
    *,
    config: EnvConfig | None = None,
    task: Task = TASK,
    episode_s: float = 60.0,
) -> Trajectory:
    async with open_gateway() as gateway:
        return await run_episode(
            Job(task=task, group_id="g"),
            config=config or CalculatorConfig(),
            make_policy=policies(engine or Saying(ANSWER)),
            deadlines=DeadlineConfig(episode_s=episode_s),
            player=lambda scene: play(gateway, scene),
        )


async def by_program(
    tmp_path: Path, body: str, engine: Engine | None = None, **more: Any
) -> Trajectory:
    command = write_program(tmp_path, body)
    found = await played(lambda gateway, scene: gateway.play(scene, command), engine, **more)
    check_exact([found])
    assert found.drift == 0
    return found


async def test_a_program_solves_a_task_with_tools_and_answers(tmp_path: Path) -> None:
    found = await by_program(
        tmp_path,
        """
messages = [{"role": "user", "content": task}]
first = ask(messages)
status, result = send("/tools/calc", {"expression": first["content"]})
messages += [first, {"role": "user", "content": result}]
assert ask(messages)["content"] == "42"
""",
        Saying("6 * 7", ANSWER),
    )
    assert (found.end, found.reason, found.outcome) == ("terminated", "env", 1.0)
    one, two = found.steps
    assert one.message == Message("assistant", "6 * 7")
    assert one.replies == (Message("user", "42\n"),)
    assert one.reward_terms == {"tool_valid": 1.0}
    assert two.reward_terms == {"outcome": 1.0}
    assert "6 * 7" in found.prompt[0].content
    assert "/tools/calc" in found.prompt[0].content
    (segment,) = found.segments
    assert segment.token_ids[segment.steps[0][1] :][:5] == [*map(ord, "6 * 7")]
