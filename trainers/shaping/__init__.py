"""Shaping: raw reward terms of steps become rewards of steps. One shaper a file."""

from typing import Annotated

from pydantic import Field

from agentgym.trainers.shaping.base import Shaped, ShaperConfig
from agentgym.trainers.shaping.gated import Gated
from agentgym.trainers.shaping.outcome import Outcome
from agentgym.trainers.shaping.progressive import Progressive

__all__ = ["SHAPERS", "AnyShaper", "Shaped", "ShaperConfig"]

AnyShaper = Annotated[Outcome | Gated | Progressive, Field(discriminator="name")]
"""Any shaper, by its `name`."""

SHAPERS: dict[str, type[ShaperConfig]] = {
    "outcome": Outcome,
    "gated": Gated,
    "progressive": Progressive,
}
