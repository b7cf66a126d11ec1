"""`agentgym bench credit`: what estimators of credit take, beside the reference implementation."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from agentgym.cli.options import Json
from agentgym.cli.output import echo_json, echo_table, is_terminal, note
from agentgym.cli.progress import Screen

if TYPE_CHECKING:
    from agentgym.bench.credit import Row


def credit(
    estimators: Annotated[
        list[str] | None,
        typer.Argument(metavar="[ESTIMATOR]...", help="As credit.name has them; all of them."),
    ] = None,
    shape: Annotated[
        list[str] | None,
        typer.Option(
            metavar="GROUPSxSIZExSTEPS", help="Of the batch; 16x8x50 and 128x16x50 by default."
        ),
    ] = None,
    seconds: Annotated[float, typer.Option(min=0, help="For each figure, about.")] = 0.5,
    json: Json = False,
) -> None:
    """Time estimators from rewards and observations of 500 characters to advantages.

    Each figure has the table of steps in it, and returns where there are any. `gigpo:similar` is
    of one group of 160 observations. Where AGENTGYM_VERL_AGENT names a checkout of verl-agent, its
    GiGPO stands beside; of 128x16x50 that takes minutes.

    JSON: [{estimator, groups, size, steps, seconds, peak_mb}]; peak_mb is null of verl-agent
    """
    from agentgym.bench.credit import SHAPES, bench_credit
    from agentgym.bench.credit_batches import Shape
    from agentgym.bench.credit_reference import load_reference

    names = [_known(name) for name in estimators or ()]
    shapes = [Shape.parse(text) for text in shape or ()] or SHAPES
    rows: list[Row] = []
    with Screen(sys.stderr, show=is_terminal()) as screen:
        try:
            for row in bench_credit(
                shapes, seconds=seconds, names=names or None, reference=load_reference()
            ):
                rows.append(row)
                screen.draw(f"{row.estimator}  {row.groups} x {row.size} x {row.steps}")
        except KeyboardInterrupt:
            if not rows:
                raise
            note("interrupted; the figures so far:")
    _print(rows, json=json)


def _known(name: str) -> str:
    from agentgym.errors import ConfigError
    from agentgym.loading import did_you_mean
    from agentgym.trainers.credit import CREDITS

    if name in CREDITS:
        return name
    close = did_you_mean(name, tuple(CREDITS))
    raise ConfigError(
        f"there is no estimator {name!r}",
        hint=f"did you mean {close!r}?" if close else f"known: {', '.join(CREDITS)}",
    )


def _print(rows: "list[Row]", *, json: bool) -> None:
    if json:
        echo_json([row.to_json() for row in rows])
        return
    echo_table(
        ("estimator", "groups", "size", "steps", "ms", "peak MB"),
        [
            (row.estimator, row.groups, row.size, row.steps, f"{1e3 * row.seconds:.2f}", _mb(row))
            for row in rows
        ],
    )


def _mb(row: "Row") -> str:
    return "" if row.peak_mb is None else f"{row.peak_mb:.1f}"
