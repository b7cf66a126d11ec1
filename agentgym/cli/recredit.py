"""`agentgym recredit`: other estimators of credit on the steps that a run was trained on."""

from contextlib import nullcontext
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agentgym.cli.options import Json, RunDir
from agentgym.cli.outfile import Force
from agentgym.cli.output import counted, echo, echo_json, echo_table, one_line, paint
from agentgym.cli.plot import Plot, check_plot
from agentgym.cli.recomputed import (
    Last,
    NoNotes,
    draw_by_step,
    interval,
    number,
    open_training,
    show_by_step,
    show_different,
    watched,
)

if TYPE_CHECKING:
    from agentgym.store.run import Run
    from agentgym.trainers.recredit import Recredit


_PANELS = {
    "share of steps with an advantage": "coverage",
    "rank correlation with the trained": "rank",
}


def recredit(
    run: RunDir,
    credit: Annotated[
        list[str],
        typer.Option(
            "--credit",
            metavar="NAME[,KEY=VALUE]...",
            help="Estimators, each with its settings behind it.",
        ),
    ],
    last: Last = None,
    no_notes: NoNotes = False,
    plot: Plot = None,
    force: Force = False,
    json: Json = False,
) -> None:
    """Give credit to what a run recorded by other estimators.

    Nothing is played and no model is loaded: all that is needed is in the record. A word with =
    is a key of the estimator before it, as in credit.KEY=VALUE: salt,history=1,gigpo are two.
    Differences are over the same steps; intervals are of 95 % and over groups. The advantages are
    kept as notes beside the episodes.

    JSON: {run, steps, decisions, same, credits: {LABEL: {credit, sureness, reconstructed, seconds,
    noted, coverage, mean_abs, inside, correlation, rank, same_sign, opposite, differences: {NAME:
    {a, b, difference, low, high}}, by_step: {coverage, rank}}}}; LABEL "trained" is the run's own
    """
    from agentgym.cli.keeping import KeptNotes
    from agentgym.config.methods import parse_credits
    from agentgym.trainers.recredit import KIND, PRODUCER, recredit as try_out

    credits = parse_credits(credit)
    if plot is not None:
        check_plot(plot, force=force)
    found, methods, steps = open_training(run)
    writer = nullcontext() if no_notes else KeptNotes(found.root, producer=PRODUCER, kind=KIND)
    with writer as notes, watched(min(steps, last or steps)) as tell:
        result = try_out(
            found.root,
            credits,
            trained=methods.credit,
            last=last,
            notes=notes,
            on_update=tell,
        )
    report = _report(found, result)
    if plot is not None:
        draw_by_step(report, report["credits"], _PANELS, plot, force=force)
    show_different(report["same"], len(result.steps), found)
    if json:
        echo_json(report)
    else:
        _print(report)
        if plot is not None:
            echo(f"drawn in {plot}")


def _report(run: "Run", result: "Recredit") -> dict[str, Any]:
    return {
        "run": str(run.root),
        "steps": result.steps,
        "decisions": len(result.group),
        "same": result.estimators[0].same,
        "credits": {
            each.label: {
                "credit": each.credit.model_dump(mode="json"),
                "sureness": each.credit.sureness,
                "reconstructed": each.credit.is_reconstructed,
                "seconds": each.seconds,
                "noted": each.noted,
                **result.spread(each)._asdict(),
                **result.agreement(each)._asdict(),
                "differences": {
                    name: difference._asdict()
                    for name, difference in result.differences(each).items()
                },
                "by_step": each.by_step,
            }
            for each in result.estimators
        },
    }


def _print(report: dict[str, Any]) -> None:
    credits = report["credits"]
    echo(
        paint(f"{report['run']}", "bold")
        + f"  {counted(len(report['steps']), 'optimiser step')}, "
        + f"{counted(report['decisions'], 'decision')}; trained with "
        + _settings(credits["trained"]["credit"])
    )
    echo()
    header = (
        "credit",
        "not 0",
        "mean size",
        "inside",
        "correlation",
        "rank",
        "same sign",
        "opposite",
    )
    echo_table(header, [_row(label, each) for label, each in credits.items()])
    others = {label: each for label, each in credits.items() if label != "trained"}
    rows = [
        (_marked(label, found), name, number(each["difference"], sign=True), interval(each))
        for label, found in others.items()
        for name, each in _named(found["differences"])
    ]
    echo()
    echo_table(("less trained, same steps", "", "difference", "95 % interval"), rows)
    show_by_step({_marked(*each): each[1] for each in credits.items()}, "coverage", title="not 0")
    if any(each["reconstructed"] for each in credits.values()):
        echo(paint("\n* reconstructed, in part at least: docs/credit.md", "dim"))
    noted = sum(each["noted"] for each in credits.values())
    echo(paint(f"\n{counted(noted, 'note')} written; inside: share of the variance within", "dim"))
    echo(paint("trajectories; correlation, rank, signs: with the advantages trained on", "dim"))


def _settings(credit: dict[str, Any]) -> str:
    return one_line(str(credit["name"]))


def _marked(label: str, found: dict[str, Any]) -> str:
    return one_line(label, 40) + ("*" if found["reconstructed"] else "")


def _row(label: str, found: dict[str, Any]) -> tuple[str, ...]:
    names = ("coverage", "mean_abs", "inside", "correlation", "rank", "same_sign", "opposite")
    return (_marked(label, found), *(number(found[name]) for name in names))


def _named(differences: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    words = {"coverage": "not 0", "mean_abs": "mean size"}
    return [(words[name], each) for name, each in differences.items()]
