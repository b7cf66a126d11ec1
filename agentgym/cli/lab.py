"""`agentgym lab`, and `lab credit`: estimators of credit against true advantages."""

import sys
import time
from contextlib import asynccontextmanager
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agentgym.cli.options import Json, Overrides
from agentgym.cli.outfile import Force, output_file
from agentgym.cli.output import echo, echo_json, echo_table, note, one_line, paint, run_aside
from agentgym.cli.plot import Plot, check_plot
from agentgym.cli.progress import Screen

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from agentgym.config.run import RunConfig
    from agentgym.lab import Experiment, LabSettings, Report
    from agentgym.lab.exact import ExactKeyDoor
    from agentgym.lab.statistics import Figure
    from agentgym.rollout.policy import MakePolicy

app = typer.Typer(help="Look into what is true of a policy.", rich_markup_mode=None)

_SOLVED = ("scripted", "scripted:expert", "scripted:random")


@app.callback()
def _lab() -> None:
    """Look into what is true of a policy."""


def _above_0(value: float) -> float:
    if not value > 0:
        raise typer.BadParameter(f"{value:g} is not above 0")
    return value


@app.command("credit", epilog="Example: agentgym lab credit agentgym/KeyDoor-v0 --epsilon 0.5")
def credit(
    which: Annotated[
        str, typer.Argument(metavar="ENV|RUN", help="An environment, or a run and its checkpoint.")
    ],
    overrides: Overrides = None,
    model: Annotated[
        str | None,
        typer.Option(
            "-m",
            "--model",
            help="scripted, scripted:random or scripted:LEVEL, a model folder, a run or a "
            "checkpoint; of a run its own, of an environment scripted.",
        ),
    ] = None,
    epsilon: Annotated[
        float, typer.Option(min=0, max=1, help="How often a scripted policy acts at random.")
    ] = 0.3,
    tasks: Annotated[int, typer.Option(min=1, help="How many tasks.")] = 20,
    steps: Annotated[int, typer.Option(min=10, help="Steps whose advantage is found.")] = 200,
    continuations: Annotated[
        int, typer.Option(min=2, help="Of each state, where values are sampled.")
    ] = 64,
    draws: Annotated[
        int, typer.Option(min=2, help="How often each estimator is asked about each step.")
    ] = 16,
    size: Annotated[
        list[int] | None,
        typer.Option(min=2, help="Of groups, repeated; 2, 4, 8, 16 and 32 by default."),
    ] = None,
    gamma: Annotated[
        float, typer.Option(max=1, callback=_above_0, help="Discount of the truth, above 0.")
    ] = 1.0,
    minutes: Annotated[
        float, typer.Option(callback=_above_0, help="At most, for playing; above 0.")
    ] = 30.0,
    split: Annotated[str | None, typer.Option(help="Of which tasks; train, if not said.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of all randomness.")] = 0,
    plot: Plot = None,
    force: Force = False,
    json: Json = False,
) -> None:
    """Compare estimators with the true advantages of a policy.

    True are values by dynamic programming for scripted policies on KeyDoor, else by continuations
    from the states that the policy came to. Ctrl-C keeps what is done. Bias and variance are
    shares: of the mean that is no multiple of the truth, and of the square that is chance; wrong
    signs count where the truth has one, and an advantage of 0 counts half.

    JSON: {env, keys, policy, success, turns, episodes, faults, settings, versions, truth: {method,
    steps, tasks, rms, error, ceiling, with_sign, check}, estimators: [{estimator, size, scale,
    bias, variance, rank, sign_error, over: {ESTIMATOR: the rank less its}, raw_bias, raw_variance}],
    left_out, reconstructed}
    """
    from agentgym.lab.plot import draw

    if plot is not None:
        check_plot(plot, force=force)
    settings = _settings(
        tasks=tasks,
        steps=steps,
        continuations=continuations,
        draws=draws,
        gamma=gamma,
        minutes=minutes,
        split=split,
        seed=seed,
        **({"sizes": tuple(size)} if size else {}),
    )
    config, model = _configured(which, model, overrides or [])
    report = _examined(config, model, epsilon, settings)
    if not report.truth["with_sign"]:
        note(
            "warning: no advantage differs from 0, so that there is nothing to estimate; a script "
            "that keeps notes of its own forgets them here: it is begun anew at each step"
        )
    if plot is not None:
        with output_file(plot, force=force) as file:
            draw(report, file, kind=Path(plot).suffix[1:])
    if json:
        echo_json(report.to_json())
    else:
        _print(report)
        if plot is not None:
            echo(f"drawn in {plot}")


