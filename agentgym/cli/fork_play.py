"""Episodes that go on from a turn of another, played and recorded for `agentgym fork`."""

from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from agentgym.errors import AgentGymError, ConfigError, EnvError
from agentgym.store.address import address_of

if TYPE_CHECKING:
    from agentgym.cli.fork_lines import Lines
    from agentgym.config.run import RunConfig
    from agentgym.rollout.episode import DeadlineConfig
    from agentgym.rollout.forks import Fork
    from agentgym.rollout.policy import MakePolicy
    from agentgym.sandbox import Sandboxes
    from agentgym.store.episodes import EpisodeWriter
    from agentgym.store.run import Run
    from agentgym.types import Trajectory


@dataclass(frozen=True, slots=True)
class Place:
    """Where the new episodes begin."""

    run: "Run"
    parent: "Trajectory"
    turn: int

    @property
    def address(self) -> str:
        """As people name it."""
        return address_of(self.run.root, self.parent.id, self.turn)


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """Who goes on."""

    config: "RunConfig"
    name: str
    """What the record calls it, and of a model what `open_policies` takes."""
    version: int = 0
    """Of a checkpoint: what its tokens are counted as."""
    is_person: bool = False
    checkpoint: Path | None = None
    """Which is meant, where it is one of the run."""


class CheckpointGoneError(ConfigError):
    """Raised where the run that trains removed a checkpoint before it was read."""


class Played(NamedTuple):
    """The new episodes of a fork, at least one, in a group of their own."""

    seed: int
    """Of the policy."""
    children: "list[Trajectory]"


def play_on(
    place: Place,
    chosen: Chosen,
    samples: int | None,
    seed: int | None,
    lines: "Lines | None",
    *,
    show: bool,
) -> Played:
    """Play and record the new episodes; without a seed it is the number of their group.

    Raises:
        EnvError: the environment does not come to this turn again.
        CheckpointGoneError: nothing was played; another checkpoint may be chosen.
        ConfigError, MissingError, BudgetError: they cannot be played.
        StoreError: the run cannot be written.
    """
    from agentgym.cli.output import note, run_aside
    from agentgym.cli.progress import EpisodeCounter
    from agentgym.store.episodes import EpisodeWriter

    if chosen.is_person and samples not in (None, 1):
        raise ConfigError("a person plays one episode at a time", hint="leave --samples out")
    count = samples or 1
    with _told_with(place), EpisodeWriter(place.run.root, writer="fork") as writer:
        children = _Children(writer, lines)
        work = _play(place, chosen, count, seed, children)
        try:
            if chosen.is_person and not lines:
                return _at_terminal(work)
            with EpisodeCounter(count, show=show) as counter:
                children.on_child = counter.advance
                return run_aside(lines.until_left(work) if lines else work)
        except BaseException:
            if children.recorded:
                first = address_of(place.run.root, children.recorded[0].id)
                note(f"recorded so far: agentgym show {first}")
            raise


def _at_terminal(work: "Coroutine[Any, Any, Played]") -> Played:
    """Let a person play, who sees what is printed, and at last what the environment said."""
    import asyncio

    from agentgym.cli.person import show_last

    played = asyncio.run(work)
    show_last(played.children[0])
    return played


@dataclass(slots=True)
class _Children:
    """Records new episodes, in a group that bears the number of the shard that they stand in.

    So two forks at once have different groups, and a run that is still written is not disturbed.
    """

    writer: "EpisodeWriter"
    lines: "Lines | None"
    on_child: Callable[[], None] | None = None
    recorded: "list[Trajectory]" = field(default_factory=list)
    _group: str = ""

    def claim(self) -> int:
        """Make the group, and return its number.

        Raises:
            StoreError: the run cannot be written; nobody has played for nothing.
        """
        number = self.writer.claim()
        self._group = f"fork-{number:05d}"
        return number

    def add(self, child: "Trajectory") -> "Trajectory":
        """Record one, with the id that it gets."""
        name = f"{self._group}.{child.member}.{child.attempt}"
        child = replace(child, id=name, group_id=self._group)
        self.writer.append(child)
        self.recorded.append(child)
        if self.on_child:
            self.on_child()
        if self.lines:
            self.lines.tell("child", **line_of(child))
        return child


