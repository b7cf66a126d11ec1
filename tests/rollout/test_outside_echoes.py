"""What programs make of an answer before they send it back, and what is recognised of that."""

import json
from dataclasses import replace

from hypothesis import given, strategies as st

from agentgym.rollout.outside.echoes import Echoes
from agentgym.rollout.outside.request import read_request
from agentgym.types import Message, ToolCall

TEXTS = st.text(max_size=6)
CALLS = st.lists(
    st.tuples(st.sampled_from("fg"), st.one_of(TEXTS, st.just('{"a":  1, "b": [2]}'))), max_size=3
)


def answer(text: str, calls: list[tuple[str, str]]) -> Message:
    """An answer as a renderer reads it: ids begin anew in each."""
    made = (ToolCall(name, arguments, f"call_{n}") for n, (name, arguments) in enumerate(calls))
    return Message("assistant", text, tuple(made))


@given(st.lists(st.tuples(TEXTS, CALLS), min_size=1, max_size=5))
def test_what_goes_out_and_comes_back_is_what_was_sampled(said: list[tuple[str, list]]) -> None:
    """Through JSON, as a client has it: with unique ids, and each result naming its call."""
    echoes, own, sent = Echoes(), [], [Message("user", "go")]
    for text, calls in said:
        message = answer(text, calls)
        told = echoes.add(message)
        results = [Message("tool", "r", tool_call_id=call.id) for call in told.tool_calls]
        own += [message, *(replace(r, tool_call_id=c.id) for r, c in zip(results, message.tool_calls, strict=True))]  # fmt: skip
        sent += [told, *results]
    ids = [call.id for message in sent for call in message.tool_calls]
    assert len(set(ids)) == len(ids)
    body = json.dumps({"messages": [*(m.to_openai() for m in sent), {"role": "user"}]})
    read = read_request(body.encode()).messages
    if "\ufffd" in "".join(text for text, _ in said):
        return
    assert echoes.resolve(read)[1:-1] == own


def test_white_space_arguments_and_ids_may_be_others() -> None:
    echoes = Echoes()
    own = answer("I look.\n", [("run", '{"b": 1,  "a": "\\u00e9"}')])
    echoes.add(own)
    theirs = Message("assistant", "I look.", (ToolCall("run", '{"a":"é","b":1}', "toolu_9"),))
    result = Message("tool", "ok", tool_call_id="toolu_9")
    found = echoes.resolve([theirs, result])
    assert found[0] is own
    assert found[1] == replace(result, tool_call_id="call_0")
    assert echoes.latest(found[0]) == 0


def test_what_says_something_else_is_left_as_it_is() -> None:
    echoes = Echoes()
    echoes.add(answer("I look.", [("run", '{"a": 1}')]))
    for theirs in (
        answer("I looked.", [("run", '{"a": 1}')]),
        answer("I look.", [("run", '{"a": 2}')]),
        answer("I look.", [("walk", '{"a": 1}')]),
        answer("I look.", []),
        answer("I look.", [("run", '{"a": true}')]),
    ):
        (found,) = echoes.resolve([theirs])
        assert found is theirs
        assert echoes.latest(found) is None


def test_answers_that_say_the_same_are_told_apart_by_how_and_in_which_order() -> None:
    echoes = Echoes()
    said = [answer(text, []) for text in ("ok", "ok ", "ok ", "ok")]
    for each in said:
        echoes.add(each)
    verbatim = echoes.resolve([Message("assistant", each.content) for each in said])
    assert [echoes.latest(each) for each in verbatim] == [0, 1, 2, 3]
    trimmed = echoes.resolve([Message("assistant", " ok") for _ in said])
    assert [echoes.latest(each) for each in trimmed] == [0, 1, 2, 3]
