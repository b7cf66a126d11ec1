"""`agentgym envs`: which environments there are."""

import sys
from typing import TYPE_CHECKING, Any

from agentgym.cli.options import Json
from agentgym.cli.output import echo_json, echo_table, note, one_line

if TYPE_CHECKING:
    from agentgym.env import EnvConfig


def envs(json: Json = False) -> None:
    """List the environments with their tiers, splits and tools.

    JSON: [{id, description, tiers, splits, tools, needs_sandbox, class, error}]
    """
    from agentgym.envs import ENVS

    found = [_describe(name) for name in sorted(ENVS)]
    if json:
        echo_json(found)
        return
    working = [each for each in found if each["error"] is None]
    columns = ("id", "tiers", "splits", "tools", "description")
    echo_table(columns, [[_cell(each[name]) for name in columns] for each in working])
    for each in found:
        if each["error"] is not None:
            note(f"broken: {each['id']}: {one_line(each['error'])}")


def _describe(name: str) -> dict[str, Any]:
    import asyncio

    from agentgym.envs import ENVS
    from agentgym.errors import AgentGymError
    from agentgym.loading import load_env

    described: dict[str, Any] = {
        "id": name,
        "description": "",
        "tiers": (),
        "splits": (),
        "tools": (),
        "needs_sandbox": None,
        "class": ENVS[name],
        "error": None,
    }
    try:
        config = load_env(name, ENVS)
        return described | {
            "description": _first_line(sys.modules[config.__module__].__doc__ or config.__doc__),
            "tiers": config.tiers,
            "splits": config.splits,
            "needs_sandbox": config.needs_sandbox,
            "tools": asyncio.run(_tools(config)),
        }
    except AgentGymError as error:
        return described | {"error": str(error)}


async def _tools(config: "type[EnvConfig]") -> list[str]:
    """Return the tools that the first task offers; no sandbox is started for this."""
    import inspect
    from itertools import islice

    from agentgym.errors import EnvError, SandboxUnavailable, boundary

    with boundary(EnvError, f"looking at {config.id}"):
        chosen = config()
        task = next(iter(islice(chosen.tasks(config.splits[0]), 1)))
        env = chosen.build(_NoSandboxes() if config.needs_sandbox else None)
        try:
            reset = env.reset(task, seed=0)
            start = await reset if inspect.isawaitable(reset) else reset
        except SandboxUnavailable:
            return []
        finally:
            closing = env.close()
            if inspect.isawaitable(closing):
                await closing
        return [tool.name for tool in start.tools]


class _NoSandboxes:
    """Stands where sandboxes are expected and has none."""

    info: Any = None

    def lease(self, *, fresh: bool = False) -> Any:
        from agentgym.errors import SandboxUnavailable

        raise SandboxUnavailable("no sandbox is started to list environments")

    async def close(self) -> None:
        return


def _first_line(text: str | None) -> str:
    return (text or "").strip().partition("\n")[0]


def _cell(value: Any) -> str:
    return value if isinstance(value, str) else ", ".join(value) or "-"
