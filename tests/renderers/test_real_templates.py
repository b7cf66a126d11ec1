"""The chat templates of real models, with tokenizers made here: what is accepted, and how it behaves."""

import json
from typing import Any, NamedTuple

import pytest
from chat_templates import real_templates, real_tokenizer

from agentgym.renderers.chat import ChatRenderer
from agentgym.types import Message, ToolCall, ToolSpec

pytestmark = pytest.mark.slow

TOOLS = (
    ToolSpec(
        "run",
        "Run code.",
        {
            "type": "object",
            "properties": {
                "code": {"type": "string"},
                "times": {"type": "integer"},
                "exact": {"type": "boolean"},
                "items": {"type": "array"},
            },
        },
    ),
)
ARGUMENTS = {
    "code": "def f(x):\n    return x['a'] + \"b\"  # \\n é",
    "exact": True,
    "items": [1, {"k": None}],
    "times": -3,
}
USER = Message("user", "Add 3.")
CALL = Message(
    "assistant", "", (ToolCall("run", json.dumps(ARGUMENTS, ensure_ascii=False), "call_0"),)
)
TOLD = Message("tool", "passed\n7 < 8", tool_call_id="call_0")
DONE = Message("assistant", "It works.")
THOUGHT = "<think>\nI call it.\n</think>\n\n"

MISTRAL = """\
{{- '<s>' -}}
{%- set ns = namespace(last=-1) -%}
{%- for m in messages -%}{%- if m.role == 'user' -%}{%- set ns.last = loop.index0 -%}{%- endif -%}{%- endfor -%}
{%- for m in messages -%}
{%- if m.role == 'system' -%}{{- raise_exception('no system') -}}
{%- elif m.role == 'user' -%}
{%- if loop.index0 == ns.last and tools -%}{{- '[AVAILABLE_TOOLS]' + tools | tojson + '[/AVAILABLE_TOOLS]' -}}{%- endif -%}
{%- if not loop.first and messages[loop.index0 - 1].role == 'user' -%}{{- raise_exception('alternate') -}}{%- endif -%}
{{- '[INST]' + m.content + '[/INST]' -}}
{%- elif m.tool_calls -%}
{{- '[TOOL_CALLS][' -}}
{%- for call in m.tool_calls -%}
{%- if call.id | length != 9 -%}{{- raise_exception('ids have nine characters') -}}{%- endif -%}
{{- '{"name": "' + call.function.name + '", "arguments": ' + call.function.arguments | tojson -}}
{{- ', "id": "' + call.id + '"}' + (', ' if not loop.last else '') -}}
{%- endfor -%}
{{- ']</s>' -}}
{%- elif m.role == 'assistant' -%}{{- m.content + '</s>' -}}
{%- elif m.role == 'tool' -%}
{%- if m.tool_call_id | length != 9 -%}{{- raise_exception('ids have nine characters') -}}{%- endif -%}
{{- '[TOOL_RESULTS]{"content": ' + m.content | tojson + ', "call_id": "' + m.tool_call_id + '"}[/TOOL_RESULTS]' -}}
{%- endif -%}
{%- endfor -%}
"""
"""In the manner of Mistral's: tools stand before the last user's message, and ids are short."""

FAMILIES = {
    "qwen2_5": "hermes",
    "qwen3": "hermes",
    "qwen3_instruct_2507": "hermes",
    "qwen3_training": "hermes",
    "qwen3_5_think": "xml_lines",
    "qwen3_5_nothink": "xml_lines",
    "qwen3_6": "xml_lines",
    "nemotron_3_nano": "xml_lines",
    "llama3_1": "llama",
    "llama3_2": "llama",
    "deepseekv3": "deepseek",
    "glm4moe": "glm",
    "gemma4_v5": "gemma",
    "lfm2_v2": "pythonic",
    "gptoss": "harmony",
}


class Found(NamedTuple):
    renderer: ChatRenderer
    tokenizer: Any


@pytest.fixture(scope="module")
def found() -> dict[str, Found]:
    made = {}
    for name in real_templates():
        tokenizer = real_tokenizer(name)
        made[name] = Found(ChatRenderer(tokenizer), tokenizer)
    return made


def test_every_template_is_accepted_and_most_append(found: dict[str, Found]) -> None:
    renderers = [each.renderer for each in found.values()]
    assert len(renderers) == len(real_templates()) >= 72
    kinds = [renderer.appends for renderer in renderers]
    assert kinds.count("always") >= 40
    assert kinds.count("results of tools") >= 7
    assert sum(renderer.calls is not None for renderer in renderers) >= 40


