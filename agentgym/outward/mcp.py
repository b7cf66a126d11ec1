"""An environment as a server of the Model Context Protocol: its tools are the tools.

Beside them stand `reset`, which starts an episode and returns its prompt, and `say`, for answers
that are text. A session is an episode. What a step paid stands in `_meta` of its result, which a
host keeps from its model; the text of a result is the environment's own.
"""

import asyncio
import json
import socket
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, redirect_stdout
from typing import TYPE_CHECKING, Any

from agentgym.errors import AgentGymError, ConfigError, MissingError
from agentgym.outward.episode import Episode, Turn, text_of
from agentgym.outward.sessions import Sessions
from agentgym.types import OUTCOME, ToolSpec
from agentgym.version import __version__

if TYPE_CHECKING:
    from mcp.server.lowlevel import Server
    from starlette.types import ASGIApp

META = "agentgym/step"
"""Where in `_meta` of a result a step is told: reward, terms, end, turns."""
PROMPT_URI = "episode://prompt"
STATE_URI = "episode://state"
PATH = "/mcp"

_STDIO = "stdio"  # one process, one client, one session
_MAX_KEY_CHARS = 200
_INSTRUCTIONS = "Each session is one episode. `reset` starts it and returns the task."
_KEYLESS = (
    "this client keeps no session, so that nothing tells its episodes from others; "
    f"connect to {PATH}?episode=NAME, with a name of your own"
)
_RESET = {
    "type": "object",
    "properties": {
        "task_id": {"type": "string", "description": "The id of the task to play."},
        "index": {"type": "integer", "description": "Or its number in the split, from 0."},
        "seed": {"type": "integer", "description": "Or a seed that draws one."},
    },
    "additionalProperties": False,
}
_SAY = {
    "type": "object",
    "properties": {"text": {"type": "string", "description": "What to say."}},
    "required": ["text"],
    "additionalProperties": False,
}


def make_server(sessions: Sessions, *, has_own_tools: bool = True) -> "Server[Any]":
    """Return a server of the official SDK, for any of its transports.

    Args:
        sessions: Who plays what.
        has_own_tools: Whether it offers `reset` and `say` beside the environment's tools.

    Raises:
        MissingError: the SDK is not installed.
    """
    check_installed()
    from mcp.server.lowlevel import Server

    face = _Face(sessions, has_own_tools=has_own_tools)
    return Server(
        sessions.stage.config.id,
        version=__version__,
        instructions=_INSTRUCTIONS if has_own_tools else None,
        on_list_tools=face.list_tools,
        on_call_tool=face.call_tool,
        on_list_resources=face.list_resources,
        on_read_resource=face.read_resource,
        on_list_prompts=face.list_prompts,
        on_get_prompt=face.get_prompt,
    )


async def serve_stdio(sessions: Sessions) -> None:
    """Serve one client over stdin and stdout until it leaves; its episode is ended.

    What the environment prints goes to stderr: stdout is the protocol's.
    """
    server = make_server(sessions)
    from mcp.server import NotificationOptions
    from mcp.server.stdio import stdio_server

    options = server.create_initialization_options(NotificationOptions(tools_changed=True))
    try:
        async with stdio_server() as (reading, writing):
            with redirect_stdout(sys.stderr):
                try:
                    await server.run(reading, writing, options)
                finally:
                    await sessions.stage.close()
    except* BrokenPipeError:
        pass  # a client that left is not answered any more


@asynccontextmanager
async def serving_http(
    sessions: Sessions, taken: socket.socket, *, host: str, has_own_tools: bool = True
) -> AsyncIterator[None]:
    """Serve streamable HTTP at `PATH` of a socket while the block runs; then all episodes end."""
    from agentgym.web.server import serving

    app = http_app(sessions, host=host, has_own_tools=has_own_tools)
    try:
        async with asyncio.TaskGroup() as tasks, serving(app, taken, has_lifespan=True):
            reaper = tasks.create_task(sessions.end_idle())
            try:
                yield
            finally:
                reaper.cancel()
    finally:
        await sessions.stage.close()


