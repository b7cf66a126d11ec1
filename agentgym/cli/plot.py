"""The drawing of `--plot`, by matplotlib, which `check_plot` looks for."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, BinaryIO

import typer

from agentgym.cli.curves import worth_showing
from agentgym.cli.outfile import check_output

Plot = Annotated[str | None, typer.Option(metavar="FILE", help="Draw it: .png, .svg or .pdf.")]


def check_plot(plot: str, *, force: bool) -> None:
    """Refuse a plot that could not be written, before work is done for it.

    Raises:
        ConfigError: its name has another end, or it exists already.
        MissingError: matplotlib is not installed.
    """
    from agentgym.errors import ConfigError
    from agentgym.loading import require_installed

    if Path(plot).suffix not in (".png", ".svg", ".pdf"):
        raise ConfigError(f"cannot draw {plot!r}", hint="a plot is a .png, .svg or .pdf")
    require_installed("matplotlib", needed_by="a plot", extra="plot")
    check_output(plot, force=force)


def draw(report: dict[str, Any], file: BinaryIO, *, kind: str) -> None:
    """Draw differences with their intervals, and the curves of trainings, one beside the other.

    Args:
        report: what `agentgym compare --json` prints.
        file: what to write to.
        kind: png, svg or pdf.
    """
    shown = _shown(report)
    panels = [*worth_showing(report["curves"]), *([None] if shown else [])]
    figure = _figure(len(panels))
    figure.suptitle(f"A {report['a']['run']}    B {report['b']['run']}", fontsize="small")
    for axes, name in zip(figure.axes, panels, strict=True):
        if name is None:
            _draw_differences(axes, shown)
        else:
            _draw_curve(axes, name, report["curves"][name])
    figure.savefig(file, format=kind, dpi=150)


def _figure(panels: int) -> Any:
    """Return a figure of panels side by side."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.5 * panels, 3.6), layout="constrained")
    figure.subplots(1, panels)
    return figure


def _shown(report: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """Return the differences that are drawn: of success, and of what wins are counted by."""
    found, terms = report["differences"], report["terms"]
    names = ["success", *([] if terms else [report["by"]])] if found else []
    own = [(f"{name} (reward)", each) for name, each in terms.items()]
    return [(name, found[name]) for name in names] + own


def _draw_curve(axes: Any, name: str, curve: dict[str, Any]) -> None:
    for side in "ab":
        axes.plot(curve["steps"], curve[side], label=side.upper())
    axes.set(title=name, xlabel="optimiser step")
    axes.legend()


def _draw_differences(axes: Any, shown: list[tuple[str, dict[str, Any]]]) -> None:
    for place, (_, found) in enumerate(shown):
        axes.plot([found["low"], found["high"]], [place, place], color="C0")
        axes.plot(found["difference"], place, "o", color="C0")
    axes.axvline(0, color="grey", linewidth=0.8)
    axes.set_yticks(range(len(shown)), [name for name, _ in shown])
    axes.set_ylim(len(shown) - 0.5, -0.5)
    axes.set(title="B - A, 95 % interval")


def draw_lines(
    title: str,
    steps: Sequence[int],
    panels: Mapping[str, Mapping[str, Sequence[float]]],
    file: BinaryIO,
    *,
    kind: str,
) -> None:
    """Draw curves over optimiser steps, one panel beside the other.

    Args:
        title: over all of them.
        steps: what every curve goes over.
        panels: by their titles the curves, by their labels.
        file: what to write to.
        kind: png, svg or pdf.
    """
    figure = _figure(len(panels))
    figure.suptitle(title, fontsize="small")
    for axes, (name, curves) in zip(figure.axes, panels.items(), strict=True):
        for label, values in curves.items():
            axes.plot(steps, values, label=label, marker="." if len(steps) < 20 else None)
        axes.set(title=name, xlabel="optimiser step")
        axes.legend(fontsize="small")
    figure.savefig(file, format=kind, dpi=150)