@pytest.mark.parametrize("name", FAMILIES)
def test_a_call_comes_back_as_it_was(found: dict[str, Found], name: str) -> None:
    renderer = found[name].renderer
    assert renderer.calls == FAMILIES[name]
    renderer.prompt([USER], TOOLS)
    parsed = renderer.parse(renderer.complete(CALL))
    assert parsed.content == ""
    assert [call.name for call in parsed.tool_calls] == ["run"]
    assert json.loads(parsed.tool_calls[0].arguments) == ARGUMENTS


@pytest.mark.parametrize("name", FAMILIES)
def test_what_a_template_writes_is_what_is_rendered(found: dict[str, Found], name: str) -> None:
    renderer, tokenizer = found[name]
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": USER.content},
    ]
    text = tokenizer.apply_chat_template(
        messages, tools=[t.to_openai() for t in TOOLS], add_generation_prompt=True, tokenize=False
    )
    ids = renderer.prompt([Message("system", "Be brief."), USER], TOOLS)
    assert ids == tokenizer.encode(text, add_special_tokens=False)
    assert renderer.decode(ids) == text


def grown(renderer: ChatRenderer, turns: list[tuple[Message, list[Message]]]) -> list[bool]:
    """Play turns; return whether each extension was appended, after checks of those that were."""
    messages, appended = [USER], []
    ids = renderer.prompt(messages, TOOLS)
    for answer, replies in turns:
        ids = ids + renderer.complete(answer)
        messages = [*messages, answer, *replies]
        known = len(messages) - len(replies)
        more = renderer.extend(ids, messages, TOOLS, known=known)
        appended.append(more is not None)
        everything = renderer.prompt(messages, TOOLS)
        if more is not None:
            assert renderer.decode(ids + more) == renderer.decode(everything)
        ids = everything
    return appended


THINKING = Message("assistant", THOUGHT, CALL.tool_calls)


@pytest.mark.parametrize("name", ["qwen3", "qwen3_5_think", "qwen3_6", "glm4moe", "lfm2_2_5"])
def test_thoughts_are_kept_until_a_user_speaks(found: dict[str, Found], name: str) -> None:
    thought = Message("assistant", THOUGHT + "It works.")
    turns = [(THINKING, [TOLD]), (THINKING, [TOLD]), (thought, [USER]), (THINKING, [TOLD])]
    assert grown(found[name].renderer, turns) == [True, True, False, True]


@pytest.mark.parametrize("name", ["qwen2_5", "qwen3_training", "qwen3_instruct_2507", "lfm2_v2"])
def test_templates_that_keep_everything_append_it(found: dict[str, Found], name: str) -> None:
    thought = Message("assistant", THOUGHT + "It works.")
    turns = [(THINKING, [TOLD]), (thought, [USER]), (CALL, [TOLD]), (DONE, [USER, USER])]
    assert grown(found[name].renderer, turns) == [True] * 4


@pytest.mark.parametrize("name", ["deepseekv3", "deepseek_r1_distill"])
def test_thoughts_that_are_left_out_at_once_are_not_appended_to(
    found: dict[str, Found], name: str
) -> None:
    renderer = found[name].renderer
    thought = Message("assistant", THOUGHT + "It works.")
    ids = renderer.prompt([USER], ()) + renderer.complete(thought)
    assert renderer.parse(renderer.complete(thought)) == thought
    assert renderer.extend(ids, [USER, thought, USER], (), known=2) is None


def test_the_channels_of_gpt_oss_are_thoughts_words_and_calls(found: dict[str, Found]) -> None:
    renderer, tokenizer = found["gptoss"]
    thought = Message("assistant", THOUGHT + "It works.")
    assert renderer.parse(renderer.complete(thought)) == thought
    assert renderer.parse(renderer.complete(DONE)) == DONE
    assert [renderer.decode([s]) for s in renderer.stop_token_ids[:2]] == ["<|return|>", "<|call|>"]
    ids = tokenizer.encode(
        "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>commentary<|message|>"
        "I call it.<|end|><|start|>assistant to=functions.run<|channel|>commentary json<|message|>"
        '{"times": 2}<|call|>'
    )
    said = renderer.parse(ids)
    assert said.content == "<think>\nHm.\n</think>\n\nI call it."
    assert said.tool_calls == (ToolCall("run", '{"times": 2}', "call_0"),)
    assert "Hm.\n\nI call it." in renderer.decode(renderer.prompt([USER, said, TOLD], TOOLS))
    turns = [(THINKING, [TOLD]), (CALL, [TOLD]), (thought, [USER])]
    assert grown(renderer, turns) == [True, True, False]


