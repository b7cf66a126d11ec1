"""What `recredit` and `rescore` have in common: a run that was trained, and who watches."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agentgym.cli.outfile import output_file
from agentgym.cli.output import counted, echo, echo_table, note, one_line, sparkline
from agentgym.cli.plot import draw_lines
from agentgym.cli.progress import Screen

if TYPE_CHECKING:
    from agentgym.config.methods import Methods
    from agentgym.store.run import Run

Last = Annotated[
    int | None, typer.Option("-n", "--last", min=1, help="Only the last optimiser steps.")
]
NoNotes = Annotated[
    bool, typer.Option("--no-notes", help="Write nothing beside the episodes of the run.")
]


def open_training(path: str) -> "tuple[Run, Methods, int]":
    """Return a run, its methods, and how many optimiser steps its record has.

    Raises:
        ConfigError: there is no run, or it was never trained, or its methods are not known here.
        StoreError: it cannot be read.
    """
    from agentgym.cli.recorded import unfinished
    from agentgym.config.methods import recorded_methods
    from agentgym.store.run import Run
    from agentgym.trainers.recompute import count_missing, latest_notes

    run = Run.open(path)
    steps = latest_notes(run.root)
    if not steps:
        raise _untrained(run)
    if warning := unfinished(run):
        note(f"warning: {warning}")
    missing, _ = count_missing(steps, run.step)
    if missing:
        note(
            f"warning: the record lacks {counted(missing, 'optimiser step')}; "
            f"what is there is used (agentgym check run {run.root})"
        )
    return run, recorded_methods(run.config_path), len(steps)


def _untrained(run: "Run") -> Exception:
    from agentgym.errors import ConfigError

    if run.step:
        hint = f"it took {run.step}, but its notes are lost: agentgym check run {run.root}"
    elif run.info.get("kind") == "train":
        hint = f"it stopped before the first one was done: agentgym resume {run.root}"
    else:
        hint = "agentgym run and eval only record episodes; agentgym train leaves what is needed"
    return ConfigError(f"{run.root} has no optimiser step in its record", hint=hint)


def show_different(same: int, steps: int, run: "Run") -> None:
    """Warn where the numbers of the training did not come out again."""
    if same < steps:
        note(
            f"warning: in {steps - same} of {counted(steps, 'optimiser step')} the training's own "
            "method does not give the recorded numbers; what was recorded is compared "
            f"(agentgym check run {run.root})"
        )


@contextmanager
def watched(total: int) -> Iterator[Callable[[int], None]]:
    """Draw how many optimiser steps are done."""
    done = 0
    with Screen(sys.stderr) as screen:

        def tell(step: int) -> None:
            nonlocal done
            done += 1
            screen.draw(f"{done}/{total}  optimiser step {step}")

        yield tell


def draw_by_step(
    report: dict[str, Any],
    methods: dict[str, Any],
    panels: dict[str, str],
    plot: str,
    *,
    force: bool,
) -> None:
    """Draw numbers of methods over the optimiser steps into a file.

    Args:
        report: what `--json` prints.
        methods: of it, those by their labels.
        panels: names in `by_step`, by what is written over them.
        plot: the file.
        force: whether one that is there is replaced.
    """
    curves = {
        title: {label: each["by_step"][name] for label, each in methods.items()}
        for title, name in panels.items()
    }
    with output_file(plot, force=force) as file:
        draw_lines(report["run"], report["steps"], curves, file, kind=Path(plot).suffix[1:])


def show_by_step(methods: dict[str, Any], name: str, *, title: str) -> None:
    """Print a number of methods, by their labels, over the optimiser steps; of one step nothing."""
    curves = {label: each["by_step"][name] for label, each in methods.items()}
    if all(len(values) > 1 for values in curves.values()):
        echo()
        echo_table((f"{title}, by optimiser step", ""), [_curve(*each) for each in curves.items()])


def _curve(label: str, values: list[float]) -> tuple[str, str]:
    return one_line(label, 41), f"{sparkline(values)}  {values[0]:.3g} to {values[-1]:.3g}"


def interval(found: dict[str, Any]) -> str:
    """Write an interval."""
    if found["low"] != found["low"]:
        return "one group says nothing of others"
    return f"[{number(found['low'], sign=True)}, {number(found['high'], sign=True)}]"


def number(value: float, *, sign: bool = False) -> str:
    """Write a number in three places; `-` where there is none."""
    if value != value:
        return "-"
    return f"{value:{'+' if sign else ''}.3f}" if value else "0"
