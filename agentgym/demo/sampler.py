"""An engine that samples what it is told to, and the policy that tells it."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from agentgym.demo.cues import Cue
from agentgym.engine import Engine, SamplingConfig
from agentgym.errors import EngineError
from agentgym.renderer import Renderer
from agentgym.rollout.policy import Reply, TokenPolicy
from agentgym.types import Completion, Message, ToolSpec

Say = Callable[[Sequence[Message]], str]
"""(conversation) -> what is said next."""

_SUMMARY = Message("user", "(what was tried before was left out: see the last answer)")


class Sampler(Engine):
    """Pretends to have sampled `text`; how likely its tokens were is drawn by the request's seed."""

    max_context = 768

    def __init__(
        self,
        encode: Callable[[str], list[int]],
        cue: Cue,
        *,
        version: int,
        given: Sequence[Completion],
    ) -> None:
        self.version = version
        self.text = ""
        self._encode = encode
        self._cue = cue
        self._given = list(given)
        self._turn = -1

    async def generate(
        self,
        token_ids: Sequence[int],
        sampling: SamplingConfig,
        *,
        seed: int,
        stop: Sequence[int] = (),
        session: str | None = None,
    ) -> Completion:
        """Return what was given for this turn, else the text and the stop token."""
        self._turn += 1
        if self._turn == self._cue.breaks_at:
            raise EngineError("the engine died: \x1b[31mCUDA error\x1b[0m: <out of memory>")
        if self._turn < len(self._given):
            return self._given[self._turn]
        ids = [*self._encode(self.text), stop[0]]
        room = min(sampling.max_tokens, self.max_context - len(token_ids))
        kept = tuple(ids[:room])
        return Completion(
            token_ids=kept,
            logprobs=draw_logprobs(len(kept), skill=self._cue.skill, seed=seed),
            finish_reason="stop" if len(ids) <= room else "length",
            versions=self._versions(len(kept)),
        )

    async def load_weights(self, source: Any, *, version: int) -> None:
        """Raise: there are none.

        Raises:
            EngineError: always.
        """
        raise EngineError("this engine has no weights")

    def _versions(self, num_tokens: int) -> tuple[tuple[int, int], ...]:
        at, before = self._cue.switches_at, self.version - 1
        if at is None or self._turn > at:
            return ((0, self.version),)
        is_middle = self._turn == at and num_tokens > 1
        return ((0, before), (num_tokens // 2, self.version)) if is_middle else ((0, before),)


class ToldPolicy(TokenPolicy):
    """Says what it is told to say, and rewrites its context where the cue says so."""

    def __init__(
        self,
        say: Say,
        cue: Cue,
        sampler: Sampler,
        renderer: Renderer,
        sampling: SamplingConfig,
    ) -> None:
        super().__init__(sampler, renderer, sampling, session="")
        self._say = say
        self._sampler = sampler
        self._rewrites = dict(cue.rewrites)
        self._left_out: tuple[int, int, tuple[Message, ...]] = (0, 0, ())
        self._turn = -1

    async def act(
        self, messages: Sequence[Message], tools: Sequence[ToolSpec], *, seed: int
    ) -> Reply:
        """Answer; the engine sees the conversation as it was rewritten last."""
        self._turn += 1
        how = self._rewrites.get(self._turn)
        if how is not None:  # an edit leaves a summary; a branch goes on from the beginning
            opening = sum(message.role != "assistant" for message in messages[:2])
            self._left_out = (opening, len(messages) - 1, (_SUMMARY,) if how == "edit" else ())
        first, stop, summary = self._left_out
        self._sampler.text = self._say(messages)
        seen = [*messages[:first], *summary, *messages[stop:]]
        reply = await super().act(seen, tools, seed=seed)
        if how is not None:
            self.segments[-1].reason = how
        if how == "branch":
            self.segments[-1].parent = 0
        return reply


def draw_logprobs(count: int, *, skill: float, seed: int) -> tuple[float, ...]:
    """Return log-probabilities as float32 values; few tokens are in doubt, and fewer with skill."""
    chance = np.random.default_rng(seed)
    in_doubt = chance.random(count) < 0.45 * (1.1 - skill)
    sizes = np.where(in_doubt, 1.2, 0.03) * chance.exponential(size=count)
    return tuple((-sizes).astype(np.float32).tolist())
