"""The drawing of `agentgym lab credit --plot`, by matplotlib."""

from math import isnan
from typing import Any, BinaryIO

from agentgym.errors import MissingError
from agentgym.lab.report import Report

_PANELS = {
    "rank": "rank correlation",
    "sign_error": "wrong signs",
    "bias": "bias",
    "variance": "variance",
}


def draw(report: Report, file: BinaryIO, *, kind: str) -> None:
    """Draw each figure against the group size, one line with its interval for each estimator.

    Estimators with the same curves share a line.

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
    curves = alike(report)
    figure = Figure(figsize=(4 * len(_PANELS), 4.6), layout="constrained")
    figure.suptitle(f"{report.about['env']}    {report.about['policy']}", fontsize="small")
    for axes, (key, title) in zip(figure.subplots(1, len(_PANELS)), _PANELS.items(), strict=True):
        for number, names in enumerate(curves):
            _draw_curve(axes, report, names, key, number)
        axes.set(title=title, xlabel="group size", xscale="log")
        axes.set_xticks(report.sizes, [str(size) for size in report.sizes], minor=False)
        axes.minorticks_off()
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, fontsize="x-small")
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


def _draw_curve(axes: Any, report: Report, names: list[str], key: str, number: int) -> None:
    sizes = report.sizes
    figures = [getattr(report.qualities[names[0], size], key) for size in sizes]
    style = {"color": f"C{number % 10}", "linestyle": ("-", "--", ":")[number // 10 % 3]}
    axes.plot(sizes, [each.value for each in figures], label=", ".join(names), **style)
    low, high = [each.low for each in figures], [each.high for each in figures]
    axes.fill_between(sizes, low, high, color=style["color"], alpha=0.05, linewidth=0)
