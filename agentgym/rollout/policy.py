"""Policies: what answers the messages of an environment."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import NamedTuple

from agentgym.engine import Engine, SamplingConfig
from agentgym.env import Env
from agentgym.errors import EngineError
from agentgym.renderer import Renderer
from agentgym.rollout.recall import append_given, recall
from agentgym.types import (
    Completion,
    Message,
    Segment,
    Task,
    ToolSpec,
    Trajectory,
    derive_seed,
)


class Reply(NamedTuple):
    """A policy's answer; `completion` is None when no tokens of ours were sampled."""

    message: Message
    completion: Completion | None = None
    usage: Mapping[str, float] = {}
    """What a foreign model reported: prompt_tokens, completion_tokens, cost, retries."""


class ContextFull(Exception):  # noqa: N818  control flow, not an error
    """Raised by a policy whose context has no room for another answer: the episode is truncated."""

    reason: str = "context"
    """What the record says about the end."""


class Policy(ABC):
    """Acts in one episode."""

    @property
    def keeps_time(self) -> bool:
        """Whether it limits its answers itself: waiting for others is then not the episode's time."""
        return False

    def take_over(self, trajectory: Trajectory, step: int) -> None:
        """Learn, before it acts, that others played the first `step` steps.

        What was said it hears when it acts; there is more to know for those who keep tokens.
        """

    @abstractmethod
    async def act(
        self, messages: Sequence[Message], tools: Sequence[ToolSpec], *, seed: int
    ) -> Reply:
        """Answer the whole conversation so far.

        Raises:
            ContextFull: there is no room left to answer.
            PolicyError, EngineError: the machinery failed.
            BudgetError, ConfigError: it would in every episode; the run ends.
        """

    @property
    def segments(self) -> list[Segment]:
        """The token streams of this episode; empty unless the policy samples tokens of ours."""
        return []

    @property
    def drift(self) -> int:
        """Sampled tokens that are not stored as they were sampled."""
        return 0

    async def close(self) -> None:
        """Free what the episode holds."""


MakePolicy = Callable[[Env, Task, int], Policy]
"""(environment, task, episode seed) -> the policy of one episode."""


class TokenPolicy(Policy):
    """Renders, samples and parses; keeps every token as it was sampled.

    While the conversation only grows, so does the segment. When a message that was already
    rendered changed or vanished, or the renderer would now render it in another way, the
    conversation is rendered anew as another segment, in which earlier answers are given. It is
    called a branch where what comes instead is an answer of the policy: it is asked once more.
    Any of the segments may go on later. What is asked and not answered leaves no trace.
    """

    def __init__(
        self, engine: Engine, renderer: Renderer, sampling: SamplingConfig, *, session: str
    ) -> None:
        self._engine = engine
        self._renderer = renderer
        self._sampling = sampling
        self._session = session
        self._segments: list[Segment] = []
        self._completions: list[Completion | None] = []
        self._said: list[_Said | None] = []

    async def act(
        self, messages: Sequence[Message], tools: Sequence[ToolSpec], *, seed: int
    ) -> Reply:
        """Extend the token stream by what is new and sample the next message."""
        segment, more = self._place(messages, tools)
        token_ids = [*segment.token_ids, *more]
        if len(token_ids) >= self._engine.max_context:
            raise ContextFull
        completion = await self._engine.generate(
            token_ids,
            self._sampling,
            seed=derive_seed(seed, len(self._completions)),
            stop=self._renderer.stop_token_ids,
            session=self._session,
        )
        if not completion.token_ids:
            raise EngineError("the engine returned an empty completion")
        if len(completion.logprobs) != len(completion.token_ids):
            raise EngineError(
                f"the engine returned {len(completion.token_ids)} tokens with "
                f"{len(completion.logprobs)} log-probabilities"
            )
        append_given(segment, more)
        self._record(segment, completion)
        message = self._renderer.parse(completion.token_ids)
        self._remember(segment, _Said([*messages, message], tuple(tools)))
        return Reply(message, completion)

    @property
    def segments(self) -> list[Segment]:
        """The token streams, in order."""
        return self._segments

    @property
    def drift(self) -> int:
        """Compare what is stored with what was sampled, token by token."""
        drift = 0
        for segment in self._segments:
            for step, first, stop in segment.steps:
                stored = segment.token_ids[first:stop]
                completion = self._completions[step]
                sampled = completion.token_ids if completion else ()
                drift += sum(a != b for a, b in zip(stored, sampled, strict=True))
        return drift

    def take_over(self, trajectory: Trajectory, step: int) -> None:
        """Go on in the recorded tokens, where they are of this tokenizer."""
        self._segments, self._completions, said = recall(trajectory, step, self._renderer)
        self._said = [None] * len(self._segments)
        if self._segments:
            self._said[-1] = _Said(said, trajectory.tools)

    async def close(self) -> None:
        """Let the engine forget this episode's cache."""
        await self._engine.release(self._session)

    def _place(
        self, messages: Sequence[Message], tools: Sequence[ToolSpec]
    ) -> tuple[Segment, list[int]]:
        """Return the segment that a conversation goes on in, or another, and what it adds there."""
        for segment, said in zip(reversed(self._segments), reversed(self._said), strict=True):
            if said is None or said.tools != tuple(tools):
                continue
            known = len(said.messages)
            if list(messages[:known]) != said.messages:
                continue
            more = self._renderer.extend(segment.token_ids, messages, tools, known=known)
            if more is not None:
                return segment, more
        return self._other(messages), self._renderer.prompt(messages, tools)

    def _other(self, messages: Sequence[Message]) -> Segment:
        """Return a new segment, and what it has most in common with as its parent."""
        if not self._segments:
            return Segment()
        shared = [said.shared(messages) if said else -1 for said in self._said]
        parent = max(range(len(shared)), key=lambda number: (shared[number], number))
        said = self._said[parent]
        instead = said.messages[shared[parent] :] if said else []
        is_branch = bool(instead) and instead[0].role == "assistant"
        return Segment(reason="branch" if is_branch else "edit", parent=parent)

    def _remember(self, segment: Segment, said: "_Said") -> None:
        """Take note of what a segment says."""
        for number, each in enumerate(self._segments):
            if each is segment:
                self._said[number] = said
                return
        self._segments.append(segment)
        self._said.append(said)

    def _record(self, segment: Segment, completion: Completion) -> None:
        first = len(segment.token_ids)
        segment.token_ids += completion.token_ids
        segment.sampled += [True] * len(completion.token_ids)
        segment.logprobs += completion.logprobs
        segment.steps.append((len(self._completions), first, len(segment.token_ids)))
        self._completions.append(completion)


@dataclass(frozen=True, slots=True)
class _Said:
    """What a segment says, up to its last answer."""

    messages: list[Message]
    tools: tuple[ToolSpec, ...]

    def shared(self, messages: Sequence[Message]) -> int:
        """Return how many messages both begin with."""
        pairs = zip(self.messages, messages, strict=False)
        return len([*takewhile(lambda pair: pair[0] == pair[1], pairs)])
