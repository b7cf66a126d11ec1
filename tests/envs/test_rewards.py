"""Rewards are terms of their own, weighted and gated into the outcome, and bad ones are named."""

import math
from typing import Any

import pytest
from hypothesis import given, strategies as st

import agentgym as ag
from agentgym.env import EnvStep
from agentgym.envs.rewards import Rewards, Transcript
from agentgym.errors import ConfigError, EnvError
from agentgym.types import Message, Task, ToolCall

TASK = Task("What is 1 + 1?", answer="2")


def said(text: str) -> Transcript:
    return Transcript(TASK, [Message("user", TASK.prompt), Message("assistant", text)])


def correct(transcript: Transcript, task: Task) -> float:
    return float(transcript.final_text == task.answer)


async def brief(transcript: Transcript) -> float:
    return 1.0 if len(transcript.final_text) < 3 else 0.5


def constant() -> int:
    return 1


async def test_a_reward_takes_what_it_asks_for_and_may_be_async():
    terms = await Rewards([correct, brief, constant]).grade(said("2"))
    assert terms == {"correct": 1.0, "brief": 1.0, "constant": 1.0, "outcome": 3.0}


@pytest.mark.parametrize(
    ("text", "outcome"), [("2", 0.8 + 0.2), ("3", 0.0), ("two", 0.0)], ids=["both", "shut", "none"]
)
async def test_a_gated_reward_counts_only_where_its_gate_is_open(text: str, outcome: float):
    rewards = Rewards([ag.reward(weight=0.8)(lambda_free(correct))])
    rewards.add(ag.reward(weight=0.2, gate="correct")(lambda_free(brief)))
    rewards.check()
    terms = await rewards.grade(said(text))
    assert terms["outcome"] == pytest.approx(outcome)
    assert terms["brief"] > 0  # the raw value is recorded, also where it does not count


def lambda_free(function: Any) -> Any:
    """Return a copy of a function, so that marks of one test do not reach another."""
    import types

    return types.FunctionType(
        function.__code__, function.__globals__, function.__name__, function.__defaults__
    )


@given(st.floats(-2, 2), st.floats(0, 1), st.floats(0, 1))
async def test_the_outcome_is_the_weighted_sum(weight: float, first: float, second: float):
    @ag.reward(weight=weight)
    def one() -> float:
        return first

    def two() -> float:
        return second

    terms = await Rewards([one, two]).grade(said(""))
    assert terms["outcome"] == pytest.approx(weight * first + second)


@pytest.mark.parametrize("value", [math.nan, math.inf, None, "1", [1.0]], ids=repr)
async def test_a_value_that_is_no_finite_number_names_the_file_and_the_line(value: Any):
    def broken() -> Any:
        return value

    with pytest.raises(EnvError, match=r"test_rewards\.py:\d+: reward `broken` returned") as error:
        await Rewards([broken]).grade(said(""))
    assert error.value.hint == "return a float on every path"


async def test_a_reward_that_raises_is_a_fault_with_its_line():
    def raising() -> float:
        return 1 / 0

    with pytest.raises(EnvError, match=r"reward `raising` raised ZeroDivisionError.*test_rewards"):
        await Rewards([raising]).grade(said(""))


def test_a_reserved_name_a_taken_name_and_a_third_parameter_are_refused():
    def outcome() -> float:
        return 1.0

    def three(a: int, b: int, c: int) -> float:
        return 1.0

    for functions, words in (
        ([outcome], "`outcome`: the name is reserved"),
        ([correct, correct], "`correct`: there is a reward of this name"),
        ([three], "`three`: it has more than two parameters"),
    ):
        with pytest.raises(ConfigError, match=rf"test_rewards\.py:\d+: reward {words}"):
            Rewards(functions)


@pytest.mark.parametrize("gate", ["corect", "brief"])
def test_a_gate_must_be_another_reward(gate: str):
    rewards = Rewards([correct, ag.reward(gate=gate)(lambda_free(brief))])
    with pytest.raises(ConfigError, match=f"its gate '{gate}' is no other reward") as error:
        rewards.check()
    assert error.value.hint == "rewards: correct"


