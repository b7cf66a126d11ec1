"""An environment as an `Environment` of OpenEnv, behind OpenEnv's own server.

An action is a message of the assistant: `{"content": "4"}`, or
`{"tool_calls": [{"name": "calc", "arguments": {"expression": "2 + 2"}}]}`. An observation has the
messages that are new, their text, and after a reset the tools. Its reward is the outcome of the
step, and `terms` are all that the step paid.
"""

import asyncio
import json
import signal
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, Field

from agentgym.errors import AgentGymError, ConfigError, MissingError
from agentgym.outward import loop
from agentgym.outward.episode import Episode, Turn, text_of
from agentgym.types import OUTCOME, Message, ToolCall

try:
    import uvicorn
    from openenv.core.env_server import http_server, interfaces, types
    from starlette.responses import JSONResponse
    from starlette.websockets import WebSocketDisconnect

    from agentgym.web.pages import kept_from_pages
except ImportError as error:
    raise MissingError(
        f"an OpenEnv server needs the package openenv-core ({error})",
        hint="pip install 'agentgym-framework[openenv]'",
    ) from error

if TYPE_CHECKING:
    from agentgym.outward.settings import Exposed
    from agentgym.outward.stage import Stage


class Call(BaseModel, extra="forbid"):
    """One call of a tool."""

    name: str
    arguments: dict[str, Any] | str = Field(default_factory=dict)
    """Decoded, or as JSON text, which may be broken."""


class MessageAction(types.Action):  # type: ignore[misc]  # it is Any where OpenEnv is not installed
    """A message of the assistant."""

    content: str = ""
    tool_calls: list[Call] = Field(default_factory=list)

    def to_message(self) -> Message:
        """Return it as environments take it."""
        calls = tuple(
            ToolCall(call.name, _as_text(call.arguments), f"call_{number}")
            for number, call in enumerate(self.tool_calls)
        )
        return Message("assistant", self.content, tool_calls=calls)


class MessagesObservation(types.Observation):  # type: ignore[misc]
    """What the environment answered."""

    text: str = ""
    """The contents of the messages, one under the other."""
    messages: list[dict[str, Any]] = Field(default_factory=list)
    """In the OpenAI shape."""
    tools: list[dict[str, Any]] = Field(default_factory=list)
    """In the OpenAI shape; after a reset only."""
    task_id: str = ""
    terms: dict[str, float] = Field(default_factory=dict)
    """The reward terms of this step, by name."""
    end: str | None = None
    """terminated or truncated, where `done`."""


class EpisodeState(types.State):  # type: ignore[misc]
    """The episode so far."""

    task_id: str = ""
    reward: float = 0.0
    terms: dict[str, float] = Field(default_factory=dict)
    end: str | None = None


class AgentGymEnvironment(interfaces.Environment):  # type: ignore[misc]
    """One client's episodes, one after the other. It may be used by any thread.

    `reset` takes what `Stage.open` does: `seed`, and `task_id` or `index`.
    """

    SUPPORTS_CONCURRENT_SESSIONS = True

    def __init__(self, stage: "Stage") -> None:
        super().__init__()
        self._stage = stage
        self._episode: Episode | None = None
        self._id: str | None = None

    def reset(
        self, seed: int | None = None, episode_id: str | None = None, **options: Any
    ) -> MessagesObservation:
        """Start an episode.

        Raises:
            ConfigError: the options name no task; the present episode goes on.
            EnvError: the environment raised.
        """
        episode = loop.run(self._stage.open(options, seed=seed))
        self.close()
        self._episode, self._id = episode, episode_id
        start = episode.start
        return MessagesObservation(
            text=text_of(start.messages),
            messages=[message.to_openai() for message in start.messages],
            tools=[tool.to_openai() for tool in start.tools],
            task_id=episode.task.id,
        )

    def step(
        self, action: MessageAction, timeout_s: float | None = None, **kwargs: Any
    ) -> MessagesObservation:
        """Say something, or call tools.

        Raises:
            ConfigError: no episode was started.
            EnvError: the environment raised.
        """
        episode = self._episode
        if episode is None:
            raise ConfigError("no episode was started: send reset first, over the same WebSocket")
        return _observation(episode, loop.run(episode.send(action.to_message())))

    @property
    def state(self) -> EpisodeState:
        """The episode so far."""
        episode = self._episode
        if episode is None:
            return EpisodeState()
        return EpisodeState(
            episode_id=self._id,
            step_count=episode.turns,
            task_id=episode.task.id,
            reward=episode.reward,
            terms=episode.terms,
            end=episode.end,
        )

    def get_metadata(self) -> types.EnvironmentMetadata:
        """Tell which environment this is."""
        config = self._stage.config
        return types.EnvironmentMetadata(
            name=config.id, description=f"{config.id} of agentgym", version="0"
        )

    def close(self) -> None:
        """End the episode."""
        episode, self._episode = self._episode, None
        if episode is not None:
            loop.run(episode.close())


