"""The model's own answers, recognised in what a program sends back.

A program keeps what it was answered in a form of its own: it trims white space, writes arguments
anew, or changes ids. An answer that still says the same is taken to be the one that was sampled, so
that its tokens stay. One that says something else is not.
"""

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from agentgym.types import Message


class Echoes:
    """What the model said in an episode, and under which ids a program heard of its calls."""

    def __init__(self) -> None:
        self._said: list[Message] = []
        self._by_meaning: defaultdict[Any, list[Message]] = defaultdict(list)

    def add(self, message: Message) -> Message:
        """Take note of an answer and return it with ids of calls that no other answer has."""
        step = len(self._said)
        self._said.append(message)
        self._by_meaning[_meaning(message)].append(message)
        calls = (replace(call, id=f"call_{step}_{n}") for n, call in enumerate(message.tool_calls))
        return replace(message, tool_calls=tuple(calls))

    def resolve(self, given: Sequence[Message]) -> list[Message]:
        """Return a conversation with the answers as they were sampled, wherever it has them.

        Results of tools then name the calls as the answers do.
        """
        found: list[Message] = []
        seen: defaultdict[int, int] = defaultdict(int)
        ids: dict[str, str] = {}
        for message in given:
            if message.role == "assistant":
                own = self._own(message, seen)
                for theirs, ours in zip(message.tool_calls, own.tool_calls, strict=True):
                    ids[theirs.id] = ours.id
                found.append(own)
            elif message.tool_call_id in ids:
                found.append(replace(message, tool_call_id=ids[message.tool_call_id]))
            else:
                found.append(message)
        return found

    def latest(self, message: Message) -> int | None:
        """Return the last step at which an answer was given."""
        steps = range(len(self._said) - 1, -1, -1)
        return next((step for step in steps if self._said[step] is message), None)

    def _own(self, message: Message, seen: defaultdict[int, int]) -> Message:
        """Return the answer that a message repeats; the message itself, where there is none."""
        alike = self._by_meaning.get(_meaning(message))
        if not alike:
            return message
        chosen = [each for each in alike if _words(each) == _words(message)] or alike
        first = id(chosen[0])
        time, seen[first] = seen[first], seen[first] + 1
        return chosen[min(time, len(chosen) - 1)]


def _meaning(message: Message) -> tuple[Any, ...]:
    """Return what an answer says, however it is written.

    >>> from agentgym.types import ToolCall
    >>> call = ToolCall("run", '{"a": 1, "b": 2}', "x")
    >>> again = ToolCall("run", '{"b":2,"a":1}', "y")
    >>> _meaning(Message("assistant", " ok", (call,))) == _meaning(Message("assistant", "ok", (again,)))
    True
    """
    calls = tuple((call.name, _canonical(call.arguments)) for call in message.tool_calls)
    return message.content.strip(), calls


def _words(message: Message) -> tuple[Any, ...]:
    """Return how an answer is written, but for ids."""
    return message.content, tuple((call.name, call.arguments) for call in message.tool_calls)


def _canonical(arguments: str) -> str:
    try:
        return json.dumps(json.loads(arguments), sort_keys=True)
    except (ValueError, RecursionError):
        return arguments.strip()
