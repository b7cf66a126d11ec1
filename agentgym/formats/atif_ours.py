"""What we record of an episode that ATIF has no place for; it stands under `extra.agentgym`."""

from typing import Annotated, Any, Literal

from pydantic import Field, FiniteFloat, PlainValidator

from agentgym.errors import AgentGymError
from agentgym.formats.reader import Part
from agentgym.panels import Panel, checked_panels, panels_from_json
from agentgym.types import End, Role

OURS = "agentgym"
"""The key in `extra`."""


def _panels(given: Any) -> tuple[Panel, ...]:
    """Return what an environment drew, which stands in a file as in the record."""
    try:
        return checked_panels(panels_from_json(given), "the file")
    except (AgentGymError, TypeError, AttributeError) as error:
        raise ValueError(f"expected panels ({error})") from error


_Panels = Annotated[tuple[Panel, ...], PlainValidator(_panels)]


class OurTimings(Part):
    """The wall seconds of a step."""

    generate_s: FiniteFloat = 0.0
    env_s: FiniteFloat = 0.0
    started_s: FiniteFloat = 0.0


class OurStep(Part):
    """What a step of ours has that ATIF has no place for."""

    reward_terms: dict[str, FiniteFloat] = Field(default_factory=dict)
    state_key: str | None = None
    next_state_key: str | None = None
    action_key: str = ""
    agent: str = "policy"
    timed_out: bool = False
    usage: dict[str, FiniteFloat] = Field(default_factory=dict)
    timings: OurTimings = OurTimings()
    finish_reason: Literal["stop", "length"] = "stop"
    versions: list[tuple[int, int]] = Field(default=[(0, 0)], min_length=1)
    panels: _Panels = ()


class OurTask(Part):
    """The task that an episode was about."""

    prompt: str
    id: str
    answer: Any = None
    payload: Any = None
    split: str = "train"
    env: str = ""


class OurSegment(Part):
    """How a stream of tokens came to be; those that turns were shown and said stand with them."""

    turns: int = Field(ge=0)
    """How many turns sampled in it."""
    parent: int | None = None
    reason: Literal["start", "edit", "branch"] = "start"
    rest: list[int] = Field(default_factory=list)
    """The tokens after the last turn, which nobody answered."""


class OurTrajectory(Part):
    """What an episode of ours has that ATIF has no place for."""

    task: OurTask
    id: str = Field(min_length=1, max_length=1000)
    group_id: str
    member: int = 0
    attempt: int = 0
    seed: int = 0
    policy: str = ""
    parent_id: str | None = None
    fork_step: int | None = None
    drift: int = 0
    end: End
    reason: str = ""
    seconds: FiniteFloat = 0.0
    prompt: int = Field(ge=0)
    """How many steps of the file are messages of the prompt."""
    streams: list[OurSegment] = Field(default_factory=list)
    """Written with the tokens that turns were shown."""
    panels: _Panels = ()


class OurMessage(Part):
    """A message whose role ATIF cannot say."""

    role: Role
    tool_call_id: str | None = None


class OurCall(Part):
    """Arguments that are no JSON object, or that would not be written again as they were."""

    arguments: str
