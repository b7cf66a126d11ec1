"""Why a token learnt, or did not: the chain behind its weight, link by link, from the record.

A chain ends at the first link that left nothing of the token. Cause and weight are those recorded;
where the numbers computed again tell another cause, the chain says so.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from agentgym.errors import ConfigError
from agentgym.trainers.causes import Cause
from agentgym.types import Trajectory
from agentgym.viewer.weights import TokenWeights


@dataclass(frozen=True, slots=True)
class Link:
    """One thing that decided about a token."""

    what: str
    """`sampled`, `batch`, `segment`, `returns`, `advantage`, `ratio`, `correction`, `share`,
    `weight` or `record`."""
    value: float | None
    note: str
    stops: bool = False
    """Nothing was left of the token here."""

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        value = self.value if self.value is not None and math.isfinite(self.value) else None
        return {"what": self.what, "value": value, "note": self.note, "stops": self.stops}


@dataclass(frozen=True, slots=True)
class Why:
    """What a token weighed in the loss, and why."""

    weight: float
    cause: str
    """A `Cause` in small letters, or `not_sampled`, or `not_used`: no optimiser step had it."""
    chain: tuple[Link, ...]

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {
            "weight": self.weight,
            "cause": self.cause,
            "chain": [link.to_json() for link in self.chain],
        }


def why(
    trajectory: Trajectory,
    place: int,
    *,
    segment: int = 0,
    weights: TokenWeights | None,
    estimator: str = "the estimator",
) -> Why:
    """Explain one token of an episode.

    Args:
        trajectory: the episode.
        place: the token, counted in its segment.
        segment: which one.
        weights: the optimiser step that used the episode; None: none did.
        estimator: what gave the advantages.

    Raises:
        ConfigError: there is no such token.
    """
    found = sampled_number(trajectory, place, segment=segment)
    if found is None:
        return _nothing(
            "not_sampled", Link("sampled", None, _unsampled(trajectory, place, segment))
        )
    if weights is None:
        return _nothing("not_used", _version(trajectory, found), _unused(trajectory))
    first = weights.span(trajectory.id).start
    return why_sampled(trajectory, found, token=first + found, weights=weights, estimator=estimator)


def why_sampled(
    trajectory: Trajectory, number: int, *, token: int, weights: TokenWeights, estimator: str
) -> Why:
    """Explain a token that an optimiser step had.

    Args:
        trajectory: the episode.
        number: the token, counted in what the episode sampled.
        token: the same, counted in what the whole optimiser step has.
        weights: that step.
        estimator: what gave the advantages.
    """
    chain = [_version(trajectory, number)]
    for link in _links(trajectory, token, weights, estimator):
        chain.append(link)
        if link.stops:
            break
    cause, weight = _cause(int(weights.cause[token])), float(weights.weight[token])
    if not chain[-1].stops:
        chain.append(_weight(weights, token, weight))
    if int(weights.derived[token]) not in (-1, int(weights.cause[token])):
        derived = _cause(int(weights.derived[token]))
        chain.append(
            Link("record", None, f"the record says {cause}, and its own numbers now say {derived}")
        )
    return Why(weight, cause, tuple(chain))


def sampled_number(trajectory: Trajectory, place: int, *, segment: int) -> int | None:
    """Return the number of a token among those that the episode sampled; None: it was not.

    Raises:
        ConfigError: there is no such token.
    """
    segments = trajectory.segments
    if not 0 <= segment < len(segments):
        count = f"has {len(segments)} segments, counted from 0"
        raise ConfigError(f"no segment {segment}: episode {trajectory.id} {count}")
    length = len(segments[segment].token_ids)
    if not 0 <= place < length:
        raise ConfigError(f"no token {place}: segment {segment} has {length}, counted from 0")
    for step, first, stop in segments[segment].steps:
        if first <= place < stop:
            before = trajectory.steps[:step]
            done = sum(len(each.completion.token_ids) for each in before if each.completion)
            return done + place - first
    return None


def _links(
    trajectory: Trajectory, token: int, weights: TokenWeights, estimator: str
) -> Iterator[Link]:
    cause = int(weights.cause[token])
    yield Link("batch", weights.update.number, _batch(weights))
    row = int(weights.row[token])
    if row < 0 or cause == Cause.NOT_IN_BATCH:
        yield Link("segment", None, "no segment has it: the context was rewritten", stops=True)
        return
    segment = int(weights.rows.segment[row])
    yield Link("segment", segment, f"in segment {segment} of {len(trajectory.segments)}")
    yield _returns(weights, int(weights.rows.trajectory[row]))
    yield _advantage(weights, token, row, estimator)
    yield _ratio(weights, token)
    if weights.training.loss.correction.name != "none":
        yield _correction(weights, token)
    yield _share(weights, token)


def _batch(weights: TokenWeights) -> str:
    return f"optimiser step {weights.update.number}, of the policy {weights.update.version}"


def _returns(weights: TokenWeights, index: int) -> Link:
    table = weights.update.table
    returns = table.per_trajectory(weights.update.rewards)
    group = returns[table.group == table.group[index]]
    value = float(returns[index])
    if len(group) == 1:
        return Link("returns", value, "the only episode of its group")
    if weights.has_equal_returns[index]:
        return Link("returns", value, f"the returns of all {len(group)} of its group are equal")
    spread = f"{group.min():.4g} to {group.max():.4g}, mean {group.mean():.4g}"
    return Link("returns", value, f"those of its group: {spread}")


def _advantage(weights: TokenWeights, token: int, row: int, estimator: str) -> Link:
    value, cause = float(weights.advantage[token]), int(weights.cause[token])
    if cause != Cause.ZERO_ADVANTAGE:
        return Link("advantage", value, f"by {estimator}")
    if not weights.is_row_trained[row]:
        note = f"{estimator} gives every token of this segment 0: it is left out of the batch"
    else:
        note = f"{estimator} gives this one 0, though others of the segment have an advantage"
    return Link("advantage", value, note, stops=True)


def _ratio(weights: TokenWeights, token: int) -> Link:
    ratio, low, high, _ = (float(column[token]) for column in weights.clip)
    is_cut = int(weights.cause[token]) == Cause.CLIPPED
    name = weights.training.loss.name
    if math.isnan(ratio):
        said = "what it was compared with is not in the record"
        return Link("ratio", None, f"clipped by {name}; {said}" if is_cut else said, stops=is_cut)
    bounds = f"{low:.6g} to {high:.6g}"
    if is_cut:
        return Link("ratio", ratio, f"clipped by {name}: outside of {bounds}", stops=True)
    if math.isinf(low) and math.isinf(high):
        return Link("ratio", ratio, f"{name} cuts nothing off here")
    return Link("ratio", ratio, f"inside of {bounds}")


def _correction(weights: TokenWeights, token: int) -> Link:
    number, factor = (float(column[token]) for column in weights.corrected)
    how = weights.training.loss.correction
    settings = ", ".join(
        f"{key} {value}" for key, value in how.model_dump().items() if key != "name"
    )
    looked = "not in the record" if math.isnan(number) else f"{number:.6g}"
    if weights.cause[token] == Cause.DROPPED:
        note = f"dropped by {how.name} ({settings}), whose number for it is {looked}"
        return Link("correction", 0.0, note, stops=True)
    return Link(
        "correction", factor, f"by {how.name} ({settings}), whose number for it is {looked}"
    )


def _share(weights: TokenWeights, token: int) -> Link:
    loss, share = weights.training.loss, float(weights.shares.share[token])
    minibatch = f"minibatch {int(weights.shares.minibatch[token]) + 1} of {weights.minibatches}"
    return Link("share", share, f"1 / {1 / share:.6g} by {loss.aggregate}, in {minibatch}")


def _weight(weights: TokenWeights, token: int, weight: float) -> Link:
    advantage = float(weights.advantage[token])
    if advantage == 0 and weights.training.loss.reaches_all:
        note = "its loss was multiplied by this; only the terms for entropy and KL act"
    elif advantage == 0:
        note = "its loss was multiplied by this, and is 0 as its advantage is"
    else:
        way = "likelier" if advantage > 0 else "less likely"
        note = f"its loss was multiplied by this; the update makes it {way}"
    return Link("weight", weight, note)


def _version(trajectory: Trajectory, number: int) -> Link:
    """Tell which policy sampled a token."""
    for step in trajectory.steps:
        completion = step.completion
        if completion is None:
            continue
        if number < len(completion.token_ids):
            version = max((v for v in completion.versions if v[0] <= number), default=(0, None))[1]
            name = "a policy that is not known" if version is None else f"the policy {version}"
            return Link("sampled", version, f"sampled by {name}")
        number -= len(completion.token_ids)
    return Link("sampled", None, "sampled, and no completion has it")


def _unsampled(trajectory: Trajectory, place: int, segment: int) -> str:
    ranges = trajectory.segments[segment].steps
    if all(place < first for _, first, _ in ranges):
        return "not sampled: it is of the prompt"
    if all(place >= stop for _, _, stop in ranges):
        return "not sampled: it stands behind the last message of the policy"
    return "not sampled: it is of an answer of the environment, or of the template around it"


def _unused(trajectory: Trajectory) -> Link:
    if trajectory.end == "error":
        note = "the episode ended by a fault, which nothing is learnt from"
    elif trajectory.group_id.startswith("eval-"):
        note = "the episode is of an evaluation, which nothing is learnt from"
    elif trajectory.fork_step is not None:
        note = "the episode goes on from the middle of another, which nothing is learnt from"
    elif not trajectory.group_id.startswith("train-"):
        note = "the episode was played for no optimiser step"
    else:
        note = (
            "no optimiser step used the episode: the step it was played for is not done, "
            "or its group was replaced by another one"
        )
    return Link("batch", None, note, stops=True)


def _nothing(cause: str, *chain: Link) -> Why:
    *before, last = chain
    return Why(0.0, cause, (*before, Link(last.what, last.value, last.note, stops=True)))


def _cause(number: int) -> str:
    """Return the name of a recorded cause, whatever number it is."""
    return Cause(number).name.lower() if number in list(Cause) else f"unknown cause {number}"
