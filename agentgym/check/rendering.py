"""Check 16: what is said becomes tokens and comes back, under a real chat template."""

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from agentgym.check.report import Failed, NotChecked
from agentgym.check.subject import Subject
from agentgym.engine import Engine, SamplingConfig
from agentgym.env import Env
from agentgym.renderer import Renderer
from agentgym.renderers.chat import ChatRenderer
from agentgym.rollout.policy import Policy, Reply, TokenPolicy
from agentgym.rollout.scripted import scripted_policies
from agentgym.types import Completion, Message, Task, ToolSpec, Trajectory

_MAX_CONTEXT = 1 << 20


async def check_rendering(subject: Subject) -> str:
    """Play through tokens: what a script says is rendered, sampled as such, and parsed again."""
    tasks = await subject.some_tasks()
    policy = "scripted" if await subject.has_expert() else "scripted:random"
    plain = await subject.rollouts(tasks, policy)
    renderer = _renderer(subject.template, plain)

    misread: list[str] = []

    def make(env: Env, task: Task, seed: int) -> Policy:
        return _Spoken(scripted_policies(policy)(env, task, seed), renderer, misread)

    played = await subject.rollouts(tasks, make, what=policy)
    if misread:
        raise Failed(
            misread[0],
            hint="avoid names and texts that the template or the parser of tool calls eats",
        )
    for trajectory in played:
        _check_tokens(trajectory, renderer)
    sampled = sum(each.num_sampled for each in played)
    return f"{sampled} tokens sampled, {subject.template or 'a small template made here'}"


class _Spoken(Policy):
    """A script's messages as the completions of an engine, through the policy that trains."""

    def __init__(self, script: Policy, renderer: Renderer, misread: list[str]) -> None:
        """`misread` is told what did not come back as it was meant."""
        self._script = script
        self._misread = misread
        self._engine = _Dictated()
        self._renderer = renderer
        self._tokens = TokenPolicy(self._engine, renderer, SamplingConfig(), session="check")

    async def act(
        self, messages: Sequence[Message], tools: Sequence[ToolSpec], *, seed: int
    ) -> Reply:
        meant = (await self._script.act(messages, tools, seed=seed)).message
        self._engine.next_ids = self._renderer.complete(meant)
        reply = await self._tokens.act(messages, tools, seed=seed)
        if _said(reply.message) != _said(meant):
            came = _said(reply.message)
            self._misread.append(
                f"{_said(meant)!r:.120} comes back from its tokens as {came!r:.120}"
            )
        return reply

    @property
    def segments(self) -> Any:
        return self._tokens.segments

    @property
    def drift(self) -> int:
        return self._tokens.drift


class _Dictated(Engine):
    """Samples what it is told to."""

    max_context = _MAX_CONTEXT
    next_ids: list[int]

    async def generate(
        self,
        token_ids: Sequence[int],
        sampling: SamplingConfig,
        *,
        seed: int,
        stop: Sequence[int] = (),
        session: str | None = None,
    ) -> Completion:
        ids = tuple(self.next_ids)
        return Completion(token_ids=ids, logprobs=(0.0,) * len(ids), finish_reason="stop")

    async def load_weights(self, source: Any, *, version: int) -> None:
        raise NotImplementedError


def _said(message: Message) -> tuple[str, list[tuple[str, Any]]]:
    calls = [(call.name, json.loads(call.arguments)) for call in message.tool_calls]
    return message.content, calls


def _check_tokens(trajectory: Trajectory, renderer: ChatRenderer) -> None:
    if trajectory.drift:
        raise Failed(f"{trajectory.drift} tokens are not stored as they were sampled")
    for segment in trajectory.segments:
        ranges = {place for _, first, stop in segment.steps for place in range(first, stop)}
        if ranges != {place for place, sampled in enumerate(segment.sampled) if sampled}:
            raise Failed("the mask of the loss does not cover exactly the sampled tokens")
    if len(trajectory.segments) > 1 and renderer.appends == "always":
        raise Failed(
            "the conversation was rewritten in the middle, so that its tokens start anew",
            hint="only append messages",
        )


def _renderer(template: str | None, played: Sequence[Trajectory]) -> ChatRenderer:
    try:
        from transformers import AutoTokenizer

        from agentgym.engines.quiet import quiet
        from agentgym.engines.settings import TinyConfig
        from agentgym.engines.tiny import make_tiny
    except ImportError as error:
        raise NotChecked(
            f"tokens need transformers ({error})", hint="pip install 'agentgym-framework[train]'"
        ) from error
    with tempfile.TemporaryDirectory(prefix="agentgym-check-") as made:
        if template is None:
            texts = [message.content for each in played for message in each.messages]
            tools = [tool for each in played for tool in each.tools]
            make_tiny(Path(made), config=TinyConfig(), texts=texts, tools=tools, seed=0)
        with quiet():
            return ChatRenderer(AutoTokenizer.from_pretrained(template or made))
