"""`agentgym bench sync`: seconds until engines have a trainer's weights."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer

from agentgym.cli.options import Json
from agentgym.cli.output import echo_json, echo_table, note

if TYPE_CHECKING:
    from agentgym.bench.sync import Row
    from agentgym.engine import EngineConfig
    from agentgym.engines.settings import ModelConfig


def sync(
    engines: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[ENGINE]...",
            help="NAME[,KEY=VALUE]..., as engine.name has it; served:NAME behind agentgym serve.",
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option("-m", "--model", help="A model folder; else one of 0.5 B parameters is made."),
    ] = None,
    device: Annotated[str, typer.Option(help="As model.device.")] = "auto",
    rounds: Annotated[int, typer.Option(min=1, help="Syncs that are counted.")] = 5,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads of torch.")] = 1,
    json: Json = False,
) -> None:
    """Time the way of weights from a trainer into engines, and compare what both then compute.

    Engines hold copies of their own, and take turns. The first sync is told apart: it makes files that later ones write again.

    JSON: [{engine, first_s, seconds, low_s, high_s, gap}]
    """
    import asyncio

    from agentgym.bench.engine_sides import TRANSFORMERS, defaults, parse_engine
    from agentgym.bench.sync import half_billion
    from agentgym.engines.settings import ModelConfig

    names = engines or [name for name in defaults() if name != TRANSFORMERS]
    configs = {text: parse_engine(text) for text in names}
    with TemporaryDirectory(prefix="agentgym-bench-") as folder:
        if model is None:
            note("making a model of 0.5 B parameters")
        path = model or half_billion(Path(folder) / "model").path
        settings = ModelConfig(path=path, device=device, dtype="float32", threads=threads)
        rows = asyncio.run(_measure(configs, settings, rounds=rounds))
    if json:
        echo_json([row.to_json() for row in rows])
        return
    echo_table(
        ("engine", "first", "sync", "from", "to", "gap"),
        [
            (
                row.engine,
                *(f"{each:.2f} s" for each in (row.first_s, row.seconds, row.low_s, row.high_s)),
                f"{row.gap:.1e}",
            )
            for row in rows
        ],
    )


async def _measure(
    configs: "dict[str, EngineConfig]", model: "ModelConfig", *, rounds: int
) -> "list[Row]":
    from agentgym.bench.engine_sides import open_engines
    from agentgym.bench.sync import bench_syncs
    from agentgym.engines.model import load_model
    from agentgym.trainers.policy import TrainerPolicy

    policy = TrainerPolicy(load_model(model).model)
    note(f"starting {', '.join(configs)}")
    async with open_engines(configs, model) as engines:
        return await bench_syncs(engines, policy, rounds=rounds)
