"""Whatever a model writes, reading its calls raises nothing and takes time in proportion."""

import json
import random
import time
from collections.abc import Iterator

import pytest

from agentgym.renderers.calls import Found, Syntax, read_arguments
from agentgym.renderers.syntaxes import SYNTAXES
from agentgym.types import ToolCall

SCHEMAS = {
    "run": {"properties": {"code": {"type": "string"}, "n": {"type": "integer"}}},
    "odd": {"properties": {"a": True, "b": {"type": ["string", "null"]}, "c": {"anyOf": [1]}}},
}
CALLS = [
    ToolCall("run", '{"code": "x = [1]\\nprint(\'a\')", "n": 3}', "c"),
    ToolCall("odd", '{"a": {"k": [1, null, true, -1.5e3]}, "b": "", "c": "é\\ud83d\\ude00"}', "c"),
    ToolCall("run", "{}", "c"),
    ToolCall("", "not JSON", "c"),
]
PIECES = [
    *"[](){}<>\"'\\,:=|/ \n\t0-e.",
    *("<tool_call>", "</tool_call>", "<function=", "</function>", "<parameter=", "</parameter>"),
    *("<arg_key>", "</arg_key>", "<arg_value>", "</arg_value>", "[TOOL_CALLS]", "[ARGS]", "[f("),
    *("<|message|>", "<|channel|>analysis", "<|start|>assistant", "to=functions.", "<|end|>"),
    *("<|tool_call>", "<tool_call|>", '<|"|>', "call:", "<|tool_call_start|>", "<|python_tag|>"),
    *('{"name": ', '"parameters"', "null", "None", "1e999", "NaN", "\\ud800", "\ud800", "\0", "é"),
    *("<｜tool▁call▁begin｜>", "<｜tool▁sep｜>", "```json\n", "```"),  # noqa: RUF001
]


def drawn(chance: random.Random, number: int) -> Iterator[tuple[Syntax, str]]:
    """Yield texts: mutated calls of each syntax, noise of what calls are made of, and bytes."""
    syntaxes = list(SYNTAXES.values())
    whole = [[syntax.write(call) for call in CALLS] for syntax in syntaxes]
    for index in range(number):
        place = index % len(syntaxes)
        kind = chance.random()
        if kind < 0.6:
            text = mutated(chance, chance.choice(whole[place]))
        elif kind < 0.9:
            text = "".join(chance.choices(PIECES, k=chance.randrange(30)))
        else:
            text = chance.randbytes(chance.randrange(80)).decode("utf-8", "replace")
        yield syntaxes[place], text


def mutated(chance: random.Random, text: str) -> str:
    """Cut, repeat, swap and insert, a few times."""
    for _ in range(chance.randrange(4)):
        a, b = sorted(chance.randrange(len(text) + 1) for _ in range(2))
        match chance.randrange(4):
            case 0:
                text = text[:a] + text[b:]
            case 1:
                text = text[:b] + text[a:]
            case 2:
                text = text[:a] + chance.choice(PIECES) + text[b:]
            case _:
                text = text[b:] + text[a:b] + text[:a]
    return text


def fuzz(number: int, seed: int) -> None:
    for syntax, text in drawn(random.Random(seed), number):
        check(syntax, text)


def check(syntax: Syntax, text: str) -> None:
    found = syntax.read(text, SCHEMAS)
    if not found.calls and "<|message|>" not in text:
        assert found.content == text
    for place, call in enumerate(found.calls):
        assert call.id == f"call_{place}"
        arguments = read_arguments(call)  # what cannot be read is None, and counted
        if arguments is not None:
            json.dumps(arguments, allow_nan=False).encode()


def test_reading_raises_nothing() -> None:
    fuzz(3_000, seed=0)


@pytest.mark.slow
def test_reading_raises_nothing_20000_times() -> None:
    fuzz(20_000, seed=1)


@pytest.mark.soak
def test_reading_raises_nothing_a_million_times() -> None:
    fuzz(1_000_000, seed=2)


@pytest.mark.parametrize("name", SYNTAXES)
def test_what_was_written_is_read(name: str) -> None:
    syntax = SYNTAXES[name]
    for call in CALLS[:3]:
        found = syntax.read(syntax.write(call), SCHEMAS)
        assert found.content == ""
        assert [(each.name, json.loads(each.arguments)) for each in found.calls] == [
            (call.name, json.loads(call.arguments))
        ]


@pytest.mark.parametrize("name", [name for name in SYNTAXES if name != "llama"])
def test_what_is_no_object_keeps_its_text_and_can_be_counted(name: str) -> None:
    (call,) = SYNTAXES[name].read(SYNTAXES[name].write(ToolCall("run", '{"n": ', "c")), {}).calls
    assert '{"n":' in call.arguments
    assert read_arguments(call) is None


def test_a_call_of_llama_that_breaks_off_keeps_its_text() -> None:
    text = 'So: {"name": "run", "parameters": {"n": '
    assert SYNTAXES["llama"].read(text, {}) == Found(
        "So:", (ToolCall("run", text[4:].strip(), "call_0"),)
    )


TRAPS = {
    "tags": "<tool_call><function=a><parameter=b>",
    "names without an end": "<function=",
    "keys without an end": "<function=f><parameter=",
    "blocks": "<tool_call>{}</tool_call>",
    "tokens": '<|tool_call>call:f{a:<|"|>',
    "lists": "[",
    "objects": '{"name":',
    "calls of Python": "\n[f(a='",
    "nested calls of Python": "[f(a=[",
    "backslashes": "\\",
    "escaped": "\\u",
    "digits": "1",
    "signs": "-",
    "spaces": " ",
    "lines": "\n",
    "quotes": "'\"",
    "Mistral": "[TOOL_CALLS][",
    "Mistral's names": "[TOOL_CALLS]a[ARGS]{",
    "DeepSeek": "<｜tool▁call▁begin｜>a<｜tool▁sep｜>```",  # noqa: RUF001
    "keys of GLM": "<tool_call>f<arg_key>",
    "messages": "<|start|>assistant to=",
    "empty messages": "<|start|>assistant to=a<|message|>",
    "almost names": '{ "name" ',
    "words": "a",
}
OPENINGS = [
    "",
    "<tool_call>",
    "<function=f><parameter=a>",
    "[f(a=",
    "[f(a='",
    "<|tool_call>call:f{",
]


@pytest.mark.slow
@pytest.mark.parametrize("trap", TRAPS)
def test_a_million_characters_are_read_in_time(trap: str) -> None:
    body = TRAPS[trap] * (1_000_000 // len(TRAPS[trap]))
    for opening in OPENINGS:
        for syntax in SYNTAXES.values():
            started = time.perf_counter()
            check(syntax, opening + body)
            # Linear time takes a fraction of a second, quadratic time hours.
            assert time.perf_counter() - started < 20
