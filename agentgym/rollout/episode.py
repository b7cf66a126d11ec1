"""One episode: an environment and a policy take turns under three deadlines."""

import asyncio
import functools
import inspect
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import BaseModel, Field

from agentgym.env import Env, EnvConfig, EnvStep, Reset, add_terms
from agentgym.errors import (
    AgentGymError,
    BudgetError,
    ConfigError,
    DeadlineError,
    EnvError,
    MissingError,
    PolicyError,
    boundary,
    place_of,
)
from agentgym.rollout.answers import (
    checked_reset,
    checked_step,
    checked_terms,
    panels_of,
    state_key_of,
)
from agentgym.rollout.policy import ContextFull, MakePolicy, Policy, Reply
from agentgym.tools import on_thread
from agentgym.types import Message, Step, Task, Timings, ToolSpec, Trajectory, derive_seed

if TYPE_CHECKING:
    from agentgym.rollout.scheduler import Seat
    from agentgym.sandbox import Sandboxes

logger = logging.getLogger(__name__)


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """An episode that has begun: what `Play` brings to its end."""

    env: Env
    policy: Policy
    trajectory: Trajectory
    """With the prompt and the tools of reset; the steps and the end are to be written."""
    deadlines: DeadlineConfig
    clock: asyncio.Timeout
    """Ends the episode when its time is up."""
    seat: "Seat | None"
    """Says when it is this episode's turn at the engine, where others share that."""
    max_turns: int


class Acted(NamedTuple):
    """What the policy answered, and how long that took."""

    reply: Reply
    generate_s: float
    wait_s: float
    """Until it was this episode's turn, before."""


