"""`agentgym envs`: which environments there are, and one of them closely."""

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agentgym.cli.explain import default_of, summary, takes
from agentgym.cli.options import Json
from agentgym.cli.output import echo, echo_json, echo_table, note, one_line, paint, run_aside

if TYPE_CHECKING:
    from agentgym.config.keys import Entry
    from agentgym.env import EnvConfig
    from agentgym.types import ToolSpec

_COLUMNS = ("id", "tiers", "splits", "needs", "description")


def envs(
    env: Annotated[
        str | None,
        typer.Argument(metavar="[ENV]", help="One of them: its configuration and its tools."),
    ] = None,
    json: Json = False,
) -> None:
    """List environments: agentgym's own, and those of packages.

    JSON: [{id, package, description, tiers, splits, needs, class, error}]; of ENV: {id,
    description, tiers, splits, needs, keys: [{name, required, default, type, doc}],
    tools: [{name, description}], error}
    """
    if env is not None:
        _show_one(env, json=json)
        return
    found = list(_all())
    if json:
        echo_json(found)
        return
    working = [each for each in found if each["error"] is None]
    echo_table(_COLUMNS, [[_cell(each[name]) for name in _COLUMNS] for each in working])
    for each in found:
        if each["error"] is not None:
            note(f"broken: {each['id']} of {each['package']}: {one_line(each['error'])}")


def _all() -> Iterator[dict[str, Any]]:
    from agentgym.envs import ENVS
    from agentgym.loading import installed_envs

    for name in sorted(ENVS):
        yield _described(name, package="agentgym", ref=ENVS[name])
    for plugin in installed_envs(ENVS):
        if plugin.problem is not None:
            empty = _blank(plugin.name, package=plugin.package, ref=plugin.ref)
            yield empty | {"error": plugin.problem}
        else:
            yield _described(plugin.name, package=plugin.package, ref=plugin.ref)


def _described(name: str, *, package: str, ref: str) -> dict[str, Any]:
    from agentgym.envs import ENVS
    from agentgym.errors import AgentGymError
    from agentgym.loading import load_env

    blank = _blank(name, package=package, ref=ref)
    try:
        return blank | _facts(load_env(name, ENVS))
    except AgentGymError as error:
        return blank | {"error": str(error)}


def _blank(name: str, *, package: str, ref: str) -> dict[str, Any]:
    return {
        "id": name,
        "package": package,
        "description": "",
        "tiers": (),
        "splits": (),
        "needs": (),
        "class": ref,
        "error": None,
    }


def _facts(config: "type[EnvConfig]") -> dict[str, Any]:
    from agentgym.loading import is_installed

    missing = [f"{name} (missing)" for name in config.packages if not is_installed(name)]
    present = [name for name in config.packages if is_installed(name)]
    sandbox = ["a sandbox"] if config.needs_sandbox else []
    module = sys.modules[config.__module__].__doc__
    return {
        "description": _first_line(module or config.__doc__),
        "tiers": config.tiers,
        "splits": config.splits,
        "needs": (*sandbox, *present, *missing),
    }


def _show_one(env: str, *, json: bool) -> None:
    from agentgym.envs import ENVS
    from agentgym.errors import ConfigError, MissingError, SandboxUnavailable
    from agentgym.loading import load_env

    config = load_env(env, ENVS)
    keys = [
        {
            "name": each.key.removeprefix("env."),
            "required": each.is_required,
            "default": each.default,
            "type": each.type,
            "doc": each.doc,
        }
        for each in _keys(config)
    ]
    facts = {"id": config.id, **_facts(config), "keys": keys}
    try:
        tools = run_aside(_tools(config))
        problem = None
    except (ConfigError, MissingError, SandboxUnavailable) as error:
        tools, problem = (), str(error)
    facts["tools"] = [{"name": tool.name, "description": tool.description} for tool in tools]
    facts["error"] = problem
    if json:
        echo_json(facts)
    else:
        _print_one(config, facts, tools)


def _keys(config: "type[EnvConfig]") -> "list[Entry]":
    from agentgym.config.keys import entries

    return [entry for entry in entries(config, {}, ("env",)) if not entry.is_section]


def _print_one(config: "type[EnvConfig]", facts: dict[str, Any], tools: Any) -> None:
    echo(paint(config.id, "bold"))
    if facts["description"]:
        echo(one_line(facts["description"]))
    echo(f"splits   {', '.join(config.splits)}")
    if config.tiers:
        echo(f"tiers    {', '.join(config.tiers)}")
    if facts["needs"]:
        echo(f"needs    {', '.join(facts['needs'])}")
    low, high = config.reward_range
    echo(f"outcome  {low:g} to {high:g}, success from {config.success:g}")
    echo()
    echo_table(("key", "takes", "default", "meaning"), [_key_row(each) for each in _keys(config)])
    if facts["error"]:
        note(f"tools are not shown: {one_line(facts['error'])}")
    if tools:
        echo()
        echo_table(("tool", "what it does"), [_tool_row(tool) for tool in tools])


def _key_row(entry: "Entry") -> tuple[str, str, str, str]:
    return entry.key, takes(entry), default_of(entry), summary(entry.doc)


def _tool_row(tool: "ToolSpec") -> tuple[str, str]:
    arguments = ", ".join(tool.parameters.get("properties", ()))
    return f"{tool.name}({arguments})", _first_line(tool.description)


async def _tools(config: "type[EnvConfig]") -> "tuple[ToolSpec, ...]":
    """Return the tools that the first task offers; no sandbox is started for this."""
    from agentgym.env import first_tasks
    from agentgym.errors import EnvError, boundary
    from agentgym.loading import configure
    from agentgym.rollout.episode import call_env

    with boundary(EnvError, f"looking at {config.id}"):
        chosen = configure(config, {})
        tasks = first_tasks(chosen, config.splits[0], number=1)
        env = chosen.build(_NoSandboxes() if config.needs_sandbox else None)
        try:
            reset = await call_env(env, env.reset, tasks[0], seed=0) if tasks else None
        finally:
            await call_env(env, env.close)
        return tuple(reset.tools) if reset else ()


class _NoSandboxes:
    """Stands where sandboxes are expected and has none."""

    info: Any = None

    def lease(self, *, fresh: bool = False) -> Any:
        from agentgym.errors import SandboxUnavailable

        raise SandboxUnavailable("no sandbox is started to look at an environment")

    def room(self) -> int:
        return 0

    def scalars(self) -> dict[str, float]:
        return {}

    async def close(self) -> None:
        return


def _first_line(text: str | None) -> str:
    return (text or "").strip().partition("\n")[0]


def _cell(value: Any) -> str:
    return value if isinstance(value, str) else ", ".join(value) or "-"
