"""`agentgym bench rollout`: what is left of an engine's throughput while tools take their time."""

import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer

from agentgym.cli.options import Json
from agentgym.cli.output import echo_json, echo_table, is_terminal, note
from agentgym.cli.progress import Screen

if TYPE_CHECKING:
    from agentgym.bench.rollout import Rate, Row
    from agentgym.engine import EngineConfig
    from agentgym.engines.settings import ModelConfig

_OVERHEAD = "overhead"


def rollout(
    workload: Annotated[
        list[str] | None, typer.Option("-w", "--workload", help="One of them; all.")
    ] = None,
    mode: Annotated[
        list[str] | None, typer.Option(help="One of them, beside raw, which always is; all.")
    ] = None,
    engine: Annotated[
        str | None,
        typer.Option(
            "-e", "--engine", help="NAME[,KEY=VALUE]..., as for bench engine; vllm if installed."
        ),
    ] = None,
    model: Annotated[
        str | None, typer.Option("-m", "--model", help="A model folder; else a tiny one is made.")
    ] = None,
    device: Annotated[str, typer.Option(help="As model.device.")] = "auto",
    streams: Annotated[int, typer.Option(min=1, help="Requests in the engine at once.")] = 32,
    seconds: Annotated[float, typer.Option(min=0.1, help="Counted, in each round.")] = 10.0,
    rounds: Annotated[int, typer.Option(min=1, help="Of each workload.")] = 3,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads of torch.")] = 1,
    json: Json = False,
) -> None:
    """Count tokens and steps per second of rollouts, beside those of the engine alone.

    Workloads: exponential, six turns of 16 to 64 sampled tokens, then a tool of 0.2 s in the mean; longtail, the same but 5 % of the calls take 5 s; overhead, a trivial environment and a scripted policy on one core.

    Modes: raw, the same requests without environments, as many at once as there are streams; lockstep, batches of as many episodes that all wait for the slowest; async, as many episodes; scheduler, as many as agentgym's scheduler finds. In overhead, raw is a bare loop over the environment.

    They take turns, with the same work in every round; medians over rounds are shown. A window of --seconds is counted, as long after the start, while episodes still wait to begin; of lockstep, whole batches.

    JSON: [{workload, mode, tokens_per_second, ratio_to_raw, steps_per_second}]
    """
    from agentgym.bench.rollout import WORKLOADS
    from agentgym.bench.rollout_modes import MODES
    from agentgym.engines.model import check_folder

    workloads = _chosen(workload, (*WORKLOADS, _OVERHEAD), "workload")
    modes = _chosen(["raw", *mode] if mode else None, tuple(MODES), "mode")
    served = [name for name in workloads if name != _OVERHEAD]
    config = _engine(engine, streams=streams) if served else None
    if model is not None:
        check_folder(Path(model).expanduser())
    rows: list[Row] = []
    with TemporaryDirectory(prefix="agentgym-bench-") as folder:
        if _OVERHEAD in workloads:
            from agentgym.bench.rollout_overhead import bench_overhead

            # First, while this process holds nothing that Python's collector would look through.
            rows += bench_overhead(
                seconds=seconds, concurrency=streams, folder=Path(folder) / _OVERHEAD
            )
        if config is not None:
            settings = _model(model, folder, device=device, threads=threads)
            rows += _measure(
                served,
                modes,
                config,
                settings,
                streams=streams,
                seconds=seconds,
                rounds=rounds,
                folder=Path(folder),
            )
    if json:
        echo_json([row.to_json() for row in rows])
        return
    echo_table(
        ("workload", "mode", "tokens/s", "of raw", "steps/s"),
        [
            (
                row.workload,
                row.mode,
                "" if row.tokens_per_second is None else f"{row.tokens_per_second:,.0f}",
                f"{row.ratio_to_raw:.3f}",
                f"{row.steps_per_second:,.0f}",
            )
            for row in rows
        ],
    )


def _chosen(names: list[str] | None, known: tuple[str, ...], what: str) -> list[str]:
    """Return what was named, in the order of those known; all where nothing was."""
    from agentgym.errors import ConfigError

    for name in names or ():
        if name not in known:
            raise ConfigError(f"there is no {what} {name!r}", hint=f"known: {', '.join(known)}")
    return [name for name in known if not names or name in names]


def _engine(text: str | None, *, streams: int) -> "EngineConfig":
    """Return the engine that is meant; it decodes as many at once as there are streams."""
    from agentgym.bench.engine_sides import parse_engine
    from agentgym.loading import is_installed

    config = parse_engine(text or ("vllm,kv_cache_gib=1" if is_installed("vllm") else "local"))
    if "max_batch" in type(config).model_fields and "max_batch" not in config.model_fields_set:
        return config.model_copy(update={"max_batch": streams})
    return config


def _model(path: str | None, folder: str, *, device: str, threads: int) -> "ModelConfig":
    from agentgym.bench.engine_sides import tiny_model
    from agentgym.bench.rollout import MAX_CONTEXT
    from agentgym.bench.rollout_env import TEXTS
    from agentgym.engines.settings import ModelConfig

    if path is None:
        made = tiny_model(Path(folder) / "model", max_context=MAX_CONTEXT, layers=4, texts=TEXTS)
        path = made.path
    return ModelConfig(path=path, device=device, threads=threads)


def _measure(
    workloads: Sequence[str],
    modes: Sequence[str],
    config: "EngineConfig",
    model: "ModelConfig",
    *,
    streams: int,
    seconds: float,
    rounds: int,
    folder: Path,
) -> "list[Row]":
    import asyncio

    from agentgym.bench.engine_sides import open_engines
    from agentgym.bench.rollout import bench_rollouts
    from agentgym.engines.model import load_model
    from agentgym.renderers.chat import ChatRendererConfig

    async def measure() -> "list[Row]":
        tokenizer = load_model(model, with_module=False).tokenizer
        renderer = ChatRendererConfig().build(tokenizer)
        rows: list[Row] = []
        with Screen(sys.stderr, show=is_terminal()) as screen:
            screen.draw(f"starting {config.name}")
            async with open_engines({config.name: config}, model) as engines:
                for workload in workloads:
                    found = bench_rollouts(
                        engines[config.name],
                        renderer,
                        workload=workload,
                        modes=modes,
                        rounds=rounds,
                        seconds=seconds,
                        streams=streams,
                        folder=folder,
                    )
                    async for row, rates in found:
                        rows.append(row)
                        note(_told(row, rates))
        return rows

    return asyncio.run(measure())


def _told(row: "Row", rates: "Sequence[Rate]") -> str:
    """Say what each round came to."""
    found = ", ".join(f"{rate.tokens:,.0f} tokens/s at {rate.requests:.1f}" for rate in rates)
    return f"{row.workload} {row.mode}: {found} requests at once; {row.ratio_to_raw:.3f} of raw"
