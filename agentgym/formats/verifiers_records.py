"""The records of verifiers 1, as far as they are read."""

from typing import Any

from pydantic import Field, FiniteFloat

from agentgym.formats.conversation import Tool, text, with_reasoning
from agentgym.formats.reader import Part, Told
from agentgym.types import Message, Role, ToolCall


class Call(Part):
    """A call of a tool."""

    id: str = ""
    name: str
    arguments: str = "{}"


class Said(Part):
    """A message."""

    role: Role
    content: str | list[dict[str, Any]] | None = None
    reasoning_content: str | None = None
    tool_calls: list[Call] | None = None
    tool_call_id: str | None = None

    def to_ours(self, told: Told) -> Message:
        """Return it as ours."""
        calls = (ToolCall(call.name, call.arguments, id=call.id) for call in self.tool_calls or ())
        said = with_reasoning(self.reasoning_content, text(self.content, told))
        return Message(self.role, said, tuple(calls), self.tool_call_id)


class Node(Part):
    """A message, and the tokens that it added to those of its parent."""

    parent: int | None = None
    message: Said
    sampled: bool = False
    tools: list[Tool] = Field(default_factory=list)
    token_ids: list[int] = Field(default_factory=list)
    mask: list[bool] = Field(default_factory=list)
    logprobs: list[FiniteFloat] = Field(default_factory=list)


class Usage(Part):
    """What a server counted; what it read from its cache is not among `prompt_tokens`."""

    prompt_tokens: int | None = None
    cached_input_tokens: int | None = None
    completion_tokens: int | None = None
    cost: FiniteFloat | None = None

    def to_ours(self) -> dict[str, float]:
        """Return it as ours, the cache included."""
        shown = self.prompt_tokens
        found = {
            "prompt_tokens": None if shown is None else shown + (self.cached_input_tokens or 0),
            "completion_tokens": self.completion_tokens,
            "cost": self.cost,
        }
        return {name: float(each) for name, each in found.items() if each is not None}


class Span(Part):
    """Seconds since 1970; 0 where it has not begun or ended."""

    start: FiniteFloat = 0.0
    end: FiniteFloat = 0.0


class ModelCall(Part):
    """A request to a model."""

    node: int | None = None
    model: str | None = None
    finish_reason: str | None = None
    usage: Usage | None = None
    time: Span = Span()
    error: Any = None


class Reward(Part):
    """A reward and what it counts."""

    score: FiniteFloat
    weight: FiniteFloat = 1.0


class Fault(Part):
    """What went wrong."""

    type: str = ""
    message: str = ""


class Agent(Part):
    """Who acted."""

    name: str = "agent"


class TaskRecord(Part):
    """What was asked."""

    data: dict[str, Any] = Field(default_factory=dict)
    key: str | None = None


class Timing(Part):
    """When it was."""

    agent: Span = Span()


class Trace(Part):
    """What one agent did."""

    id: str | None = None
    task: TaskRecord = TaskRecord()
    agent: Agent = Agent()
    tools: list[Tool] = Field(default_factory=list)
    nodes: list[Node]
    calls: list[ModelCall] = Field(default_factory=list)
    rewards: dict[str, Reward | None] = Field(default_factory=dict)
    metrics: dict[str, FiniteFloat | None] = Field(default_factory=dict)
    ok: bool | None = None
    stop_condition: str | None = None
    errors: list[Fault] = Field(default_factory=list)
    timing: Timing = Timing()


class Named(Part):
    """Something with an id."""

    id: str = ""


class PolicySpan(Part):
    """The first and the last version of the policy."""

    start: int
    end: int


class Work(Part):
    """What the episode was for."""

    policy: PolicySpan | None = None


class Run(Part):
    """The run that the episode was for."""

    work: Work = Work()


class Episode(Part):
    """The traces of all agents."""

    id: str | None = None
    env: Named = Named()
    group: Named | None = None
    run: Run = Run()
    traces: list[Trace]