def _settings(**given: Any) -> "LabSettings":
    from pydantic import ValidationError

    from agentgym.errors import ConfigError
    from agentgym.lab import LabSettings

    try:
        return LabSettings(**given)
    except ValidationError as error:
        first = error.errors()[0]
        raise ConfigError(f"--{first['loc'][0]} {first['input']}: {first['msg']}") from error


def _configured(which: str, model: str | None, overrides: list[str]) -> "tuple[RunConfig, str]":
    """Return the configuration of an environment or a run, and whose policy is meant."""
    from agentgym.cli.scoring import kind_of, model_folder
    from agentgym.config.overlay import resolve
    from agentgym.config.run import RunConfig, recorded
    from agentgym.config.toml import render_value
    from agentgym.errors import ConfigError
    from agentgym.store.run import Run

    is_run = Path(which).is_dir()
    model = model or (which if is_run else "scripted")
    given = {} if is_run else {"env.id": which}
    match kind_of(model):
        case "local":
            given["model.path"] = str(model_folder(model))
        case "openai":
            raise ConfigError(
                "the lab plays tens of thousands of episodes, which no model behind a URL is for",
                hint="-m scripted, a model folder, a run or a checkpoint",
            )
    words = [*(f"{key}={render_value(value)}" for key, value in given.items()), *overrides]
    if is_run:
        return recorded(Run.open(Path(which)).root / "config.toml", words).config, model
    return resolve(RunConfig, overrides=words).config, model


def _examined(config: "RunConfig", model: str, epsilon: float, settings: "LabSettings") -> "Report":
    """Play, and compare; what is done when somebody interrupts is compared."""
    from agentgym.cli.scoring import kind_of, preflight
    from agentgym.lab import Experiment
    from agentgym.version import __version__

    preflight(config, needs_torch=kind_of(model) == "local")
    is_scripted = kind_of(model) == "scripted"
    progress = _Progress()
    experiment = Experiment(
        config.env.config,
        settings,
        exact=_exact(config, model, epsilon, settings),
        on_progress=progress.on_progress,
    )
    with progress:
        try:
            run_aside(_play(experiment, config, model, epsilon))
        except KeyboardInterrupt:
            note(f"interrupted: {len(experiment.done)} steps are done")
            if not experiment.is_enough:
                raise
        return experiment.report(
            {
                "env": config.env.id,
                "keys": _keys(config),
                "policy": f"{model}, {epsilon:g} at random" if is_scripted else model,
                "versions": {"agentgym": __version__, "python": sys.version.split()[0]},
            }
        )


async def _play(experiment: "Experiment", config: "RunConfig", model: str, epsilon: float) -> None:
    from agentgym.cli.scoring import open_sandboxes

    async with open_sandboxes(config) as sandboxes, _policies(config, model, epsilon) as make:
        await experiment.play(make, sandboxes)


@asynccontextmanager
async def _policies(config: "RunConfig", model: str, epsilon: float) -> "AsyncIterator[MakePolicy]":
    from agentgym.cli.scoring import kind_of, open_policies
    from agentgym.lab.policies import mixed_policies

    if kind_of(model) == "scripted":
        yield mixed_policies(model, epsilon)
        return
    async with open_policies(config, model) as policies:
        yield policies.make


