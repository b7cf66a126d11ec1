"""Models behind a URL on the command line: what `-m openai:...` sets, and what its answers took."""

import os
from typing import TYPE_CHECKING, Any

from agentgym.cli.output import echo

if TYPE_CHECKING:
    from agentgym.config.overlay import Resolved
    from agentgym.config.run import RunConfig
    from agentgym.rollout.openai.settings import OpenAIConfig

_URL_VARIABLE = "OPENAI_BASE_URL"
_INEFFECTIVE = {
    "rollout.sampling.temperature": "openai.temperature",
    "rollout.sampling.max_tokens": "openai.max_tokens",
    "rollout.deadlines.generation_s": "openai.timeout_s",
}


def keys_of(model: str) -> dict[str, Any]:
    """Return the keys of the configuration that `openai:MODEL@URL` stands for.

    Raises:
        ConfigError: it is something else.
    """
    from agentgym.rollout.openai.settings import read_reference

    name, url = read_reference(model)
    url = url or os.environ.get(_URL_VARIABLE)
    return {"openai.model": name, **({"openai.url": url} if url else {})}


def refuse_ineffective(resolved: "Resolved[RunConfig]") -> None:
    """Refuse keys that a model behind a URL never hears of.

    Raises:
        ConfigError: there is one.
    """
    from agentgym.config.overlay import DEFAULT
    from agentgym.errors import ConfigError

    for key, other in _INEFFECTIVE.items():
        if resolved.provenance[key] != DEFAULT:
            raise ConfigError(
                f"{resolved.provenance[key]}: `{key}` has no effect on a model behind a URL",
                hint=f"use {other}",
            )


async def knock(config: "OpenAIConfig") -> None:
    """Find out whether there is a server, before a run directory is made.

    Raises:
        ConfigError, MissingError: there is none, or its key is unusable or not there.
    """
    from agentgym.rollout.openai.client import Client

    async with Client(config) as client:
        await client.knock()


def print_usage(usage: dict[str, Any]) -> None:
    """Print what the answers took."""
    tokens = f"{usage['prompt_tokens']:,} prompt and {usage['completion_tokens']:,} completion"
    cost = "" if usage["cost"] is None else f"  cost {usage['cost']:.4g}"
    retries = f"  {usage['retries']} retries" if usage["retries"] else ""
    echo(f"asked    {usage['requests']:,} requests  {tokens} tokens{retries}{cost}")
    if usage["cut"]:
        echo(f"cut      {usage['cut']:,} answers at their limit on tokens; see openai.max_tokens")
