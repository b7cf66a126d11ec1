"""The gateway: one port of this machine, behind which every episode has a session of its own."""

import asyncio
import hashlib
import secrets
import socket
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from agentgym.errors import PolicyError
from agentgym.panels import Terminal
from agentgym.rollout.episode import Scene
from agentgym.rollout.outside.program import Program
from agentgym.rollout.outside.session import Session, never_asked
from agentgym.rollout.outside.telling import prompt_text, task_text
from agentgym.web.packages import needs_web
from agentgym.web.port import listen

_GRACE_S = 5.0  # for a program to notice that its episode has ended
_REMEMBERED = 1024  # keys of sessions that have ended


class Gateway:
    """Sessions by their keys."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._open: dict[bytes, Session] = {}
        self._ended: OrderedDict[bytes, str] = OrderedDict()

    def find(self, key: str) -> Session | str | None:
        """Return the session of a key; why it ended; None: there never was one."""
        hidden = _hidden(key)
        return self._open.get(hidden) or self._ended.get(hidden)

    def url_of(self, session: Session) -> str:
        """Return where a session is."""
        return f"{self.url}/s/{session.id}"

    @asynccontextmanager
    async def session(self, scene: Scene) -> AsyncIterator[Session]:
        """Hold the session of an episode; behind it nothing of it is under way.

        Raises:
            PolicyError: the time of the episode was over before the model was asked: that is no
                failure of the model.
        """
        key = f"sk-agentgym-{secrets.token_urlsafe(24)}"
        session = Session(scene, id=secrets.token_hex(8), key=key)
        self._open[_hidden(key)] = session
        is_whole = False
        try:
            yield session
            is_whole = True
        except asyncio.CancelledError as error:
            if scene.is_out_of_time and not session.was_asked:
                raise never_asked("took all of its time") from error
            raise
        finally:
            self._close(session)
            await session.leave(at_once=not is_whole)

    async def play(self, scene: Scene, command: str) -> None:
        """Let a program play an episode.

        Raises:
            ConfigError: it cannot be started.
            PolicyError: it failed.
            AgentGymError: the machinery failed.
        """
        async with self.session(scene) as session:
            texts = {
                "prompt": prompt_text(session.prompt, session.tools),
                "task": task_text(session.prompt),
            }
            url = self.url_of(session)
            program = await Program.start(command, texts, url=url, key=session.key)
            try:
                code = await _ended(program, session)
            finally:
                await program.end()
                if program.output.strip():
                    session.show(Terminal(text=program.output, title="written by the program"))
        await session.settle(failed=None if code is None else program.ended_with(code))

    async def wait(
        self,
        scene: Scene,
        *,
        leaving: asyncio.Event,
        announce: Callable[[Session, Scene], None],
    ) -> None:
        """Let programs that others start play an episode, until it has ended or they leave.

        Raises:
            PolicyError: nobody asked the model, or they left in the middle of a request.
            AgentGymError: the machinery failed.
        """
        async with self.session(scene) as session:
            if not leaving.is_set():
                announce(session, scene)
            await _first(session.over.wait(), leaving.wait())
            if session.is_under_way and not session.over.is_set():
                raise PolicyError("the agent program was left in the middle of a request")
        await session.settle()

    def _close(self, session: Session) -> None:
        hidden = _hidden(session.key)
        del self._open[hidden]
        self._ended[hidden] = session.why_over
        while len(self._ended) > _REMEMBERED:
            self._ended.popitem(last=False)


def _hidden(key: str) -> bytes:
    """Return what a key is found by: how long that takes tells nothing of other keys."""
    return hashlib.sha256(key.encode()).digest()


async def _ended(program: Program, session: Session) -> int | None:
    """Return the exit code of a program; None: it went on although its episode had ended."""
    exit_ = asyncio.ensure_future(program.wait())
    try:
        await _first(asyncio.shield(exit_), session.over.wait())
        await asyncio.wait({exit_}, timeout=_GRACE_S)
        return exit_.result() if exit_.done() else None
    finally:
        exit_.cancel()
        await asyncio.gather(exit_, return_exceptions=True)


async def _first(*works: Awaitable[Any]) -> None:
    """Wait for the first of some, and give the others up."""
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@asynccontextmanager
async def open_gateway(taken: socket.socket | None = None) -> AsyncIterator[Gateway]:
    """Hold a gateway on a free port that only this machine reaches, or where a socket listens.

    Raises:
        MissingError: the packages of a server are not installed.
    """
    with needs_web("the gateway", extra="serve"):
        from agentgym.rollout.outside.app import make_app
        from agentgym.web.server import serving
    with taken or listen("127.0.0.1", 0) as taken:
        gateway = Gateway(f"http://127.0.0.1:{taken.getsockname()[1]}")
        async with serving(make_app(gateway.find), taken):
            yield gateway
