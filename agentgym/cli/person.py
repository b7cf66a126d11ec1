"""A person as a policy: reads the terminal, answers with text or tool calls."""

import asyncio
import json
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, NoReturn

from agentgym.cli.messages import show_message
from agentgym.cli.output import echo, one_line, paint
from agentgym.env import Env, Script
from agentgym.rollout.policy import ContextFull, Policy, Reply
from agentgym.types import Message, Task, ToolCall, ToolSpec

_HELP = """\
text               answer with it
/TOOL ARGUMENTS    call a tool: /add a=1 b=2, or /add {"a": 1, "b": 2}; /calc 1+2 for a lone argument
/TOOL A ; /TOOL B  call several at once
/tools             the tools with their arguments
/hint              what the environment's expert would do
/"                 answer with many lines, up to one that is /"
//text             answer with text that begins with a slash
/quit              end the episode"""


class Quit(ContextFull):
    """Raised when the person leaves: the episode is truncated and keeps what it has."""

    reason = "quit"


class Mistyped(Exception):  # noqa: N818  shown to the person, who types again
    """Raised for a line that is neither text nor a call."""


class Person(Policy):
    """Shows what is new of the conversation, and asks what to do."""

    def __init__(self, hint: Callable[[], Script | None], *, max_turns: int) -> None:
        self._hint = hint
        self._max_turns = max_turns
        self._shown = 0
        self._turn = 0

    async def act(
        self, messages: Sequence[Message], tools: Sequence[ToolSpec], *, seed: int
    ) -> Reply:
        """Ask until a line makes sense.

        Raises:
            Quit: the person said so, or the input ended.
        """
        for message in messages[self._shown :]:
            if message.role != "assistant" or self._turn == 0:
                show_message(message)
        if self._turn == 0:
            _show_tools(tools)
            echo(paint("\n/help says what can be typed", "dim"))
        self._turn += 1
        self._shown = len(messages)
        while True:
            try:
                line = _ask(f"{self._turn}/{self._max_turns}> ")
                answer = self._answer(line, messages, tools)
            except KeyboardInterrupt:
                await _stop()
            except Mistyped as error:
                echo(paint(f"  {one_line(str(error))}", "red"))
                continue
            if answer is not None:
                return Reply(answer)

    def _answer(
        self, line: str, messages: Sequence[Message], tools: Sequence[ToolSpec]
    ) -> Message | None:
        """Return what a line says; None where it was a question to this program."""
        match line.strip():
            case "/quit":
                raise Quit
            case "/help" | "/?":
                echo(_HELP)
                return None
            case "/tools":
                _show_tools(tools)
                return None
            case "/hint":
                self._tell_hint(messages)
                return None
            case '/"':
                return Message("assistant", "\n".join(_block()))
            case text if text.startswith("//"):
                return Message("assistant", text[1:])
            case text if text.startswith("/"):
                return Message("assistant", tool_calls=tuple(self._calls(text, tools)))
        return Message("assistant", line)

    def _calls(self, line: str, tools: Sequence[ToolSpec]) -> Iterator[ToolCall]:
        known = {tool.name: tool for tool in tools}
        for number, part in enumerate(line.split(" ; /")):
            name, _, rest = part.removeprefix("/").partition(" ")
            if name not in known:
                raise Mistyped(f"there is no tool {name!r}; /tools lists them, /help says more")
            try:
                arguments = to_arguments(rest.strip(), known[name].parameters)
            except RecursionError:
                raise Mistyped(f"the arguments of /{name} are nested too deeply") from None
            yield ToolCall(name, arguments, f"call_{self._turn}_{number}")

    def _tell_hint(self, messages: Sequence[Message]) -> None:
        try:
            script = self._hint()
            said = script(messages) if script is not None else None
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
            raise Mistyped(f"the expert has no answer; it raised {reason}") from error
        if said is None:
            raise Mistyped("this environment has no expert")
        show_message(said, "the expert would say")


