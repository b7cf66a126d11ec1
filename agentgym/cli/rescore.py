"""`agentgym rescore`: other rewards for the steps that a run was trained on."""

from contextlib import nullcontext
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agentgym.cli.options import Json, RunDir
from agentgym.cli.outfile import Force
from agentgym.cli.output import (
    counted,
    echo,
    echo_json,
    echo_table,
    note,
    one_line,
    paint,
)
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
    from agentgym.trainers.rescore import Rescore, Rescored


_PANELS = {
    "mean return": "reward",
    "share of groups with equal returns": "equal",
}


def rescore(
    run: RunDir,
    shaping: Annotated[
        list[str],
        typer.Option(
            "--shaping",
            metavar="NAME[,KEY=VALUE]...",
            help="Shapers, each with its settings behind it.",
        ),
    ],
    last: Last = None,
    no_notes: NoNotes = False,
    plot: Plot = None,
    force: Force = False,
    json: Json = False,
) -> None:
    """Reward what a run recorded by other shapers.

    Nothing is played and no model is loaded: the raw reward terms are in the record. A word with =
    is a key of the shaper before it, as in shaping.KEY=VALUE; commas in brackets and quotes belong
    to values. Advantages are by the estimator of the training. Differences are over the same
    episodes; intervals are of 95 % and over groups. The rewards are kept as notes beside the
    episodes.

    JSON: {run, steps, episodes, pairs, same, shapers: {LABEL: {shaping, missing, noted, reward, equal,
    with_outcome, inverted, difference: {a, b, difference, low, high}, advantages: {correlation,
    rank, same_sign, opposite} or null, gates, by_step: {reward, equal}}}}; LABEL "trained" is the
    run's own
    """
    from agentgym.cli.keeping import KeptNotes
    from agentgym.config.methods import parse_shapers
    from agentgym.trainers.rescore import KIND, PRODUCER, rescore as try_out

    shapers = parse_shapers(shaping)
    if plot is not None:
        check_plot(plot, force=force)
    found, methods, steps = open_training(run)
    writer = nullcontext() if no_notes else KeptNotes(found.root, producer=PRODUCER, kind=KIND)
    with writer as notes, watched(min(steps, last or steps)) as tell:
        result = try_out(
            found.root,
            shapers,
            trained=methods.shaping,
            credit=methods.credit,
            last=last,
            notes=notes,
            on_update=tell,
        )
    report = _report(found, result)
    if plot is not None:
        draw_by_step(report, report["shapers"], _PANELS, plot, force=force)
    for label, each in report["shapers"].items():
        for name in each["missing"]:
            terms = ", ".join(sorted(result.terms)) or "none"
            note(
                f"warning: {label}: no step has the term {name!r}, which pays 0; there are: {terms}"
            )
    show_different(report["same"], len(result.steps), found)
    if json:
        echo_json(report)
    else:
        _print(report)
        if plot is not None:
            echo(f"drawn in {plot}")


def _report(run: "Run", result: "Rescore") -> dict[str, Any]:
    return {
        "run": str(run.root),
        "steps": result.steps,
        "episodes": len(result.group),
        "pairs": result.pairs,
        "same": result.shapers[0].same,
        "shapers": {each.label: _about(each, result) for each in result.shapers},
    }


def _about(found: "Rescored", result: "Rescore") -> dict[str, Any]:
    agreement = result.agreement(found)
    return {
        "shaping": found.shaping.model_dump(mode="json"),
        "missing": result.missing(found),
        "noted": found.noted,
        "reward": float(result.returns(found).mean()),
        "equal": _mean(found.by_step["equal"]),
        "with_outcome": result.with_outcome(found),
        "inverted": found.inverted / result.pairs if result.pairs else float("nan"),
        "difference": result.difference(found)._asdict(),
        "advantages": agreement and agreement._asdict(),
        "gates": {name: _mean(values) for name, values in found.gates.items()},
        "by_step": found.by_step,
    }


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


def _print(report: dict[str, Any]) -> None:
    shapers = report["shapers"]
    echo(
        paint(report["run"], "bold")
        + f"  {counted(len(report['steps']), 'optimiser step')}, "
        + f"{counted(report['episodes'], 'episode')}; trained with "
        + one_line(str(shapers["trained"]["shaping"]["name"]))
    )
    echo()
    header = ("shaping", "return", "equal", "with outcome", "inverted", "rank", "opposite")
    echo_table(header, [_row(label, each) for label, each in shapers.items()])
    rows = [
        (label, number(each["difference"]["difference"], sign=True), interval(each["difference"]))
        for label, each in shapers.items()
        if label != "trained"
    ]
    echo()
    echo_table(("less trained, same episodes", "return", "95 % interval"), rows)
    gates = [
        (label, name, number(value))
        for label, each in shapers.items()
        for name, value in each["gates"].items()
    ]
    if gates:
        echo()
        echo_table(("gated", "term", "counted"), gates)
    show_by_step(shapers, "equal", title="equal")
    noted = sum(each["noted"] for each in shapers.values())
    echo(
        paint(
            f"\n{counted(noted, 'note')} written; equal: groups whose returns are all equal;", "dim"
        )
    )
    echo(
        paint(
            "inverted: pairs of a group in which the worse outcome is paid more; rank, opposite:",
            "dim",
        )
    )
    echo(paint("the advantages that this leads to, beside those trained on", "dim"))


def _row(label: str, found: dict[str, Any]) -> tuple[str, ...]:
    names = ("reward", "equal", "with_outcome", "inverted")
    advantages = found["advantages"] or {}
    nothing = float("nan")
    return (
        one_line(label, 40),
        *(number(found[name]) for name in names),
        *(number(advantages.get(name, nothing)) for name in ("rank", "opposite")),
    )