def http_app(sessions: Sessions, *, host: str, has_own_tools: bool = True) -> "ASGIApp":
    """Return the ASGI application; a client that ends its session ends its episode."""
    server = make_server(sessions, has_own_tools=has_own_tools)
    app = server.streamable_http_app(streamable_http_path=PATH, host=host)

    async def with_ends(scope: Any, receive: Any, send: Any) -> None:
        is_done = False

        async def noted(message: Any) -> None:
            nonlocal is_done
            is_done |= message.get("status") == 200
            await send(message)

        await app(scope, receive, noted)
        if is_done and scope["type"] == "http" and scope["method"] == "DELETE":
            name = dict(scope["headers"]).get(b"mcp-session-id", b"").decode("latin-1")
            await sessions.end(name)

    return with_ends


def check_installed() -> None:
    """Look for the SDK.

    Raises:
        MissingError: it is not there.
    """
    try:
        import mcp  # noqa: F401
    except ImportError as error:
        raise MissingError(
            f"an MCP server needs the package mcp ({error})",
            hint="pip install 'agentgym-framework[mcp]'",
        ) from error


class _Face:
    """The requests of clients, as the SDK hands them over."""

    def __init__(self, sessions: Sessions, *, has_own_tools: bool) -> None:
        self._sessions = sessions
        self._has_own_tools = has_own_tools

    async def list_tools(self, context: Any, params: Any) -> Any:
        from mcp_types import ListToolsResult, Tool

        episode = await self._episode(context)
        specs = [*episode.start.tools, *self._own(episode)]
        return ListToolsResult(
            tools=[
                Tool(
                    name=spec.name,
                    description=spec.description,
                    input_schema=dict(spec.parameters),
                )
                for spec in specs
            ]
        )

    async def call_tool(self, context: Any, params: Any) -> Any:
        episode = await self._episode(context)
        arguments = params.arguments or {}
        own = self._own(episode)
        with _reported():
            if own and params.name == own[0].name:
                return await self._reset(context, episode, arguments)
            if own and params.name == own[1].name:
                return await self._say(episode, arguments)
            return _result(episode, await episode.call(params.name, arguments))

    async def list_resources(self, context: Any, params: Any) -> Any:
        from mcp_types import ListResourcesResult, Resource

        return ListResourcesResult(
            resources=[
                Resource(uri=PROMPT_URI, name="prompt", mime_type="text/plain"),
                Resource(uri=STATE_URI, name="state", mime_type="application/json"),
            ]
        )

    async def read_resource(self, context: Any, params: Any) -> Any:
        from mcp import MCPError
        from mcp_types import INVALID_PARAMS, ReadResourceResult, TextResourceContents

        uri = str(params.uri)
        if uri not in (PROMPT_URI, STATE_URI):
            raise MCPError(INVALID_PARAMS, f"there is no resource {uri[:_MAX_KEY_CHARS]!r}")
        episode = await self._episode(context)
        kind = "text/plain" if uri == PROMPT_URI else "application/json"
        text = prompt_of(episode) if uri == PROMPT_URI else json.dumps(_state(episode))
        return ReadResourceResult(
            contents=[TextResourceContents(uri=uri, mime_type=kind, text=text)]
        )

    async def list_prompts(self, context: Any, params: Any) -> Any:
        from mcp_types import ListPromptsResult, Prompt

        return ListPromptsResult(prompts=[Prompt(name="task", description="The present task.")])

    async def get_prompt(self, context: Any, params: Any) -> Any:
        from mcp import MCPError
        from mcp_types import INVALID_PARAMS, GetPromptResult, PromptMessage, TextContent

        if params.name != "task":
            raise MCPError(INVALID_PARAMS, f"there is no prompt {params.name[:_MAX_KEY_CHARS]!r}")
        text = prompt_of(await self._episode(context))
        return GetPromptResult(
            messages=[PromptMessage(role="user", content=TextContent(text=text))]
        )

    async def _episode(self, context: Any) -> Episode:
        with _reported():
            return await self._sessions.episode(_key(context))

    async def _reset(self, context: Any, before: Episode, arguments: Mapping[str, Any]) -> Any:
        from mcp_types import CallToolResult, TextContent

        try:
            episode = await self._restarted(_key(context), before, dict(arguments))
        except ConfigError as error:
            return _refused(f"{error} ({error.hint})" if error.hint else str(error))
        if episode.start.tools != before.start.tools:
            await context.session.send_tool_list_changed()
        return CallToolResult(
            content=[TextContent(text=prompt_of(episode))], _meta={META: _state(episode)}
        )

    async def _restarted(self, key: str, before: Episode, options: dict[str, Any]) -> Episode:
        """Return the episode that is meant; one that nobody has played yet is as good as the next.

        Raises:
            ConfigError: the options name no task.
        """
        seed = options.pop("seed", None)
        if seed is not None and (not isinstance(seed, int) or seed < 0):
            raise ConfigError(f"seed is {seed!r:.80}, expected 0 or more")
        if seed is None and not options and before.is_fresh:
            return before
        return await self._sessions.restart(key, options, seed=seed)

    async def _say(self, episode: Episode, arguments: Mapping[str, Any]) -> Any:
        text = arguments.get("text")
        if not isinstance(text, str):
            return _refused("Expected one argument, `text`, a string.")
        return _result(episode, await episode.say(text))

    def _own(self, episode: Episode) -> tuple[ToolSpec, ...]:
        """Return `reset` and `say`, by names that the environment's tools leave free."""
        if not self._has_own_tools:
            return ()
        taken = {tool.name for tool in episode.start.tools}
        reset, say = (
            name if name not in taken else f"agentgym_{name}" for name in ("reset", "say")
        )
        return (
            ToolSpec(reset, "Start an episode, and return its task. By default the next.", _RESET),
            ToolSpec(say, "Say something in plain text: an answer, or an action in words.", _SAY),
        )


