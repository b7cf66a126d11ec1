"""`agentgym bench sandbox`: what sandboxes cost, beside programs that run without one."""

import sys
from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from agentgym.cli.options import Json
from agentgym.cli.output import echo_json, echo_table, is_terminal, note, one_line, run_aside
from agentgym.cli.progress import Screen

if TYPE_CHECKING:
    from agentgym.bench.sandboxes import Row
    from agentgym.sandboxes.backend import PoolSettings

_HEADER = (
    "backend",
    "operation",
    "at once",
    "n",
    "p50 ms",
    "p95 ms",
    "p99 ms",
    "a second",
    "PSS MB",
)


def sandbox(
    backends: Annotated[
        list[str] | None,
        typer.Argument(metavar="[BACKEND]...", help="local, docker; both where both work."),
    ] = None,
    seconds: Annotated[
        float, typer.Option(min=0, help="For each operation of each backend, about.")
    ] = 2.0,
    concurrency: Annotated[
        list[int] | None,
        typer.Option(
            "-c", "--concurrency", min=1, max=256, help="Callers; 1, 8 and 32 by default."
        ),
    ] = None,
    image: Annotated[
        str | None,
        typer.Option(help="One that `agentgym sandbox build` made: python, shell, data."),
    ] = None,
    json: Json = False,
) -> None:
    """Time every operation of sandboxes, and count their memory when idle.

    Backends take turns in one run, beside a plain `python3 -c`, `docker exec` of the same, and
    (start) a bare bwrap.
    start: from nothing to the first reply; lease: the same, where the pool has some ready. fork
    copies a session that has numpy loaded where the image has it: --image data.

    JSON: [{backend, operation, concurrency, n, p50_ms, p95_ms, p99_ms, per_second, pss_mb}]
    """
    configs = [_of_image(config, image) for config in _configs(backends)]
    if not backends:
        configs = run_aside(_that_work(configs))
    with Screen(sys.stderr, show=is_terminal()) as screen:
        rows = run_aside(_measure(configs, concurrency or [1, 8, 32], seconds, screen))
    if json:
        echo_json([row.to_json() for row in rows])
        return
    echo_table(_HEADER, [_cells(row) for row in rows])


async def _measure(
    configs: "Sequence[PoolSettings]", concurrency: Sequence[int], seconds: float, screen: Screen
) -> "list[Row]":
    from agentgym.bench.sandboxes import bench_sandboxes

    rows = []
    measured: AsyncIterator[Row] = bench_sandboxes(
        configs, concurrency=concurrency, seconds=seconds
    )
    async for row in measured:
        rows.append(row)
        screen.draw(f"{row.backend}  {row.operation}  {row.concurrency} at once")
    return rows


def _configs(names: list[str] | None) -> "list[PoolSettings]":
    """Return the backends named, or all that work here.

    Raises:
        ConfigError: there is no such backend.
    """
    from agentgym.errors import ConfigError
    from agentgym.sandboxes import BACKENDS

    unknown = [name for name in names or () if name not in BACKENDS]
    if unknown:
        raise ConfigError(
            f"there is no sandbox {unknown[0]!r}", hint=f"known: {', '.join(BACKENDS)}"
        )
    return [BACKENDS[name]() for name in names or BACKENDS]


def _of_image(config: "PoolSettings", image: str | None) -> "PoolSettings":
    from agentgym.sandboxes.docker.images import tag

    if image is None:
        return config
    return config.model_copy(update={"image": tag(image) if config.name == "docker" else image})


async def _that_work(configs: "Sequence[PoolSettings]") -> "list[PoolSettings]":
    from agentgym.errors import SandboxUnavailable

    working = []
    for config in configs:
        try:
            async with config.model_copy(update={"spares": 0}).build() as pool:
                await pool.probe()
            working.append(config)
        except SandboxUnavailable as error:
            note(f"left out: {config.name}: {one_line(str(error))}")
    return working


def _cells(row: "Row") -> list[object]:
    times = (row.p50_ms, row.p95_ms, row.p99_ms)
    return [
        row.backend,
        row.operation,
        row.concurrency,
        row.n,
        *("" if each is None else f"{each:.2f}" for each in times),
        "" if row.per_second is None else f"{row.per_second:,.0f}",
        "" if row.pss_mb is None else f"{row.pss_mb:.2f}",
    ]
