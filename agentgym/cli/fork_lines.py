"""How a program plays on in an episode: one JSON object a line, on standard input and output.

The first line that is read is `{"token": TEXT}`, and every line that is written bears that token,
so that what an environment prints is not taken for one. The end of the input is a wish to leave,
which comes true in the end, also where an environment hangs and the other program was killed.
"""

import asyncio
import json
import os
import sys
import threading
import time
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, TypeVar

from agentgym.cli.person import Mistyped, Quit
from agentgym.env import Env
from agentgym.errors import AgentGymError, ConfigError
from agentgym.renderers.calls import read_arguments
from agentgym.renderers.syntaxes import SYNTAXES
from agentgym.rollout.policy import MakePolicy, Policy, Reply
from agentgym.types import Message, Task, ToolSpec

LONGEST = 1 << 20
"""Bytes of a line."""

LINGERS_S = 180.0
"""A process whose input ended: longer than an environment may take for a turn."""

T = TypeVar("T")


class Lines:
    """The two streams of a program that started this one."""

    def __init__(self) -> None:
        """Read the token.

        Raises:
            ConfigError: the first line has none.
        """
        self._out = sys.stdout
        self._source = _read_lines()
        first = next(self._source, {})
        self._token = first.get("token")
        if not isinstance(self._token, str):
            raise ConfigError(
                "--lines reads what to do from a program, and found no token",
                hint='its first line is {"token": "..."}',
            )
        self._heard: asyncio.Queue[Mapping[str, Any] | None] = asyncio.Queue()
        self._is_person = False

    def tell(self, event: str, **fields: Any) -> None:
        """Write a line; who does not read any more is told no more."""
        line = json.dumps({"token": self._token, "event": event, **fields}, default=str)
        with suppress(BrokenPipeError):
            print(line, file=self._out, flush=True)

    def tell_failed(self, error: BaseException) -> None:
        """Write why there will be no more."""
        if isinstance(error, AgentGymError):
            self.tell("failed", error=str(error), hint=error.hint)
        else:
            self.tell("failed", error="interrupted", hint=None)

    def make_person(self, turn: int) -> MakePolicy:
        """Return the maker of the person behind the other program."""
        self._is_person = True

        def make(env: Env, task: Task, seed: int) -> Policy:
            return _Distant(self, turn)

        return make

    async def until_left(self, work: Coroutine[Any, Any, T]) -> T:
        """Await work; the end of the input ends it, unless a person is asked, who hears of it.

        Raises:
            KeyboardInterrupt: the input ended.
        """
        loop = asyncio.get_running_loop()
        working = asyncio.ensure_future(work)
        left = False

        def hear(line: Mapping[str, Any] | None) -> None:
            nonlocal left
            self._heard.put_nowait(line)
            if line is None and not self._is_person:
                left = True
                working.cancel()

        def listen() -> None:
            with suppress(RuntimeError):  # the loop is closed, and nobody listens
                for line in self._source:
                    loop.call_soon_threadsafe(hear, line)
                loop.call_soon_threadsafe(hear, None)
            _end_after(LINGERS_S)

        threading.Thread(target=listen, name="stdin", daemon=True).start()
        try:
            return await working
        except asyncio.CancelledError:
            if left:
                raise KeyboardInterrupt from None
            raise

    async def hear(self) -> Mapping[str, Any] | None:
        """Return the next line; None: there is none."""
        return await self._heard.get()


class _Distant(Policy):
    """A person behind another program."""

    def __init__(self, lines: Lines, turn: int) -> None:
        self._lines, self._turn = lines, turn

    async def act(
        self, messages: Sequence[Message], tools: Sequence[ToolSpec], *, seed: int
    ) -> Reply:
        """Show what is new, and ask until an answer makes sense.

        Raises:
            Quit: the person leaves.
        """
        self._lines.tell(
            "asked",
            turn=self._turn,
            messages=[each.to_openai() for each in _since_answer(messages)],
            tools=[tool.to_openai()["function"] for tool in tools],
        )
        self._turn += 1
        while (line := await self._lines.hear()) is not None and "leave" not in line:
            try:
                return Reply(read_answer(line, tools))
            except Mistyped as error:
                self._lines.tell("refused", error=str(error))
        raise Quit


def read_answer(line: Mapping[str, Any], tools: Sequence[ToolSpec]) -> Message:
    """Return what `{"say": TEXT}` says: text, with calls as models write them, or JSON.

    >>> read_answer({"say": "up"}, ())
    Message(role='assistant', content='up', tool_calls=(), tool_call_id=None)

    Raises:
        Mistyped: it is no answer, or calls no tool of these.
    """
    said = line.get("say")
    if not isinstance(said, str):
        raise Mistyped('an answer is {"say": "..."}')
    message = _from_json(said) or _from_text(said, tools)
    known = [tool.name for tool in tools]
    for call in message.tool_calls:
        if call.name not in known:
            listed = ", ".join(known) or "there are none"
            raise Mistyped(f"there is no tool {call.name!r}; tools: {listed}")
        if read_arguments(call) is None:
            raise Mistyped(f"the arguments of {call.name} are no JSON object: {call.arguments}")
    return message


def _from_json(said: str) -> Message | None:
    """Return a message in the OpenAI shape; None: it is text, which may be JSON, too."""
    try:
        value = json.loads(said)
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict) or not {"role", "tool_calls"} & set(value):
        return None
    try:
        message = Message.from_openai({**value, "role": "assistant"})
    except (KeyError, TypeError, AttributeError) as error:
        raise Mistyped(f"this is no message in the OpenAI shape: {error!r}") from error
    texts = [message.content, *(part for call in message.tool_calls for part in _parts(call))]
    if not all(isinstance(text, str) for text in texts):
        raise Mistyped("content, names, arguments and ids of a message are texts")
    return message


def _end_after(seconds: float) -> None:
    """End what hangs in the code of an environment: nobody is left who could."""
    time.sleep(seconds)
    os._exit(1)


def _parts(call: Any) -> tuple[Any, ...]:
    return call.name, call.arguments, call.id


def _from_text(said: str, tools: Sequence[ToolSpec]) -> Message:
    syntax = SYNTAXES["xml" if "<function=" in said else "hermes"]
    schemas = {tool.name: tool.parameters for tool in tools}
    return Message("assistant", *syntax.read(said, schemas))


def _since_answer(messages: Sequence[Message]) -> Sequence[Message]:
    """Return what came after the last answer of the policy."""
    answers = [place for place, each in enumerate(messages) if each.role == "assistant"]
    return messages[answers[-1] + 1 :] if answers else messages


def _read_lines() -> Iterator[dict[str, Any]]:
    """Yield the objects on standard input; what is none is passed over."""
    rest = b""
    while chunk := os.read(0, 65_536):
        *whole, rest = (rest + chunk).split(b"\n")
        if len(rest) > LONGEST:
            return
        for line in whole:
            with suppress(ValueError, RecursionError):
                value = json.loads(line)
                if isinstance(value, dict):
                    yield value
