"""Promises about what became of each sampled token of an optimiser step: its weight, or why none."""

from collections.abc import Iterator

import numpy as np

from agentgym.check.report import NotChecked
from agentgym.check.run.subject import RunSubject, UpdateSubject, some
from agentgym.store.address import address_of
from agentgym.table import Bools, Floats, Ints
from agentgym.trainers.causes import Cause
from agentgym.trainers.losses import Loss
from agentgym.trainers.staleness import staleness
from agentgym.types import derive_seed

_MAX_GAP = 0.1  # nats; engines in bfloat16 stay near 0.02, one with stale weights near 0.2
_MAX_EPISODE_GAP = 0.5  # of one episode, whose few tokens may be unlikely ones


def check_gap(found: UpdateSubject, run: RunSubject) -> Iterator[str]:
    """Engine and trainer agree on how likely the sampled tokens were.

    Both the scalar of the training is looked at and the record: the tokens of the first minibatch,
    before the weights moved. What is noted is of the last pass, so there must be one only. Of
    a training that plays ahead only tokens of the newest policy can be compared, in the record.
    """
    is_ahead = run.max_staleness > 0
    scalars = {} if is_ahead else run.scalars.get(found.update.number, {})
    logged = scalars.get("logprob_gap")
    if logged is not None and not (isinstance(logged, int | float) and logged <= _MAX_GAP):
        yield f"{found.where}: {logged} nats apart in the mean, as logged; at most {_MAX_GAP}"
    noted = _column(found, "logprobs")
    at_first = np.isfinite(noted) & before_any_update(found, run)
    if is_ahead:
        at_first &= staleness(found.update.trajectories, version=found.update.version) == 0
    if at_first.any():
        yield from _recorded_gap(found, noted, at_first)
    elif logged is None and not is_ahead and np.isfinite(noted).any():
        raise NotChecked(
            f"{found.where} has logged no `logprob_gap`, and which tokens were trained on before "
            "the weights moved is not in the record"
        )


def check_weights(found: UpdateSubject, run: RunSubject) -> Iterator[str]:
    """A token has the weight that the loss gives it, or the cause for none that it should have."""
    columns, total = found.update.columns, found.num_tokens
    sizes = {name: len(columns[name]) for name in ("weights", "cause", "logprobs")}
    if set(sizes.values()) != {total}:
        yield f"{found.where}: {total} tokens were sampled, but there are {sizes}"
        return
    weights, cause = columns["weights"], columns["cause"]
    is_trained = cause == Cause.TRAINED
    wrong = {
        "with a weight that is not finite": ~np.isfinite(weights),
        "with a weight below 0": weights < 0,
        "with a weight and a cause for having none": (weights != 0) & ~is_trained,
        "called trained without a weight": (weights == 0) & is_trained,
        "trained on without a log-probability": is_trained & ~np.isfinite(columns["logprobs"]),
        **_wrong_causes(found, run.training.loss),
        **_wrong_sizes(found, run),
    }
    for what, at in wrong.items():
        if at.any():
            yield f"{found.where}: {int(at.sum())} of {total} tokens {what}"


def _wrong_causes(found: UpdateSubject, loss: Loss) -> dict[str, Bools]:
    """Return which tokens have a cause that they should not have, by what is wrong with it."""
    cause, row = found.update.columns["cause"], found.row
    left_out = (row >= 0) & ~found.in_trained_row
    may_be_idle = left_out if loss.reaches_all else (row >= 0) & (found.in_batch == 0)
    must_be_idle = left_out if found.update.schema < 2 else may_be_idle
    cut, dropped = cause == Cause.CLIPPED, cause == Cause.DROPPED
    return {
        "with a cause that nothing has": ~np.isin(cause, list(Cause)),
        "stand in no segment, but another cause is given": (row < 0)
        & (cause != Cause.NOT_IN_BATCH),
        "called not in the batch, though a segment has them": (row >= 0)
        & (cause == Cause.NOT_IN_BATCH),
        "left out as if the advantage were 0": (row >= 0)
        & ~may_be_idle
        & (cause == Cause.ZERO_ADVANTAGE),
        "without an advantage, but another cause is given": must_be_idle
        & (cause != Cause.ZERO_ADVANTAGE),
        f"called clipped, and {type(loss).__name__} does not clip": cut & (not loss.cuts),
        "called dropped, and nothing was corrected": dropped & (loss.correction.name == "none"),
    }