class Shop(ag.ToolEnv):
    """Buy the right thing within the budget."""

    def start(self, task: Task, *, seed: int) -> None:
        self.spent = 0

    @ag.tool(inline=True)
    def buy(self, price: int) -> str | ag.Final:
        """Buy something.

        Args:
            price: What it costs.
        """
        self.spent += price
        return ag.Final("That was the last coin.") if self.spent >= 3 else "bought"

    @ag.reward(weight=0.5)
    def bought(self, transcript: Transcript) -> float:
        return float(len(transcript.calls) > 0)

    @ag.reward(weight=0.5, gate="bought")
    async def thrifty(self) -> float:
        return max(0.0, 1 - self.spent / 4)


def buying(*prices: int) -> Message:
    calls = tuple(ToolCall("buy", f'{{"price": {each}}}', f"c{each}") for each in prices)
    return Message("assistant", tool_calls=calls)


async def play(*messages: Message) -> tuple[Shop, EnvStep]:
    shop = Shop()
    await shop.reset(TASK, seed=0)
    for message in messages:
        step = await shop.step(message)
    return shop, step


async def test_rewards_are_asked_at_a_final_answer_a_final_tool_and_a_truncation():
    _, answered = await play(buying(1), Message("assistant", "done"))
    assert answered.terminated
    assert answered.reward == {"bought": 1.0, "thrifty": 0.75, "outcome": 0.875}
    _, ended = await play(buying(1, 2))
    assert ended.terminated
    assert ended.reward == {"tool_valid": 1.0, "bought": 1.0, "thrifty": 0.25, "outcome": 0.625}
    shop, going_on = await play(buying(2))
    assert going_on.reward == {"tool_valid": 1.0}
    assert await shop.truncate() == {"bought": 1.0, "thrifty": 0.5, "outcome": 0.75}


class Above(ag.ToolEnv):
    """The mark stands above and below what makes a method static or the class's."""

    @ag.reward(weight=2.0)
    @staticmethod
    def fixed(transcript: Transcript, task: Task) -> float:
        return float(transcript.final_text == task.answer)

    @ag.reward(weight=3.0)
    @classmethod
    def common(cls, transcript: Transcript) -> float:
        return float(cls is Above)

    @staticmethod
    @ag.reward
    def below() -> float:
        return 1.0


class Generous(Shop):
    """A last tool pays by itself, beside the rewards."""

    @ag.tool(inline=True)
    def leave(self, term: str) -> ag.Final:
        """Leave.

        Args:
            term: What is paid.
        """
        return ag.Final("bye", {term: 0.5})


async def test_a_final_pays_beside_the_rewards_and_not_in_their_place():
    env = Generous()
    call = '{"term": "%s"}'
    await env.reset(TASK, seed=0)
    step = await env.step(Message("assistant", tool_calls=(ToolCall("leave", call % "tip"),)))
    assert step.reward.pop("tip") == 0.5
    assert step.reward == {"tool_valid": 1.0, "bought": 1.0, "thrifty": 1.0, "outcome": 1.0}
    for taken in ("outcome", "bought", "tool_valid"):
        await env.reset(TASK, seed=0)
        with pytest.raises(EnvError, match=rf"tool `leave` returned Final .* '{taken}'") as error:
            await env.step(Message("assistant", tool_calls=(ToolCall("leave", call % taken),)))
        assert error.value.hint == "give the term another name, or leave it to the rewards"


async def test_static_and_class_methods_are_rewards_in_either_order():
    terms = await Rewards.of(Above()).grade(said("2"))
    assert terms == {"fixed": 1.0, "common": 1.0, "below": 1.0, "outcome": 6.0}


async def test_a_shut_gate_leaves_the_outcome_at_nothing():
    _, step = await play(Message("assistant", "no, thanks"))
    assert step.reward == {"bought": 0.0, "thrifty": 1.0, "outcome": 0.0}


async def test_the_transcript_holds_everything_that_was_said():
    shop, _ = await play(buying(1), Message("assistant", "done"))
    roles = [message.role for message in shop.transcript.messages]
    assert roles == ["user", "assistant", "tool", "assistant"]
    assert shop.transcript.final_text == "done"
    assert shop.transcript.num_turns == 2
