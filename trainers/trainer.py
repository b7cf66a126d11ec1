"""The training loop: collect, annotate, shape, credit, batch, update, sync, record, save."""

import asyncio
import copy
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from agentgym.env import EnvConfig
from agentgym.errors import BudgetError, StoreError
from agentgym.metrics import JsonlSink, Metrics, TensorBoardSink
from agentgym.rollout.collect import token_policies
from agentgym.rollout.episode import Play
from agentgym.sandbox import Sandboxes
from agentgym.store.run import Run, Status
from agentgym.table import Bools, StepTable, build_table
from agentgym.trainers.ahead import Ahead
from agentgym.trainers.aside import aside
from agentgym.trainers.begin import begin
from agentgym.trainers.checkpoint import clean, latest_checkpoint
from agentgym.trainers.credit.base import equal_groups
from agentgym.trainers.diagnostics import diagnose
from agentgym.trainers.episodes import Episodes, TaskStream
from agentgym.trainers.evaluate import evaluate, ways_to_draw
from agentgym.trainers.interrupt import Interrupt, Interrupted
from agentgym.trainers.learn import Learnt, learn
from agentgym.trainers.lookout import Lookout
from agentgym.trainers.plan import check_settings, doubts
from agentgym.trainers.player import Player, group_ids
from agentgym.trainers.record import Recorder
from agentgym.trainers.refill import Collected
from agentgym.trainers.scalars import describe
from agentgym.trainers.setup import Parts, Settings, seeded
from agentgym.trainers.shaping.base import Shaped, shape
from agentgym.trainers.staleness import describe_staleness, staleness
from agentgym.trainers.state import make_updater, restore, save_state
from agentgym.trainers.update import Updater
from agentgym.trainers.watch import OnPhase, Watch
from agentgym.types import Group, Trajectory, derive_seed

T = TypeVar("T")

OnStep = Callable[[int, int, Mapping[str, float]], None]
"""(steps done, steps of the run, scalars of the last one)."""


async def train(
    settings: Settings,
    run: Run,
    *,
    env: EnvConfig,
    sandboxes: Sandboxes | None = None,
    on_step: OnStep | None = None,
    on_phase: OnPhase | None = None,
    play: Play | None = None,
) -> None:
    """Train to the end, from the newest checkpoint where the run has one.

    `play` is how episodes are played; by turns, where nothing else is said.

    What happened stands in the run: `events.jsonl` has `start`, `warm_start` (with the teacher's
    own success), `eval`, `checkpoint`, `fault`, `drawn` (the tasks of groups, where their order
    depends on the clock), `warning` (settings that are hardly what was meant) and `alarm` (of
    shaping, as it comes on).

    Raises:
        KeyboardInterrupt: the user stopped it; everything up to here is saved.
        BudgetError: no more may be spent; everything up to here is saved.
        AgentGymError: it cannot start or go on.
    """
    check_settings(settings)
    seed = derive_seed(settings.seed, "torch")
    status: Status = "failed"
    with seeded(seed, deterministic=settings.rollout.deterministic), Interrupt() as interrupt:
        watch = Watch(interrupt, on_phase)
        trainer = Trainer(settings, run, env=env, sandboxes=sandboxes, watch=watch, play=play)
        trainer.on_step = on_step
        try:
            await trainer.start()
            await trainer.loop()
            status = "finished"
        except Interrupted:
            status = "interrupted"
            await trainer.save()
            raise KeyboardInterrupt from None
        except BudgetError:
            status = "interrupted"
            await trainer.save()
            raise
        except (KeyboardInterrupt, asyncio.CancelledError):
            status = "interrupted"
            raise
        finally:
            with suppress(StoreError):  # a full disk must not hide what happened
                run.update(status=status)
            await trainer.close()