def _wrong_sizes(found: UpdateSubject, run: RunSubject) -> dict[str, Bools]:
    """Return which weights are not those of the loss; where there is one minibatch, they are known."""
    loss, columns = run.training.loss, found.update.columns
    if run.training.train.minibatches > 1 or loss.correction.name != "none":
        return {}
    shares = _shares(found, loss)
    is_other = ~np.isclose(columns["weights"], shares, rtol=1e-4, atol=0)
    return {
        f"with another weight than {loss.aggregate} gives": is_other
        & (columns["cause"] == Cause.TRAINED)
        & (columns["weights"] != 0)
    }


def _shares(found: UpdateSubject, loss: Loss) -> Floats:
    """Return what each token counts in a minibatch of all rows, [N]."""
    row = found.row
    here = (row >= 0) & found.in_trained_row
    lengths: Ints = np.bincount(row[here])
    num_rows = max(1, int((lengths > 0).sum()))
    if loss.aggregate == "seq-mean-token-mean":
        shares = np.zeros(len(row))
        shares[here] = 1 / (lengths[row[here]] * num_rows)
        return shares
    sizes = {
        "token-mean": max(1.0, float(here.sum())),
        "seq-mean-token-sum": float(num_rows),
        "seq-mean-token-sum-norm": float(loss.length or 1),
    }
    return np.full(len(row), 1 / sizes[loss.aggregate])


def before_any_update(found: UpdateSubject, run: RunSubject) -> Bools:
    """Return which tokens were in the first minibatch of the only pass, [N]; none: not known."""
    train, row = run.training.train, found.row
    here = (row >= 0) & found.in_trained_row
    if train.minibatches == train.epochs == 1:
        return here
    if train.epochs > 1 or run.training.loss.correction.name != "none":
        return np.zeros(len(row), dtype=np.bool_)  # a correction puts the rows in another order
    rows = np.unique(row[here])
    seed = derive_seed(run.run.info["seed"], "shuffle", found.update.step)
    first = next(train.cut(len(rows), seed=seed), np.zeros(0, dtype=np.int64))
    return here & np.isin(row, rows[first])


def _recorded_gap(found: UpdateSubject, noted: Floats, here: Bools) -> Iterator[str]:
    sampled = _sampled(found)
    gap = np.abs(noted[here].astype(np.float64) - sampled[here])
    if gap.mean() > _MAX_GAP:
        yield (
            f"{found.where}: {gap.mean():.3g} nats apart in the mean, by what was noted and "
            f"sampled; at most {_MAX_GAP}"
        )
    table = found.update.table
    owner = np.repeat(table.trajectory, np.diff(table.token_start))[here]
    sums, counts = np.bincount(owner, weights=gap), np.bincount(owner)
    means = np.divide(sums, counts, out=np.zeros(len(sums)), where=counts > 0)
    far = np.flatnonzero(means > _MAX_EPISODE_GAP)
    if len(far):
        root = found.run.run.root
        names = some(address_of(root, table.trajectory_ids[index]) for index in far)
        yield (
            f"{found.where}: {means.max():.3g} nats apart in the mean of an episode, at most "
            f"{_MAX_EPISODE_GAP}: {names}"
        )


def _sampled(found: UpdateSubject) -> Floats:
    """Return what the engine said of each sampled token, [N]."""
    values = [
        value
        for trajectory in found.update.trajectories
        for step in trajectory.steps
        if step.completion
        for value in step.completion.logprobs
    ]
    if len(values) != found.num_tokens:
        said = f"{len(values)} log-probabilities for {found.num_tokens} sampled tokens"
        raise NotChecked(f"{found.where}: {said} (see logprobs)")
    return np.asarray(values)


def _column(found: UpdateSubject, name: str) -> Floats:
    column = found.update.columns[name]
    if len(column) != found.num_tokens:
        said = f"{len(column)} {name} for {found.num_tokens} sampled tokens"
        raise NotChecked(f"{found.where}: {said} (see weights)")
    return column
