"""What a chat template is like, found by asking it: nothing is told by names of models."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

from agentgym.errors import ConfigError, PolicyError
from agentgym.renderers.calls import Syntax
from agentgym.renderers.form import Form
from agentgym.renderers.template import Template
from agentgym.types import Message, ToolCall, ToolSpec

WORD = "Marker"
USER = Message("user", "Question")
ANSWER = Message("assistant", WORD)
THOUGHT = Message("assistant", f"<think>\nPlan\n</think>\n\n{WORD}")
_SPEC = ToolSpec(
    "look_up",
    "Looks up.",
    {
        "type": "object",
        "properties": {"x": {"type": "string"}, "n": {"type": "integer"}},
        "required": ["x"],
    },
)
TOOL = _SPEC.to_openai()
CALL = Message("assistant", "", (ToolCall(_SPEC.name, '{"x": "Marker", "n": 3}', "call_0"),))
WORDS_AND_CALL = replace(CALL, content="Words")
SEVERAL = replace(
    CALL, tool_calls=(*CALL.tool_calls, ToolCall(_SPEC.name, '{"x": "Second", "n": 4}', "call_1"))
)
RESULT = Message("tool", "Result", tool_call_id="call_0")
SECOND = Message("tool", "Other", tool_call_id="call_1")
_OPENING = re.compile(r"<think>\s*(</think>\s*)?\Z")
SYSTEM = Message("system", "Rule")


@dataclass(frozen=True, kw_only=True)
class Turn:
    """How an answer is written."""

    text: str
    """From where it begins to its end, without what ends it."""
    behind: str
    """What ends it, and what follows."""


def find_form(template: Template, syntaxes: Mapping[str, Syntax]) -> tuple[Form, str | None]:
    """Return the form that a template takes, and the name of its syntax of calls, if it has one.

    Raises:
        ConfigError: it renders no conversation at all.
    """
    form = _with_content(template)
    template = template.altered(form=form, syntax=None)
    form = replace(
        form,
        takes_system=_shows(template, [SYSTEM, USER], "Rule"),
        takes_turns=not _shows(template, [USER, replace(USER, content="Another")], "Another"),
    )
    form = _with_thoughts(template, form)
    for name, tried in product(syntaxes, _forms(form)):
        tried = replace(tried, thoughts=syntaxes[name].thoughts or form.thoughts)
        asked = template.altered(form=tried, syntax=syntaxes[name])
        if _reads(asked, CALL) and _shows(asked, [USER, CALL, RESULT], "Result"):
            return _with_calls(asked), name
    return replace(form, takes_calls=False), None


def divide_start(template: Template, tools: Sequence[Any] = ()) -> tuple[str, str]:
    """Return the text before an answer, and what of it is given to the assistant to begin with.

    That is a thought that was begun, or what an answer in the middle of a conversation lacks.
    """
    text = template.render([USER], tools=tools, generate=True)
    if opening := _OPENING.search(text):
        return text[: opening.start()], opening[0]
    rest = template.beyond(text, template.render([USER, ANSWER], tools=tools))
    return text[: len(text) - len(rest)], rest


def turn(template: Template, message: Message) -> Turn | None:
    """Return how an answer is written; None: it is refused, or cannot be found.

    A call is found where a syntax reads it exactly, an answer where its last word ends.
    """
    try:
        before, _ = divide_start(template, tools=[TOOL])
        text = template.beyond(template.render([USER, message], tools=[TOOL]), before)
    except PolicyError:
        return None
    if not message.tool_calls:
        place = text.rfind(WORD) + len(WORD)
        return Turn(text=text[:place], behind=text[place:]) if place >= len(WORD) else None
    return next((each for each in _cuts(template, text) if _says(template, each, message)), None)


def _cuts(template: Template, text: str) -> Iterator[Turn]:
    """Yield a text whole, and up to each of the tokens of control that end it."""
    yield Turn(text=text, behind="")
    for token in template.controls_at_end(text):
        place = text.rfind(token)
        yield Turn(text=text[:place], behind=text[place:])


def _says(template: Template, found: Turn, message: Message) -> bool:
    assert template.syntax is not None
    read = template.syntax.read(found.text, {_SPEC.name: _SPEC.parameters})
    words = read.content.replace("<think>", "").replace("</think>", "").strip()
    return words == message.content and [_value(each) for each in read.calls] == [
        _value(each) for each in message.tool_calls
    ]


def _value(call: ToolCall) -> tuple[str, Any]:
    try:
        return call.name, json.loads(call.arguments)
    except ValueError:
        return call.name, call.arguments


def _reads(template: Template, message: Message) -> bool:
    return turn(template, message) is not None


def _forms(form: Form) -> list[Form]:
    choices = product(("object", "text"), ("", None), (False, True))
    return [
        replace(form, arguments=arguments, empty=empty, has_short_ids=short)  # type: ignore[arg-type]
        for arguments, empty, short in choices
    ]


def _with_content(template: Template) -> Form:
    forms = (Form(), Form(content="parts"))
    for form in forms:
        asked = template.altered(form=form, syntax=None)
        if _shows(asked, [USER, ANSWER], WORD) and _shows(asked, [USER], USER.content):
            return form
    try:
        template.render([USER, ANSWER])
    except PolicyError as error:
        reason = str(error)
    else:
        reason = "its text lacks one of them"
    raise ConfigError(
        f"the chat template renders no question and answer: {reason}",
        hint="use the chat template that came with the model",
    )


def _with_thoughts(template: Template, form: Form) -> Form:
    """Give thoughts in a field of their own where they are lost in the content."""
    field = replace(form, thoughts="field")
    for tried in (form, field):
        asked = template.altered(form=tried, syntax=None)
        if _shows(asked, [USER, THOUGHT], "Plan"):
            return tried
    return form


def _with_calls(template: Template) -> Form:
    asked = template.altered(form=template.form, syntax=template.syntax)
    return replace(
        template.form,
        takes_several=_reads(asked, SEVERAL),
        keeps_words=_reads(asked, WORDS_AND_CALL),
        needs_calls=not _shows(asked, [USER, ANSWER, RESULT], "Result"),
    )


def _shows(template: Template, messages: Sequence[Message], word: str) -> bool:
    try:
        return word in template.render(messages, tools=[TOOL], generate=True)
    except PolicyError:
        return False
