"""`agentgym bench view`: how fast the pages of `agentgym view` are, in headless Chromium."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from agentgym.cli.options import Json
from agentgym.cli.output import echo_json, echo_table, is_terminal
from agentgym.cli.progress import Screen

if TYPE_CHECKING:
    from agentgym.bench.view import Row

_HEADER = (
    "case",
    "figure",
    "n",
    "p50 ms",
    "p95 ms",
    "server ms",
    "page ms",
    "a second",
    "peak MB",
    "load",
)


def view(
    cases: Annotated[
        list[str] | None,
        typer.Argument(metavar="[CASE]...", help="run, episode, index; all of them."),
    ] = None,
    episodes: Annotated[int, typer.Option(min=1, help="Of the run.")] = 100_000,
    steps: Annotated[int, typer.Option(min=1, help="Of the long episode.")] = 10_000,
    tokens: Annotated[int, typer.Option(min=1, help="Of the long episode.")] = 1_000_000,
    heads: Annotated[int, typer.Option(min=1, help="Of which an index is made.")] = 1_000_000,
    jumps: Annotated[int, typer.Option(min=1, help="To random places, for each figure.")] = 60,
    json: Json = False,
) -> None:
    """Time the viewer: a server as a process, and its pages in headless Chromium.

    A figure ends where all that is in the window of 1280 x 800 pixels is painted, and nothing stands
    in for what is still to come. First paints begin with the navigation, in a browser that has
    nothing of the page; jumps have 50 ms between them. Processor time of the server and of the
    page's main thread stands beside, which does not grow with the machine's load.

    The runs are drawn once and kept in ~/.cache/agentgym/bench, 1.1 GB; indexes are made anew.

    JSON: [{case, figure, n, p50_ms, p95_ms, server_ms, page_ms, per_second, peak_mb, load}];
    server_ms and page_ms are processor time of each on average, peak_mb is of the server
    """
    from agentgym.bench.view import CASES, Sizes, bench_view

    sizes = Sizes(episodes=episodes, steps=steps, tokens=tokens, heads=heads, jumps=jumps)
    chosen = [_known(case, tuple(CASES)) for case in cases or CASES]
    rows: list[Row] = []
    with Screen(sys.stderr, show=is_terminal()) as screen:
        for row in bench_view(sizes, chosen):
            rows.append(row)
            screen.draw(f"{row.case}  {row.figure}")
    if json:
        echo_json([row.to_json() for row in rows])
        return
    echo_table(_HEADER, [_cells(row) for row in rows])


def _known(case: str, known: tuple[str, ...]) -> str:
    from agentgym.errors import ConfigError

    if case not in known:
        raise ConfigError(f"there is no case {case!r}", hint=f"known: {', '.join(known)}")
    return case


def _cells(row: "Row") -> list[object]:
    return [
        row.case,
        row.figure,
        row.n,
        f"{row.p50_ms:,.1f}",
        f"{row.p95_ms:,.1f}",
        "" if row.server_ms is None else f"{row.server_ms:,.1f}",
        "" if row.page_ms is None else f"{row.page_ms:,.1f}",
        "" if row.per_second is None else f"{row.per_second:,.0f}",
        "" if row.peak_mb is None else f"{row.peak_mb:.0f}",
        row.load,
    ]
