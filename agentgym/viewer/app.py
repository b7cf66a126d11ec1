"""The server's addresses. A handler calls what knows, and says how the answer travels."""

import asyncio
import inspect
from collections.abc import Callable, Sequence
from functools import partial
from importlib.resources import files
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from agentgym.errors import ConfigError
from agentgym.viewer.analysis import Analysis
from agentgym.viewer.answers import encode, error_answer, json_answer, kept_answer
from agentgym.viewer.columns import read_columns, segment_ids
from agentgym.viewer.episode import PARTS, show_episode, show_tags
from agentgym.viewer.forking import Forking
from agentgym.viewer.forks import Forks
from agentgym.viewer.guard import Door, Guard
from agentgym.viewer.listing import grid, list_episodes
from agentgym.viewer.lookup import find_episode, run_of
from agentgym.viewer.panels import MOST_STATES, read_panels
from agentgym.viewer.pieces import MOST, Pieces, TokenizerError
from agentgym.viewer.routes import Asked, Handler, NotFoundError, Route, read_asked, split_path
from agentgym.viewer.runs import OpenRun, OpenRuns
from agentgym.viewer.share import Sharing
from agentgym.viewer.tail import LISTENERS, Tail
from agentgym.viewer.triage import Triage, wanted_where
from agentgym.viewer.truth import retokenised

_AT_ONCE = 2  # requests that are worked on: an episode of a million tokens takes 60 MB
_KINDS = {
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "svg": "image/svg+xml",
}


class Viewer:
    """The handlers of the server."""

    def __init__(self, runs: OpenRuns, tail: Tail) -> None:
        self._runs = runs
        self._tail = tail
        self.routes: Sequence[Route] = [
            Route("/api/runs", self.list_runs),
            Route("/api/runs/{run}", self.show_run),
            Route("/api/runs/{run}/metrics", self.metrics),
            Route("/api/runs/{run}/episodes", self.list_episodes),
            Route("/api/runs/{run}/grid", self.grid),
            Route("/api/runs/{run}/episodes/{episode}", self.episode),
            Route("/api/runs/{run}/episodes/{episode}/tags", self.tags),
            Route("/api/runs/{run}/episodes/{episode}/columns", self.columns),
            Route("/api/runs/{run}/episodes/{episode}/pieces", self.pieces),
            Route("/api/runs/{run}/episodes/{episode}/panels", self.panels),
            Route("/api/runs/{run}/episodes/{episode}/truth", self.truth),
            Route("/api/tail", self.tail),
        ]

    def list_runs(self, asked: Asked) -> Response:
        """The runs, in the order in which they were named."""
        return json_answer([run.summary() for run in self._runs])

    def show_run(self, asked: Asked) -> Response:
        """One run, without its curves and episodes."""
        return json_answer(run_of(self._runs, asked).detail())

    def metrics(self, asked: Asked) -> Response:
        """Curves; `keys` are names, or patterns such as `eval/*`."""
        patterns = asked.words("keys") or ["*"]
        if len(patterns) > 100:
            raise ConfigError(f"at most 100 keys, got {len(patterns)}")
        return json_answer(run_of(self._runs, asked).metrics(patterns))

    def list_episodes(self, asked: Asked) -> Response:
        """Some of the episodes that a filter lets through."""
        run = run_of(self._runs, asked)
        page = list_episodes(
            run.index,
            wanted_where(run, asked),
            sort=asked.text("sort"),
            offset=asked.number("offset", 0),
            limit=asked.number("limit", 100),
        )
        run.tags.want(row["id"] for row in page.rows)
        return json_answer(page.to_json())

    def grid(self, asked: Asked) -> Response:
        """Groups with a cell for each of their episodes."""
        run = run_of(self._runs, asked)
        first = asked.number("first", 0)
        where = wanted_where(run, asked)
        return json_answer(
            grid(run.index, where, first=first, last=asked.number("last", first + 20))
        )

    def episode(self, asked: Asked) -> Response:
        """One episode, without its tokens; `parts` of it, which take long, or `none` of these."""
        run = run_of(self._runs, asked)
        shown = show_episode(
            run.index,
            run.scenes,
            find_episode(run, asked.names["episode"]),
            success=run.success,
            parts=asked.words("parts") or PARTS,
        ).to_json()
        return kept_answer(asked, encode(shown), kind="application/json")

    def tags(self, asked: Asked) -> Response:
        """The tags of an episode, with what they saw."""
        run = run_of(self._runs, asked)
        head = find_episode(run, asked.names["episode"])
        return json_answer({"tags": show_tags(run.index, head, success=run.success)})

    def columns(self, asked: Asked) -> Response:
        """Columns of tokens, as bytes."""
        run = run_of(self._runs, asked)
        name = asked.names["episode"]
        segment = asked.number("segment", 0)
        return kept_answer(
            asked,
            read_columns(run.index, find_episode(run, name), name, asked.words("names"), segment),
        )

    def panels(self, asked: Asked) -> Response:
        """What the environment drew of some states."""
        head = find_episode(run_of(self._runs, asked), asked.names["episode"])
        offset, limit = asked.number("offset", 0), asked.number("limit", MOST_STATES)
        return json_answer(read_panels(head, offset=offset, limit=limit))

    def pieces(self, asked: Asked) -> Response:
        """The texts of recorded tokens."""
        run = run_of(self._runs, asked)
        return self._of_tokens(run, asked, "pieces", lambda pieces: pieces.of)

    def truth(self, asked: Asked) -> Response:
        """Of recorded tokens, what their text would be tokenised as, where that is something else."""
        run = run_of(self._runs, asked)
        return self._of_tokens(run, asked, "truth", lambda pieces: partial(retokenised, pieces))

    def _of_tokens(
        self, run: OpenRun, asked: Asked, what: str, tell: Callable[[Pieces], Callable[..., Any]]
    ) -> Response:
        """Answer with what the tokenizer tells of some tokens of a segment, one by one."""
        head = find_episode(run, asked.names["episode"])
        ids = segment_ids(head, asked.number("segment", 0))
        if ids is None:
            return json_answer({what: None, "why": "no tokens were recorded", "hint": None})
        first = min(asked.number("first", 0), len(ids))
        stop = min(asked.number("stop", first + MOST), len(ids), first + MOST)
        try:
            found = tell(run.pieces())(ids, first=first, stop=max(first, stop))
        except TokenizerError as error:
            return json_answer({what: None, "why": str(error), "hint": error.hint})
        return json_answer({what: found, "first": first, "of": len(ids)})

    async def tail(self, asked: Asked) -> Response:
        """What grew, as it happens."""
        if self._tail.is_full:
            hint = "close some of their tabs"
            error = {"error": f"{LISTENERS} browsers are listening already", "hint": hint}
            return json_answer(error, status=503)
        return StreamingResponse(self._tail.listen(), media_type="text/event-stream")


