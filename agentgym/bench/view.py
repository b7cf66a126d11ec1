"""How fast the viewer is: the real server as a process, and pages of it in headless Chromium.

A figure begins where something is asked for, and ends where all that is in the window is painted
and nothing stands in for what is still to come.
"""

import os
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from agentgym.bench.view_browser import Browser, Server, Visit, browsing, serving
from agentgym.bench.view_runs import (
    LONG,
    append_heads,
    linked,
    long_episode,
    many_episodes,
    many_heads,
)

VISITS = 5
"""First paints, each in a browser that has nothing of the page."""

MORE = 1_000
"""Episodes that come while a server is looking."""

_SORT = "-reward"  # of a table beside that of episodes: the dearest order


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much there is of everything."""

    episodes: int = 100_000
    steps: int = 10_000
    tokens: int = 1_000_000
    heads: int = 1_000_000
    jumps: int = 60


@dataclass(frozen=True, slots=True)
class Row:
    """One figure."""

    case: str
    figure: str
    n: int
    """How often it was measured."""
    p50_ms: float
    p95_ms: float
    server_ms: float | None
    """Processor time of the server for each, on average; None: this system does not tell."""
    page_ms: float | None
    """Processor time of the page's main thread for each, on average; None: without a page."""
    per_second: float | None
    """Records a second, of the index."""
    peak_mb: float | None
    """Most memory that the server had by then."""
    load: float
    """Of the machine, over the last minute."""

    def to_json(self) -> dict[str, Any]:
        """Return the fields."""
        return asdict(self)


def bench_view(sizes: Sizes, cases: Sequence[str]) -> Iterator[Row]:
    """Yield rows as they are measured.

    Raises:
        MissingError: there is no browser for a case that needs one.
    """
    with tempfile.TemporaryDirectory(prefix="agentgym-bench-") as folder:
        for case in cases:
            yield from CASES[case](sizes, Path(folder) / case)


def _bench_run(sizes: Sizes, place: Path) -> Iterator[Row]:
    with browsing() as browser, serving(many_episodes(sizes.episodes), place) as server:
        pages = _Pages("run", browser, server)
        yield _index_row("run", "index", server, server.wait_for_index)
        yield from pages.nothing(sizes.jumps)
        url = f"{pages.run}?view=episodes"
        for name, listed in (("list", url), ("sorted list", f"{url}&sort={_SORT}")):
            yield pages.first(f"first paint of the {name}", listed, "list")
            with browser.visit(listed, "list") as visit:
                places = _draw(sizes.jumps, lambda chance: chance.random())
                yield pages.again(f"jump in the {name}", visit, "scrollTo", places)


def _bench_episode(sizes: Sizes, place: Path) -> Iterator[Row]:
    run = long_episode(sizes.steps, sizes.tokens)
    with browsing() as browser, serving(run, place) as server:
        server.wait_for_index()
        pages = _Pages("episode", browser, server)
        yield from pages.nothing(sizes.jumps)
        for content in ("messages", "tokens"):
            url = f"{pages.run}/episode/{LONG}?view={content}"
            yield pages.first(f"first paint of {content}", url, content)
            deep = f"{url}&turn={sizes.steps // 2}"
            yield pages.first(f"first paint of {content} by a deep link", deep, content)
            with browser.visit(url, content) as visit:
                turns = _draw(sizes.jumps, lambda chance: chance.randrange(sizes.steps))
                yield pages.again(f"jump in {content}", visit, "turnTo", [content, turns])
                if content == "tokens":
                    yield pages.again("recolour", visit, "recolour", sizes.jumps)


def _bench_index(sizes: Sizes, place: Path) -> Iterator[Row]:
    place.mkdir()
    run = linked(many_heads(sizes.heads), place / "run")
    with serving(run, place) as server:
        yield _index_row("index", "index", server, lambda: server.wait_for_index(every_s=0.5))
        append_heads(run, MORE, first=sizes.heads)
        yield _index_row("index", f"{MORE} more", server, lambda: _wait_for_more(server, sizes))


def _wait_for_more(server: Server, sizes: Sizes) -> int:
    while server.wait_for_index() < sizes.heads + MORE:
        time.sleep(0.01)
    return MORE


CASES: dict[str, Callable[[Sizes, Path], Iterator[Row]]] = {
    "run": _bench_run,
    "episode": _bench_episode,
    "index": _bench_index,
}
"""What is measured, by its name."""


class _Pages:
    """Figures of pages, of one case."""

    def __init__(self, case: str, browser: Browser, server: Server) -> None:
        self._case, self._browser, self._server = case, browser, server
        (run,) = server.ask("/api/runs")
        self.run = f"{server.address}/run/{run['run']}"
        """The address of the run's page."""

    def nothing(self, count: int) -> Iterator[Row]:
        """What is in every figure: a page that is a line of text, and a frame without a change."""
        url = f"{self._server.address}/api/runs"
        yield self.first("first paint of a line of text", url, "text")
        with self._browser.visit(url, "text") as visit:
            yield self.again("an empty frame", visit, "frames", count)

    def first(self, figure: str, url: str, content: str) -> Row:
        """Open a page some times, and wait for its content."""
        began, times, used = self._server.cpu_s, [], 0.0
        for _ in range(VISITS):
            with self._browser.visit(url, content) as visit:
                times.append(visit.first_ms)
                used += visit.cpu_ms
        return self._row(figure, times, began, used)

    def again(self, figure: str, visit: Visit, what: str, argument: object) -> Row:
        """Do something in an open page again and again."""
        began, used = self._server.cpu_s, visit.cpu_ms
        times = visit.measure(what, argument)
        return self._row(figure, times, began, visit.cpu_ms - used)

    def _row(self, figure: str, times: Sequence[float], began: float | None, used: float) -> Row:
        return _row(
            self._case,
            figure,
            self._server,
            times,
            server_ms=_ms_since(began, self._server, len(times)),
            page_ms=round(used / len(times), 2),
        )


def _index_row(case: str, figure: str, server: Server, wait: Callable[[], int]) -> Row:
    began, used = time.perf_counter(), server.cpu_s
    count = wait()
    taken = time.perf_counter() - began
    return _row(
        case,
        figure,
        server,
        [1e3 * taken],
        server_ms=_ms_since(used, server, 1),
        per_second=round(count / taken, 1),
    )


def _row(
    case: str,
    figure: str,
    server: Server,
    times: Sequence[float],
    *,
    server_ms: float | None,
    page_ms: float | None = None,
    per_second: float | None = None,
) -> Row:
    return Row(
        case=case,
        figure=figure,
        n=len(times),
        p50_ms=round(statistics.median(times), 2),
        p95_ms=round(_p95(times), 2),
        server_ms=server_ms,
        page_ms=page_ms,
        per_second=per_second,
        peak_mb=server.peak_mb,
        load=round(os.getloadavg()[0], 2),
    )


def _ms_since(began: float | None, server: Server, count: int) -> float | None:
    now = server.cpu_s
    return None if began is None or now is None else round(1e3 * (now - began) / count, 2)


def _p95(times: Sequence[float]) -> float:
    """Return what 95 of 100 do not exceed; of few values, the greatest."""
    return sorted(times)[-(-95 * len(times) // 100) - 1]


def _draw(count: int, one: Callable[[random.Random], float]) -> list[float]:
    chance = random.Random(0)
    return [one(chance) for _ in range(count)]
