import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from letters import STOP, Letters

from agentgym.engine import Engine, SamplingConfig
from agentgym.rollout.policy import ContextFull, TokenPolicy
from agentgym.rollout.recall import recall
from agentgym.types import Completion, Message, Step, Task, ToolSpec, Trajectory


class Repeating(Engine):
    """Says the number of its call; cuts off every second answer."""

    max_context = 60

    def __init__(self) -> None:
        self.prompts: list[list[int]] = []
        self.released: list[str] = []

    async def generate(self, token_ids: Sequence[int], *_: Any, **__: Any) -> Completion:
        self.prompts.append(list(token_ids))
        n = len(self.prompts)
        cut = n % 2 == 0
        ids = (ord("0") + n,) if cut else (ord("0") + n, STOP)
        return Completion(
            token_ids=ids, logprobs=(-0.5,) * len(ids), finish_reason="length" if cut else "stop"
        )

    async def load_weights(self, source: Any, *, version: int) -> None:
        raise NotImplementedError

    async def release(self, session: str) -> None:
        self.released.append(session)


def policy() -> tuple[TokenPolicy, Repeating]:
    engine = Repeating()
    return TokenPolicy(engine, Letters(), SamplingConfig(), session="s"), engine


async def test_the_stream_only_grows_and_keeps_sampled_tokens() -> None:
    agent, engine = policy()
    messages = [Message("user", "ab")]
    for n in range(3):
        reply = await agent.act(messages, (), seed=0)
        messages += [reply.message, Message("user", f"r{n}")]
    (segment,) = agent.segments
    for earlier, later in zip(engine.prompts, engine.prompts[1:], strict=False):
        assert later[: len(earlier)] == earlier
    assert [t for t, s in zip(segment.token_ids, segment.sampled, strict=True) if s] == [
        ord("1"), STOP, ord("2"), ord("3"), STOP,
    ]  # fmt: skip
    assert [step for step, _, _ in segment.steps] == [0, 1, 2]
    assert [x for x in segment.logprobs if x] == [-0.5] * 5
    assert agent.drift == 0
    assert segment.token_ids == engine.prompts[-1] + [ord("3"), STOP]


async def test_a_rewritten_conversation_starts_a_segment_that_says_so() -> None:
    agent, _ = policy()
    first = [Message("user", "ab")]
    reply = await agent.act(first, (), seed=0)
    await agent.act([Message("user", "summary"), reply.message], (), seed=0)
    one, two = agent.segments
    assert (one.reason, one.parent) == ("start", None)
    assert (two.reason, two.parent) == ("edit", 0)
    assert two.steps[0][0] == 1


async def test_a_full_context_is_said_before_sampling() -> None:
    agent, engine = policy()
    with pytest.raises(ContextFull):
        await agent.act([Message("user", "x" * 60)], (), seed=0)
    assert engine.prompts == []


def test_closing_releases_the_session() -> None:
    agent, engine = policy()
    asyncio.run(agent.close())
    assert engine.released == ["s"]


class Forgetful(Letters):
    """Would render what was said in another way once a user speaks."""

    def extend(self, token_ids, messages, tools, *, known):
        return (
            None
            if messages[-1].role == "user"
            else super().extend(token_ids, messages, tools, known=known)
        )


async def test_what_cannot_be_appended_starts_a_segment_in_which_only_new_answers_are_sampled() -> (
    None
):
    engine = Repeating()
    agent = TokenPolicy(engine, Forgetful(), SamplingConfig(), session="s")
    messages = [Message("user", "ab")]
    for role in ("tool", "user", "tool"):
        reply = await agent.act(messages, (), seed=0)
        messages += [reply.message, Message(role, "r")]
    one, two = agent.segments
    assert [(each.reason, each.parent) for each in agent.segments] == [("start", None), ("edit", 0)]
    assert [step for step, _, _ in one.steps] == [0, 1]
    assert [step for step, _, _ in two.steps] == [2]
    assert sum(one.sampled) == 3
    assert sum(two.sampled) == 2
    assert two.token_ids[: two.steps[0][1]] == Forgetful().prompt(messages[:-2], ())
    assert agent.drift == 0


async def test_a_person_s_answer_that_cannot_be_appended_is_recalled_in_another_segment() -> None:
    agent = TokenPolicy(Repeating(), Forgetful(), SamplingConfig(), session="s")
    ask = Message("user", "ab")
    reply = await agent.act([ask], (), seed=0)
    by_hand = Message("assistant", "x")
    played = Trajectory(
        id="a",
        task=Task("ab"),
        group_id="g",
        prompt=(ask,),
        steps=[
            Step(message=reply.message, completion=reply.completion, replies=(ask,)),
            Step(message=by_hand, replies=(Message("tool", "r"),)),
        ],
        segments=agent.segments,
    )
    segments, completions, rendered = recall(played, 2, Forgetful())
    assert [(each.reason, each.parent) for each in segments] == [("start", None), ("edit", 0)]
    assert rendered == [ask, reply.message, ask, by_hand]
    assert segments[1].token_ids == [*Forgetful().prompt(rendered[:3], ()), ord("x"), STOP]
    assert not any(segments[1].sampled)
    assert completions == [reply.completion, None]


class Stalling(Repeating):
    """Does not answer while it is told to wait."""

    def __init__(self) -> None:
        super().__init__()
        self.may = asyncio.Event()

    async def generate(self, token_ids: Sequence[int], *_: Any, **__: Any) -> Completion:
        await self.may.wait()
        return await super().generate(token_ids)


async def test_what_is_asked_and_given_up_leaves_no_trace() -> None:
    engine = Stalling()
    agent = TokenPolicy(engine, Letters(), SamplingConfig(), session="s")
    engine.may.set()
    messages = [Message("user", "ab")]
    messages += [(await agent.act(messages, (), seed=0)).message, Message("user", "cd")]
    engine.may.clear()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(agent.act(messages, (), seed=0), 0.01)
    (segment,) = agent.segments
    before = len(segment.token_ids)
    assert before == segment.steps[-1][2]
    engine.may.set()
    await agent.act(messages, (), seed=0)
    assert "".join(map(chr, engine.prompts[-1])).count("cd") == 1
    assert len(agent.segments) == 1


async def test_an_answer_asked_for_again_is_a_branch_and_every_segment_may_go_on() -> None:
    agent, _ = policy()
    first = [Message("user", "ab")]
    one = (await agent.act(first, (), seed=0)).message
    two = (await agent.act(first, (), seed=0)).message
    await agent.act([*first, one, Message("user", "x")], (), seed=0)
    await agent.act([*first, two, Message("user", "y")], (), seed=0)
    assert [(each.reason, each.parent) for each in agent.segments] == [
        ("start", None), ("branch", 0)
    ]  # fmt: skip
    assert [[step for step, *_ in each.steps] for each in agent.segments] == [[0, 2], [1, 3]]
    assert agent.drift == 0


async def test_other_tools_are_shown_in_a_segment_of_their_own() -> None:
    agent, _ = policy()
    messages = [Message("user", "ab")]
    messages += [(await agent.act(messages, (), seed=0)).message, Message("user", "c")]
    await agent.act(messages, (ToolSpec("f", "", {}),), seed=0)
    assert [(each.reason, each.parent) for each in agent.segments] == [("start", None), ("edit", 0)]
