"""One engine as an HTTP application: what a replica answers."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response

from agentgym.engine import Engine, SamplingConfig
from agentgym.engines.served.answering import (
    Refused,
    answer,
    make_routes,
    read_whole,
    session_of,
)
from agentgym.engines.served.wire import Generate, Logprobs, Weights, completion_body, read_body
from agentgym.errors import EngineError
from agentgym.web.requests import while_there


def make_app(engine: Engine, *, facts: dict[str, Any]) -> Starlette:
    """Put an engine behind HTTP. `facts` are told as they are, and have the vocabulary's size."""
    desk = _Desk(engine, facts)
    return make_routes(
        {
            "GET /status": desk.status,
            "POST /generate": desk.generate,
            "POST /logprobs": desk.logprobs,
            "POST /release": desk.release,
            "POST /weights": desk.weights,
            "POST /pause": desk.pause,
            "POST /resume": desk.resume,
            "POST /sleep": desk.sleep,
            "POST /wake": desk.wake,
        }
    )


class _Desk:
    def __init__(self, engine: Engine, facts: dict[str, Any]) -> None:
        self._engine = engine
        self._facts = facts
        self._progress = _Progress()
        self._control = asyncio.Lock()  # weights, pause and the like come one after the other

    async def status(self, request: Request) -> Response:
        """Tell the state; also that the event loop of this process runs."""
        return answer(
            {
                **self._facts,
                "version": self._engine.version,
                "in_flight": self._progress.in_flight,
                "stalled_s": self._progress.stalled_s,
            }
        )

    async def generate(self, request: Request) -> Response:
        """Sample a completion; the request ends where the client goes away."""
        asked = read_body(Generate, await read_whole(request))
        sampling = SamplingConfig(temperature=asked.temperature, max_tokens=asked.max_tokens)
        work = self._engine.generate(
            asked.token_ids,
            sampling,
            seed=asked.seed,
            stop=asked.stop,
            session=session_of(request),
        )
        async with self._counted(asked.token_ids):
            return answer(completion_body(await while_there(request, work)))

    async def logprobs(self, request: Request) -> Response:
        """Score given tokens."""
        asked = read_body(Logprobs, await read_whole(request))
        async with self._counted(asked.token_ids):
            work = self._engine.logprobs(asked.token_ids)
            return answer({"logprobs": await while_there(request, work)})

    async def release(self, request: Request) -> Response:
        """Forget a session."""
        if session := session_of(request):
            await self._engine.release(session)
        return answer({})

    async def weights(self, request: Request) -> Response:
        """Take other weights."""
        asked = read_body(Weights, await read_whole(request))
        source = Path(asked.folder) if asked.folder is not None else None
        async with self._control:
            await self._engine.load_weights(source, version=asked.version)
        self._progress.note()
        return answer({"version": self._engine.version})

    async def pause(self, request: Request) -> Response:
        """Stop decoding."""
        async with self._control:
            await self._engine.pause()
            self._progress.is_held = True
        return answer({})

    async def resume(self, request: Request) -> Response:
        """Go on decoding."""
        async with self._control:
            await self._engine.resume()
            self._progress.release()
        return answer({})

    async def sleep(self, request: Request) -> Response:
        """Give memory back."""
        async with self._control:
            await self._engine.sleep()
            self._progress.is_held = True
        return answer({})

    async def wake(self, request: Request) -> Response:
        """Take memory again."""
        async with self._control:
            await self._engine.wake()
            self._progress.release()
        return answer({})

    @asynccontextmanager
    async def _counted(self, token_ids: list[int]) -> AsyncIterator[None]:
        """Count a request, and tell whose fault it is where the engine refuses it."""
        self._progress.begin()
        try:
            yield
        except EngineError as error:
            if self._is_askable(token_ids):
                raise
            raise Refused(400, str(error), kind="caller", hint=error.hint) from error
        finally:
            self._progress.end()

    def _is_askable(self, token_ids: list[int]) -> bool:
        fits = 0 < len(token_ids) < self._engine.max_context
        return fits and max(token_ids) < self._facts["vocabulary"]["size"]


class _Progress:
    """Whether an engine that has work gets any of it done."""

    def __init__(self) -> None:
        self.in_flight = 0
        self.is_held = False
        self._last = time.monotonic()

    @property
    def stalled_s(self) -> float:
        """Seconds in which no request came to an end although some wait, and may be worked on."""
        if self.is_held or not self.in_flight:
            return 0.0
        return round(time.monotonic() - self._last, 3)

    def begin(self) -> None:
        if not self.in_flight:
            self.note()
        self.in_flight += 1

    def end(self) -> None:
        self.in_flight -= 1
        self.note()

    def release(self) -> None:
        self.is_held = False
        self.note()

    def note(self) -> None:
        self._last = time.monotonic()
