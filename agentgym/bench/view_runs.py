"""Runs to measure the viewer on: of many episodes, of one long episode, of a million heads.

They are drawn from a seed, written through the store, and kept in the user's cache for the next time.
"""

import os
import random
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from agentgym.bench.view_words import PIECES, write_tokenizer
from agentgym.config.overlay import render_toml
from agentgym.config.run import RunConfig, resolve_words
from agentgym.rollout.collect import to_groups
from agentgym.store.episodes import FOLDER, SCHEMA, EpisodeWriter
from agentgym.store.files import user_cache
from agentgym.store.jsonline import to_json
from agentgym.store.run import Run
from agentgym.store.trajectory import to_head
from agentgym.store.writer import ShardWriter
from agentgym.table import build_table
from agentgym.trainers.causes import Cause
from agentgym.trainers.record import Recorder
from agentgym.trainers.rows import make_rows
from agentgym.trainers.staleness import staleness
from agentgym.trainers.updated import Updated
from agentgym.types import OUTCOME, Completion, Message, Segment, Step, Task, Trajectory

ENV = "agentgym/KeyDoor-v0"
LONG = "long"
"""The id of the long episode."""

_VERSION = 1  # of what is drawn below; part of the folders' names
_GROUP = 8  # episodes of a group
_GROUPS = 16  # of an optimiser step
_GIVEN = 20  # tokens before each completion of the long episode
_UNREAD_BYTES = 400  # that stand in for an episode behind its head


def many_episodes(count: int) -> Path:
    """Return a run of `count` short episodes, all of them used by optimiser steps."""
    return _kept(f"run-{count}", lambda root: _write_many(root, count))


def long_episode(steps: int, tokens: int) -> Path:
    """Return a run in which the episode `LONG` has so many steps, and so many tokens in one segment."""
    return _kept(f"episode-{steps}-{tokens}", lambda root: _write_long(root, steps, tokens))


def many_heads(count: int) -> Path:
    """Return a run of `count` records of which the heads are real, and nothing else is worth opening."""
    return _kept(f"heads-{count}", lambda root: _write_heads(root, count))


def append_heads(root: Path, count: int, *, first: int) -> None:
    """Append records as in `many_heads` to a run that has `first` of them."""
    with ShardWriter(root / FOLDER, writer="rollout", schema=SCHEMA) as writer:
        for head in _heads(first, first + count):
            writer.write(head, _UNREAD, {})


def linked(root: Path, place: Path) -> Path:
    """Return a copy of a run that shares its shards, and may be appended to."""
    shutil.copytree(root, place, copy_function=os.link)
    return place


def _kept(name: str, write: Callable[[Path], None]) -> Path:
    """Return a run of the cache; one that is not there is made whole, or not at all."""
    root = user_cache("bench") / f"{name}-{_VERSION}"
    if not root.is_dir():
        made = root.with_name(f"{root.name}.{os.getpid()}")
        shutil.rmtree(made, ignore_errors=True)
        try:
            write(made)
            made.rename(root)
        finally:
            shutil.rmtree(made, ignore_errors=True)
    return root


