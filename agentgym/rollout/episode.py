"""One episode: an environment and a policy take turns under three deadlines."""

import asyncio
import functools
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from inspect import isawaitable, iscoroutinefunction
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, Field

from agentgym.env import Env, EnvConfig, EnvStep, Reset, add_terms
from agentgym.errors import (
    AgentGymError,
    BudgetError,
    ConfigError,
    EnvError,
    MissingError,
    PolicyError,
    attributed,
    boundary,
)
from agentgym.panels import Panel
from agentgym.rollout.answers import (
    action_key_of,
    checked_reset,
    checked_step,
    checked_terms,
    draws,
    panels_of,
    state_key_of,
)
from agentgym.rollout.deadline import within
from agentgym.rollout.policy import ContextFull, MakePolicy, Policy, Reply
from agentgym.tools import on_thread
from agentgym.types import Message, Step, Task, Timings, ToolSpec, Trajectory, derive_seed

if TYPE_CHECKING:
    from agentgym.rollout.scheduler import Seat
    from agentgym.sandbox import Sandboxes

logger = logging.getLogger(__name__)

# After so many an episode lets others go on, also where nothing in it ever waits. Turns and no time:
# what never waits ends in the same order whenever it is played.
_TURNS_AT_ONCE = 8


class DeadlineConfig(BaseModel, extra="forbid", frozen=True):
    """How long things may take. A tool's own limit stands at the tool."""

    episode_s: float = Field(default=600.0, gt=0)
    """A whole episode; it is then truncated and keeps what it has."""
    generation_s: float = Field(default=120.0, gt=0)
    """One answer of the policy; more is a fault of ours."""
    step_s: float = Field(default=120.0, gt=0)
    """One step or reset of the environment, tools included; more is a fault of ours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One episode to run. Its randomness comes from run seed, task, member and attempt only."""

    task: Task
    group_id: str
    member: int = 0
    attempt: int = 0
    run_seed: int = 0

    @property
    def id(self) -> str:
        """The id of the trajectory."""
        return f"{self.group_id}.{self.member}.{self.attempt}"

    @property
    def seed(self) -> int:
        """The seed of the episode."""
        return derive_seed(self.run_seed, self.task.id, self.member, self.attempt)

    def again(self) -> "Job":
        """Return the next attempt at the same episode."""
        return replace(self, attempt=self.attempt + 1)


class CutOff(BudgetError):  # noqa: N818
    """Raised where the budget was spent during an episode; the trajectory keeps what was paid for."""

    def __init__(self, error: BudgetError, trajectory: Trajectory) -> None:
        super().__init__(str(error), hint=error.hint)
        self.trajectory = trajectory


async def run_episode(
    job: Job,
    *,
    config: EnvConfig,
    make_policy: MakePolicy,
    policy_name: str = "",
    deadlines: DeadlineConfig | None = None,
    sandboxes: "Sandboxes | None" = None,
    seat: "Seat | None" = None,
    play: "Play | None" = None,
) -> Trajectory:
    """Play one episode to its end: by turns, or as `play` does.

    Where others share the engine, `seat` says when it is this episode's turn; what it waits for
    that is no time of the episode.

    A fault of environment, engine or sandbox is not raised: the trajectory says `end="error"`
    and why. Environment and policy are always closed, also when the caller is cancelled.

    Raises:
        ConfigError: the environment or the policy cannot be used as configured; no retry would
            help.
        MissingError: they need something that this machine lacks.
        CutOff: the policy may spend no more.
    """
    deadlines = deadlines or DeadlineConfig()
    trajectory = Trajectory(
        id=job.id,
        task=job.task,
        group_id=job.group_id,
        member=job.member,
        attempt=job.attempt,
        seed=job.seed,
        policy=policy_name,
    )
    started = time.perf_counter()
    try:
        async with asyncio.timeout(deadlines.episode_s) as clock:
            with boundary(EnvError, f"an episode of {config.id}"):
                await _open_and_play(
                    trajectory,
                    config,
                    make_policy,
                    deadlines,
                    sandboxes,
                    clock,
                    seat,
                    play or Scene.alternate,
                )
    except TimeoutError:
        trajectory.end, trajectory.reason = "truncated", "episode_deadline"
    except (ConfigError, MissingError):
        raise
    except AgentGymError as error:
        trajectory.end, trajectory.reason = "error", f"{type(error).__name__}: {error}"
        if isinstance(error, BudgetError):
            raise CutOff(error, trajectory) from error
    finally:
        trajectory.seconds = time.perf_counter() - started
    return trajectory


