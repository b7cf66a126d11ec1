"""A person as a policy: reads the terminal, answers with text or tool calls."""

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

from agentgym.cli.leaving import CtrlC
from agentgym.cli.messages import show_message
from agentgym.cli.output import echo, one_line, paint
from agentgym.env import Env, Script
from agentgym.rollout.policy import ContextFull, Policy, Reply
from agentgym.types import Message, Task, ToolCall, ToolSpec, Trajectory

PATIENCE = dict.fromkeys(("episode_s", "generation_s"), 30 * 24 * 3600.0)
"""Deadlines of an episode: people think as long as they like."""

_HELP = """\
text               answer with it
/TOOL ARGUMENTS    call a tool: /add a=1 b=2, or /add {"a": 1, "b": 2}; /calc 1+2 for a lone argument
/TOOL A ; /TOOL B  call several at once
/tools             the tools with their arguments
/hint              what the environment's expert would do
/"                 answer with many lines, up to one that is /"
//text             answer with text that begins with a slash
/quit              end the episode; Ctrl-D and Ctrl-C do, too: what was played is recorded
turn 3/15>         the turn that you are in, and the last one that there can be; they count
                   from 0, as in an address: RUN#EPISODE/TURN"""


class Quit(ContextFull):
    """Raised when the person leaves: the episode is truncated and keeps what it has."""

    reason = "quit"


class Interrupted(Quit):
    """Raised when the person leaves by Ctrl-C."""

    reason = "interrupted"


class Mistyped(Exception):  # noqa: N818  shown to the person, who types again
    """Raised for a line that is neither text nor a call."""


class Person(Policy):
    """Shows what is new of the conversation, and asks what to do."""

    def __init__(
        self, hint: Callable[[], Script | None], *, max_turns: int, first: int = 0
    ) -> None:
        """`first` is the turn that it plays first, of `max_turns` of the whole episode."""
        self._hint = hint
        self._first, self._last = first, max_turns - 1
        self._shown = 0
        self._turn = first
        self._ctrl_c = CtrlC()

    async def act(
        self, messages: Sequence[Message], tools: Sequence[ToolSpec], *, seed: int
    ) -> Reply:
        """Ask until a line makes sense.

        Raises:
            Quit: the person said so, or the input ended.
        """
        self._show_new(messages, tools)
        if self._ctrl_c.pressed:
            raise Interrupted
        try:
            with self._ctrl_c.raised():
                answer = self._ask_for_answer(messages, tools)
        except KeyboardInterrupt:
            echo()
            raise Interrupted from None
        finally:
            self._ctrl_c.hold()
        self._turn += 1
        return Reply(answer)

    async def close(self) -> None:
        """Leave Ctrl-C to others again."""
        self._ctrl_c.release()

    def _show_new(self, messages: Sequence[Message], tools: Sequence[ToolSpec]) -> None:
        is_first = self._turn == self._first
        for message in messages[self._shown :]:
            if message.role != "assistant" or is_first:
                show_message(message)
        self._shown = len(messages)
        if is_first:
            _show_tools(tools)
            echo(paint("\n/help says what can be typed", "dim"))

    def _ask_for_answer(self, messages: Sequence[Message], tools: Sequence[ToolSpec]) -> Message:
        while True:
            try:
                line = _ask(f"turn {self._turn}/{self._last}> ")
                answer = self._answer(line, messages, tools)
            except Mistyped as error:
                echo(paint(f"  {one_line(str(error))}", "red"))
                continue
            if answer is not None:
                return answer

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
    """Read a line; the end of the input means quit."""
    with suppress(ImportError):
        import readline  # noqa: F401  lines can be edited and called back
    echo()
    try:
        line = input(prompt)
    except EOFError:
        echo()
        raise Quit from None
    if not sys.stdin.isatty():
        echo(line)  # so that a transcript of piped input can be read
    return line


def _block() -> Iterator[str]:
    while (line := _ask("... ")) != '/"':
        yield line


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


def a_person(env: Env, task: Task, seed: int, *, max_turns: int, first: int = 0) -> Person:
    """Return the person who plays an episode, from the turn `first` on."""

    def hint() -> Script | None:
        try:
            return env.expert(task, seed=seed)
        except NotImplementedError:
            return None

    return Person(hint, max_turns=max_turns, first=first)


def show_last(trajectory: Trajectory) -> None:
    """Show what the environment said at last; who left has seen it."""
    if trajectory.steps and trajectory.reason not in (Quit.reason, Interrupted.reason):
        for reply in trajectory.steps[-1].replies:
            show_message(reply)
