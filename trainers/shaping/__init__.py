"""Shaping: raw reward terms of steps become rewards of steps. One shaper a file."""

from typing import Annotated, get_args

from pydantic import Field

from agentgym.trainers.shaping.base import Shaped, ShaperConfig
from agentgym.trainers.shaping.cgrpo import CGRPO
from agentgym.trainers.shaping.datarus import Datarus
from agentgym.trainers.shaping.gated import Gated
from agentgym.trainers.shaping.outcome import Outcome
from agentgym.trainers.shaping.progressive import Progressive
from agentgym.trainers.shaping.searchllm import SearchLLM
from agentgym.trainers.shaping.terms import Terms
from agentgym.trainers.shaping.train_long_think_short import TrainLongThinkShort

__all__ = ["SHAPERS", "AnyShaper", "Shaped", "ShaperConfig"]

_Member = Outcome | Terms | Gated | Progressive | SearchLLM | CGRPO | Datarus | TrainLongThinkShort

AnyShaper = Annotated[_Member, Field(discriminator="name")]
"""Any shaper, by its `name`."""

SHAPERS: dict[str, type[ShaperConfig]] = {
    kind.model_fields["name"].default: kind for kind in get_args(_Member)
}
"""Each member of the union by its name."""