def to_arguments(text: str, schema: Mapping[str, Any]) -> str:
    """Return the JSON of arguments typed as JSON, as name=value, or as the value of a lone one.

    >>> to_arguments("a=1 b=two words", {"properties": {"a": {}, "b": {}}})
    '{"a": 1, "b": "two words"}'
    """
    properties = schema.get("properties", {})
    if text.startswith("{"):
        return text
    names = [name for name in properties if f"{name}=" in text]
    first = next((name for name in names if text.startswith(f"{name}=")), None)
    if first is None:
        return _lone(text, properties)
    places = sorted((at, name) for name in names if (at := _place(text, name)) >= 0)
    ends = [at for at, _ in places[1:]] + [len(text)]
    values = {
        name: _value(text[at + len(name) + 1 : end].strip(), properties[name])
        for (at, name), end in zip(places, ends, strict=True)
    }
    return json.dumps(values, ensure_ascii=False)


def _place(text: str, name: str) -> int:
    """Return where `name=` begins a word."""
    return 0 if text.startswith(f"{name}=") else text.find(f" {name}=") + 1 or -1


def _lone(text: str, properties: Mapping[str, Any]) -> str:
    if not text:
        return "{}"
    if len(properties) != 1:
        listed = " ".join(f"{name}=..." for name in properties) or "no arguments"
        raise Mistyped(f"write {listed}, or JSON")
    ((name, schema),) = properties.items()
    return json.dumps({name: _value(text, schema)}, ensure_ascii=False)


def _value(text: str, schema: Mapping[str, Any]) -> Any:
    """Read a value as JSON, unless the tool wants text."""
    if schema.get("type") == "string":
        return text
    try:
        return json.loads(text)
    except ValueError:
        return text


def _ask(prompt: str) -> str:
    """Read a line; Ctrl-C here means now, and the end of the input means quit."""
    with suppress(ImportError):
        import readline  # noqa: F401  lines can be edited and called back
    echo()
    with _ctrl_c_raises():
        try:
            line = input(prompt)
        except EOFError:
            echo()
            raise Quit from None
    if not sys.stdin.isatty():
        echo(line)  # so that a transcript of piped input can be read
    return line


async def _stop() -> NoReturn:
    """Let asyncio's own handler of Ctrl-C cancel everything in good order."""
    signal.raise_signal(signal.SIGINT)
    await asyncio.Event().wait()
    raise AssertionError("the event is never set")


def _block() -> Iterator[str]:
    while (line := _ask("... ")) != '/"':
        yield line


@contextmanager
def _ctrl_c_raises() -> Iterator[None]:
    """Let Ctrl-C interrupt `input`: asyncio's own handler would only set a flag."""
    before = signal.getsignal(signal.SIGINT)
    if before is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _show_tools(tools: Sequence[ToolSpec]) -> None:
    for tool in tools:
        properties = tool.parameters.get("properties", {})
        required = tool.parameters.get("required", ())
        words = [name if name in required else f"[{name}]" for name in properties]
        echo(f"\n{paint('/' + tool.name, 'bold')} {' '.join(words)}".rstrip())
        echo(f"  {one_line(tool.description, 100)}")
        for name, schema in properties.items():
            about = one_line(str(schema.get("description", "")), 80)
            echo(f"  {name}: {_kind(schema)}  {about}".rstrip())


def _kind(schema: Mapping[str, Any]) -> str:
    if "enum" in schema:
        return " | ".join(json.dumps(value, ensure_ascii=False) for value in schema["enum"])
    return str(schema.get("type", "JSON"))


def a_person(env: Env, task: Task, seed: int, *, max_turns: int) -> Person:
    """Return the person who plays an episode."""

    def hint() -> Script | None:
        try:
            return env.expert(task, seed=seed)
        except NotImplementedError:
            return None

    return Person(hint, max_turns=max_turns)