class Application:
    """Finds the handler of a request, and turns errors into answers."""

    def __init__(self, routes: Sequence[Route]) -> None:
        self._routes = routes
        self._static = static_files()
        self._slots = asyncio.Semaphore(_AT_ONCE)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        try:
            response = await self._respond(scope, receive)
        except ClientDisconnect:
            return  # nobody waits for an answer, or the guard has cut what was sent
        except Exception as error:  # noqa: BLE001  a server outlives what goes wrong in an answer
            response = error_answer(error)
        await response(scope, receive, send)

    async def _respond(self, scope: Scope, receive: Receive) -> Response:
        parts = split_path(scope["raw_path"].decode("latin-1"))
        method = "GET" if scope["method"] == "HEAD" else scope["method"]
        for route in self._routes:
            names = route.match(parts)
            if names is not None and route.method == method:
                request = Request(scope, receive)
                body = await request.body() if method == "POST" else b""
                asked = read_asked(scope, names, body)
                return await self._handled(route.handler, asked, request)
        asked = read_asked(scope, {})
        if method != "GET" or parts[0] == "api":
            raise NotFoundError(
                "there is nothing at this address", hint="answers begin at /api/runs"
            )
        return self._page(asked, parts)

    async def _handled(self, handler: Handler, asked: Asked, request: Request) -> Response:
        if inspect.iscoroutinefunction(handler):
            response = await handler(asked)
        else:
            async with self._slots:
                if request.method == "GET" and await request.is_disconnected():
                    raise ClientDisconnect  # it was given up while it waited for others
                response = await run_in_threadpool(partial(handler, asked))
        assert isinstance(response, Response)
        return response

    def _page(self, asked: Asked, parts: Sequence[str]) -> Response:
        """Return a file of the pages; every other address is one of the pages themselves."""
        if parts[0] == "static" and "/".join(parts[1:]) not in self._static:
            raise NotFoundError("there is no such file")
        name = "/".join(parts[1:]) if parts[0] == "static" else "index.html"
        kind = _KINDS.get(name.rpartition(".")[2], "application/octet-stream")
        return kept_answer(asked, self._static[name], kind=kind)


def static_files() -> dict[str, bytes]:
    """Return the files of the pages, by their names."""
    folder = files("agentgym.viewer") / "static"
    return {each.name: each.read_bytes() for each in folder.iterdir() if each.is_file()}


def make_app(
    runs: OpenRuns,
    door: Door,
    *,
    tail: Tail | None = None,
    forks: Forks | None = None,
    why_no_fork: str | None = None,
) -> ASGIApp:
    """Return the server's application, guarded; `why_no_fork` says why it forks nothing."""
    routes = [
        *Viewer(runs, tail or Tail(runs)).routes,
        *Analysis(runs).routes,
        *Triage(runs).routes,
    ]
    routes += Sharing(runs, routes, static_files()).routes
    routes += Forking(runs, forks or Forks(), why_not=why_no_fork).routes
    return Guard(Application(routes), door)


def make_sharing(runs: OpenRuns) -> Sharing:
    """Return what makes files of these runs without a server."""
    routes = [*Viewer(runs, Tail(runs)).routes, *Analysis(runs).routes, *Triage(runs).routes]
    return Sharing(runs, routes, static_files())
