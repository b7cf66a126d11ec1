"""Promises about optimiser steps: rewards, advantages, and what became of each token."""

from collections.abc import Iterator

import numpy as np

from agentgym.check.report import NotChecked
from agentgym.check.run.subject import RunSubject, UpdateSubject, some
from agentgym.table import Bools, Floats
from agentgym.trainers.causes import Cause
from agentgym.trainers.credit.base import TrajectoryCredit
from agentgym.trainers.recompute import same_bits


def check_versions(found: UpdateSubject, _: RunSubject) -> Iterator[str]:
    """All tokens were sampled by the policy that was then trained."""
    expected = found.update.version
    for trajectory in found.update.trajectories:
        for number, step in enumerate(trajectory.steps):
            versions = (
                {version for _, version in step.completion.versions}
                if step.completion
                else {expected}
            )
            if versions != {expected}:
                listed = some(sorted(versions))
                yield f"{found.where}: {trajectory.id} step {number} is of policy {listed}, not {expected}"


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
    yield from _differs(found, _computed(found), found.update.advantages, "advantages")


def check_zeros(found: UpdateSubject, subject: RunSubject) -> Iterator[str]:
    """No step lost the advantage of its trajectory."""
    table = found.update.table
    has = _any_in_steps(found, found.update.advantages)
    if isinstance(subject.methods.credit, TrajectoryCredit):
        due = np.bincount(table.trajectory, weights=has, minlength=table.num_trajectories) > 0
        should = due[table.trajectory]
    else:
        should = _any_in_steps(found, _computed(found))
    lost = np.flatnonzero(should & ~has & (np.diff(table.token_start) > 0))
    if len(lost):
        names = (f"{table.trajectory_ids[table.trajectory[s]]} step {table.step[s]}" for s in lost)
        yield f"{found.where}: {len(lost)} of {table.num_steps} steps have the advantage 0: {some(names)}"


def check_weights(found: UpdateSubject, _: RunSubject) -> Iterator[str]:
    """Weights lie on sampled tokens alone, and each token without one has a cause."""
    columns, total = found.update.columns, found.num_tokens
    sizes = {name: len(columns[name]) for name in ("weights", "cause", "logprobs")}
    if set(sizes.values()) != {total}:
        yield f"{found.where}: {total} tokens were sampled, but there are {sizes}"
        return
    advantages = found.per_token(found.update.advantages).astype(np.float32)  # as a batch has them
    weights, cause = columns["weights"], columns["cause"]
    is_trained = cause == Cause.TRAINED
    wrong = {
        "with a weight that is not finite": ~np.isfinite(weights),
        "with a weight and a cause for having none": (weights != 0) & ~is_trained,
        "called trained without a weight": (weights == 0) & is_trained,
        "with a cause that nothing has": ~np.isin(cause, list(Cause)),
        "trained on without a log-probability": is_trained & ~np.isfinite(columns["logprobs"]),
        "left out as if the advantage were 0": (cause == Cause.ZERO_ADVANTAGE) & (advantages != 0),
    }
    for what, at in wrong.items():
        if at.any():
            yield f"{found.where}: {int(at.sum())} of {total} tokens {what}"


def check_finite(found: UpdateSubject, _: RunSubject) -> Iterator[str]:
    """Rewards and advantages are numbers, one for each step, or for each token."""
    table, update = found.update.table, found.update
    sizes = {"rewards": (table.num_steps,), "advantages": (table.num_steps, found.num_tokens)}
    for name, allowed in sizes.items():
        values = update.columns[name]
        if len(values) not in allowed:
            yield f"{found.where}: {len(values)} {name} for {table.num_steps} steps"
        elif not np.isfinite(values).all():
            yield f"{found.where}: {int((~np.isfinite(values)).sum())} {name} are not finite"


def _differs(found: UpdateSubject, now: Floats, then: Floats, what: str) -> Iterator[str]:
    if same_bits(now, then):
        return
    if now.shape != then.shape:
        yield f"{found.where}: {len(then)} {what} are recorded, now there are {len(now)}"
        return
    apart = np.abs(now - then)
    differ = int((now.view(np.int64) != then.view(np.int64)).sum())
    yield f"{found.where}: {differ} of {len(now)} {what} differ, by up to {np.nanmax(apart):.3g}"


def _computed(found: UpdateSubject) -> Floats:
    if found.advantages is None:
        raise NotChecked("a column that the estimator needs is not in the record")
    return found.advantages


def _any_in_steps(found: UpdateSubject, advantages: Floats) -> Bools:
    """Return whether any token of a step has an advantage, [S]."""
    table = found.update.table
    if len(advantages) == table.num_steps:
        return np.asarray(advantages != 0)
    steps = np.repeat(np.arange(table.num_steps), np.diff(table.token_start))
    return np.bincount(steps, weights=advantages != 0, minlength=table.num_steps) > 0