def _write_many(root: Path, count: int) -> None:
    chance = random.Random(0)
    per_step = _GROUP * _GROUPS
    with _Written(root, steps=-(-count // per_step)) as written:
        for step in range(written.steps):
            numbers = range(step * per_step, min(count, (step + 1) * per_step))
            written.step([_short(number, step, chance) for number in numbers])


def _write_long(root: Path, steps: int, tokens: int) -> None:
    chance = random.Random(0)
    short = _episode(0, 0, 3, 8, chance)
    long = replace(_episode(1, 0, steps, tokens // steps - _GIVEN, chance), id=LONG)
    for trajectory in (short, long):  # the one that won has advantages
        trajectory.steps[-1].reward_terms[OUTCOME] = float(trajectory is long)
    with _Written(root, steps=1) as written:
        written.step([short, long])
    write_tokenizer(root)


def _write_heads(root: Path, count: int) -> None:
    with _Written(root, steps=0):
        append_heads(root, count, first=0)


class _Written:
    """A run that is being written: episodes, and what optimiser steps noted of them."""

    def __init__(self, root: Path, *, steps: int) -> None:
        resolved = resolve_words([f"env.id={ENV}", "credit.name=gigpo"])
        self.steps = steps
        self._config: RunConfig = resolved.config
        self._draw = np.random.default_rng(0)
        self._run = Run.create(
            root, config_text=render_toml(resolved), command=["bench"], seed=0, env=ENV
        )
        self._episodes, self._recorder = EpisodeWriter(root), Recorder(root)
        self._done = 0

    def __enter__(self) -> "_Written":
        return self

    def __exit__(self, *_: object) -> None:
        self._run.update(kind="train", status="finished", step=self.steps)
        self._episodes.close()
        self._recorder.close()
        self._run.close()

    def step(self, made: Sequence[Trajectory]) -> None:
        """Write the episodes of one optimiser step, and its note."""
        for trajectory in made:
            self._episodes.append(trajectory)
        table = build_table(to_groups(made))
        table = replace(table, entropy=self._draw.random(table.num_steps))
        progress = self._done / self.steps
        shaped = self._config.shaping(table, progress=progress)
        advantages = self._config.credit(table, shaped.rewards)
        self._recorder.update(
            step=self._done,
            version=self._done,
            schedules={"progress": progress},
            table=table,
            shaped=shaped,
            advantages=advantages,
            updated=self._updated(make_rows(made, table, advantages).cause),
            staleness=staleness(made, version=self._done),
        )
        self._done += 1

    def _updated(self, cause: "np.ndarray[tuple[int], np.dtype[np.int8]]") -> Updated:
        trained = cause == Cause.TRAINED
        logprobs = -self._draw.random(len(cause))
        weights = self._draw.random(len(cause))
        return Updated(
            metrics={},
            logprobs=np.where(trained, logprobs, np.nan).astype(np.float32),
            weights=np.where(trained, weights, 0).astype(np.float32),
            cause=cause,
        )


def _short(number: int, step: int, chance: random.Random) -> Trajectory:
    return _episode(number, step, chance.randint(2, 5), 4, chance)


def _episode(number: int, step: int, turns: int, tokens: int, chance: random.Random) -> Trajectory:
    """Draw an episode of so many turns that sample so many tokens each; some fail, few are cut."""
    group, member = divmod(number, _GROUP)
    is_cut, won = chance.random() < 0.05, chance.random() < 0.5
    segment = Segment()
    steps = [_turn(segment, turn, tokens, step, chance) for turn in range(turns)]
    steps[-1].reward_terms[OUTCOME] = float(won and not is_cut)
    name = f"train-{step:06d}-{group % _GROUPS:03d}"
    return Trajectory(
        id=f"{name}.{member}.0",
        task=Task("Open the door.", id=f"door-{group}", env=ENV),
        group_id=name,
        member=member,
        prompt=(Message("user", "Open the door."),),
        steps=steps,
        segments=[segment],
        end="truncated" if is_cut else "terminated",
        reason="max_turns" if is_cut else "env",
    )


def _turn(segment: Segment, turn: int, tokens: int, version: int, chance: random.Random) -> Step:
    """Draw a turn, and append its tokens to the segment."""
    ids = tuple(chance.choices(range(len(PIECES)), k=tokens))
    logprobs = tuple(np.array([-chance.random() for _ in ids], dtype=np.float32).tolist())
    first = len(segment.token_ids) + _GIVEN
    segment.token_ids += [*chance.choices(range(len(PIECES)), k=_GIVEN), *ids]
    segment.sampled += [False] * _GIVEN + [True] * tokens
    segment.logprobs += [0.0] * _GIVEN + list(logprobs)
    segment.steps.append((turn, first, first + tokens))
    text = "".join(PIECES[token] for token in ids).strip()
    state = chance.randrange(1 + turn)
    return Step(
        message=Message("assistant", text),
        replies=(Message("user", f"turn {turn}: " + "you see a door. " * chance.randint(1, 8)),),
        reward_terms={OUTCOME: 0.0, "valid": chance.randrange(2) / 8},
        state_key=f"room {state}",
        next_state_key=f"room {state + 1}",
        action_key=text[:8],
        completion=Completion(
            token_ids=ids, logprobs=logprobs, finish_reason="stop", versions=((0, version),)
        ),
    )


_UNREAD = to_json({"episode": random.Random(0).randbytes(_UNREAD_BYTES).hex()})


def _heads(first: int, stop: int) -> Iterator[dict[str, object]]:
    head = to_head(_short(0, 0, random.Random(0)))
    for number in range(first, stop):
        step, place = divmod(number, _GROUP * _GROUPS)
        group, member = divmod(place, _GROUP)
        name = f"train-{step:06d}-{group:03d}"
        yield head | {"id": f"{name}.{member}.0", "group_id": name, "member": member}