async def _play(
    place: Place, chosen: Chosen, samples: int, seed: int | None, children: _Children
) -> Played:
    """Play all samples; of one that a fault ended twice the second attempt counts."""
    import asyncio

    from agentgym.cli.scoring import open_sandboxes
    from agentgym.rollout.forks import take_fork

    env, rollout = chosen.config.env.config, chosen.config.rollout
    slots = asyncio.Semaphore(rollout.most)
    async with (
        open_sandboxes(chosen.config) as sandboxes,
        _open_policy(chosen, place.turn, children.lines) as make_policy,
    ):
        taken = await take_fork(place.parent, place.turn, env, sandboxes) if place.turn else None
        number = children.claim()
        seed = number if seed is None else seed
        one = _Sampling(place, chosen, seed, children, make_policy, taken, sandboxes)

        async def play(member: int) -> "Trajectory":
            async with slots:
                return await one.play(member)

        try:
            async with asyncio.TaskGroup() as tasks:
                begun = [tasks.create_task(play(member)) for member in range(samples)]
        except* AgentGymError as failures:
            raise failures.exceptions[0] from None
    return Played(seed, [each.result() for each in begun])


@dataclass(frozen=True, slots=True)
class _Sampling:
    """What all samples of a fork have in common."""

    place: Place
    chosen: Chosen
    seed: int
    children: _Children
    make_policy: "MakePolicy"
    taken: "Fork | None"
    sandboxes: "Sandboxes | None"

    async def play(self, member: int) -> "Trajectory":
        """Play and record one; what a fault ended is tried once more."""
        first = await self._attempt(member, 0)
        if first.end != "error" or self.chosen.is_person:  # who would have to say it all again
            return first
        return await self._attempt(member, 1)

    async def _attempt(self, member: int, attempt: int) -> "Trajectory":
        from agentgym.errors import PolicyError
        from agentgym.rollout.continuing import Slot, go_on
        from agentgym.rollout.episode import CutOff
        from agentgym.types import derive_seed

        again = [attempt] if attempt else []
        try:
            child = await go_on(
                self.place.parent,
                self.place.turn,
                config=self.chosen.config.env.config,
                make_policy=self.make_policy,
                seed=derive_seed(self.seed, self.place.parent.id, self.place.turn, member, *again),
                fork=self.taken,
                slot=Slot(group_id="fork", member=member, attempt=attempt),
                policy_name=self.chosen.name,
                sandboxes=self.sandboxes,
                deadlines=_deadlines(self.chosen),
            )
        except CutOff as spent:
            if len(spent.trajectory.steps) > self.place.turn:
                self.children.add(spent.trajectory)
            raise
        if self.chosen.is_person and child.end != "error" and len(child.steps) == self.place.turn:
            raise PolicyError("nothing was said, so that there is nothing to record")
        return self.children.add(child)


@contextmanager
def _told_with(place: Place) -> Iterator[None]:
    """Name the place in the error of an environment that does not come there again."""
    try:
        yield
    except EnvError as error:
        raise EnvError(f"{place.address}: {error}", hint=error.hint) from error


def _deadlines(chosen: Chosen) -> "DeadlineConfig":
    from agentgym.cli.person import PATIENCE

    deadlines = chosen.config.rollout.deadlines
    return deadlines.model_copy(update=PATIENCE) if chosen.is_person else deadlines


@asynccontextmanager
async def _open_policy(
    chosen: Chosen, turn: int, lines: "Lines | None"
) -> "AsyncIterator[MakePolicy]":
    """Hold what goes on: a model, or a person at this terminal or behind another program."""
    from agentgym.cli.person import a_person
    from agentgym.cli.scoring import open_policies

    if not chosen.is_person:
        async with AsyncExitStack() as held:
            opening = open_policies(chosen.config, chosen.name, version=chosen.version)
            try:
                policies = await held.enter_async_context(opening)
            except (AgentGymError, OSError) as error:
                if chosen.checkpoint and not chosen.checkpoint.is_dir():
                    hint = "the run keeps more of them with a larger checkpoint.keep"
                    told = f"the checkpoint {chosen.checkpoint} was removed before it was read"
                    raise CheckpointGoneError(told, hint=hint) from error
                raise
            yield policies.make
    elif lines:
        yield lines.make_person(turn)
    else:
        yield partial(a_person, max_turns=chosen.config.env.config.max_turns, first=turn)


def line_of(trajectory: "Trajectory") -> dict[str, Any]:
    """Return what is told of an episode."""
    return {
        "id": trajectory.id,
        "end": trajectory.end,
        "reason": trajectory.reason,
        "outcome": trajectory.outcome,
        "turns": len(trajectory.steps),
        "tokens": trajectory.num_sampled,
    }