Play = Callable[[Scene], Awaitable[None]]
"""How an episode is played: `take_turns`, or by a program from outside. What it raises ends the
episode as `run_episode` says; environment and policy are closed behind it."""


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
    player: Play | None = None,
    seat: "Seat | None" = None,
) -> Trajectory:
    """Play one episode to its end; `player` is by turns, where nothing else is said.

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
                    player or take_turns,
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
    player: Play,
) -> None:
    with boundary(EnvError, f"building {config.id}"):
        env = config.build(sandboxes)
    policy: Policy | None = None
    try:
        reset = await _reset(env, trajectory, deadlines)
        policy = make_policy(env, trajectory.task, trajectory.seed)
        trajectory.prompt, trajectory.tools = tuple(reset.messages), tuple(reset.tools)
        trajectory.panels = panels_of(env, config.id)
        scene = Scene(
            env=env,
            policy=policy,
            trajectory=trajectory,
            deadlines=deadlines,
            clock=clock,
            seat=seat,
            max_turns=config.max_turns,
        )
        await player(scene)
    finally:
        if policy is not None:
            trajectory.segments, trajectory.drift = policy.segments, policy.drift
        await _close(env, policy)


async def take_turns(scene: Scene) -> None:
    """Let policy and environment alternate until one ends it, a limit does, or the context is full."""
    env, trajectory = scene.env, scene.trajectory
    started = time.perf_counter()
    messages = list(trajectory.prompt)
    state_key: str | None = state_key_of(env, messages)
    for _ in range(scene.max_turns):
        began = time.perf_counter()
        try:
            acted = await act(scene, messages, trajectory.tools)
        except ContextFull as full:
            trajectory.end, trajectory.reason = "truncated", full.reason
            break
        reply, generated = acted.reply, time.perf_counter()
        step = Step(
            message=reply.message,
            completion=reply.completion,
            state_key=state_key,
            action_key=env.action_key(reply.message),
            usage=dict(reply.usage),
            timed_out=True,  # until the environment has answered
        )
        trajectory.steps.append(step)
        answer = await step_env(scene, reply.message)
        step.replies, step.reward_terms = tuple(answer.messages), dict(answer.reward)
        step.timed_out = bool(answer.info.get("timed_out", False))
        state_key = state_key_of(env, answer.messages) if answer.messages else None
        step.next_state_key = state_key
        step.timings = Timings(
            generate_s=acted.generate_s,
            env_s=time.perf_counter() - generated,
            started_s=began - started,
            wait_s=acted.wait_s,
        )
        step.panels = panels_of(env, trajectory.task.env or type(env).__name__)
        messages += [reply.message, *answer.messages]
        if answer.terminated or answer.truncated:
            trajectory.end = "terminated" if answer.terminated else "truncated"
            trajectory.reason = "env"
            return
    else:
        trajectory.end, trajectory.reason = "truncated", "max_turns"
    if trajectory.steps:
        last = trajectory.steps[-1]
        last.reward_terms = add_terms(last.reward_terms, await truncate_env(scene))


async def _reset(env: Env, trajectory: Trajectory, deadlines: DeadlineConfig) -> Reset:
    what = f"reset of {trajectory.task.env or type(env).__name__}"
    async with _deadline(deadlines.step_s, what):
        with boundary(EnvError, what):
            given = await call_env(env, env.reset, trajectory.task, seed=trajectory.seed)
    return checked_reset(given, what)


async def step_env(scene: Scene, message: Message) -> EnvStep:
    """Hand a message to the environment, within the time that it has.

    Raises:
        EnvError, DeadlineError: it raised, gave what is no answer, or took too long.
    """
    env, what = scene.env, f"step of {type(scene.env).__name__}"
    async with _deadline(scene.deadlines.step_s, what):
        with boundary(EnvError, what):
            given = await call_env(env, env.step, message)
    return checked_step(given, what)


async def truncate_env(scene: Scene) -> dict[str, float]:
    """Return the last reward terms of an episode that the environment did not end.

    Raises:
        EnvError, DeadlineError: as `step_env`.
    """
    env, what = scene.env, f"truncate of {type(scene.env).__name__}"
    async with _deadline(scene.deadlines.step_s, what):
        with boundary(EnvError, what):
            given = await call_env(env, env.truncate)
    return checked_terms(given, what)


async def act(scene: Scene, messages: Sequence[Message], tools: Sequence[ToolSpec]) -> Acted:
    """Ask the policy when it is this episode's turn, within the time that it has.

    Raises:
        ContextFull: there is no room left to answer.
        DeadlineError: it took too long.
        AgentGymError: the machinery failed.
    """
    seat, began = scene.seat, time.perf_counter()
    try:
        waited = await _turn(seat, scene.clock) if seat else 0.0
        reply = await _ask(scene, messages, tools)
    finally:
        if seat:
            seat.leave()
    if seat:
        seat.count(reply)
    return Acted(reply, time.perf_counter() - began - waited, waited)


async def _turn(seat: "Seat", clock: asyncio.Timeout) -> float:
    """Wait for the engine; return the seconds, which are no time of the episode."""
    waiting = seat.enter()
    if waiting is None:
        return 0.0
    async with _stopped(clock):
        await waiting
    return seat.entered()


async def _ask(scene: Scene, messages: Sequence[Message], tools: Sequence[ToolSpec]) -> Reply:
    policy, limit_s = scene.policy, scene.deadlines.generation_s
    own = policy.keeps_time
    async with _stopped(scene.clock) if own else _deadline(limit_s, "the policy"):
        try:
            return await policy.act(messages, tools, seed=scene.trajectory.seed)
        except (AgentGymError, ContextFull):
            raise
        except (Exception, SystemExit) as error:
            place = place_of(error)
            where = f" ({place})" if place else ""
            raise PolicyError(
                f"the policy raised {type(error).__name__}: {error}{where}"
            ) from error


class _deadline:  # noqa: N801  reads as a statement
    """`asyncio.timeout` whose expiry is a `DeadlineError` that says what took too long."""

    def __init__(self, seconds: float, what: str) -> None:
        self._scope = asyncio.timeout(seconds)
        self._seconds, self._what = seconds, what

    async def __aenter__(self) -> None:
        await self._scope.__aenter__()

    async def __aexit__(self, kind: Any, error: Any, traceback: Any) -> None:
        try:
            await self._scope.__aexit__(kind, error, traceback)
        except TimeoutError as expired:
            raise DeadlineError(f"{self._what} took longer than {self._seconds:g} s") from expired


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
    if env.inline or inspect.iscoroutinefunction(method):
        result = method(*args, **kwargs)
    else:
        result = await on_thread(functools.partial(method, *args, **kwargs))
    return await result if inspect.isawaitable(result) else result


async def _close(env: Env, policy: Policy | None) -> None:
    """Close both, also under cancellation; what closing raises must not hide what happened."""

    async def close() -> None:
        try:
            if policy is not None:
                await policy.close()
        finally:
            with boundary(EnvError, "close"):
                result = env.close()
                if inspect.isawaitable(result):
                    await result

    closing = asyncio.ensure_future(close())
    try:
        await asyncio.shield(closing)
    except asyncio.CancelledError:
        await asyncio.wait([closing])
        raise
    except Exception:
        logger.exception("closing an episode failed")
