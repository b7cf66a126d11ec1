"""`agentgym check`: does an environment keep its promises?"""

import sys
from contextlib import AsyncExitStack
from itertools import zip_longest
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from agentgym.cli.options import Json, Overrides
from agentgym.cli.output import echo, echo_json, one_line, paint, run_aside
from agentgym.cli.progress import Screen
from agentgym.cli.strict import leave_unless_ok

if TYPE_CHECKING:
    from agentgym.check import Report, Result
    from agentgym.check.checks import Check, Level
    from agentgym.env import EnvConfig
    from agentgym.errors import SandboxUnavailable

_COLOURS = {"passed": "green", "failed": "red", "not_checked": "yellow"}


def check(
    env: Annotated[
        str, typer.Argument(metavar="ENV", help="An id, pkg.mod:Config or path/file.py[:Config].")
    ],
    overrides: Overrides = None,
    level: Annotated[
        Literal["static", "runtime", "semantic"],
        typer.Option(help="How deep: declarations, played episodes, or also what rewards mean."),
    ] = "semantic",
    only: Annotated[
        list[str] | None,
        typer.Option(
            "--only",
            metavar="NAME",
            help="Only this check, by name or number; of a sandbox, a pattern.",
        ),
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="What is not checked is a failure too.")
    ] = False,
    template: Annotated[
        str | None, typer.Option(help="A folder with the tokenizer to render with.")
    ] = None,
    json: Json = False,
) -> None:
    """Check an environment: declarations, behaviour, rewards, tricks.

    Keys are those of the environment, as in env.tier=hard. `agentgym check sandbox local` attacks
    the sandboxes of a backend instead; its keys are as in sandbox.cpus=2. `agentgym check run RUN`
    audits what a run recorded: tokens, masks, advantages.

    JSON: {env, ok, passed, failed, not_checked, checks: [{number, name, promise, status, message,
    where, hint}]}; of a backend: [{name, backend, status, reason}]; of a run: {run, ok, passed,
    failed, not_checked, checks: [{number, name, promise, caught, status, seen, broken, message,
    hint}]}
    """
    from agentgym.errors import ConfigError

    if env == "sandbox":
        from agentgym.cli.check_sandbox import check_sandbox

        if level != "semantic" or template is not None:
            raise ConfigError("--level and --template have no effect on the check of a sandbox")
        check_sandbox(overrides or [], only=only, strict=strict, json=json)
        return
    if env == "run":
        from agentgym.cli.check_run import check_run

        if level != "semantic" or template is not None or only:
            raise ConfigError("--level, --only and --template have no effect on the check of a run")
        check_run(overrides or [], strict=strict, json=json)
        return
    if template is not None:
        _check_folder(template)
    chosen = _chosen(level, only)
    config_class, settings = _load(env, overrides or [])  # not in the loop: Ctrl-C stops an import
    report, missing = run_aside(_check(config_class, settings, chosen, template, show=not json))
    if json:
        echo_json(report.to_json())
    else:
        _print(report)
    leave_unless_ok(report, strict=strict)
    if missing is not None:
        raise missing


def _chosen(level: "Level", only: list[str] | None) -> "tuple[Check, ...]":
    from agentgym.check.checks import at_level, named

    return named(only) if only else at_level(level)


def _check_folder(template: str) -> None:
    from pathlib import Path

    from agentgym.errors import ConfigError

    if not (Path(template) / "tokenizer_config.json").is_file():
        hint = "name a folder of a model, with tokenizer_config.json in it"
        raise ConfigError(f"{template} holds no tokenizer", hint=hint)


async def _check(
    config_class: "type[EnvConfig]",
    settings: dict[str, object],
    checks: "tuple[Check, ...]",
    template: str | None,
    *,
    show: bool,
) -> "tuple[Report, SandboxUnavailable | None]":
    """Return what was found, and why what needs a sandbox could not be checked."""
    from agentgym.check import check_env
    from agentgym.errors import SandboxUnavailable
    from agentgym.sandboxes.local import LocalSandboxConfig, probe

    missing = None
    async with AsyncExitStack() as stack:
        sandboxes = None
        if config_class.needs_sandbox:
            try:
                await probe()
            except SandboxUnavailable as error:
                missing = error
            sandboxes = await stack.enter_async_context(LocalSandboxConfig().build())
        screen = stack.enter_context(Screen(sys.stderr, show=show))
        report = await check_env(
            config_class,
            overrides=settings,
            sandboxes=sandboxes,
            template=template,
            checks=checks,
            on_check=lambda each: screen.draw(f"{each.number:>2}  {each.name}"),
        )
    return report, missing


def _load(env: str, overrides: list[str]) -> "tuple[type[EnvConfig], dict[str, object]]":
    from agentgym.config.overlay import DEFAULT, resolve
    from agentgym.config.run import RunConfig
    from agentgym.config.toml import render_value
    from agentgym.envs import ENVS
    from agentgym.errors import ConfigError
    from agentgym.loading import load_env

    config_class = load_env(env, ENVS)
    if not overrides:
        return config_class, {}
    words = [f"env.id={render_value(env)}", *overrides]
    resolved = resolve(RunConfig, overrides=words)
    for key, source in resolved.provenance.items():
        if source != DEFAULT and not key.startswith("env."):
            hint = f"the keys of [env]: agentgym config explain env {env}"
            raise ConfigError(f"{source}: `{key}` has no effect on a check", hint=hint)
    return config_class, resolved.config.env.config.model_dump(exclude_unset=True)


def _seen(result: "Result") -> str:
    """Return what a check that passed saw, in brackets."""
    seen = one_line(result.message, 60) if result.status == "passed" else ""
    return f" ({seen})" if seen else ""


def _reason(result: "Result") -> tuple[str, ...]:
    """Return the lines that say why a check did not pass."""
    place = f"{result.where}: " if result.where else ""
    hint = (f"hint: {one_line(result.hint)}",) if result.hint else ()
    return (one_line(place + result.message), *hint)


def _print(report: "Report") -> None:
    for result, after in zip_longest(report.results, report.results[1:]):
        status = result.status.replace("_", " ")
        echo(
            f"{paint(status.ljust(11), _COLOURS[result.status])} {result.number:>2}  "
            f"{result.name:<10} {result.promise}{paint(_seen(result), 'dim')}"
        )
        if result.status != "passed" and not (after and _reason(after) == _reason(result)):
            for line in _reason(result):
                echo(f"{'':15} {line}")
    counts = {
        status: report.count(status) for status in dict.fromkeys(r.status for r in report.results)
    }
    listed = ", ".join(f"{count} {status.replace('_', ' ')}" for status, count in counts.items())
    echo(f"{report.env}: {listed}")
