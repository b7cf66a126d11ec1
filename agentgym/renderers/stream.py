"""Conversations as streams of text that only grow, as far as a template lets them."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import pairwise
from typing import Any, Literal, NamedTuple

from agentgym.errors import PolicyError
from agentgym.renderers.form import Form, split_thought, to_plain
from agentgym.renderers.habits import End, Habits
from agentgym.renderers.probe import (
    ANSWER,
    CALL,
    RESULT,
    SECOND,
    SEVERAL,
    SYSTEM,
    THOUGHT,
    TOOL,
    USER,
    WORD,
)
from agentgym.renderers.quoting import behind
from agentgym.renderers.template import Template
from agentgym.types import Message, ToolCall

Appends = Literal["always", "results of tools", "what changes nothing"]
"""What is appended without a look at what was said: everything; results of tools, since thoughts
are left out of what was said before a user; nothing, so that every extension is checked."""

_TAG = re.compile(r"</?think>")
_WORD = re.compile(r"\w+")
_CHECKED = 256  # characters of a message
_STARTS = ([USER], [SYSTEM, USER])
_CALL = replace(CALL, content=f"{THOUGHT.content.partition(WORD)[0]}{WORD}")


class More(NamedTuple):
    """What follows an answer."""

    end: End | None
    """What ends the answer; None: the text begins with it, unless it was said already."""
    text: str


class Stream:
    """What to write behind the text of a conversation, with marks where it was cut."""

    def __init__(self, template: Template, habits: Habits) -> None:
        self.template = template
        self.habits = habits
        start = template.render([USER], generate=True)
        self._start = start.removesuffix(habits.opening)
        self._base = lru_cache(maxsize=256)(self._render_base)
        self.appends = self._find_appends()

    def end(self, message: Message) -> End:
        """Return what ends an answer."""
        (plain,) = to_plain([message], self.template.form, self.template.syntax)
        return self.habits.call if plain.get("tool_calls") else self.habits.answer

    def answer(self, message: Message) -> str:
        """Return an answer as a policy would write it, with what ends it.

        A thought that the template leaves out is written as models write it; where a thought was
        begun for the assistant, one that is not there is ended.

        Raises:
            PolicyError: the template refuses it.
        """
        text = self._said([USER, message], ())
        if not text.startswith(self._start):
            raise PolicyError("the chat template writes something else before this answer")
        text = text[len(self._start) :]
        thought, _ = split_thought(self.template.quote_speech(message.content))
        if thought and thought not in text:
            text = f"<think>\n{thought}\n</think>\n\n{text.lstrip()}"
        habits, opening = self.habits, self.habits.opening
        if text.startswith(opening):
            text = text.removeprefix(opening)
        elif habits.begins_thought:
            has_thought = text.startswith("<think>")
            text = text.removeprefix("<think>") if has_thought else "\n</think>\n\n" + text
        end = self.end(message)
        return text if end.is_own else text + end.token

    def more(self, new: Sequence[Message], names: Sequence[str]) -> More | None:
        """Return what follows any answer; None: the new messages change it.

        Only for messages that `appends_to` says are appended. `names` are those of the tools
        whose results they are, empty where they are none.
        """
        calls = tuple(
            ToolCall(name or "f", "{}", message.tool_call_id or "call_0")
            for message, name in zip(new, names, strict=True)
            if message.role == "tool"
        )
        base, said = self._base(calls)
        text = self.template.render([*base, *new], generate=True)
        if not text.startswith(said):  # a template that writes the date does so after midnight
            self._base.cache_clear()
            base, said = self._base(calls)
        return self._behind(text, said, end=self.end(base[-1]), new=new)

    def more_of(
        self, stream: str, messages: Sequence[Message], tools: Sequence[Any], *, known: int
    ) -> More | None:
        """Return what follows a stream that says the messages up to `known`, the last an answer.

        None: the template would write what was said in another way, now that messages follow.
        """
        full = self.template.render(messages, tools=tools, generate=True)
        exact = behind(full, stream)
        if exact is not None:
            return More(None, exact)
        before = self.template.render(messages[: known - 1], tools=tools, generate=True)
        said, answer = self._said(messages[:known], tools), messages[known - 1]
        if not said.startswith(before) or not self._keeps(said[len(before) :], answer):
            return None
        return self._behind(full, said, end=self.end(answer), new=messages[known:])

    def appends_to(self, new: Sequence[Message]) -> bool:
        """Return whether these messages leave what was said as it is, whatever that is."""
        is_told = self.template.form.takes_calls and all(each.role == "tool" for each in new)
        return self.appends == "always" or (self.appends == "results of tools" and is_told)

    def _behind(self, text: str, said: str, *, end: End, new: Sequence[Message]) -> More | None:
        """Return what a text adds to what was said, if that shows the new messages."""
        if not text.startswith(said) or not _shows(text[len(said) :], new):
            return None
        more = text[len(said) :]
        if end.is_own:
            return More(end, more)
        token = self.template.control_at_start(more)
        if token is None:
            return None
        return More(replace(end, token=token), more[more.index(token) + len(token) :])

    def _said(self, messages: Sequence[Message], tools: Sequence[Any]) -> str:
        """Return a conversation up to the end of its last answer."""
        text = self.template.render(messages, tools=tools)
        end = self.end(messages[-1])
        if not end.is_own:
            return text
        place = text.rfind(end.token)
        if place < 0:
            raise PolicyError(f"the chat template did not end an answer by {end.token}")
        return text[: place + len(end.token)]

    def _render_base(self, calls: tuple[ToolCall, ...]) -> tuple[tuple[Message, ...], str]:
        """Return a short conversation and its text up to the end of the answer."""
        base = (USER, Message("assistant", "" if calls else ANSWER.content, calls))
        return base, self._said(base, ())

    def _keeps(self, text: str, answer: Message) -> bool:
        """Return whether an answer is rendered with all that it says."""
        place = 0
        for part in _TAG.split(self.template.quote_speech(answer.content)):
            found = text.find(part.strip(), place)
            if found < 0:
                return False
            place = found + len(part.strip())
        return True

    def _find_appends(self) -> Appends:
        """Ask whether appending equals rendering everything, in conversations of many shapes."""
        form = self.template.form
        if not all(map(self._is_exact, _told(form))):
            return "what changes nothing"
        if all(map(self._is_exact, _asked(form))):
            return "always"
        return "results of tools" if form.takes_calls else "what changes nothing"

    def _is_exact(self, messages: Sequence[Message]) -> bool:
        places = [n for n, each in enumerate(messages) if each.role == "assistant"]
        try:
            return all(self._grown(messages, places, tools) for tools in ((), (TOOL,)))
        except PolicyError:
            return False

    def _grown(self, messages: Sequence[Message], places: Sequence[int], tools: Any) -> bool:
        """Return whether a stream that grew by each answer is the conversation, rendered."""
        stream = self.template.render(messages[: places[0]], tools=tools, generate=True)
        for place, following in pairwise([*places, len(messages)]):
            new = messages[place + 1 : following]
            more, answer = self.more(new, told(messages[place], new)), self.answer(messages[place])
            if more is None or more.end is None or not answer.endswith(more.end.token):
                return False
            stream += answer + more.text
        return stream == self.template.render(messages, tools=tools, generate=True)


def told(answer: Message, new: Sequence[Message]) -> tuple[str, ...]:
    """Return the names of the tools whose results are told; empty where there is no such call."""
    names = {call.id: call.name for call in answer.tool_calls}
    return tuple(names.get(message.tool_call_id or "", "") for message in new)


def _shows(text: str, messages: Sequence[Message]) -> bool:
    """Return whether a text has the first words of messages."""
    return all(word in text for each in messages for word in _WORD.findall(each.content[:_CHECKED]))


def _told(form: Form) -> Iterator[list[Message]]:
    """Yield conversations in which nobody speaks after the tools, with and without thoughts."""
    if not form.takes_calls:
        return
    for start in _STARTS:
        turns = [*start, _CALL, RESULT, CALL, RESULT, _CALL, RESULT]
        yield turns
        yield [*turns, SEVERAL, RESULT, SECOND, CALL, RESULT]


def _asked(form: Form) -> Iterator[list[Message]]:
    """Yield conversations in which users go on."""
    for start in _STARTS:
        yield [*start, THOUGHT, USER, ANSWER, USER, THOUGHT, USER]
        if not form.takes_turns:
            yield [*start, ANSWER, USER, USER, THOUGHT, USER]
        if form.takes_calls:
            yield [*start, _CALL, RESULT, THOUGHT, USER, _CALL, RESULT, ANSWER, USER]