def test_glm_ends_an_answer_by_the_token_of_whoever_is_next(found: dict[str, Found]) -> None:
    renderer = found["glm4moe"].renderer
    user, observation = (renderer.decode([stop]) for stop in renderer.stop_token_ids[:2])
    assert (user, observation) == ("<|user|>", "<|observation|>")
    assert renderer.decode(renderer.complete(DONE)[-1:]) == user
    assert renderer.decode(renderer.complete(CALL)[-1:]) == observation
    ids = renderer.prompt([USER], TOOLS) + renderer.complete(CALL)
    messages = [USER, CALL, TOLD]
    more = renderer.extend(ids, messages, TOOLS, known=2)
    assert more is not None
    assert renderer.extend(ids[:-1], messages, TOOLS, known=2) == [ids[-1], *more]
    asked = [*ids[:-1], renderer.stop_token_ids[0]]  # a user was expected, and a tool answers
    assert renderer.extend(asked, messages, TOOLS, known=2) is None


def test_the_date_does_not_end_what_is_appended(found: dict[str, Found], monkeypatch) -> None:
    from transformers.utils import chat_template_utils

    renderer, tokenizer = found["llama3_2"]
    ids = renderer.prompt([USER], TOOLS) + renderer.complete(CALL)
    before = renderer.extend(ids, [USER, CALL, TOLD], TOOLS, known=2)
    environment = chat_template_utils._compile_jinja_template(tokenizer.chat_template).environment
    monkeypatch.setitem(environment.globals, "strftime_now", lambda _: "1 Jan 2100")
    tomorrow = Message("tool", "another", tool_call_id="call_0")
    after = renderer.extend(ids, [USER, CALL, tomorrow], TOOLS, known=2)
    assert before is not None
    assert after is not None
    assert "another" in renderer.decode(after)
    assert "2100" not in renderer.decode(after)


def test_llama_takes_one_call_and_no_words_beside_it(found: dict[str, Found]) -> None:
    renderer = found["llama3_1"].renderer
    renderer.prompt([USER], TOOLS)
    words = Message("assistant", "I call it.", CALL.tool_calls)
    several = Message("assistant", "", (*CALL.tool_calls, ToolCall("run", "{}", "call_1")))
    for message in (words, several):
        parsed = renderer.parse(renderer.complete(message))
        assert parsed.content == message.content
        assert [json.loads(c.arguments) for c in parsed.tool_calls] == [
            json.loads(c.arguments) for c in message.tool_calls
        ]


def test_gemma_takes_no_system_and_no_user_twice(found: dict[str, Found]) -> None:
    renderer = found["gemma"].renderer
    messages = [Message("system", "Rule."), USER, DONE, USER, Message("user", "And 4.")]
    text = renderer.decode(renderer.prompt(messages, ()))
    assert text.count("<start_of_turn>user") == 2
    assert "Rule.\n\nAdd 3." in text
    assert "Add 3.\n\nAnd 4." in text


def test_calls_may_be_plain_text_to_a_template(found: dict[str, Found]) -> None:
    renderer = ChatRenderer(found["gemma3"].tokenizer, calls="hermes")
    assert renderer.describe() == "template appends always; calls: hermes as text"
    ids = renderer.prompt([USER], TOOLS) + renderer.complete(CALL)
    parsed = renderer.parse(renderer.complete(CALL))
    assert json.loads(parsed.tool_calls[0].arguments) == ARGUMENTS
    more = renderer.extend(ids, [USER, CALL, TOLD], TOOLS, known=2)
    assert more is not None
    assert "<start_of_turn>user\npassed" in renderer.decode(more)


def test_tools_that_move_to_the_last_user_begin_a_segment_when_one_speaks() -> None:
    renderer = ChatRenderer(real_tokenizer("mistral", MISTRAL))
    assert renderer.describe() == "template appends results of tools; calls: mistral"
    turns = [(CALL, [TOLD]), (CALL, [TOLD, TOLD]), (DONE, [USER]), (CALL, [TOLD])]
    assert grown(renderer, turns) == [True, True, False, True]
    text = renderer.decode(renderer.prompt([Message("system", "Rule."), USER, DONE, USER], TOOLS))
    assert text.index("Rule.") < text.index("It works.") < text.index("[AVAILABLE_TOOLS]")
    parsed = renderer.parse(renderer.complete(CALL))
    assert json.loads(parsed.tool_calls[0].arguments) == ARGUMENTS
