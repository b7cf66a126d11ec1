"""Shaping: raw reward terms of steps become rewards of steps. One shaper a file."""

from typing import Annotated, get_args

from pydantic import Field

from agentgym.trainers.shaping.base import Shaped, ShaperConfig
from agentgym.trainers.shaping.gated import Gated
from agentgym.trainers.shaping.outcome import Outcome
from agentgym.trainers.shaping.progressive import Progressive

__all__ = ["SHAPERS", "AnyShaper", "Shaped", "ShaperConfig"]

AnyShaper = Annotated[Outcome | Gated | Progressive, Field(discriminator="name")]
"""Any shaper, by its `name`."""

SHAPERS: dict[str, type[ShaperConfig]] = {
    kind.model_fields["name"].default: kind for kind in get_args(get_args(AnyShaper)[0])
}
"""Each member of the union by its name."""