def prompt_of(episode: Episode) -> str:
    """Return what a model is told at the start, as one text."""
    return text_of(episode.start.messages)


def _state(episode: Episode) -> dict[str, Any]:
    return {
        "env": episode.config.id,
        "task_id": episode.task.id,
        "turns": episode.turns,
        "reward": episode.reward,
        "terms": episode.terms,
        "end": episode.end,
    }


def _result(episode: Episode, turn: Turn) -> Any:
    from mcp_types import CallToolResult, TextContent

    step = _state(episode) | {"reward": turn.terms.get(OUTCOME, 0.0), "terms": turn.terms}
    return CallToolResult(
        content=[TextContent(text=turn.text)], is_error=not turn.is_valid, _meta={META: step}
    )


def _refused(told: str) -> Any:
    """Return the answer to arguments that one of our own tools cannot use."""
    from mcp_types import CallToolResult, TextContent

    return CallToolResult(content=[TextContent(text=told)], is_error=True)


@contextmanager
def _reported() -> Iterator[None]:
    """Tell the client of a fault of ours as an error of the protocol, which no model is shown."""
    from mcp import MCPError
    from mcp_types import INTERNAL_ERROR

    try:
        yield
    except AgentGymError as error:
        raise MCPError(INTERNAL_ERROR, f"{type(error).__name__}: {error}") from error


def _key(context: Any) -> str:
    """Return the name of a session: of the transport's making, or given in the address."""
    from mcp import MCPError
    from mcp_types import INVALID_REQUEST

    request = context.request
    if request is None:
        return _STDIO
    if name := request.headers.get("mcp-session-id"):
        return str(name)
    if name := request.query_params.get("episode"):
        return f"?{name[:_MAX_KEY_CHARS]}"
    raise MCPError(INVALID_REQUEST, _KEYLESS)
