"""Promises about optimiser steps: policies, rewards and advantages."""

from collections.abc import Iterator
from functools import partial

import numpy as np

from agentgym.check.run.report import Rounded
from agentgym.check.run.subject import RunSubject, UpdateSubject, some
from agentgym.store.address import address_of
from agentgym.table import Bools, Floats
from agentgym.trainers.credit.base import ROUNDING, TrajectoryCredit
from agentgym.trainers.recompute import same_bits
from agentgym.trainers.staleness import staleness


def check_versions(found: UpdateSubject, subject: RunSubject) -> Iterator[str]:
    """All tokens were sampled by the policy that was then trained, or by one that may be as old."""
    noted = found.update.columns.get("staleness")
    newest, oldest = found.update.version, found.update.version - subject.max_staleness
    for trajectory in found.update.trajectories:
        for number, step in enumerate(trajectory.steps):
            versions = (
                {each for _, each in step.completion.versions} if step.completion else {newest}
            )
            if not versions or min(versions) < oldest or max(versions) > newest:
                expected = f"{oldest} to {newest}" if oldest < newest else str(newest)
                place = address_of(subject.run.root, trajectory.id, number)
                yield f"{found.where}: {place} is of policy {some(sorted(versions))}, not {expected}"
    if noted is not None and not np.array_equal(
        noted, staleness(found.update.trajectories, version=newest)
    ):
        yield f"{found.where}: the column staleness is not what the versions of the tokens tell"


def check_rewards(found: UpdateSubject, _: RunSubject) -> Iterator[str]:
    """Shaping the recorded terms gives the recorded rewards, to the last bit, part by part."""
    yield from _differs(found, found.shaped.rewards, found.update.rewards, "rewards")
    if not any(name.startswith("raw/") for name in found.update.columns):
        return  # a record from before parts were kept
    table = found.update.table
    raw = {f"raw/{name}": table.term(name) for name in table.term_names}
    parts = {f"shaped/{name}": values for name, values in found.shaped.terms.items()}
    gates = {f"gate/{name}": values for name, values in found.shaped.gates.items()}
    for name, values in (raw | parts | gates).items():
        then = found.update.columns.get(name)
        if then is None:
            yield f"{found.where}: there is no column {name}"
        else:
            yield from _differs(found, values, then, name)


def check_advantages(found: UpdateSubject, _: RunSubject) -> Iterator[str]:
    """The estimator gives the recorded advantages for the recorded rewards, to the last bit."""
    yield from _differs(found, found.credited, found.update.advantages, "advantages")


def check_zeros(found: UpdateSubject, subject: RunSubject) -> Iterator[str]:
    """No step lost the advantage of its trajectory."""
    table = found.update.table
    has = _any_in_steps(found, found.advantages)
    if isinstance(subject.methods.credit, TrajectoryCredit):
        due = np.bincount(table.trajectory, weights=has, minlength=table.num_trajectories) > 0
        should = due[table.trajectory]
    else:
        should = _any_in_steps(found, found.credited)
    lost = np.flatnonzero(should & ~has & (np.diff(table.token_start) > 0))
    if len(lost):
        names = [table.trajectory_ids[row] for row in table.trajectory[lost]]
        places = map(partial(address_of, subject.run.root), names, table.step[lost].tolist())
        count = f"{len(lost)} of {table.num_steps} steps"
        yield f"{found.where}: {count} have the advantage 0: {some(places)}"


def check_finite(found: UpdateSubject, _: RunSubject) -> Iterator[str]:
    """Rewards and advantages are numbers, one for each step, or for each token."""
    for wrong in found.unsound.values():
        yield f"{found.where}: {wrong}"


def _differs(found: UpdateSubject, now: Floats, then: Floats, what: str) -> Iterator[str]:
    if then.dtype != np.float64:
        yield f"{found.where}: the {what} are {then.dtype}, not float64"
    elif now.shape != then.shape:
        yield f"{found.where}: {len(then)} {what} are recorded, now there are {len(now)}"
    elif not same_bits(now, then):
        differ = now.view(np.int64) != then.view(np.int64)
        now, then = now[differ], then[differ]
        wrong = f"{found.where}: {len(now)} of {len(differ)} {what} differ, {_how(now, then)}"
        yield Rounded(wrong) if _is_rounding(now, then) else wrong


def _how(now: Floats, then: Floats) -> str:
    """Say how values differ that are not the same to the last bit."""
    is_number = np.isfinite(now) & np.isfinite(then)
    if not is_number.any():
        return "and are not finite in one of them"
    most = np.abs(now - then, where=is_number, out=np.zeros(len(now))).max()
    parts = [f"by up to {most:.3g}" if most else "in the sign of a zero"]
    if most and _is_rounding(now, then):
        parts.append("(rounding)")
    if not is_number.all():
        parts.append(f"and {int((~is_number).sum())} are not finite")
    return " ".join(parts)


def _is_rounding(now: Floats, then: Floats) -> bool:
    """Return whether the same sums, in another order, may differ so."""
    if not (np.isfinite(now) & np.isfinite(then)).all():
        return False
    return bool((np.abs(now - then) <= ROUNDING * np.maximum(np.abs(then), 1.0)).all())


def _any_in_steps(found: UpdateSubject, advantages: Floats) -> Bools:
    """Return whether any token of a step has an advantage, [S]."""
    table = found.update.table
    if len(advantages) == table.num_steps:
        return np.asarray(advantages != 0)
    steps = np.repeat(np.arange(table.num_steps), np.diff(table.token_start))
    return np.bincount(steps, weights=advantages != 0, minlength=table.num_steps) > 0
