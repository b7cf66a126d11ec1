"""The run directory of the demo: what a training writes, step by step, in the same order."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from agentgym.config.overlay import render_toml
from agentgym.config.run import RunConfig, resolve_words
from agentgym.demo.clock import Clock
from agentgym.demo.columns import annotated
from agentgym.demo.cues import (
    FORKED_STEP,
    GROUP_SIZE,
    GROUPS,
    SEED,
    STALE_GROUP,
    STALE_STEP,
    STEPS,
    Cue,
    cue_of,
    skill_at,
)
from agentgym.demo.env import DemoConfig
from agentgym.demo.flaws import spoil, spoil_cue, tear
from agentgym.demo.play import Part, Stage, forked, last_attempts
from agentgym.demo.tokenizer import WordTokenizer
from agentgym.demo.update import pretend_update
from agentgym.demo.vocabulary import known_words, tools
from agentgym.env import first_tasks
from agentgym.errors import ConfigError, without_warnings
from agentgym.metrics import JsonlSink, Metrics
from agentgym.rollout.collect import make_jobs, to_groups
from agentgym.rollout.episode import Job
from agentgym.store.episodes import EpisodeWriter
from agentgym.store.run import Run
from agentgym.table import build_table
from agentgym.trainers.diagnostics import diagnose
from agentgym.trainers.episodes import TaskStream, usable
from agentgym.trainers.evaluate import score
from agentgym.trainers.lookout import Lookout
from agentgym.trainers.losses import PPO
from agentgym.trainers.record import Recorder
from agentgym.trainers.rows import make_rows
from agentgym.trainers.scalars import describe
from agentgym.trainers.shaping.base import shape
from agentgym.trainers.staleness import staleness
from agentgym.types import Trajectory, derive_seed

ENV = "agentgym.demo.env:DemoConfig"

_SHAPING = """[
    {term = "outcome"},
    {term = "tool_valid", weight = 0.05, scope = "step", gates = [{name = "above"}]},
    {term = "mess", weight = 0.1, scope = "step", gates = [{name = "score"}], gate_positive_only = true},
    {term = "tests", weight = 0.3, schedule = {name = "linear"}},
    {term = "tidy", weight = 0.1, gates = [{name = "score", term = "tests"}]},
    {term = "style", weight = 0.5, schedule = {name = "steps", at = [0.5, 0.75], factors = [0, 1, 0]}},
    {term = "num_tokens", weight = 0.2, form = {name = "overlong", max_length = 100, cache = 50}},
]"""
_WORDS = (
    f"seed={SEED}",
    f"env.id={ENV}",
    f"rollout={{groups = {GROUPS}, group_size = {GROUP_SIZE}, sampling.max_tokens = 64}}",
    "shaping.name=terms",
    f"shaping.terms={' '.join(_SHAPING.split())}",
    "credit.name=gigpo",
    "loss.correction.name=rejection",
    "optim={lr = 1e-4, warmup_steps = 2, decay = 'cosine'}",
    f"train={{steps = {STEPS}, minibatches = 2}}",
    f"eval={{every = {STEPS}, episodes = 12, samples = 2}}",
    f"checkpoint={{every = {STEPS}}}",
)


def write_demo(root: str | Path, *, flawed: bool = False) -> Run:
    """Write the demo into a new directory, and return it.

    The same version of the framework writes the same bytes on every machine, except in `.lock` and
    in `run.json` the versions of Python and of libraries.
    `flawed`: with the damage that `flaws.py` describes, and as if its process had been killed.

    Raises:
        ConfigError: there is something already.
        StoreError: it cannot be written.
    """
    if (Path(root) / "run.json").exists():
        raise ConfigError(
            f"the run directory {root} exists already",
            hint="nothing was written; name another one: agentgym demo OUT",
        )
    resolved = resolve_words(_WORDS)
    clock = Clock()
    with Run.create(
        root,
        config_text=render_toml(resolved),
        command=["agentgym", "demo"],
        seed=SEED,
        env=ENV,
        clock=clock.now,
    ) as run:
        run.update(kind="train", sandbox=None, host="demo", pid=0, git_commit=None)
        # What goes wrong here does so on purpose.
        with (
            without_warnings("agentgym.trainers.lookout"),
            Writer(run, resolved.config, clock, flawed=flawed) as writer,
        ):
            asyncio.run(writer.write())
        if flawed:
            tear(run.root)
        else:
            run.update(status="finished")
    return Run.open(run.root)


class Writer:
    """Does what `Trainer` does, without a model."""

    def __init__(self, run: Run, config: RunConfig, clock: Clock, *, flawed: bool) -> None:
        self._run = run
        self._config = config
        self._clock = clock
        self._flawed = flawed
        self._tokenizer = WordTokenizer(known_words(), tools())
        self._stage = Stage(self._tokenizer, config.rollout.sampling)
        self._tasks = TaskStream(config.env.config, seed=SEED)
        self._lookout = Lookout(run, shaping=config.shaping, success=DemoConfig.success)
        self._episodes = EpisodeWriter(run.root, pid=0)
        self._recorder = Recorder(run.root, pid=0)
        self._metrics = Metrics(JsonlSink(run.metrics_path, clock=clock.seconds))
        self._faults = 0

    def __enter__(self) -> "Writer":
        return self

    def __exit__(self, *_: object) -> None:
        self._episodes.close()
        self._recorder.close()
        self._metrics.close()

    async def write(self) -> None:
        """Write everything, from the first evaluation to the last."""
        self._run.event("start", step=0, resumed=False)
        await self._evaluate(0)
        self._save(0)
        for step in range(STEPS):
            trained = await self._collect(step)
            self._learn(step, trained)
            if step == FORKED_STEP:
                await self._fork(trained, step)
        await self._evaluate(STEPS)
        self._save(STEPS)

    async def _collect(self, step: int) -> list[Trajectory]:
        """Play the groups of a step; return the episodes that it is trained on."""
        groups = [
            self._tasks.jobs(f"train-{step:06d}-{group:03d}", group_size=GROUP_SIZE)
            for group in range(GROUPS)
        ]
        stale = f"train-{step:06d}-{STALE_GROUP:03d}"
        if step == STALE_STEP:
            groups.append([replace(job, group_id=stale) for job in groups[0]])
        parts = [
            Part(job=job, cue=self._cue(job, step, group))
            for group, jobs in enumerate(groups)
            for job in jobs
        ]
        played = await self._play(parts, version=step)
        return [each for each in played if usable(each) and each.group_id != stale]

    def _cue(self, job: Job, step: int, group: int) -> Cue:
        cue = cue_of(step, group, job.member)
        return spoil_cue(cue, job.id) if self._flawed else cue

    def _learn(self, step: int, trajectories: Sequence[Trajectory]) -> None:
        """Shape, give credit, pretend an update, and record all of it."""
        config = self._config
        lr = config.optim.rate(step, STEPS)
        competence = self._lookout.competence
        schedules = {"progress": step / STEPS, "competence": competence, "lr": lr}
        table = annotated(build_table(to_groups(trajectories)), step=step)
        shaped = shape(config.shaping, table, progress=schedules["progress"], competence=competence)
        advantages = config.credit(table, shaped.rewards)
        rows = make_rows(trajectories, table, advantages)
        assert isinstance(config.loss, PPO), "the demo is configured so"
        seed = derive_seed(SEED, "shuffle", step)
        updated = pretend_update(rows, loss=config.loss, train=config.train, seed=seed, lr=lr)
        self._clock.pass_by(2.0)
        self._recorder.update(
            step=step,
            version=step,
            schedules=schedules,
            table=table,
            shaped=shaped,
            advantages=advantages,
            updated=updated,
            staleness=staleness(trajectories, version=step),
        )
        self._lookout.add(step + 1, table, shaped)
        seconds = max(each.seconds for each in trajectories)
        self._log(
            step + 1,
            {
                **describe(trajectories, table, shaped, success=DemoConfig.success),
                **updated.metrics,
                **diagnose(config.credit, table, shaped.rewards, advantages, updated.cause),
                **schedules,
                **self._lookout.sound(step + 1, table, shaped),
                "seconds/collect": seconds,
                "seconds/update": 2.0,
                "seconds": seconds + 2.0,
                "tokens_per_second": int(table.token_start[-1]) / (seconds + 2.0),
                "faults": float(self._faults),
            },
        )

    async def _evaluate(self, step: int) -> None:
        """Play the held-out tasks, the same ones every time."""
        config = self._config.eval
        tasks = first_tasks(self._config.env.config, "test", number=config.episodes)
        jobs = make_jobs(
            tasks,
            group_size=config.samples,
            run_seed=SEED,
            prefix=f"eval-sampled-{step:06d}",
            env=DemoConfig.id,
        )
        cue = Cue(skill=skill_at(step))
        found = score(
            await self._play([Part(job=job, cue=cue) for job in jobs], version=step),
            success=DemoConfig.success,
        )
        self._run.event("eval", step=step, mode="sampled", **found.to_json())
        self._metrics.log(step, found.scalars("eval/sampled"))

    async def _fork(self, trajectories: Sequence[Trajectory], step: int) -> None:
        """Go on from the middle of a failed episode in other ways, as children of it."""
        failed = [each for each in trajectories if not each.outcome and len(each.segments) == 1]
        parent = max(failed, key=lambda each: len(each.steps))
        middle = len(parent.steps) // 2
        parts = forked(parent, step=middle, samples=3, skill=0.6)
        for child in last_attempts(await self._stage.play(parts, version=step)):
            child.parent_id, child.fork_step = parent.id, middle
            self._episodes.append(child)

    async def _play(self, parts: Sequence[Part], *, version: int) -> list[Trajectory]:
        """Play and record; return the last attempt at each part."""
        played = await self._stage.play(parts, version=version)
        for trajectory in (each for attempts in played for each in attempts):
            if self._flawed:
                spoil(trajectory)
            self._episodes.append(trajectory)
            if trajectory.end == "error":
                self._faults += 1
                self._run.event("fault", episode=trajectory.id, reason=trajectory.reason)
        self._clock.pass_by(max(each.seconds for each in last_attempts(played)))
        return last_attempts(played)

    def _log(self, step: int, scalars: Mapping[str, float]) -> None:
        self._metrics.log(step, scalars)
        self._run.update(step=step)

    def _save(self, step: int) -> None:
        """Write a checkpoint that has a tokenizer and no weights."""
        folder = self._run.checkpoints_dir / f"{step:06d}"
        self._tokenizer.save_pretrained(folder)
        latest = folder.with_name("latest")
        latest.unlink(missing_ok=True)
        latest.symlink_to(folder.name)
        self._run.event("checkpoint", step=step, folder=folder.name)