async def _open_and_play(
    trajectory: Trajectory,
    config: EnvConfig,
    make_policy: MakePolicy,
    deadlines: DeadlineConfig,
    sandboxes: "Sandboxes | None",
    clock: asyncio.Timeout,
    seat: "Seat | None",
    play: "Play",
) -> None:
    with boundary(EnvError, f"building {config.id}"):
        env = config.build(sandboxes)
    policy: Policy | None = None
    try:
        reset = await _reset(env, trajectory, deadlines)
        policy = make_policy(env, trajectory.task, trajectory.seed)
        trajectory.prompt, trajectory.tools = tuple(reset.messages), tuple(reset.tools)
        trajectory.panels = panels_of(env, config.id)
        await play(Scene(env, policy, trajectory, deadlines, clock, seat, config.max_turns))
    finally:
        if policy is not None:
            trajectory.segments, trajectory.drift = policy.segments, policy.drift
        await _close(env, policy)


class Scene:
    """An episode that has begun: an environment that was reset, a policy, and where it is written.

    `trajectory` has the prompt and the tools of reset; its steps and its end are for who plays it.
    """

    def __init__(
        self,
        env: Env,
        policy: Policy,
        trajectory: Trajectory,
        deadlines: DeadlineConfig,
        clock: asyncio.Timeout,
        seat: "Seat | None",
        max_turns: int,
    ) -> None:
        self.env, self.policy, self.trajectory = env, policy, trajectory
        self.max_turns = max_turns
        self._deadlines, self._clock, self._seat = deadlines, clock, seat
        self._name = trajectory.task.env or type(env).__name__
        self._step_name = f"step of {type(env).__name__}"
        self._draws = draws(env)  # asked once: most draw nothing, at every step
        self._messages = list(trajectory.prompt)
        self._state_key: str | None = state_key_of(env, self._messages)
        self._started = time.perf_counter()

    @property
    def is_out_of_time(self) -> bool:
        """Whether it is being cancelled because the deadline of the episode is over."""
        return self._clock.expired()

    async def alternate(self) -> None:
        """Go on by turns until the environment ends, a limit does, or the context is full."""
        trajectory = self.trajectory
        for turn in range(1, self.max_turns + 1):
            if turn % _TURNS_AT_ONCE == 0:
                await asyncio.sleep(0)
            try:
                reply, timings = await self.act(self._messages, trajectory.tools)
            except ContextFull as full:
                trajectory.end, trajectory.reason = "truncated", full.reason
                break
            step = self._begun(reply, timings)
            trajectory.steps.append(step)
            began = time.perf_counter()
            answer = await self.step(reply.message)
            timings.env_s = time.perf_counter() - began
            self._answered(step, answer)
            if answer.terminated or answer.truncated:
                trajectory.end = "terminated" if answer.terminated else "truncated"
                trajectory.reason = "env"
                return
        else:
            trajectory.end, trajectory.reason = "truncated", "max_turns"
        if trajectory.steps:
            last = trajectory.steps[-1]
            last.reward_terms = add_terms(last.reward_terms, await self.last_terms())

    async def act(
        self, messages: Sequence[Message], tools: Sequence[ToolSpec]
    ) -> tuple[Reply, Timings]:
        """Ask the policy when it is this episode's turn, within its limit of time.

        Raises:
            ContextFull: there is no room left to answer.
            AgentGymError: the machinery failed.
        """
        seat, waited = self._seat, 0.0
        began = time.perf_counter()
        if seat is None:
            reply = await self._ask(messages, tools)
        else:
            try:
                if waiting := seat.enter():
                    waited = await self._turn(seat, waiting)
                reply = await self._ask(messages, tools)
            finally:
                seat.leave()
            seat.count(reply)
        return reply, Timings(
            generate_s=time.perf_counter() - began - waited,
            started_s=began - self._started,
            wait_s=waited,
        )

    async def step(self, message: Message) -> EnvStep:
        """Ask the environment for its answer to a message, within its limit of time.

        Raises:
            AgentGymError: it raised, gave what is no answer, or took too long.
        """
        env, what = self.env, self._step_name
        try:  # as `boundary` does, without two calls at every step
            given: Any = env.step(message) if env.inline else call_env(env, env.step, message)
            if not isinstance(given, EnvStep) and isawaitable(given):
                given = await within(self._deadlines.step_s, what, given)
        except AgentGymError:
            raise
        except (Exception, SystemExit) as error:
            raise attributed(error, EnvError, what) from error
        return checked_step(given, what)

    async def last_terms(self) -> dict[str, float]:
        """Ask the environment for its last reward terms, where something else ends the episode.

        Raises:
            AgentGymError: as `step`.
        """
        what = f"truncate of {type(self.env).__name__}"
        given = await _asked(self.env, self.env.truncate, what, self._deadlines)
        return checked_terms(given, what)

    def panels(self) -> tuple[Panel, ...]:
        """Return what the environment draws of the present state.

        Raises:
            EnvError: it raised, or gave what is no panel.
        """
        return panels_of(self.env, self._name)

    def _begun(self, reply: Reply, timings: Timings) -> Step:
        """Return the next step; the environment has yet to answer it."""
        return Step(
            message=reply.message,
            completion=reply.completion,
            state_key=self._state_key,
            action_key=action_key_of(self.env, reply.message),
            usage=dict(reply.usage),
            timed_out=True,  # until the environment has answered
            timings=timings,
        )

    def _answered(self, step: Step, answer: EnvStep) -> None:
        """Write the environment's answer to its step."""
        step.replies, step.reward_terms = tuple(answer.messages), dict(answer.reward)
        step.timed_out = bool(answer.info.get("timed_out", False))
        self._state_key = state_key_of(self.env, answer.messages) if answer.messages else None
        step.next_state_key = self._state_key
        if self._draws:
            step.panels = self.panels()
        self._messages += (step.message, *step.replies)

    async def _turn(self, seat: "Seat", waiting: Awaitable[None]) -> float:
        """Wait for the engine; return the seconds, which are no time of the episode."""
        async with _stopped(self._clock):
            await waiting
        return seat.entered()

    async def _ask(self, messages: Sequence[Message], tools: Sequence[ToolSpec]) -> Reply:
        policy = self.policy
        try:
            keeps_time = (
                policy.keeps_time
            )  # before there is work, which it may fail to be asked for
            work = policy.act(messages, tools, seed=self.trajectory.seed)
            if not keeps_time:
                return await within(self._deadlines.generation_s, "the policy", work)
            async with _stopped(self._clock):
                return await work
        except (AgentGymError, ContextFull):
            raise
        except (Exception, SystemExit) as error:
            raise attributed(error, PolicyError, "the policy") from error


