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

from agentgym.bench.view_browser import Browser, Server, browsing, serving
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
        (run,) = server.ask("/api/runs")
        page = f"{server.address}/run/{run['run']}?view=episodes"
        began = time.perf_counter()
        count = server.wait_for_index()
        yield _row("run", "index", [time.perf_counter() - began], server, records=count)
        yield from _bench_nothing(browser, server, sizes)
        for name, url in (("list", page), ("sorted list", f"{page}&sort={_SORT}")):
            yield _first("run", f"first paint of the {name}", browser, server, url, "list")
            with browser.visit(url, "list") as visit:
                places = _draw(sizes.jumps, lambda chance: chance.random())
                times = visit.measure("scrollTo", places)
            yield _row("run", f"jump in the {name}", times, server)


def _bench_nothing(browser: Browser, server: Server, sizes: Sizes) -> Iterator[Row]:
    """What is in every figure: a page that is a line of text, and a frame in which nothing changes."""
    url = f"{server.address}/api/runs"
    yield _first("run", "first paint of a line of text", browser, server, url, "text")
    with browser.visit(url, "text") as visit:
        yield _row("run", "an empty frame", visit.measure("frames", sizes.jumps), server)


def _bench_episode(sizes: Sizes, place: Path) -> Iterator[Row]:
    with (
        browsing() as browser,
        serving(long_episode(sizes.steps, sizes.tokens), place) as server,
    ):
        server.wait_for_index()
        (run,) = server.ask("/api/runs")
        page = f"{server.address}/run/{run['run']}/episode/{LONG}"
        for content in ("messages", "tokens"):
            url = f"{page}?view={content}"
            deep = f"{url}&turn={sizes.steps // 2}"
            yield _first("episode", f"first paint of {content}", browser, server, url, content)
            yield _first("episode", f"first paint of {content}, by a deep link", browser, server, deep, content)  # fmt: skip
            with browser.visit(url, content) as visit:
                turns = _draw(sizes.jumps, lambda chance: chance.randrange(sizes.steps))
                yield _row("episode", f"jump in {content}", visit.measure("turnTo", [content, turns]), server)  # fmt: skip
                if content == "tokens":
                    yield _row("episode", "recolour", visit.measure("recolour", sizes.jumps), server)  # fmt: skip


def _bench_index(sizes: Sizes, place: Path) -> Iterator[Row]:
    place.mkdir()
    run = linked(many_heads(sizes.heads), place / "run")
    with serving(run, place) as server:
        began = time.perf_counter()
        count = server.wait_for_index(every_s=0.5)
        yield _row("index", "index", [time.perf_counter() - began], server, records=count)
        append_heads(run, MORE, first=sizes.heads)
        began = time.perf_counter()
        while server.wait_for_index() < count + MORE:
            time.sleep(0.01)
        yield _row("index", f"{MORE} more", [time.perf_counter() - began], server, records=MORE)


CASES: dict[str, Callable[[Sizes, Path], Iterator[Row]]] = {
    "run": _bench_run,
    "episode": _bench_episode,
    "index": _bench_index,
}
"""What is measured, by its name."""


def _first(case: str, figure: str, browser: Browser, server: Server, url: str, content: str) -> Row:
    times = []
    for _ in range(VISITS):
        with browser.visit(url, content) as visit:
            times.append(visit.first_ms)
    return _row(case, figure, times, server)


def _row(
    case: str, figure: str, times: Sequence[float], server: Server, *, records: int | None = None
) -> Row:
    """Return a row of milliseconds; with `records`, of seconds that were spent on these."""
    milliseconds = [1e3 * each for each in times] if records else list(times)
    return Row(
        case=case,
        figure=figure,
        n=len(times),
        p50_ms=round(statistics.median(milliseconds), 2),
        p95_ms=round(_p95(milliseconds), 2),
        per_second=round(records / times[0], 1) if records else None,
        peak_mb=server.peak_mb,
        load=round(os.getloadavg()[0], 2),
    )


def _p95(times: Sequence[float]) -> float:
    """Return what 95 of 100 do not exceed; of few values, the greatest."""
    return sorted(times)[-(-95 * len(times) // 100) - 1]


def _draw(count: int, one: Callable[[random.Random], float]) -> list[float]:
    chance = random.Random(0)
    return [one(chance) for _ in range(count)]
