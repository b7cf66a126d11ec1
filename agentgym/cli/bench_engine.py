"""`agentgym bench engine`: tokens a second of engines on the same requests."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from agentgym.cli.options import Json
from agentgym.cli.output import echo_json, echo_table, is_terminal
from agentgym.cli.progress import Screen

if TYPE_CHECKING:
    from agentgym.bench.engine import Case, Row
    from agentgym.engine import EngineConfig
    from agentgym.engines.settings import ModelConfig


def engine(
    engines: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[ENGINE]...",
            help="NAME[,KEY=VALUE]..., as engine.name has it; served:NAME behind agentgym serve; transformers, its continuous batching.",
        ),
    ] = None,
    model: Annotated[
        str | None, typer.Option("-m", "--model", help="A model folder; else a tiny one is made.")
    ] = None,
    device: Annotated[str, typer.Option(help="As model.device.")] = "auto",
    case: Annotated[
        list[str] | None, typer.Option("-c", "--case", help="One of the cases; all of them.")
    ] = None,
    rounds: Annotated[int, typer.Option(min=1, help="Of each case.")] = 5,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads of torch.")] = 1,
    json: Json = False,
) -> None:
    """Count the tokens per second that engines sample from the same model.

    The engines take turns; medians over rounds are shown, and their ratio to the first engine. Cases: batch-32 and batch-128, so many requests of 64 tokens that sample 64; turns, 16 episodes of 30 turns, told 30 tokens and sampling 20 in each; prefill, 16 prompts of 1,500 tokens that sample 16; group, the same with 2 prompts for 8 episodes each.

    JSON: [{case, engine, tokens_per_second, low, high, ratio}]
    """
    import asyncio
    from tempfile import TemporaryDirectory

    from agentgym.bench.engine_sides import defaults, parse_engine

    configs = {text: parse_engine(text) for text in engines or defaults()}
    cases = [_known(name) for name in case or ()]
    with TemporaryDirectory(prefix="agentgym-bench-") as folder:
        settings = _model(model, folder, device=device, threads=threads)
        rows = asyncio.run(_measure(configs, settings, cases=cases, rounds=rounds))
    if json:
        echo_json([row.to_json() for row in rows])
        return
    echo_table(
        ("case", "engine", "tokens/s", "from", "to", "of the first"),
        [
            (
                row.case,
                row.engine,
                *(f"{rate:,.0f}" for rate in (row.tokens_per_second, row.low, row.high)),
                f"{row.ratio:.2f}",
            )
            for row in rows
        ],
    )


def _model(path: str | None, folder: str, *, device: str, threads: int) -> "ModelConfig":
    from pathlib import Path

    from agentgym.bench.engine import LONGEST
    from agentgym.bench.engine_sides import tiny_model
    from agentgym.engines.settings import ModelConfig

    found = (
        ModelConfig(path=path)
        if path
        else tiny_model(Path(folder) / "model", max_context=LONGEST + 64)
    )
    return ModelConfig(path=found.path, device=device, threads=threads)


def _known(name: str) -> "Case":
    from agentgym.bench.engine import CASES
    from agentgym.errors import ConfigError

    if name in CASES:
        return CASES[name]
    raise ConfigError(f"there is no case {name!r}", hint=f"known: {', '.join(CASES)}")


async def _measure(
    configs: "dict[str, EngineConfig]", model: "ModelConfig", *, cases: "list[Case]", rounds: int
) -> "list[Row]":
    from agentgym.bench.engine import CASES, bench_engines
    from agentgym.bench.engine_sides import open_engines, vocabulary_of

    rows: list[Row] = []
    with Screen(sys.stderr, show=is_terminal()) as screen:
        screen.draw("starting " + ", ".join(configs))
        async with open_engines(configs, model) as engines:
            found = bench_engines(
                engines,
                cases or list(CASES.values()),
                rounds=rounds,
                vocabulary=vocabulary_of(model),
            )
            async for row in found:
                rows.append(row)
                screen.draw(f"{row.case}  {row.engine}  {row.tokens_per_second:,.0f} tokens/s")
    return rows
