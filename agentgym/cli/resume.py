"""`agentgym resume`: go on with a training that stopped."""

from typing import TYPE_CHECKING, Annotated

import typer

from agentgym.cli.options import Json, Overrides

if TYPE_CHECKING:
    from agentgym.config.overlay import Resolved
    from agentgym.config.run import RunConfig
    from agentgym.store.run import Run

MAY_CHANGE = (
    "train.steps",
    "train.max_seconds",
    "train.tensorboard",
    "checkpoint.every",
    "checkpoint.keep",
    "eval.every",
    "eval.episodes",
    "eval.samples",
    "eval.greedy",
    "rollout.concurrency",
    "rollout.budget.tokens",
    "rollout.budget.seconds",
    "rollout.budget.dollars",
    "rollout.budget.dollars_per_hour",
    "rollout.max_fault_rate",
    "model.device",
    "model.threads",
)
"""Keys that do not decide what the steps already done would have been."""


def resume(
    run: Annotated[str, typer.Argument(metavar="RUN", help="The directory of a training.")],
    overrides: Overrides = None,
    json: Json = False,
) -> None:
    """Go on with a training from its newest checkpoint.

    The configuration is that of the run; only what cannot change the steps done may be set.

    JSON: as of train.
    """
    from agentgym.cli.output import note
    from agentgym.cli.scoring import preflight
    from agentgym.cli.training import report_training, run_training
    from agentgym.errors import ConfigError
    from agentgym.store.run import Run

    before = Run.open(run)
    if before.info.get("kind") != "train":
        hint = "agentgym run and eval leave runs that only record episodes"
        raise ConfigError(f"{before.root} is not a training", hint=hint)
    resolved = _resolve(before, overrides or [])
    config = resolved.config
    if before.status == "finished" and before.step >= config.train.steps:
        note(f"all {before.step} steps are done; for more: agentgym resume {run} train.steps=...")
        report_training(config, before, json=json)
        return
    _warn_of_schedules(before, config)
    sandbox = preflight(config, needs_torch=True)
    with Run.resume(run) as found:
        found.update(sandbox=sandbox)
        if overrides:
            _rewrite(found, resolved)
        run_training(config, found, json=json)


def _resolve(run: "Run", overrides: list[str]) -> "Resolved[RunConfig]":
    from agentgym.config.overlay import flatten
    from agentgym.config.run import recorded
    from agentgym.errors import ConfigError

    resolved = recorded(run.config_path, overrides)
    before = flatten(recorded(run.config_path).config)
    after = flatten(resolved.config)
    changed = [key for key in {**before, **after} if before.get(key) != after.get(key)]
    refused = [key for key in changed if key not in MAY_CHANGE]
    if refused:
        lines = [f"\n{key}: {before.get(key)!r} -> {after.get(key)!r}" for key in refused]
        raise ConfigError(
            f"{run.root} cannot go on with other keys than it began with:{''.join(lines)}",
            hint=f"only these may change: {', '.join(MAY_CHANGE)}; for another run: "
            f"agentgym train {run.config_path} out=... {' '.join(overrides)}",
        )
    return resolved


def _warn_of_schedules(run: "Run", config: "RunConfig") -> None:
    """Tell where the share of the steps that is done jumps, and what is paid with it."""
    from agentgym.cli.output import note
    from agentgym.config.run import recorded

    steps = recorded(run.config_path).config.train.steps
    if config.train.steps != steps and config.shaping.follows_progress:
        note(
            f"warning: train.steps goes from {steps} to {config.train.steps}, so the progress that "
            f"shaping follows jumps from {run.step / max(1, steps):.2f} to "
            f"{run.step / max(1, config.train.steps):.2f}; schedules by competence do not"
        )


def _rewrite(run: "Run", resolved: "Resolved[RunConfig]") -> None:
    from agentgym.config.overlay import render_toml
    from agentgym.store.files import replace_file

    replace_file(run.config_path, render_toml(resolved))
