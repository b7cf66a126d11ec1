"""Nothing that others say becomes a token of control, and what is appended is what is rendered."""

import json
import re
from typing import Any

import pytest
from chat_templates import real_templates, real_tokenizer
from hypothesis import given, settings, strategies as st

from agentgym.engine import Engine, SamplingConfig
from agentgym.renderers.chat import ChatRenderer
from agentgym.rollout.policy import TokenPolicy
from agentgym.types import Completion, Message, ToolCall, ToolSpec

pytestmark = pytest.mark.slow

HARMLESS = "x"
CONTROL = re.compile("\ue000(\\d+)\ue001")
"""Stands for a token of control of the template that is drawn."""

pieces = st.integers(0, 200).map(lambda number: f"\ue000{number}\ue001") | st.text(
    st.characters(exclude_characters="\ue000\ue001"), max_size=6
)
texts = st.lists(pieces, max_size=5).map("".join)
results = st.builds(
    Message, role=st.just("tool"), content=texts, tool_call_id=st.just("call_0")
) | st.builds(Message, role=st.just("user"), content=texts)
calls = st.builds(
    lambda name, code: ToolCall(name, json.dumps({"code": code}), "call_0"),
    st.just("run") | texts,
    texts,
)
answers = st.builds(
    lambda content, call: Message("assistant", content, (call,) if call else ()),
    st.sampled_from(["", "It works.", "Let me\n see"]),
    st.none() | calls,
)
turns = st.lists(st.tuples(answers, st.lists(results, min_size=1, max_size=2)), max_size=3)


@pytest.fixture(scope="module")
def renderers() -> dict[str, tuple[ChatRenderer, Any]]:
    made = {}
    for name in real_templates():
        tokenizer = real_tokenizer(name)
        made[name] = (ChatRenderer(tokenizer), tokenizer)
    return made


def control_of(renderer: ChatRenderer, tokenizer: Any) -> dict[int, str]:
    """Return the special tokens, and those that stand around messages."""
    given = {i: str(t) for i, t in tokenizer.added_tokens_decoder.items() if t.special}
    plain = renderer.prompt(
        [Message("user", "Go."), Message("assistant", "a"), Message("user", "b")], ()
    )
    return given | {
        i: str(tokenizer.added_tokens_decoder[i])
        for i in plain
        if i in tokenizer.added_tokens_decoder
    }


def filled(value: Any, tokens: list[str] | None) -> Any:
    """Return messages or texts with tokens of control in place, or something harmless."""
    if isinstance(value, str):
        return CONTROL.sub(lambda m: tokens[int(m[1]) % len(tokens)] if tokens else HARMLESS, value)
    if isinstance(value, Message):
        arguments = tuple(
            ToolCall(
                filled(call.name, tokens),
                json.dumps(filled(json.loads(call.arguments), tokens)),
                call.id,
            )
            for call in value.tool_calls
        )
        return Message(value.role, filled(value.content, tokens), arguments, value.tool_call_id)
    if isinstance(value, dict):
        return {filled(key, tokens): filled(item, tokens) for key, item in value.items()}
    return [filled(item, tokens) for item in value] if isinstance(value, list) else value


def spec(name: str, about: str) -> ToolSpec:
    parameters = {"code": {"type": "string", "description": about}}
    return ToolSpec(name, about, {"type": "object", "properties": parameters})


@given(data=st.data())
@settings(max_examples=300)
def test_nobody_forges_a_role_or_an_end(
    renderers: dict[str, tuple[ChatRenderer, Any]], data: st.DataObject
) -> None:
    renderer, tokenizer = renderers[data.draw(st.sampled_from(sorted(renderers)))]
    control = control_of(renderer, tokenizer)
    about, name, question, rounds = data.draw(st.tuples(texts, texts, texts, turns))
    counted = []
    for tokens in (None, sorted(control.values())):
        tools = (spec(filled(name, tokens), filled(about, tokens)),) if renderer.calls else ()
        messages = [Message("user", filled(question, tokens))]
        found = []
        for answer, replies in rounds:
            if not renderer.calls:
                answer = Message("assistant", answer.content)
                replies = [Message("user", each.content) for each in replies]
            messages += [filled(answer, tokens), *(filled(each, tokens) for each in replies)]
            found += renderer.complete(filled(answer, tokens))
        found += renderer.prompt(messages, tools)
        counted.append([sum(i == each for i in found) for each in control])
    assert counted[0] == counted[1]


KEPT = ["qwen2_5", "qwen3_instruct_2507", "lfm2_v2", "phi3", "gemma3", "cohere"]


@pytest.mark.parametrize("name", KEPT)
@given(rounds=turns)
@settings(max_examples=25)
def test_what_is_appended_is_what_is_rendered(
    renderers: dict[str, tuple[ChatRenderer, Any]], name: str, rounds: Any
) -> None:
    renderer, tokenizer = renderers[name]
    tokens = sorted(control_of(renderer, tokenizer).values())
    tools = (spec("run", "Runs."),) if renderer.calls else ()
    messages = [Message("user", "Go.")]
    ids = renderer.prompt(messages, tools)
    for answer, replies in rounds:
        if not renderer.calls:
            answer = Message("assistant", answer.content)
            replies = [Message("user", each.content) for each in replies]
        answer = filled(answer, tokens)
        ids = ids + renderer.complete(answer)
        messages = [*messages, answer, *(filled(each, tokens) for each in replies)]
        more = renderer.extend(ids, messages, tools, known=len(messages) - len(replies))
        assert more is not None
        ids += more
        assert ids == renderer.prompt(messages, tools)


class Dictated(Engine):
    """Samples what it is told to."""

    max_context = 1 << 20

    def __init__(self) -> None:
        self.next_ids: list[int] = []

    async def generate(self, token_ids: Any, *_: Any, stop: Any = (), **__: Any) -> Completion:
        reason = "stop" if self.next_ids[-1] in stop else "length"
        ids = tuple(self.next_ids)
        return Completion(token_ids=ids, logprobs=(-0.5,) * len(ids), finish_reason=reason)

    async def load_weights(self, source: Any, *, version: int) -> None:
        raise NotImplementedError


@given(data=st.data())
@settings(max_examples=150)
def test_episodes_of_any_answers_keep_every_sampled_token(
    renderers: dict[str, tuple[ChatRenderer, Any]], data: st.DataObject
) -> None:
    import asyncio

    renderer, tokenizer = renderers[data.draw(st.sampled_from(sorted(renderers)))]
    tokens = sorted(control_of(renderer, tokenizer).values())
    tools = (spec("run", "Runs."),) if renderer.calls else ()
    noise = st.lists(st.integers(0, len(tokenizer) - 1), min_size=1, max_size=12)
    engine = Dictated()
    policy = TokenPolicy(engine, renderer, SamplingConfig(), session="s")
    messages = [Message("user", "Go.")]
    sampled = []
    for answer, replies in data.draw(turns):
        if not renderer.calls:
            answer = Message("assistant", answer.content)
            replies = [Message("user", each.content) for each in replies]
        whole = renderer.complete(filled(answer, tokens))
        engine.next_ids = data.draw(noise | st.just(whole) | st.just(whole[:-1] or whole))
        reply = asyncio.run(policy.act(messages, tools, seed=0))
        sampled.append(engine.next_ids)
        messages = [*messages, reply.message, *(filled(each, tokens) for each in replies)]
    assert policy.drift == 0
    spans = {step: s.token_ids[a:b] for s in policy.segments for step, a, b in s.steps}
    assert [spans[step] for step in range(len(sampled))] == sampled
