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
from agentgym.env import Env, EnvConfig, Reset, tasks_of
from agentgym.errors import ConfigError, EnvError
from agentgym.rollout.answers import panels_of
from agentgym.rollout.collect import make_jobs
from agentgym.rollout.episode import call_env, run_episode
from agentgym.rollout.policy import MakePolicy
from agentgym.rollout.scripted import scripted_policies
from agentgym.tools import on_thread
from agentgym.types import Message, Task, Trajectory

if TYPE_CHECKING:
    from agentgym.sandbox import Sandboxes

_TIMEOUT_S = 60.0
_TASKS_PER_SPLIT = 2
_LACKS = ("SandboxUnavailable", "MissingError")  # errors that tell of this machine

R = TypeVar("R")


class Subject:
    """One environment, configured, and where its sandboxes come from."""

    def __init__(
        self,
        config_class: type[EnvConfig],
        *,
        overrides: Mapping[str, Any],
        sandboxes: "Sandboxes | None",
        template: str | None = None,
    ) -> None:
        self.config_class = config_class
        self.overrides = dict(overrides)
        self.sandboxes = sandboxes
        self.template = template
        """A folder with a tokenizer; None: a small one is made."""
        file = file_of(config_class)
        self.folder = file.parent if file else None
        self._episodes: list[Episode] | None = None
        self._silence: list[Trajectory] | None = None

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

    def tiers(self) -> list[EnvConfig]:
        """Return a configuration for every tier, or the only one.

        Raises:
            NotChecked: not every tier can be made.
        """
        config = self.config
        if not config.tiers or "tier" in self.overrides:
            return [config]
        try:
            return [self.config_class(**{**self.overrides, "tier": each}) for each in config.tiers]
        except ValidationError as error:
            raise NotChecked("not every tier can be made: see check 2") from error

    async def tasks(self, config: EnvConfig, split: str, *, number: int) -> list[Task]:
        """Return the first tasks of a split."""

        def take() -> list[Task]:
            return list(islice(tasks_of(config, split), number))

        return await limited(on_thread(take), f"making {number} tasks of {split!r}")

    async def some_tasks(self) -> list[Task]:
        """Return a few tasks of every split.

        Raises:
            NotChecked: there are none.
        """
        try:
            tasks = [
                task
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

    def place(self, env: Env) -> str | None:
        """Return where an environment is written; what was made for a file stands there."""
        file = file_of(type(env))
        is_theirs = file and self.folder and file.is_relative_to(self.folder)
        return place_of(type(env) if is_theirs else self.config_class)

    @asynccontextmanager
    async def open(self, task: Task, *, seed: int) -> AsyncIterator[tuple[Env, Reset]]:
        """Hold an environment whose episode has begun; findings inside are attributed to it."""
        if self.config.needs_sandbox and self.sandboxes is None:
            raise NotChecked("it needs a sandbox, and there is none")
        env = self.config.build(self.sandboxes)
        if not isinstance(env, Env):
            raise Failed(f"build returned {type(env).__name__}, expected an Env")
        try:
            reset = await limited(call_env(env, env.reset, task, seed=seed), "reset")
            _check_panels(env)
            yield env, checked_reset(reset)
        except Failed as finding:
            finding.where = finding.where or self.place(env)
            raise
        finally:
            closing = env.close()
            if inspect.isawaitable(closing):
                await closing

    async def step(self, env: Env, reset: Reset, message: Message) -> Turn:
        """Let the environment answer one message."""
        state_key, action_key = env.state_key(), env.action_key(message)
        raw = await limited(call_env(env, env.step, message), "step")
        answer = checked_step(raw, message, has_tools=bool(reset.tools))
        turn = Turn(
            message, state_key, action_key, answer, env.state_key() if answer.messages else None
        )
        for name in ("state_key", "next_state_key"):
            if not isinstance(getattr(turn, name), str | None):
                raise Failed(f"state_key() returned {getattr(turn, name)!r}, expected a str")
        if not isinstance(action_key, str):
            raise Failed(f"action_key() returned {action_key!r}, expected a str")
        _check_panels(env)
        return turn

    async def play(
        self, task: Task, *, seed: int, policy: str, messages: Sequence[Message] | None = None
    ) -> Episode:
        """Play one episode with a scripted policy, or say `messages` one after the other."""
        config = self.config
        async with self.open(task, seed=seed) as (env, reset):
            episode = Episode(
                policy=policy, task=task, seed=seed, where=self.place(env), reset=reset
            )
            choose = _choose(env, episode, messages)
            for _ in range(config.max_turns if messages is None else len(messages)):
                turn = await self.step(env, reset, await choose())
                episode.turns.append(turn)
                if turn.answer.terminated or turn.answer.truncated:
                    break
                await asyncio.sleep(0)  # neither a cheap environment nor a script ever waits
        return episode

    async def rollouts(
        self,
        tasks: Sequence[Task],
        policy: str | MakePolicy,
        *,
        config: EnvConfig | None = None,
        what: str = "",
    ) -> list[Trajectory]:
        """Play the tasks as a run does, at the same time.

        Raises:
            Failed: an episode ended by a fault.
            NotChecked: the environment lacks something here, or no episode can be played.
        """
        await self.episodes()
        config = config or self.config
        make = scripted_policies(policy) if isinstance(policy, str) else policy
        jobs = make_jobs(tasks, group_size=1, run_seed=0, prefix="check", env=config.id)
        played = [
            run_episode(job, config=config, make_policy=make, sandboxes=self.sandboxes)
            for job in jobs
        ]
        trajectories = list(await asyncio.gather(*played))
        for trajectory in trajectories:
            if trajectory.reason.startswith(_LACKS):
                raise NotChecked(trajectory.reason)
            if trajectory.end == "error":
                who = what or policy
                raise Failed(
                    f"with {who}, task {trajectory.task_id}: the episode ended by a fault: "
                    f"{trajectory.reason}",
                    hint="answer what the model does wrong with a message",
                )
        return trajectories

    async def silence(self) -> list[Trajectory]:
        """Return what came of saying nothing."""
        if self._silence is None:
            self._silence = await self.rollouts(await self.some_tasks(), "scripted:noop")
        return self._silence

    async def has_expert(self) -> bool:
        """Whether there is an expert for the tasks."""
        return any(episode.policy == "scripted" for episode in await self.episodes())

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

    async def repeatable(self) -> list[Episode]:
        """Return those of `episodes` in which no time limit fired: the others need not repeat.

        Raises:
            NotChecked: there are none.
        """
        episodes = [each for each in await self.episodes() if not each.timed_out]
        if not episodes:
            raise NotChecked(
                "every episode hit a time limit", hint="give the tools a longer timeout_s"
            )
        return episodes

    async def _policies(self, task: Task) -> tuple[str, ...]:
        others = ("scripted:random", "scripted:noop")
        async with self.open(task, seed=0) as (env, _):
            try:
                scripted_policies("scripted")(env, task, 0)
            except ConfigError:
                return others
        return ("scripted", *others)


def _check_panels(env: Env) -> None:
    """Look at what the environment draws.

    Raises:
        Failed: it raised, or gave what is no panel.
    """
    try:
        panels_of(env, type(env).__name__)
    except EnvError as error:
        raise Failed(str(error), hint=error.hint) from error


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


async def limited(work: Awaitable[R], what: str) -> R:
    """Wait for work of the environment, but not for ever.

    Raises:
        Failed: it took too long.
    """
    try:
        async with asyncio.timeout(_TIMEOUT_S) as limit:
            return await work
    except TimeoutError:
        if not limit.expired():
            raise
        raise Failed(
            f"{what} took longer than {_TIMEOUT_S:g} s", hint="give what can hang a time limit"
        ) from None
