"""The drawing of `agentgym lab credit --plot`, by matplotlib."""

from math import isnan
from typing import Any, BinaryIO

from numpy import nan_to_num

from agentgym.errors import MissingError
from agentgym.lab.report import Report

_PANELS = {
    "rank": "rank correlation",
    "sign_error": "wrong signs",
    "bias": "bias",
    "variance": "variance",
}


def draw(report: Report, file: BinaryIO, *, kind: str) -> None:
    """Draw each figure of each estimator, a dot for each group size, the darkest the largest.

    That one has its interval. Best ranks stand on top; estimators that differ by positive factors
    only, or not at all, share a row.

    Args:
        report: what was found.
        file: what to write to.
        kind: png, svg or pdf.

    Raises:
        MissingError: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingError(
            "a plot needs the package matplotlib", hint="pip install 'agentgym-framework[plot]'"
        ) from error
    largest = report.sizes[-1]
    rows = sorted(
        alike(report),
        key=lambda names: nan_to_num(report.qualities[names[0], largest].rank.value, nan=-2.0),
    )
    figure = Figure(figsize=(3.2 * len(_PANELS) + 2, 0.24 * len(rows) + 1.6), layout="constrained")
    figure.suptitle(f"{report.about['env']}    {report.about['policy']}", fontsize="small")
    panels = figure.subplots(1, len(_PANELS), sharey=True)
    for axes, (key, title) in zip(panels, _PANELS.items(), strict=True):
        _draw_panel(axes, report, rows, key)
        axes.set_title(title, fontsize="medium")
    panels[0].set_yticks(range(len(rows)), [_label(names) for names in rows], fontsize="x-small")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, title="group size", loc="outside right upper", fontsize="small")
    figure.savefig(file, format=kind, dpi=150)


def alike(report: Report) -> list[list[str]]:
    """Return the estimators, those together whose ranks and signs are the same everywhere.

    They differ by positive factors only, or not at all.
    """
    found: dict[tuple[float | None, ...], list[str]] = {}
    for name in report.names:
        curve = tuple(
            None if isnan(value) else round(value, 6)
            for size in report.sizes
            for quality in [report.qualities[name, size]]
            for value in (quality.rank.value, quality.sign_error.value, quality.bias.value)
        )
        found.setdefault(curve, []).append(name)
    return list(found.values())


def _draw_panel(axes: Any, report: Report, rows: list[list[str]], key: str) -> None:
    places = range(len(rows))
    for number, size in enumerate(report.sizes):
        shade = str(0.8 - 0.8 * (number + 1) / len(report.sizes))
        figures = [getattr(report.qualities[names[0], size], key) for names in rows]
        values = [each.value for each in figures]
        axes.scatter(values, places, s=14, color=shade, label=str(size), zorder=2)
    low, high = [each.low for each in figures], [each.high for each in figures]
    axes.hlines(places, low, high, color="C0", linewidth=1.2, zorder=1)
    axes.grid(axis="both", alpha=0.25)
    axes.tick_params(labelsize="small")


def _label(names: list[str]) -> str:
    """Return the names of a row, as many as there is room for."""
    shown = ", ".join(names[:2])
    return shown if len(names) <= 2 else f"{shown} and {len(names) - 2} more"
