"""What the events in a log of inspect tell of turns: the tools that were offered, times, usage."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Literal

from pydantic import Field, FiniteFloat, ValidationError

from agentgym.formats.reader import Part, Told, seconds_between
from agentgym.types import Timings


class _Usage(Part):
    """Tokens; those that were read from a cache or written to it are counted apart."""

    input_tokens: int = 0
    input_tokens_cache_read: int | None = None
    input_tokens_cache_write: int | None = None
    output_tokens: int = 0
    total_cost: FiniteFloat | None = None


class _Said(Part):
    id: str | None = None


class _Choice(Part):
    message: _Said


class _Output(Part):
    choices: list[_Choice] = Field(default_factory=list)
    usage: _Usage | None = None
    time: FiniteFloat | None = None


class ModelEvent(Part):
    """A request to a model."""

    event: Literal["model"]
    timestamp: datetime | None = None
    tools: list[Any] = Field(default_factory=list)
    """As they stand there: long descriptions may be attachments."""
    output: _Output = _Output()

    def timings(self, began: datetime | None) -> Timings:
        """Return how long it took, and when it was."""
        return Timings(
            generate_s=max(0.0, self.output.time or 0.0),
            started_s=seconds_between(began, self.timestamp),
        )

    def usage(self) -> dict[str, float]:
        """Return what was counted."""
        found = self.output.usage
        if found is None:
            return {}
        cached = (found.input_tokens_cache_read or 0) + (found.input_tokens_cache_write or 0)
        tokens = {
            "prompt_tokens": float(found.input_tokens + cached),
            "completion_tokens": float(found.output_tokens),
        }
        return tokens if found.total_cost is None else tokens | {"cost": found.total_cost}


def model_events(events: Iterable[Any], told: Told) -> dict[str, ModelEvent]:
    """Return the requests by the id of the message that came of them."""
    found: dict[str, ModelEvent] = {}
    for each in events:
        if not isinstance(each, dict) or each.get("event") != "model":
            continue
        try:
            event = ModelEvent.model_validate(each)
        except ValidationError:
            told["requests in events that cannot be read"] += 1
            continue
        found |= {choice.message.id: event for choice in event.output.choices if choice.message.id}
    return found
