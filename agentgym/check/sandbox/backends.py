"""The backends there are, by name."""

from collections.abc import Mapping
from typing import Any, get_args

from pydantic import TypeAdapter

from agentgym.errors import ConfigError
from agentgym.sandboxes import AnySandbox
from agentgym.sandboxes.backend import PoolSettings


def names() -> list[str]:
    """Return them."""
    union = getattr(AnySandbox, "__origin__", AnySandbox)
    return [str(member.model_fields["name"].default) for member in get_args(union) or (union,)]


def settings_of(values: Mapping[str, Any]) -> PoolSettings:
    """Return the settings of a backend from their values, `name` among them.

    Raises:
        ConfigError: there is no such backend.
    """
    if values.get("name") not in names():
        raise ConfigError(
            f"there is no sandbox backend {values.get('name')!r}",
            hint=f"known: {', '.join(names())}",
        )
    settings: PoolSettings = TypeAdapter(AnySandbox).validate_python(dict(values))
    return settings
