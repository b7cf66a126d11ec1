"""`agentgym check`: does an environment keep its promises?"""

from typing import TYPE_CHECKING, Annotated

import typer

from agentgym.cli.options import Json, Overrides
from agentgym.cli.output import echo, echo_json, one_line, paint

if TYPE_CHECKING:
    from agentgym.check import Report
    from agentgym.env import EnvConfig
    from agentgym.errors import SandboxUnavailable

_RESERVED = {"sandbox": "the attack suite of a sandbox backend", "run": "the audit of a run"}
_COLOURS = {"passed": "green", "failed": "red", "not_checked": "yellow"}


def check(
    env: Annotated[
        str, typer.Argument(metavar="ENV", help="An id, pkg.mod:Config or path/file.py[:Config].")
    ],
    overrides: Overrides = None,
    json: Json = False,
) -> None:
    """Check an environment: schemas, tasks, seeds, rewards, nonsense.

    Keys are those of the environment, as in env.tier=hard.

    JSON: {env, ok, passed, failed, not_checked, checks: [{number, name, promise, status, message,
    where, hint}]}
    """
    import asyncio

    from agentgym.errors import ConfigError

    if env in _RESERVED:
        hint = f"a file or package of this name: agentgym check ./{env}.py"
        raise ConfigError(f"check {env} ({_RESERVED[env]}) is not here yet", hint=hint)
    report, missing = asyncio.run(_check(env, overrides or []))
    if json:
        echo_json(report.to_json())
    else:
        _print(report)
    if not report.ok:
        raise typer.Exit(1)
    if missing is not None:
        raise missing


async def _check(env: str, overrides: list[str]) -> "tuple[Report, SandboxUnavailable | None]":
    """Return what was found, and why what needs a sandbox could not be checked."""
    from agentgym.check import check_env
    from agentgym.errors import SandboxUnavailable
    from agentgym.sandboxes.local import LocalSandboxConfig, probe

    config_class, chosen = _load(env, overrides)
    if not config_class.needs_sandbox:
        return await check_env(config_class, overrides=chosen), None
    missing = None
    try:
        await probe()
    except SandboxUnavailable as error:
        missing = error
    async with LocalSandboxConfig().build() as sandboxes:
        report = await check_env(config_class, overrides=chosen, sandboxes=sandboxes)
    return report, missing


def _load(env: str, overrides: list[str]) -> "tuple[type[EnvConfig], dict[str, object]]":
    from agentgym.config.overlay import resolve
    from agentgym.config.run import RunConfig
    from agentgym.config.toml import render_value
    from agentgym.envs import ENVS
    from agentgym.loading import load_env

    config_class = load_env(env, ENVS)
    if not overrides:
        return config_class, {}
    words = [f"env.id={render_value(env)}", *overrides]
    return config_class, resolve(RunConfig, overrides=words).config.env.config.model_dump(
        exclude_unset=True
    )


def _print(report: "Report") -> None:
    for result in report.results:
        status = result.status.replace("_", " ")
        echo(
            f"{paint(status.ljust(11), _COLOURS[result.status])} {result.number:>2}  "
            f"{result.name:<10} {result.promise}"
        )
        if result.status != "passed":
            place = f"{result.where}: " if result.where else ""
            echo(f"{'':15} {one_line(place + result.message)}")
            if result.hint:
                echo(f"{'':15} hint: {one_line(result.hint)}")
    counts = {
        status: report.count(status) for status in dict.fromkeys(r.status for r in report.results)
    }
    listed = ", ".join(f"{count} {status.replace('_', ' ')}" for status, count in counts.items())
    echo(f"{report.env}: {listed}")
