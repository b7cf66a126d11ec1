"""The records that everything else is made of.

Letters used for shapes, here and in every other file:

    G  trajectories of a group        T_i  steps of trajectory i       S  steps of a batch
    C  tokens of a completion         L    tokens of a segment         N  sampled tokens of a batch
    B  rows of a padded batch         T    columns of a padded batch   V  vocabulary

A *step* is one decision: one message of the policy and the environment's answer to it.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from json.encoder import encode_basestring as _quoted
from typing import Any, Literal

from agentgym.panels import Panel

Role = Literal["system", "user", "assistant", "tool"]
End = Literal["terminated", "truncated", "error"]

OUTSIDE = "outside"
"""The agent of steps that a program from outside led to: what else it did is in no record."""

OUTCOME = "outcome"
"""The reward term that every environment must give: the task's own verdict."""


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One call of a tool, as the model wrote it: `arguments` is JSON text and may be broken."""

    name: str
    arguments: str = "{}"
    id: str = ""


@dataclass(frozen=True, slots=True)
class ToolSpec:
    """What a model is told about a tool; `parameters` is a JSON Schema of type object."""

    name: str
    description: str
    parameters: Mapping[str, Any]

    def to_openai(self) -> dict[str, Any]:
        """Return the OpenAI shape of this tool."""
        return {
            "type": "function",
            "function": {
                "name": self.name,
                "description": self.description,
                "parameters": dict(self.parameters),
            },
        }


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a conversation, in the OpenAI shape."""

    role: Role
    content: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None

    def to_openai(self) -> dict[str, Any]:
        """Return the OpenAI shape, without empty fields."""
        message: dict[str, Any] = {"role": self.role, "content": self.content}
        if self.tool_calls:
            message["tool_calls"] = [
                {
                    "id": call.id,
                    "type": "function",
                    "function": {"name": call.name, "arguments": call.arguments},
                }
                for call in self.tool_calls
            ]
        if self.tool_call_id is not None:
            message["tool_call_id"] = self.tool_call_id
        return message

    @classmethod
    def from_openai(cls, message: Mapping[str, Any]) -> "Message":
        """Read the OpenAI shape."""
        calls = tuple(
            ToolCall(call["function"]["name"], call["function"]["arguments"], call.get("id", ""))
            for call in message.get("tool_calls") or ()
        )
        return cls(
            role=message["role"],
            content=message.get("content") or "",
            tool_calls=calls,
            tool_call_id=message.get("tool_call_id"),
        )


@dataclass(frozen=True, slots=True)
class Task:
    """One problem of an environment.

    `answer` and `payload` must be JSON values: a task is stored with every episode and is all
    that replay needs. `env` and `split` are filled in where tasks are taken from a split
    (`tasks_of`); the id defaults to a digest.
    """

    prompt: str
    id: str = field(default="", kw_only=True)
    answer: Any = field(default=None, kw_only=True)
    payload: Any = field(default=None, kw_only=True)
    split: str = field(default="train", kw_only=True)
    env: str = field(default="", kw_only=True)

    def __post_init__(self) -> None:
        if not self.id:
            object.__setattr__(self, "id", digest(self.prompt, self.answer, self.payload))


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """What an engine sampled for one step."""

    token_ids: tuple[int, ...]
    """[C], the stop token included when it was sampled."""
    logprobs: tuple[float, ...]
    """[C], natural log of softmax(logits / temperature) at the sampled ids, float32 values."""
    finish_reason: Literal["stop", "length"]
    versions: tuple[tuple[int, int], ...] = ((0, 0),)
    """(first token, policy version) pairs; more than one when weights changed in between."""


@dataclass(slots=True, kw_only=True)
class Segment:
    """A stream of tokens that only grew. A rewritten context starts another segment."""

    token_ids: list[int] = field(default_factory=list)
    """[L]"""
    sampled: list[bool] = field(default_factory=list)
    """[L], True exactly where the policy chose the token."""
    logprobs: list[float] = field(default_factory=list)
    """[L], 0.0 where not sampled."""
    steps: list[tuple[int, int, int]] = field(default_factory=list)
    """(step, first, stop): the half-open range of tokens that step sampled here."""
    parent: int | None = None
    """Index of the segment this one was rewritten or branched from."""
    reason: Literal["start", "edit", "branch"] = "start"


