"""One server for one episode: started, asked, ended."""

import asyncio
import difflib
import functools
import inspect
import logging
import os
import re
import shutil
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from agentgym.envs.mcp.content import to_text
from agentgym.envs.mcp.notes import Notes, stderr_into
from agentgym.envs.mcp.server import MCPServer
from agentgym.errors import AgentGymError, ConfigError, EnvError, MissingError
from agentgym.tools import SchemaTool, ToolError
from agentgym.types import ToolSpec

if TYPE_CHECKING:
    import mcp

_LATE_S = 0.05  # what a dying process wrote last may still be in the pipe
_CONNECT_S = 30.0
_CLOSE_S = 10.0  # a process that ignores everything is killed after 5; a hung address hangs on
_SILENT = logging.NullHandler()
_STARTING: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = WeakKeyDictionary()


class Connection:
    """A running server.

    What the SDK holds must be entered and left by one task, and episodes are reset and closed
    by whoever comes; so a task of its own holds it from `start` to `close`.
    """

    def __init__(self, server: MCPServer) -> None:
        self._server = server
        self._notes = Notes()
        self._stop = asyncio.Event()
        self._owner: asyncio.Task[None] | None = None

    async def start(self) -> tuple[SchemaTool, ...]:
        """Start the server and return its tools. `close` must follow, also after an error.

        Raises:
            EnvError: it ended, was silent for too long, or is no server.
            MissingError: the SDK, or the program, is not installed.
            ConfigError: it lacks a tool that was asked for, or has one that cannot be offered.
        """
        _check_installed(self._server)
        async with _starting():
            return await self._start()

    async def close(self) -> None:
        """End the server, and wait until it is gone."""
        owner, self._owner = self._owner, None
        if owner is None:
            return
        self._stop.set()
        if not self._ready.done():
            owner.cancel()
        await asyncio.wait({owner}, timeout=_CLOSE_S)
        if not owner.done():
            owner.cancel()
            await asyncio.wait({owner})
        if not owner.cancelled():
            owner.exception()  # calls were told of it; unread, asyncio would print it

    async def _start(self) -> tuple[SchemaTool, ...]:
        self._ready: asyncio.Future[tuple[SchemaTool, ...]] = asyncio.Future()
        self._owner = asyncio.create_task(self._hold(), name=f"mcp {self._server.label}")
        started: list[asyncio.Future[Any]] = [self._owner, self._ready]
        limit_s = self._server.start_timeout_s
        await asyncio.wait(started, timeout=limit_s, return_when=asyncio.FIRST_COMPLETED)
        if self._ready.done():
            return self._ready.result()
        if not self._owner.done():
            raise await self._fault(f"did not answer within {limit_s:g} s of being started")
        error = _leaf(self._owner.exception())
        if isinstance(error, AgentGymError):
            raise error
        raise await self._fault("did not start", error) from error

    async def _hold(self) -> None:
        async with AsyncExitStack() as held:
            client = await self._connect(held)
            tools = await _listed(client)
            self._ready.set_result(tuple(self._tool(client, tool) for tool in self._chosen(tools)))
            await self._stop.wait()

    async def _connect(self, held: AsyncExitStack) -> "mcp.Client":
        import mcp

        if self._server.url is None:
            program, *arguments = map(str, self._server.command)
            parameters = mcp.StdioServerParameters(
                command=program,
                args=arguments,
                env=dict(self._server.env),
                cwd=self._server.cwd,
                encoding_error_handler="replace",
            )
            stderr = await held.enter_async_context(stderr_into(self._notes))
            transport, mode = mcp.stdio_client(parameters, errlog=stderr), "auto"
        else:
            import httpx2
            from mcp.client.streamable_http import streamable_http_client

            http = httpx2.AsyncClient(
                headers=dict(self._server.headers),
                timeout=httpx2.Timeout(_CONNECT_S, read=None),  # the tool's own limit holds
                event_hooks={"response": [self._notes.see_response]},
            )
            await held.enter_async_context(http)
            # With the handshake there is a session, by which a server tells episodes apart.
            transport = streamable_http_client(self._server.url, http_client=http)
            mode = "legacy"
        client = mcp.Client(
            transport, mode=mode, cache=None, message_handler=self._notes.see_message
        )
        return await held.enter_async_context(client)

    def _chosen(self, tools: "Sequence[mcp.Tool]") -> "list[mcp.Tool]":
        if self._server.only is None:
            return list(tools)
        by_name = {tool.name: tool for tool in tools}
        for name in self._server.only:
            if name not in by_name:
                close = difflib.get_close_matches(name, by_name, n=1)
                known = f"it has: {', '.join(by_name) or 'none'}"
                raise ConfigError(
                    f"MCP server `{self._server.label}` has no tool {name!r}",
                    hint=f"did you mean {close[0]!r}?" if close else known,
                )
        return [by_name[name] for name in self._server.only]

    def _tool(self, client: "mcp.Client", tool: "mcp.Tool") -> SchemaTool:
        # Servers may use dots and slashes in names; the interfaces of models may not.
        name = self._server.prefix + re.sub(r"[^a-zA-Z0-9_-]", "_", tool.name)
        description = inspect.cleandoc(tool.description or tool.title or "")
        return SchemaTool(
            spec=ToolSpec(name, description, tool.input_schema),
            function=functools.partial(self._call, client, tool.name),
            timeout_s=self._server.timeout_s,
            max_output_chars=self._server.max_output_chars,
            origin=f"MCP server `{self._server.label}`",
        )

    async def _call(self, client: "mcp.Client", name: str, arguments: dict[str, Any]) -> str:
        import mcp
        from mcp_types import INVALID_PARAMS

        try:
            result = await client.call_tool(name, arguments)
        except mcp.MCPError as error:
            if error.code == INVALID_PARAMS:
                raise ToolError(error.message) from None
            raise await self._fault(f"failed when `{name}` was called", error) from error
        text = to_text(result)
        if result.is_error:
            raise ToolError(text or f"`{name}` failed without a word.")
        return text

    async def _fault(self, what: str, error: BaseException | None = None) -> EnvError:
        await asyncio.sleep(_LATE_S)
        reason = "" if error is None else f": {error}" if str(error) else f": {error!r}"
        return EnvError(f"MCP server `{self._server.label}` {what}{reason}{self._notes}")


