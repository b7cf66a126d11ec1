"""The tools of one environment.

What the model does wrong (broken JSON, a tool that is not there, bad arguments, a `ToolError`,
a call that takes too long) comes back as an observation. What a tool *raises* is a fault of the
machinery: an `EnvError`.
"""

import asyncio
import difflib
import inspect
from collections.abc import Callable, Iterable
from typing import Any, Protocol

from agentgym.errors import ConfigError, EnvError, boundary
from agentgym.tools.function import FunctionTool, is_marked
from agentgym.tools.results import Final, ToolError, ToolResult, cut, refused, reply, to_text
from agentgym.tools.schema import SchemaTool
from agentgym.tools.signature import NAME
from agentgym.tools.thread import on_thread
from agentgym.types import ToolCall, ToolSpec

_MAX_NAME_CHARS = 64


class Tool(Protocol):
    """What the set knows of each of its tools."""

    @property
    def spec(self) -> ToolSpec:
        """What a model is told."""

    @property
    def function(self) -> Callable[..., Any]:
        """What is called in the end."""

    @property
    def timeout_s(self) -> float:
        """How long a call may take, unless the tool is inline."""

    @property
    def max_output_chars(self) -> int:
        """Of a longer result the head and the tail are kept."""

    @property
    def inline(self) -> bool:
        """Whether it is called on the event loop, without a limit."""

    @property
    def origin(self) -> str:
        """Whose it is, for errors."""

    def bind(self, text: str) -> Callable[[], Any]:
        """Return the call that a model asks for, or raise `ToolError`."""


class ToolSet:
    """The tools of one environment, bound to it."""

    def __init__(self, tools: Iterable[Callable[..., Any] | SchemaTool]) -> None:
        self._tools: dict[str, Tool] = {}
        for each in tools:
            tool: Tool = each if isinstance(each, SchemaTool) else FunctionTool.of(each)
            self._add(tool)

    @classmethod
    def of(cls, source: object) -> "ToolSet":
        """Collect the marked methods of an instance, or take a list of tools.

        Raises:
            ConfigError: a function cannot be a tool, or two have the same name.
        """
        if isinstance(source, list | tuple):
            return cls(source)
        names = {name: None for base in reversed(type(source).__mro__) for name in vars(base)}
        marked = (name for name in names if is_marked(getattr(type(source), name, None)))
        return cls(getattr(source, name) for name in marked)

    def plus(self, tools: Iterable[SchemaTool]) -> "ToolSet":
        """Return these tools and more.

        Raises:
            ConfigError: two have the same name.
        """
        more = ToolSet(())
        for tool in (*self._tools.values(), *tools):
            more._add(tool)
        return more

    @property
    def specs(self) -> tuple[ToolSpec, ...]:
        """What a model is told, in the order of definition."""
        return tuple(tool.spec for tool in self._tools.values())

    async def call(self, call: ToolCall) -> ToolResult:
        """Answer one call, whatever the model wrote.

        Raises:
            EnvError: the tool raised something other than `ToolError`.
        """
        if call.name not in self._tools:
            return refused(call, self._unknown(call.name))
        tool = self._tools[call.name]
        with boundary(EnvError, f"tool `{call.name}`"):
            try:
                work = tool.bind(call.arguments)
                async with asyncio.timeout(None if tool.inline else tool.timeout_s) as limit:
                    value = await _run(work, tool)
            except ToolError as error:
                return refused(call, cut(str(error), tool.max_output_chars))
            except TimeoutError:
                if not limit.expired():
                    raise
                text = f"`{call.name}` took longer than {tool.timeout_s:g} seconds."
                return ToolResult(reply(call, text), timed_out=True)
            final = value if isinstance(value, Final) else None
            text = _text(final.content if final else value, tool)
            return ToolResult(reply(call, cut(text, tool.max_output_chars)), final)

    def _add(self, tool: Tool) -> None:
        name = tool.spec.name
        if not NAME.fullmatch(name):
            raise ConfigError(
                f"tool `{name}` of {tool.origin} is called what models may not be offered",
                hint="use 1 to 64 letters from a to z, digits, _ and -",
            )
        if name in self._tools:
            raise ConfigError(
                f"two tools are called `{name}`: of {self._tools[name].origin}, "
                f"and of {tool.origin}",
                hint="rename one; an MCPServer takes prefix= and only=",
            )
        self._tools[name] = tool

    def _unknown(self, name: str) -> str:
        name = name[:_MAX_NAME_CHARS]
        close = difflib.get_close_matches(name, self._tools, n=1)
        guess = f" Did you mean `{close[0]}`?" if close else ""
        return f"There is no tool `{name}`.{guess} Tools: {', '.join(self._tools) or 'none'}."


def _text(value: object, tool: Tool) -> str:
    try:
        return to_text(value)
    except (TypeError, ValueError, RecursionError) as error:
        raise EnvError(
            f"{tool.origin}: tool `{tool.spec.name}` returned {value!r:.80}: {error}",
            hint="return text, or what JSON can hold; a set as sorted(...)",
        ) from error


async def _run(work: Callable[[], Any], tool: Tool) -> Any:
    is_cheap = tool.inline or inspect.iscoroutinefunction(tool.function)
    value = work() if is_cheap else await on_thread(work)
    return await value if inspect.isawaitable(value) else value