def make_app(stage: "Stage", *, sessions: int = 64, idle_s: float | None = None) -> Any:
    """Return OpenEnv's server as an ASGI application.

    Args:
        stage: Where episodes are played.
        sessions: Clients at once; OpenEnv refuses more.
        idle_s: After so long without a message a session is ended.
    """
    app = http_server.create_app(
        lambda: AgentGymEnvironment(stage),
        MessageAction,
        MessagesObservation,
        env_name=stage.config.id,
        concurrency_config=types.ConcurrencyConfig(
            max_concurrent_envs=sessions, session_timeout=idle_s
        ),
    )
    app.add_exception_handler(AgentGymError, _told)
    return app


def serve(
    exposed: "Exposed",
    taken: socket.socket,
    *,
    host: str,
    sessions: int,
    on_start: Callable[[], None],
) -> None:
    """Serve on a socket of `host` until a signal comes; then all episodes are ended.

    Raises:
        KeyboardInterrupt: Ctrl-C ended it.
    """
    with _Held(exposed) as stage:
        app = make_app(stage, sessions=sessions, idle_s=exposed.idle_s)
        config = uvicorn.Config(
            kept_from_pages(_without_leavers(app), host=host),
            log_level="warning",
            access_log=False,
            timeout_graceful_shutdown=1,
        )
        # uvicorn raises a signal again once it has stopped; by default that would be the end here.
        before = signal.signal(signal.SIGTERM, lambda *_: None)
        try:
            _Server(config, on_start, on_stop=lambda: loop.run(stage.close())).run(sockets=[taken])
        finally:
            signal.signal(signal.SIGTERM, before)


class _Held:
    """The stage of what is exposed, held on the loop of this process."""

    def __init__(self, exposed: "Exposed") -> None:
        self._stage = exposed.stage()

    def __enter__(self) -> "Stage":
        return loop.run(self._stage.__aenter__())

    def __exit__(self, *raised: Any) -> None:
        loop.run(self._stage.__aexit__(*raised))


class _Server(uvicorn.Server):
    """Tells when it answers, and when it is about to end."""

    def __init__(
        self,
        config: uvicorn.Config,
        on_start: Callable[[], None],
        *,
        on_stop: Callable[[], None],
    ) -> None:
        super().__init__(config)
        self._on_start, self._on_stop = on_start, on_stop

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to answer."""
        await super().startup(sockets=sockets)
        self._on_start()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End; a thread that waits for a step would be waited for."""
        await asyncio.to_thread(self._on_stop)
        await super().shutdown(sockets=sockets)


def _told(request: Any, error: AgentGymError) -> Any:
    """Answer a request without a WebSocket, where OpenEnv would answer nothing of what went wrong."""
    status = 400 if isinstance(error, ConfigError) else 500
    return JSONResponse({"error": str(error), "hint": error.hint}, status)


def _without_leavers(app: Any) -> Any:
    """Return the application without the tracebacks of clients that left without a word."""

    async def quiet(scope: Any, receive: Any, send: Any) -> None:
        with suppress(WebSocketDisconnect):
            await app(scope, receive, send)

    return quiet


def _observation(episode: Episode, turn: Turn) -> MessagesObservation:
    return MessagesObservation(
        text=turn.text,
        messages=[message.to_openai() for message in turn.messages],
        task_id=episode.task.id,
        terms=turn.terms,
        reward=turn.terms.get(OUTCOME, 0.0),
        done=turn.end is not None,
        end=turn.end,
    )


def _as_text(arguments: dict[str, Any] | str) -> str:
    return arguments if isinstance(arguments, str) else json.dumps(arguments)