@dataclass(slots=True, kw_only=True)
class Timings:
    """Wall seconds of one step."""

    generate_s: float = 0.0
    """Inside the policy, the queue of its engine included."""
    env_s: float = 0.0
    """Inside the environment, tools included."""
    started_s: float = 0.0
    """Seconds since the episode began when this step began."""
    wait_s: float = 0.0
    """Before that, until it was this episode's turn at the engine."""


@dataclass(slots=True, kw_only=True)
class Step:
    """One decision and what came of it."""

    message: Message
    replies: tuple[Message, ...] = ()
    reward_terms: dict[str, float] = field(default_factory=dict)
    """Raw terms, as the environment gave them; the task's own verdict is the term `outcome`."""
    state_key: str | None = None
    """Identifies the state before the action; equal keys mean equal states."""
    next_state_key: str | None = None
    """The state after it; None when no observation followed."""
    action_key: str = ""
    completion: Completion | None = None
    agent: str = "policy"
    timed_out: bool = False
    """A time limit fired inside this step, so that it need not replay equally."""
    usage: dict[str, float] = field(default_factory=dict)
    """What a foreign model reported: prompt_tokens, completion_tokens, cost, retries."""
    timings: Timings = field(default_factory=Timings)
    panels: tuple[Panel, ...] = ()
    """What the environment draws of the state after it."""


@dataclass(slots=True, kw_only=True)
class Trajectory:
    """One episode, complete or ended by a fault."""

    id: str
    task: Task
    group_id: str
    member: int = 0
    attempt: int = 0
    seed: int = 0
    policy: str = ""
    parent_id: str | None = None
    fork_step: int | None = None
    prompt: tuple[Message, ...] = ()
    """The messages of reset."""
    tools: tuple[ToolSpec, ...] = ()
    steps: list[Step] = field(default_factory=list)
    """[T_i]"""
    segments: list[Segment] = field(default_factory=list)
    panels: tuple[Panel, ...] = ()
    """What the environment draws of the state after reset."""
    drift: int = 0
    """Sampled tokens whose stored id differs from the one sampled; 0 by construction."""
    end: End = "truncated"
    reason: str = ""
    """Why it ended: a name such as `max_turns`, or the error."""
    seconds: float = 0.0

    @property
    def task_id(self) -> str:
        """The id of the task."""
        return self.task.id

    @property
    def outcome(self) -> float:
        """The task's own verdict: the sum of the term `outcome` over the steps."""
        return sum(step.reward_terms.get(OUTCOME, 0.0) for step in self.steps)

    @property
    def num_sampled(self) -> int:
        """How many tokens the policy chose."""
        return sum(len(step.completion.token_ids) for step in self.steps if step.completion)

    @property
    def num_shared(self) -> int:
        """How many of these were chosen before the turn at which it left its parent."""
        before = self.steps[: self.fork_step or 0]
        return sum(len(step.completion.token_ids) for step in before if step.completion)

    @property
    def messages(self) -> Iterator[Message]:
        """The whole conversation in order."""
        yield from self.prompt
        for step in self.steps:
            yield step.message
            yield from step.replies

    @property
    def timed_out(self) -> bool:
        """Whether a time limit fired anywhere, so that replay cannot be exact."""
        return self.reason == "episode_deadline" or any(step.timed_out for step in self.steps)


@dataclass(slots=True)
class Group:
    """The trajectories of one task: the unit of relative credit."""

    task: Task
    trajectories: list[Trajectory]
    """[G]"""


canonical_json = json.JSONEncoder(sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode
"""Write JSON values as the one text that all equal values have."""


def digest(*parts: Any) -> str:
    """Return 16 hexadecimal digits that identify JSON values."""
    return _digest(canonical_json(parts))


def digest_texts(texts: Iterable[str]) -> str:
    """Return `digest(list(texts))`, in half the time: an observation is digested at each step."""
    return _digest(f"[[{','.join(map(_quoted, texts))}]]")


_hash = hashlib.blake2b(digest_size=8)  # to copy it takes less than to make another


def _digest(text: str) -> str:
    found = _hash.copy()
    found.update(text.encode("utf-8", "surrogatepass"))
    return found.hexdigest()


_seed_json = json.JSONEncoder(ensure_ascii=False).encode


def derive_seed(*parts: Any) -> int:
    """Return a 63-bit seed that depends on `parts` only: (run seed, task id, member, attempt)."""
    text = _seed_json(parts)
    raw = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(raw, "big") >> 1


def with_env(task: Task, env: str) -> Task:
    """Return the task with its environment filled in."""
    return task if task.env == env else replace(task, env=env)
