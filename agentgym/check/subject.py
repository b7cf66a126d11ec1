"""The environment under test, and how the checks play it."""

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import ValidationError

from agentgym.check.places import file_of, place_of
from agentgym.check.played import Episode, Turn
from agentgym.check.report import Failed, NotChecked
from agentgym.check.shapes import checked_reset, checked_step
from agentgym.env import Env, EnvConfig, Reset
from agentgym.errors import ConfigError
from agentgym.rollout.episode import call_env
from agentgym.rollout.policy import MakePolicy
from agentgym.rollout.scripted import scripted_policies
from agentgym.tools import on_thread
from agentgym.types import Message, Task, with_env

if TYPE_CHECKING:
    from agentgym.sandbox import Sandboxes

_TIMEOUT_S = 60.0
_TASKS_PER_SPLIT = 2

R = TypeVar("R")


class Subject:
    """One environment, configured, and where its sandboxes come from."""

    def __init__(
        self,
        config_class: type[EnvConfig],
        *,
        overrides: Mapping[str, Any],
        sandboxes: "Sandboxes | None",
    ) -> None:
        self.config_class = config_class
        self.overrides = dict(overrides)
        self.sandboxes = sandboxes
        file = file_of(config_class)
        self.folder = file.parent if file else None
        self._episodes: list[Episode] | None = None

    @property
    def config(self) -> EnvConfig:
        """The configuration.

        Raises:
            NotChecked: it cannot be made.
        """
        try:
            return self.config_class(**self.overrides)
        except ValidationError as error:
            raise NotChecked("the configuration cannot be made: see check 3") from error

    async def tasks(self, config: EnvConfig, split: str, *, number: int) -> list[Task]:
        """Return the first tasks of a split."""

        def take() -> list[Task]:
            return list(islice(config.tasks(split), number))

        return await _limited(on_thread(take), f"making {number} tasks of {split!r}")

    async def some_tasks(self) -> list[Task]:
        """Return a few tasks of every split.

        Raises:
            NotChecked: there are none.
        """
        try:
            tasks = [
                with_env(task, self.config.id)
                for split in self.config.splits
                for task in await self.tasks(self.config, split, number=_TASKS_PER_SPLIT)
            ]
        except NotChecked:
            raise
        except Exception as error:
            raise NotChecked("no tasks can be made: see check 5") from error
        if not tasks:
            raise NotChecked("there are no tasks: see check 5")
        return tasks

    @asynccontextmanager
    async def open(self, task: Task, *, seed: int) -> AsyncIterator[tuple[Env, Reset]]:
        """Hold an environment whose episode has begun; findings inside are attributed to it."""
        if self.config.needs_sandbox and self.sandboxes is None:
            raise NotChecked("it needs a sandbox, and there is none")
        env = self.config.build(self.sandboxes)
        if not isinstance(env, Env):
            raise Failed(f"build returned {type(env).__name__}, expected an Env")
        try:
            reset = await _limited(call_env(env, env.reset, task, seed=seed), "reset")
            yield env, checked_reset(reset)
        except Failed as finding:
            finding.where = finding.where or place_of(type(env))
            raise
        finally:
            closing = env.close()
            if inspect.isawaitable(closing):
                await closing

    async def step(self, env: Env, reset: Reset, message: Message) -> Turn:
        """Let the environment answer one message."""
        state_key, action_key = env.state_key(), env.action_key(message)
        raw = await _limited(call_env(env, env.step, message), "step")
        answer = checked_step(raw, message, has_tools=bool(reset.tools))
        turn = Turn(
            message, state_key, action_key, answer, env.state_key() if answer.messages else None
        )
        for name in ("state_key", "next_state_key"):
            if not isinstance(getattr(turn, name), str | None):
                raise Failed(f"state_key() returned {getattr(turn, name)!r}, expected a str")
        if not isinstance(action_key, str):
            raise Failed(f"action_key() returned {action_key!r}, expected a str")
        return turn

    async def play(
        self, task: Task, *, seed: int, policy: str, messages: Sequence[Message] | None = None
    ) -> Episode:
        """Play one episode with a scripted policy, or say `messages` one after the other."""
        config = self.config
        async with self.open(task, seed=seed) as (env, reset):
            episode = Episode(
                policy=policy, task=task, seed=seed, where=place_of(type(env)), reset=reset
            )
            choose = _choose(env, episode, messages)
            for _ in range(config.max_turns if messages is None else len(messages)):
                turn = await self.step(env, reset, await choose())
                episode.turns.append(turn)
                if turn.answer.terminated or turn.answer.truncated:
                    break
        return episode

    async def play_all(self) -> list[Episode]:
        """Play a few tasks with the expert, if there is one, with chance and with silence."""
        return [
            await self.play(task, seed=seed, policy=policy)
            for seed, task in enumerate(await self.some_tasks())
            for policy in await self._policies(task)
        ]

    async def episodes(self) -> list[Episode]:
        """Return what `play_all` played.

        Raises:
            NotChecked: no episode can be played.
        """
        if self._episodes is None:
            try:
                self._episodes = await self.play_all()
            except NotChecked:
                raise
            except Exception as error:
                raise NotChecked("no episode can be played: see check 6") from error
        return self._episodes

    async def _policies(self, task: Task) -> tuple[str, ...]:
        others = ("scripted:random", "scripted:noop")
        async with self.open(task, seed=0) as (env, _):
            try:
                scripted_policies("scripted")(env, task, 0)
            except ConfigError:
                return others
        return ("scripted", *others)


def _choose(
    env: Env, episode: Episode, messages: Sequence[Message] | None
) -> Callable[[], Awaitable[Message]]:
    """Return what says the next message of an episode."""
    given = iter(messages or ())
    make: MakePolicy = scripted_policies(episode.policy)
    agent = make(env, episode.task, episode.seed)

    async def choose() -> Message:
        if messages is not None:
            return next(given)
        conversation = list(episode.reset.messages)
        for turn in episode.turns:
            conversation += [turn.message, *turn.answer.messages]
        reply = await agent.act(conversation, episode.reset.tools, seed=episode.seed)
        return reply.message

    return choose


async def _limited(work: Awaitable[R], what: str) -> R:
    try:
        async with asyncio.timeout(_TIMEOUT_S) as limit:
            return await work
    except TimeoutError:
        if not limit.expired():
            raise
        raise Failed(
            f"{what} took longer than {_TIMEOUT_S:g} s", hint="give what can hang a time limit"
        ) from None