def _exact(
    config: "RunConfig", model: str, epsilon: float, settings: "LabSettings"
) -> "ExactKeyDoor | None":
    from agentgym.envs.keydoor.env import KeyDoorConfig
    from agentgym.lab.exact import ExactKeyDoor

    env = config.env.config
    if not isinstance(env, KeyDoorConfig) or model not in _SOLVED:
        return None
    chance = 1.0 if model == "scripted:random" else epsilon
    return ExactKeyDoor(env, epsilon=chance, gamma=settings.gamma)


def _keys(config: "RunConfig") -> dict[str, Any]:
    return config.env.config.model_dump(mode="json", exclude_defaults=True)


class _Progress(Screen):
    """What is being done, and how fast."""

    def __init__(self) -> None:
        super().__init__(sys.stderr)
        self._what, self._began = "", 0.0

    def on_progress(self, what: str, done: int, total: int) -> None:
        """Take note of how far something is."""
        if what != self._what:
            self._what, self._began = what, time.monotonic()
        rate = done / max(1e-9, time.monotonic() - self._began)
        line = f"{what} {done}/{total}  {rate:.1f}/s"
        self.draw(line)
        if self.is_time_to_say():
            note(line)


def _print(report: "Report") -> None:
    about, truth = report.about, report.truth
    echo(paint(f"{about['env']}  {one_line(about['policy'])}", "bold"))
    echo(f"success {about['success']:.3f}  turns {about['turns']:.1f}")
    echo(
        f"truth   {truth['method']}: {truth['steps']} steps of {truth['tasks']} tasks, "
        f"rms {truth['rms']:.4f}, error {truth['error']:.4f}"
    )
    if "check" in truth:
        check = truth["check"]
        echo(
            f"        by episodes it is off by {check['difference']:.4f}, "
            f"and {check['by_chance']:.4f} is to be expected"
        )
    if truth["error"]:
        low, high = truth["ceiling"]
        echo(f"        a perfect estimator would have a rank of {low:.3f} to {high:.3f} with that")
    echo()
    _print_table(report)
    names = ", ".join(f"{name} ({', '.join(lacks)})" for name, lacks in report.left_out.items())
    echo(f"left out, for want of columns or terms: {names}")


def _print_table(report: "Report") -> None:
    """Print ranks at all sizes, and everything at the one in the middle; the best come first."""
    from agentgym.lab.estimators import reconstructed

    sizes = report.sizes
    middle = sizes[len(sizes) // 2]
    found = {name: report.qualities[name, middle] for name in report.names}
    names = sorted(found, key=lambda name: -found[name].rank.value)
    marked = reconstructed(names)
    echo_table(
        (
            "estimator",
            *(f"rank {size}" for size in sizes),
            f"95 % at {middle}",
            "over grpo",
            "over discounted",
            "wrong signs",
            "bias",
            "variance",
            "scale",
        ),
        [
            (
                name + "*" * (name in marked),
                *(f"{report.qualities[name, size].rank.value:.3f}" for size in sizes),
                _interval(found[name].rank),
                *(_difference(each) for each in found[name].over.values()),
                f"{found[name].sign_error.value:.3f}",
                _known(found[name].bias.value, ".3f"),
                f"{found[name].variance.value:.3f}",
                _known(found[name].scale.value, ".2f"),
            )
            for name in names
        ],
    )
    if marked:
        echo("* reconstructed, in part at least: docs/credit.md")


def _interval(figure: "Figure") -> str:
    return "-" if isnan(figure.low) else f"{figure.low:.3f} to {figure.high:.3f}"


def _difference(figure: "Figure") -> str:
    between = "-" if isnan(figure.low) else f"[{figure.low:+.3f}, {figure.high:+.3f}]"
    return f"{figure.value:+.3f} {between}"


def _known(value: float, places: str) -> str:
    return "-" if isnan(value) else f"{value:{places}}"
