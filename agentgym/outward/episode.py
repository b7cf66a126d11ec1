"""One episode, driven from outside message by message or call by call."""

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, Self, TypeVar

from agentgym.env import Env, EnvConfig, Reset, add_terms
from agentgym.errors import DeadlineError, EnvError, boundary
from agentgym.rollout.answers import checked_reset, checked_step, checked_terms
from agentgym.rollout.episode import call_env
from agentgym.types import OUTCOME, End, Message, Task, ToolCall

if TYPE_CHECKING:
    from agentgym.sandbox import Sandboxes

R = TypeVar("R")

STEP_S = 120.0
"""A reset, a step or a close that takes longer is a fault."""

logger = logging.getLogger(__name__)


class Turn(NamedTuple):
    """What the environment answered to one message."""

    messages: tuple[Message, ...]
    terms: dict[str, float]
    """The reward terms of this step; empty where nothing was stepped."""
    end: End | None = None
    refused: bool = False
    """Nothing was stepped, because the episode was over."""

    @property
    def text(self) -> str:
        """What a model is shown."""
        return text_of(self.messages)

    @property
    def is_valid(self) -> bool:
        """Whether the environment took the message as it was meant; it says so by `tool_valid`."""
        return not self.refused and self.terms.get("tool_valid") != 0.0


class Episode:
    """An environment that was reset; `close` must follow, and may follow twice.

    Its environment is closed as soon as the episode is over: at its end, by a fault, or when
    whoever waited for a step was cancelled, because nobody knows what state that left behind.
    Messages are taken one at a time; after the end they are answered, and nothing is stepped.
    """

    def __init__(self, config: EnvConfig, task: Task, env: Env, *, step_s: float) -> None:
        self.config = config
        self.task = task
        self.start = Reset(())
        self.turns = 0
        self.terms: dict[str, float] = {}
        """The sums of the reward terms so far, by name."""
        self.end: End | None = None
        self.fault: BaseException | None = None
        """What broke it off, where `end` is "error" and nobody closed it before its time."""
        self._env: Env | None = env
        self._step_s = step_s
        self._turn = asyncio.Lock()
        self._clock: asyncio.Timeout | None = None  # of what the environment does now

    @classmethod
    async def open(
        cls,
        config: EnvConfig,
        task: Task,
        *,
        seed: int,
        sandboxes: "Sandboxes | None" = None,
        step_s: float = STEP_S,
    ) -> Self:
        """Build an environment and reset it.

        Raises:
            EnvError: the environment raised, or gave what is no start.
            DeadlineError: it took too long.
        """
        with boundary(EnvError, f"building {config.id}"):
            env = config.build(sandboxes)
        episode = cls(config, task, env, step_s=step_s)
        episode.start = await episode._ask("reset", env.reset, task, seed=seed, check=checked_reset)
        return episode

    @property
    def reward(self) -> float:
        """The outcome so far."""
        return self.terms.get(OUTCOME, 0.0)

    @property
    def is_fresh(self) -> bool:
        """Whether nothing happened yet."""
        return self.turns == 0 and not self.is_closed

    @property
    def is_busy(self) -> bool:
        """Whether a step is under way."""
        return self._turn.locked()

    @property
    def is_closed(self) -> bool:
        """Whether it holds nothing any more."""
        return self._env is None

    async def call(self, name: str, arguments: str | Mapping[str, Any]) -> Turn:
        """Step with one tool call; arguments are JSON text, which may be broken, or decoded."""
        text = arguments if isinstance(arguments, str) else json.dumps(dict(arguments))
        call = ToolCall(name, text, f"call_{self.turns}")
        return await self.send(Message("assistant", tool_calls=(call,)))

    async def say(self, text: str) -> Turn:
        """Step with a text."""
        return await self.send(Message("assistant", text))

    async def send(self, message: Message) -> Turn:
        """Step with a message of the policy.

        Raises:
            EnvError: the environment raised, or was closed meanwhile; the episode is over.
            DeadlineError: it took too long; the episode is over.
        """
        async with self._turn:
            if self._env is None:
                told = "The episode is over." if self.end != "error" else "The episode broke off."
                return Turn((Message("user", told),), {}, self.end, refused=True)
            answer = await self._ask("step", self._env.step, message, check=checked_step)
            self.turns += 1
            self._add(dict(answer.reward))
            terms = dict(answer.reward)
            if answer.terminated or answer.truncated:
                await self._finish("terminated" if answer.terminated else "truncated")
            elif self.turns >= self.config.max_turns and not self.is_closed:
                terms = add_terms(terms, await self._truncated())
            return Turn(tuple(answer.messages), terms, self.end)

    async def cut(self) -> dict[str, float]:
        """End the episode by a limit of the caller's, and return the last reward terms."""
        async with self._turn:
            return {} if self._env is None else await self._truncated()

    async def close(self) -> None:
        """Free what the environment holds, also when the caller is cancelled.

        A step that is under way is broken off, whoever waits for it.
        """
        env, self._env = self._env, None
        if env is None:
            return
        self.end = self.end or "error"
        if self._clock is not None and not self._clock.expired():
            self._clock.reschedule(asyncio.get_running_loop().time())
        closing = asyncio.ensure_future(self._close(env))
        try:
            await asyncio.shield(closing)
        except asyncio.CancelledError:
            await asyncio.wait([closing])
            raise

    async def _truncated(self) -> dict[str, float]:
        assert self._env is not None
        terms = await self._ask("truncate", self._env.truncate, check=checked_terms)
        self._add(terms)
        await self._finish("truncated")
        return terms

    async def _finish(self, end: End) -> None:
        self.end = end
        await self.close()

    def _add(self, terms: dict[str, float]) -> None:
        self.terms = add_terms(self.terms, terms)

    async def _ask(
        self,
        name: str,
        method: Callable[..., Any],
        *args: Any,
        check: Callable[[Any, str], R],
        **kwargs: Any,
    ) -> R:
        what = f"{name} of {self.config.id}"
        assert self._env is not None
        try:
            return check(
                await self._in_time(what, call_env(self._env, method, *args, **kwargs)), what
            )
        except BaseException as error:
            self.fault = self.fault if self.is_closed else error
            await self.close()
            raise

    async def _in_time(self, what: str, work: Awaitable[Any]) -> Any:
        try:
            async with asyncio.timeout(self._step_s) as self._clock:
                with boundary(EnvError, what):
                    return await work
        except TimeoutError as error:
            if self.is_closed:
                raise EnvError(f"{what} was broken off: the episode was closed") from error
            raise DeadlineError(f"{what} took longer than {self._step_s:g} s") from error
        finally:
            self._clock = None

    async def _close(self, env: Env) -> None:
        try:
            async with asyncio.timeout(self._step_s):
                with boundary(EnvError, f"close of {self.config.id}"):
                    await call_env(env, env.close)
        except Exception:
            logger.exception("closing an episode failed")


def text_of(messages: tuple[Message, ...]) -> str:
    """Return the contents of messages, one under the other, as text that any protocol can carry."""
    text = "\n\n".join(message.content for message in messages)
    return text.encode("utf-8", "replace").decode()
