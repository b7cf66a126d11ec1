"""The drawing of `agentgym compare --plot`, by matplotlib."""

from typing import Any

from agentgym.cli.curves import worth_showing


def draw(report: dict[str, Any], path: str) -> None:
    """Draw differences with their intervals, and the curves of trainings, one beside the other.

    Raises:
        MissingError: matplotlib is not installed.
        StoreError: the file cannot be written.
    """
    from agentgym.errors import MissingError, StoreError

    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingError(
            "a plot needs the package matplotlib", hint="pip install 'agentgym-framework[plot]'"
        ) from error
    shown = [name for name in ("success", report["by"]) if name in report["differences"]]
    panels = [*worth_showing(report["curves"]), *([None] if shown else [])]
    figure = Figure(figsize=(4.5 * len(panels), 3.6), layout="constrained")
    figure.suptitle(f"A {report['a']['run']}    B {report['b']['run']}", fontsize="small")
    for axes, name in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        if name is None:
            _draw_differences(axes, report, list(dict.fromkeys(shown)))
        else:
            _draw_curve(axes, name, report["curves"][name])
    try:
        figure.savefig(path, dpi=150)
    except OSError as error:
        raise StoreError(f"cannot write {path}: {error.strerror}") from error


def _draw_curve(axes: Any, name: str, curve: dict[str, Any]) -> None:
    for side in "ab":
        axes.plot(curve["steps"], curve[side], label=side.upper())
    axes.set(title=name, xlabel="optimiser step")
    axes.legend()


def _draw_differences(axes: Any, report: dict[str, Any], names: list[str]) -> None:
    for place, name in enumerate(names):
        found = report["differences"][name]
        axes.plot([found["low"], found["high"]], [place, place], color="C0")
        axes.plot(found["difference"], place, "o", color="C0")
    axes.axvline(0, color="grey", linewidth=0.8)
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set(title="B - A, 95 % interval")