Play = Callable[[Scene], Awaitable[None]]
"""How an episode is played: `Scene.alternate`, or by a program from outside. What it raises ends
the episode as `run_episode` says; environment and policy are closed behind it."""


async def _reset(env: Env, trajectory: Trajectory, deadlines: DeadlineConfig) -> Reset:
    what = f"reset of {trajectory.task.env or type(env).__name__}"
    call = functools.partial(env.reset, trajectory.task, seed=trajectory.seed)
    return checked_reset(await _asked(env, call, what, deadlines), what)


async def _asked(env: Env, call: Callable[[], Any], what: str, deadlines: DeadlineConfig) -> Any:
    """Call a method of an environment, within its limit of time."""
    with boundary(EnvError, what):
        return await within(deadlines.step_s, what, call_env(env, call))


@asynccontextmanager
async def _stopped(clock: asyncio.Timeout) -> AsyncIterator[None]:
    """Stop the clock of an episode, and let it go on afterwards."""
    loop, when = asyncio.get_running_loop(), clock.when()
    began = loop.time()
    if when is None or when <= began:  # its time is up; the next await says so
        yield
        return
    clock.reschedule(None)
    try:
        yield
    finally:
        clock.reschedule(when + loop.time() - began)


async def call_env(env: Env, method: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Call a method that may be async, cheap, or blocking."""
    if env.inline or iscoroutinefunction(method):
        result = method(*args, **kwargs)
    else:
        result = await on_thread(functools.partial(method, *args, **kwargs))
    return await result if isawaitable(result) else result


async def _close(env: Env, policy: Policy | None) -> None:
    """Close both, also under cancellation; what closing raises must not hide what happened."""
    if _is_default(env.close) and (policy is None or _is_default(policy.close)):
        return  # neither holds anything; the task below costs as much as two steps

    async def close() -> None:
        try:
            if policy is not None:
                await policy.close()
        finally:
            with boundary(EnvError, "close"):
                result = env.close()
                if isawaitable(result):
                    await result

    closing = asyncio.ensure_future(close())
    try:
        await asyncio.shield(closing)
    except asyncio.CancelledError:
        await asyncio.wait([closing])
        raise
    except Exception:
        logger.exception("closing an episode failed")


def _is_default(method: Callable[..., Any]) -> bool:
    return getattr(method, "__func__", None) in (Env.close, Policy.close)
