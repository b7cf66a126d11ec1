import asyncio
from typing import ClassVar

from agentgym.envs.tool_env import ToolEnv
from agentgym.tools import Final, tool
from agentgym.types import Message, Task, ToolCall


class Counter(ToolEnv):
    """Count up to the answer; the text of a final answer is compared with it."""

    system: ClassVar[str] = "Count."

    async def start(self, task: Task, *, seed: int) -> str:
        self.count = 0
        return f"{task.prompt} (seed {seed})"

    @tool(inline=True)
    def add(self, number: int) -> str | Final:
        """Add to the counter."""
        self.count += number
        if self.count >= self.task.answer:
            return Final("full", {"outcome": 1.0})
        return str(self.count)

    @tool(timeout_s=0.02)
    async def sleep(self) -> None:
        """Sleep too long."""
        await asyncio.sleep(1)

    def score(self, text: str) -> dict[str, float]:
        return {"outcome": float(text == str(self.task.answer))}


class Bare(ToolEnv):
    @tool(inline=True)
    def nothing(self) -> str:
        """Do nothing."""
        return "nothing"


TASK = Task("Count to 3.", answer=3)


def calls(*pairs: tuple[str, str]) -> Message:
    return Message(
        "assistant", tool_calls=tuple(ToolCall(name, args, name) for name, args in pairs)
    )


async def test_reset_gives_system_message_prompt_and_tools() -> None:
    env = Counter()
    messages, tools, _ = await env.reset(TASK, seed=5)
    assert messages == (Message("system", "Count."), Message("user", "Count to 3. (seed 5)"))
    assert [spec.name for spec in tools] == ["add", "sleep"]
    assert (await Bare().reset(TASK, seed=0)).messages == (Message("user", "Count to 3."),)


async def test_every_call_is_answered_in_order() -> None:
    env = Counter()
    await env.reset(TASK, seed=0)
    step = await env.step(calls(("add", '{"number": 1}'), ("add", '{"number": 1}')))
    assert [message.content for message in step.messages] == ["1", "2"]
    assert step.reward == {"tool_valid": 1.0}
    assert not step.terminated


async def test_one_bad_call_makes_the_step_invalid_but_not_the_episode() -> None:
    env = Counter()
    await env.reset(TASK, seed=0)
    step = await env.step(calls(("add", '{"number": 1}'), ("ad", "{}")))
    assert step.reward == {"tool_valid": 0.0}
    assert not step.terminated


async def test_a_final_ends_the_episode_and_later_calls_do_not_run() -> None:
    env = Counter()
    await env.reset(TASK, seed=0)
    step = await env.step(calls(("add", '{"number": 3}'), ("add", '{"number": 9}')))
    assert [message.content for message in step.messages] == ["full"]
    assert step.reward == {"tool_valid": 1.0, "outcome": 1.0}
    assert step.terminated
    assert env.count == 3


async def test_a_message_without_calls_is_scored() -> None:
    env = Counter()
    await env.reset(TASK, seed=0)
    step = await env.step(Message("assistant", "3"))
    assert (step.messages, step.reward, step.terminated) == ((), {"outcome": 1.0}, True)
    bare = Bare()
    await bare.reset(TASK, seed=0)
    assert (await bare.step(Message("assistant", "3"))).reward == {"outcome": 0.0}


async def test_a_tool_that_timed_out_is_told_in_the_info() -> None:
    env = Counter()
    await env.reset(TASK, seed=0)
    assert (await env.step(calls(("sleep", "{}")))).info == {"timed_out": True}
    assert (await env.step(calls(("add", '{"number": 0}')))).info == {}


async def test_equal_observations_give_equal_state_keys() -> None:
    env = Counter()
    await env.reset(TASK, seed=0)
    start = env.state_key()
    await env.step(calls(("add", '{"number": 1}')))
    one = env.state_key()
    await env.step(calls(("add", '{"number": 0}')))
    assert start != one == env.state_key()
    await env.reset(TASK, seed=0)
    assert env.state_key() == start