def _check_installed(server: MCPServer) -> None:
    try:
        import mcp  # noqa: F401
    except ImportError as error:
        raise MissingError(
            f"MCP servers need the package mcp ({error})",
            hint="pip install 'agentgym-framework[mcp]'",
        ) from error
    # Its complaints about what a server prints are kept in the notes; without any handler,
    # logging would write them to the terminal.
    logging.getLogger("mcp").addHandler(_SILENT)
    if server.url is None and not _is_there(server):
        raise MissingError(
            f"MCP server `{server.label}`: there is no program {server.command[0]!r}",
            hint="install it, or mend command=",
        )


def _is_there(server: MCPServer) -> bool:
    program = str(server.command[0])
    if os.sep in program and not os.path.isabs(program):
        return True  # it counts from cwd, and whoever starts it will see
    return shutil.which(program, path=server.env.get("PATH")) is not None


def _starting() -> asyncio.Semaphore:
    """Return what lets few start at a time.

    A hundred that start at once share the processors, and all of them run into their limits.
    """
    loop = asyncio.get_running_loop()
    return _STARTING.setdefault(loop, asyncio.Semaphore(os.cpu_count() or 1))


async def _listed(client: "mcp.Client") -> "list[mcp.Tool]":
    page = await client.list_tools()
    tools = list(page.tools)
    while page.next_cursor is not None:
        page = await client.list_tools(cursor=page.next_cursor)
        tools += page.tools
    return tools


def _leaf(error: BaseException | None) -> BaseException | None:
    """Return what is inside of groups of one."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
