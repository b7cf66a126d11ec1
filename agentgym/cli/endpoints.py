"""Endpoints for programs that a person starts, printed for a shell."""

import asyncio
import signal
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from functools import partial
from typing import TYPE_CHECKING

from agentgym.cli.output import note, one_line

if TYPE_CHECKING:
    from agentgym.config.run import RunConfig
    from agentgym.rollout.episode import Play, Scene
    from agentgym.rollout.outside.gateway import Gateway
    from agentgym.rollout.outside.session import Session


def by_hand(port: int) -> "Callable[[RunConfig], AbstractAsyncContextManager[Play]]":
    """Return what opens sessions for programs that a person starts; Ctrl-C ends them."""
    told: list[Session] = []

    def announce(found: "Gateway", session: "Session", scene: "Scene") -> None:
        told.append(session)
        _print(found.url_of(session), session, scene)

    @asynccontextmanager
    async def open_sessions(config: "RunConfig") -> "AsyncIterator[Play]":
        from agentgym.rollout.outside.gateway import open_gateway
        from agentgym.web.port import listen

        leaving = asyncio.Event()
        with listen("127.0.0.1", port) as taken, _heard(leaving, told):
            async with open_gateway(taken) as found:
                yield partial(found.wait, leaving=leaving, announce=partial(announce, found))

    return open_sessions


@contextmanager
def _heard(leaving: asyncio.Event, told: "Sequence[Session]") -> Iterator[None]:
    """Hear the first Ctrl-C as the wish to end the episodes, if there is one to end.

    The second one interrupts, as does the first where there is nothing to score: no program has
    asked the model, or all wait for an answer.
    """
    loop = asyncio.get_running_loop()
    before = signal.getsignal(signal.SIGINT)

    def leave() -> None:
        restore()
        if any(session.was_asked and not session.is_under_way for session in told):
            leaving.set()
        else:
            signal.raise_signal(signal.SIGINT)

    def restore() -> None:
        if loop.remove_signal_handler(signal.SIGINT):
            signal.signal(signal.SIGINT, before)

    loop.add_signal_handler(signal.SIGINT, leave)
    try:
        yield
    finally:
        restore()


def _print(url: str, session: "Session", scene: "Scene") -> None:
    """Print where an episode is, in a form that a shell reads."""
    note(
        f"\nepisode {scene.trajectory.id}, task {one_line(scene.trajectory.task_id)}\n"
        f"export OPENAI_BASE_URL={url}/v1 OPENAI_API_KEY={session.key} AGENTGYM_URL={url}\n"
        'curl -sS -H "Authorization: Bearer $OPENAI_API_KEY" "$AGENTGYM_URL/task"\n'
        "Ctrl-C when the program is done"
    )