class Trainer:
    """The state of training, and one method for each thing that a step does."""

    parts: Parts
    updater: Updater
    _ahead: Ahead

    def __init__(
        self,
        settings: Settings,
        run: Run,
        *,
        env: EnvConfig,
        sandboxes: Sandboxes | None,
        watch: Watch,
        play: Play | None = None,
    ) -> None:
        self.settings = settings
        self.run = run
        self.env = env
        self.step = 0
        """Optimiser steps done; also the version of the policy."""
        self.on_step: OnStep | None = None
        self._sandboxes = sandboxes
        self._watch = watch
        self._started = time.perf_counter()
        self._tasks = TaskStream(env, seed=settings.seed)
        self._is_ready = False
        self._saved: int | None = None
        self._lookout = Lookout(run, shaping=settings.shaping, success=type(env).success)
        self._recorder = Recorder(run.root)
        self._episodes = Episodes(
            run.root,
            env=env,
            rollout=settings.rollout,
            sandboxes=sandboxes,
            on_episode=self._on_episode,
            play=play,
        )
        sinks = [TensorBoardSink(run.root / "tensorboard")] if settings.train.tensorboard else []
        self._metrics = Metrics(JsonlSink(run.metrics_path), *sinks)

    # The loop

    async def start(self) -> None:
        """Restore the newest checkpoint, or make the first one."""
        clean(self.run.checkpoints_dir)
        folder = latest_checkpoint(self.run.checkpoints_dir)
        if folder is not None:
            self._restore(folder)
        self.run.event("start", step=self.step, resumed=folder is not None)
        for words in doubts(self.settings):
            self._lookout.warn(self.step, words)
        if folder is None:
            await self._begin()
        await self._watch.run("engine", 1, self.parts.engine.start())
        self._watch.advance()
        self._plan()
        await self.sync()
        self._is_ready = True
        await self.save()

    async def loop(self) -> None:
        """Take the steps that are left, after an evaluation that was interrupted before."""
        try:
            is_over = self._is_over()
            await self._evaluate_if_due(is_over=is_over)
            while not is_over:
                await self.take_step()
                is_over = self._is_over()
                if is_over:
                    await self._ahead.close()
                await self._evaluate_if_due(is_over=is_over)
                if is_over or self.step % self.settings.checkpoint.every == 0:
                    await self.save()
        finally:
            await self._ahead.close()

    async def take_step(self) -> None:
        """Go once along the line, from tasks to weights."""
        self._watch.restart()
        groups, played = await self.collect()
        began = time.perf_counter()
        learnt = await self._aside(partial(self.learn, groups))
        overlap = self._ahead.overlap(began)
        others = self.record(learnt)
        everything = learnt.table if played is groups else build_table(played)
        self._lookout.add(self.step + 1, everything, self.shape(everything))
        self._tasks.done(f"{group_ids(self.step)}-")
        self.step += 1
        await self.sync()
        self.log(learnt, {**others, "overlap": overlap})

    async def close(self) -> None:
        """Free everything."""
        try:
            self._episodes.close()
            self._recorder.close()
        finally:
            self._metrics.close()
            if hasattr(self, "parts"):
                await self.parts.engine.close()

    # The verbs

    async def collect(self) -> Collected:
        """Wait for the groups of this step, while those of the steps ahead are played too."""
        rollout = self.settings.rollout
        collected = await self._watch.run(
            "collect",
            rollout.groups * rollout.group_size,
            self._ahead.take(self.step),
            of=group_ids(self.step),
        )
        if not self._is_ahead:
            await self.parts.engine.sleep()  # its memory is the update's until the next sync
        return collected

    def learn(self, groups: list[Group]) -> Learnt:
        """Move the weights by what the groups of this step teach."""
        return learn(
            groups,
            settings=self.settings,
            updater=self.updater,
            shape=self.shape,
            step=self.step,
            lr=self.lr,
            watch=self._watch,
        )

    def shape(self, table: StepTable) -> Shaped:
        """Return the rewards that count at this point of the training."""
        return shape(
            self.settings.shaping,
            table,
            run=self.run.root,
            progress=self.progress,
            competence=self._lookout.competence,
        )

    def record(self, learnt: Learnt) -> dict[str, float]:
        """Write down what the update of this step did; return what it tells beside its metrics."""
        schedules = {
            "progress": self.progress,
            "competence": self._lookout.competence,
            "lr": self.lr,
        }
        table, shaped, advantages = learnt.table, learnt.shaped, learnt.advantages
        stale = staleness(learnt.trajectories, version=self.step)
        self._recorder.update(
            step=self.step,
            version=self.step,
            schedules=schedules,
            table=table,
            shaped=shaped,
            advantages=advantages,
            updated=learnt.updated,
            staleness=stale,
        )
        cause = learnt.updated.cause
        diagnosis = diagnose(self.settings.credit, table, shaped.rewards, advantages, cause)
        return {**diagnosis, **schedules, **describe_staleness(stale)}

    async def sync(self) -> None:
        """Hand the weights to the engine, under the number of steps they took."""
        with self._watch.phase("sync"):
            await self.parts.sync(self.step)

    def log(self, learnt: Learnt, others: Mapping[str, float]) -> None:
        """Write the scalars of the step that was just done; `others` are known already."""
        table, shaped = learnt.table, learnt.shaped
        scalars = {
            **describe(learnt.trajectories, table, shaped, success=type(self.env).success),
            **learnt.updated.metrics,
            **others,
            **self._lookout.sound(self.step, table, shaped),
            **self.parts.sync.scalars(),
            **{f"engine/{name}": each for name, each in self.parts.engine.scalars().items()},
            **self._episodes.scalars(),
            **self._watch.clock.scalars(num_tokens=int(table.token_start[-1])),
            **(self._sandboxes.scalars() if self._sandboxes else {}),
        }
        self._metrics.log(self.step, scalars)
        self.run.update(step=self.step)
        if self.on_step is not None:
            self.on_step(self.step, self.settings.train.steps, scalars)

    async def evaluate(self) -> None:
        """Score the policy on held-out tasks."""
        config = self.settings.eval
        for mode, drawing in ways_to_draw(config, self.settings.rollout.sampling).items():
            prefix = f"eval-{mode}-{self.step:06d}"
            scoring = partial(
                evaluate,
                self._episodes,
                env=self.env,
                config=config,
                make_policy=token_policies(self.parts.engine, self.parts.renderer, drawing),
                policy_name=self._policy_name,
                prefix=prefix,
                seed=self.settings.seed,
            )
            total = config.episodes * config.samples
            found = await self._watch.run("eval", total, self._ahead.beside(scoring), of=prefix)
            self.run.event("eval", step=self.step, mode=mode, **found.to_json())
            self._metrics.log(self.step, found.scalars(f"eval/{mode}"))

    async def save(self) -> None:
        """Save the state after the last whole step, unless that is done or there is none yet."""
        if not self._is_ready or self._saved == self.step:
            return
        with self._watch.phase("checkpoint"):
            self._episodes.sync()  # a checkpoint must not outlive what led to it
            self._recorder.sync()
            folder = await self._aside(
                partial(
                    save_state,
                    self.run.checkpoints_dir,
                    self.step,
                    parts=self.parts,
                    updater=self.updater,
                    state=self._state(),
                    keep=self.settings.checkpoint.keep,
                )
            )
        self._saved = self.step
        self.run.event("checkpoint", step=self.step, folder=folder.name)

    # Where a step stands

    @property
    def progress(self) -> float:
        """Share of the steps that are done."""
        return self.step / max(1, self.settings.train.steps)

    @property
    def lr(self) -> float:
        """The learning rate of the step to come."""
        return self.settings.optim.rate(self.step, self.settings.train.steps)

    @property
    def _is_ahead(self) -> bool:
        """Whether episodes are played while the weights are updated."""
        return self.settings.train.max_staleness > 0

    @property
    def _policy_name(self) -> str:
        return f"local@{self.step}"

    def _is_over(self) -> bool:
        limit = self.settings.train.max_seconds
        is_late = limit is not None and time.perf_counter() - self._started >= limit
        return is_late or self.step >= self.settings.train.steps

    # Parts of the verbs

    async def _evaluate_if_due(self, *, is_over: bool) -> None:
        every = self.settings.eval.every
        if every and (is_over or self.step % every == 0):
            await self.evaluate()

    async def _aside(self, work: Callable[[], T]) -> T:
        """Do what blocks: on a thread where episodes are played meanwhile."""
        return await aside(work, stop=self.updater.stop) if self._is_ahead else work()

    def _plan(self) -> None:
        """Set up who plays which episodes when, now that the engine is there."""
        rollout, parts = self.settings.rollout, self.parts
        self._episodes.scheduler = rollout.scheduler(
            slots=parts.engine.slots, sandboxes=self._sandboxes
        )
        player = Player(
            rollout,
            tasks=self._tasks,
            episodes=self._episodes,
            make_policy=token_policies(parts.engine, parts.renderer, rollout.sampling),
            policy_name=lambda: self._policy_name,
            are_equal=self._are_equal,
            on_draw=self._on_draw,
            watch=self._watch,
        )
        train = self.settings.train
        self._ahead = Ahead(player.play, max_staleness=train.max_staleness, steps=train.steps)

    def _are_equal(self, table: StepTable) -> Bools:
        return equal_groups(table, self.shape(table).rewards)

    def _on_draw(self, drawn: dict[str, int]) -> None:
        """Write down which tasks groups have, where that depends on the clock."""
        if self._is_ahead and self.settings.rollout.refill_equal_groups:
            self.run.event("drawn", step=self.step, groups=drawn)

    def _on_episode(self, trajectory: Trajectory) -> None:
        if trajectory.end == "error":
            self.run.event("fault", episode=trajectory.id, reason=trajectory.reason)
        self._watch.advance(of=trajectory.group_id.rpartition("-")[0])

    # The first checkpoint, and the way back from any

    async def _begin(self) -> None:
        self.parts = await begin(
            self.settings,
            self.run,
            env=self.env,
            episodes=self._episodes,
            tasks=self._tasks,
            sandboxes=self._sandboxes,
            metrics=self._metrics,
            watch=self._watch,
        )
        self._tasks.done("")
        self.updater = make_updater(self.settings, self.parts)
        if self.settings.loss.kl_penalty:
            self.updater.reference = copy.deepcopy(self.parts.policy)

    def _restore(self, folder: Path) -> None:
        self.parts, self.updater, state = restore(self.settings, folder)
        self.step = self._saved = state["step"]
        self._lookout.restore(state.get("lookout", {"batches": state.get("history", ())}))
        self._tasks.skip(state["tasks"], drawn={**state.get("drawn", {}), **self._drawn_since()})

    def _drawn_since(self) -> dict[str, int]:
        """Return the tasks of groups that a process drew, and did not live to save."""
        first = group_ids(self.step)
        drawn = (event["groups"] for event in self.run.events() if event.get("kind") == "drawn")
        return {name: place for each in drawn for name, place in each.items() if name >= first}

    def _state(self) -> dict[str, Any]:
        return {
            "step": self.step,
            "tasks": self._tasks.position,
            "drawn": self._tasks.drawn,
            "lookout": self._lookout.state,
        }
