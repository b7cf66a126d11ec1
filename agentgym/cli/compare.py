"""`agentgym compare`: two runs side by side, with intervals."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agentgym.cli.options import Json
from agentgym.cli.outfile import Force, output_file
from agentgym.cli.output import echo, echo_json, note
from agentgym.cli.plot import Plot, check_plot, draw

if TYPE_CHECKING:
    from agentgym.store.run import Run
    from agentgym.trainers.pairs import Played, Result

_BASIC = ("outcome", "turns", "tokens")
_SEED = 0  # of the bootstrap: the same runs always give the same interval


def compare(
    a: Annotated[str, typer.Argument(metavar="RUN", help="A run directory: A.")],
    b: Annotated[str, typer.Argument(metavar="RUN", help="Another one: B.")],
    by: Annotated[
        str, typer.Option(metavar="TERM", help="A reward term; wins and losses are by it.")
    ] = "outcome",
    plot: Plot = None,
    force: Force = False,
    json: Json = False,
) -> None:
    """Compare two runs, task by task where both played the same.

    Differences are B less A; intervals are of 95 % and over tasks, p is exact: McNemar's test where
    a task is one pair. Of a run or an evaluation all episodes count, of a training those of its
    last evaluation, and its curves. Episodes that ended by a fault are left out. Where few tasks
    are the same, the runs are compared unpaired.

    JSON: {a, b: {run, kind, status, env, seed, policy, which, episodes, faults}, paired, pairs,
    tasks, by, wins, ties, losses, p, rates: {a, b: {mean, low, high, n}}, differences: {NAME: {a,
    b, difference, low, high}}, terms: the same of --by TERM, curves: {NAME: {steps, a, b, area}},
    warnings}
    """
    from agentgym.cli.compared import print_comparison
    from agentgym.store.run import Run

    if plot is not None:
        check_plot(plot, force=force)
    runs = (Run.open(a), Run.open(b))
    report = _report(runs, by)
    if plot is not None:
        _draw(report, plot, force=force)
    for warning in report["warnings"]:
        note(f"warning: {warning}")
    if json:
        echo_json(report)
    else:
        print_comparison(report)
        if plot is not None:
            echo(f"drawn in {plot}")


def _draw(report: dict[str, Any], plot: str, *, force: bool) -> None:
    with output_file(plot, force=force) as file:
        draw(report, file, kind=Path(plot).suffix[1:])


def _report(runs: "tuple[Run, Run]", by: str) -> dict[str, Any]:
    from agentgym.cli.curves import common_curves
    from agentgym.errors import ConfigError
    from agentgym.trainers.pairs import result_of

    results = [result_of(run, keep_heads=by not in _BASIC) for run in runs]
    curves = common_curves(*runs)
    report: dict[str, Any] = {
        "a": _about(runs[0], results[0]),
        "b": _about(runs[1], results[1]),
        "paired": None,
        "by": by,
        "differences": {},
        "terms": {},
        "curves": curves,
        "warnings": list(_warnings(runs, results)),
    }
    first, second = results
    if first is None or second is None:
        if not curves:
            missing = runs[0] if first is None else runs[1]
            raise ConfigError(
                f"the training {missing.root} was never evaluated",
                hint=f"agentgym eval {missing.root} leaves a run to compare",
            )
        return report
    return report | _differences(runs, first, second, by, report["warnings"])


def _about(run: "Run", result: "Result | None") -> dict[str, Any]:
    return {
        "run": str(run.root),
        "kind": run.info.get("kind"),
        "status": run.status,
        "env": result.envs[0] if result else run.info.get("env"),
        "seed": run.info.get("seed"),
        "policy": run.info.get("policy"),
        "which": result.which if result else "no evaluation",
        "episodes": len(result.episodes) if result else 0,
        "faults": result.faults if result else 0,
    }


def _warnings(runs: "tuple[Run, Run]", results: "Sequence[Result | None]") -> "list[str]":
    """Return what makes the runs less alike than they should be.

    Raises:
        ConfigError: they are of different environments.
    """
    from agentgym.cli.recorded import env_section, unfinished
    from agentgym.errors import ConfigError

    envs = [result.envs for result in results if result]
    if len(envs) == 2 and envs[0] != envs[1]:
        raise ConfigError(
            f"{runs[0].root} is of {', '.join(envs[0])}, {runs[1].root} of {', '.join(envs[1])}",
            hint="scores of different environments, or versions of one, say nothing of each other",
        )
    found = [text for run in runs if (text := unfinished(run))]
    if runs[0].root.resolve() == runs[1].root.resolve():
        found.append("A and B are the same run")
    sections = [env_section(run) for run in runs]
    for key in {**sections[0], **sections[1]}:
        values = [section.get(key, "not there") for section in sections]
        if key != "id" and values[0] != values[1]:
            found.append(f"env.{key} differs: {values[0]!r} in A, {values[1]!r} in B")
    splits = [result.splits for result in results if result]
    if len(splits) == 2 and splits[0] != splits[1]:
        found.append(f"splits differ: {', '.join(splits[0])} in A, {', '.join(splits[1])} in B")
    versions = [run.info.get("versions", {}).get("agentgym") for run in runs]
    if versions[0] != versions[1]:
        found.append(f"agentgym differs: {versions[0]} in A, {versions[1]} in B")
    for name, result in zip("AB", results, strict=True):
        if result and result.faults:
            found.append(f"{result.faults} episodes of {name} ended by a fault and are left out")
    return found


def _differences(
    runs: "tuple[Run, Run]", first: "Result", second: "Result", by: str, warnings: list[str]
) -> dict[str, Any]:
    from agentgym.trainers.compare import (
        Verdict,
        paired_means,
        paired_rates,
        unpaired_means,
        unpaired_rates,
        verdict,
    )
    from agentgym.trainers.evaluate import wilson
    from agentgym.trainers.pairs import number_tasks

    first_played, second_played, is_paired = _matched(first, second, warnings)
    success = _success(runs, warnings)
    a, b = _columns(runs[0], first_played, by), _columns(runs[1], second_played, by)
    won_a, won_b = a[:, 0] >= success, b[:, 0] >= success
    tasks = [number_tasks(played) for played in (first_played, second_played)]
    if is_paired:
        rates = paired_rates(won_a, won_b, tasks[0])
        means = paired_means(a, b, tasks[0], seed=_SEED)
    else:
        rates = unpaired_rates(won_a, won_b, *tasks)
        means = unpaired_means(a, b, *tasks, seed=_SEED)
    names = [*_BASIC, *([by] if by not in _BASIC else [])]
    won: dict[str, Any] = dict.fromkeys(Verdict._fields)
    if is_paired:
        column = names.index(by)
        better = b[:, column] - a[:, column]
        won = verdict(better, won_b.astype(int) - won_a, tasks[0])._asdict()
    found = dict(zip(names, (each._asdict() for each in means), strict=True))
    return {
        "paired": is_paired,
        "pairs": len(first_played) if is_paired else 0,
        "tasks": [int(each.max()) + 1 for each in tasks],
        **won,
        "rates": {
            side: wilson(won.tolist(), task.tolist())._asdict()
            for side, won, task in zip("ab", (won_a, won_b), tasks, strict=True)
        },
        "differences": {"success": rates._asdict(), **{name: found[name] for name in _BASIC}},
        "terms": {name: found[name] for name in names if name not in _BASIC},
    }


def _matched(
    first: "Result", second: "Result", warnings: list[str]
) -> "tuple[Sequence[Played], Sequence[Played], bool]":
    """Return partners, place by place; all episodes where most of them have none."""
    from agentgym.trainers.pairs import match, pair

    found = match(first.episodes, second.episodes)
    if found is None:
        count = len(pair(first.episodes, second.episodes))
        warnings.append(f"unpaired: only {count} episodes are of the same tasks")
        return first.episodes, second.episodes, False
    left = [len(each.episodes) - len(found[0]) for each in (first, second)]
    if any(left):
        warnings.append(f"without a partner, and left out: {left[0]} of A, {left[1]} of B")
    return *found, True


def _success(runs: "tuple[Run, Run]", warnings: list[str]) -> float:
    """Return the outcome from which an episode is a success; 1 where nobody knows."""
    from agentgym.cli.recorded import env_class
    from agentgym.errors import AgentGymError

    for run in reversed(runs):
        try:
            return env_class(run).success
        except AgentGymError as error:
            reason = error
    warnings.append(
        f"success is taken to be an outcome of 1, for want of the environment: {reason}"
    )
    return 1.0


def _columns(run: "Run", episodes: "Sequence[Played]", by: str) -> Any:
    """Return [n, K] numbers: outcome, turns, tokens, and the sums of the reward term `by`."""
    import numpy as np

    rows: list[tuple[float, ...]] = [(each.outcome, each.turns, each.tokens) for each in episodes]
    if by not in _BASIC:
        terms = _terms(run, episodes, by)
        rows = [(*row, term) for row, term in zip(rows, terms, strict=True)]
    return np.array(rows, dtype=np.float64)


def _terms(run: "Run", episodes: "Sequence[Played]", by: str) -> list[float]:
    """Return the sum of a reward term in each episode; where it never came up, 0.

    Raises:
        ConfigError: no episode of the run has it.
    """
    from agentgym.errors import ConfigError
    from agentgym.loading import did_you_mean
    from agentgym.store.episodes import EpisodeHead, read_episode

    known: set[str] = set()
    sums = []
    for each in episodes:
        assert isinstance(each.head, EpisodeHead)
        steps = read_episode(each.head).steps
        known.update(name for step in steps for name in step.reward_terms)
        sums.append(sum(step.reward_terms.get(by, 0.0) for step in steps))
    if by not in known:
        close = did_you_mean(by, sorted(known))
        listed = f"known: {', '.join(sorted(known))}"
        hint = f"did you mean {close!r}? {listed}" if close else listed
        raise ConfigError(f"no episode of {run.root} has the reward term {by!r}", hint=hint)
    return sums
