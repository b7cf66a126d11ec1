"""Promises about single episodes: their streams of tokens, masks, log-probabilities and ends."""

import math
import re
from collections.abc import Iterator, Sequence

from agentgym.check.run.subject import RunSubject
from agentgym.store.address import address_of
from agentgym.types import Segment, Trajectory

_FAULT = re.compile(r"^\w*(Error|Exception|Died|Unavailable|Interrupt)\b")


def check_streams(trajectory: Trajectory, subject: RunSubject) -> Iterator[str]:
    """A segment only grows; where a context was rewritten another one begins and says so."""
    for number, segment in enumerate(trajectory.segments):
        here = f"{_place(trajectory, subject)} segment {number}"
        is_first = number == 0
        if segment.reason not in (("start",) if is_first else ("edit", "branch")):
            yield f"{here} begins by {segment.reason!r}"
        if is_first != (segment.parent is None) or (segment.parent or 0) > max(0, number - 1):
            yield f"{here} has the parent {segment.parent}"
        end = 0
        for step, first, stop in segment.steps:
            if not (end <= first < stop <= len(segment.token_ids)):
                yield f"{here}: step {step} has the tokens {first} to {stop}, after {end}"
            end = stop
    owners = [step for segment in trajectory.segments for step, _, _ in segment.steps]
    if owners != sorted(owners):
        yield f"{_place(trajectory, subject)}: its steps stand in the order {owners}"


def check_masks(trajectory: Trajectory, subject: RunSubject) -> Iterator[str]:
    """A token is marked as sampled exactly where a step of the policy sampled it."""
    for number, segment in enumerate(trajectory.segments):
        expected = _ranges(segment)
        if len(segment.sampled) != len(expected):
            said = _count(segment.sampled, segment, "marks")
            yield f"{_place(trajectory, subject)} segment {number}: {said}"
            continue
        wrong = [
            at
            for at, (mark, own) in enumerate(zip(segment.sampled, expected, strict=True))
            if mark != own
        ]
        if wrong:
            kind = "not marked as sampled" if expected[wrong[0]] else "marked as sampled"
            yield (
                f"{_place(trajectory, subject, segment, wrong[0])} segment {number}: "
                f"{len(wrong)} of {len(expected)} tokens, "
                f"the first at {wrong[0]}, {kind}"
            )


def check_completions(trajectory: Trajectory, subject: RunSubject) -> Iterator[str]:
    """What an engine sampled for a step stands in the stream, token by token."""
    if trajectory.drift:
        yield f"{_place(trajectory, subject)}: {trajectory.drift} tokens drifted from those sampled"
    streams: dict[int, tuple[int, ...]] = {}
    for segment in trajectory.segments:
        for owner, first, stop in segment.steps:
            streams[owner] = tuple(segment.token_ids[first:stop])
    for number, step in enumerate(trajectory.steps):
        if step.completion and step.completion.token_ids != streams.get(number):
            what = "other tokens than" if number in streams else "none of"
            yield f"{address_of(subject.run.root, trajectory.id, number)}: the stream has {what} those sampled"


def check_logprobs(trajectory: Trajectory, subject: RunSubject) -> Iterator[str]:
    """A sampled token has a log-probability, finite and not above 0; any other has 0."""
    for number, segment in enumerate(trajectory.segments):
        if len(segment.logprobs) != len(segment.token_ids):
            said = _count(segment.logprobs, segment, "log-probabilities")
            yield f"{_place(trajectory, subject)} segment {number}: {said}"
            continue
        wrong = [
            at
            for at, (own, value) in enumerate(zip(_ranges(segment), segment.logprobs, strict=True))
            if not (math.isfinite(value) and (value <= 1e-6 if own else value == 0))
        ]
        if wrong:
            yield (
                f"{_place(trajectory, subject, segment, wrong[0])} segment {number}: "
                f"{len(wrong)} tokens, the first at {wrong[0]} "
                f"with {segment.logprobs[wrong[0]]:.4g}"
            )
        sampled = [
            value for own, value in zip(_ranges(segment), segment.logprobs, strict=True) if own
        ]
        if len(sampled) > 50 and not any(sampled):
            yield f"{_place(trajectory, subject)} segment {number}: all log-probabilities are 0"


def check_ends(trajectory: Trajectory, subject: RunSubject) -> Iterator[str]:
    """An episode says why it ended; a fault of the machinery is an error, not a failure."""
    if not trajectory.reason:
        yield f"{_place(trajectory, subject)} is {trajectory.end} without a reason"
    if trajectory.end != "error" and _FAULT.match(trajectory.reason):
        yield f"{_place(trajectory, subject)} is {trajectory.end} by a fault: {trajectory.reason}"


def _place(
    trajectory: Trajectory, subject: RunSubject, segment: Segment | None = None, token: int = 0
) -> str:
    """Return the address of an episode, or of the turn that a token of a segment led to."""
    steps = segment.steps if segment else ()
    turn = next((step for step, _, stop in steps if token < stop), None)
    known = turn if turn is not None and 0 <= turn < len(trajectory.steps) else None
    return address_of(subject.run.root, trajectory.id, known)


def _count(values: Sequence[object], segment: Segment, what: str) -> str:
    return f"{len(values)} {what} for {len(segment.token_ids)} tokens"


def _ranges(segment: Segment) -> list[bool]:
    """Return where steps sampled."""
    own = [False] * len(segment.token_ids)
    for _, first, stop in segment.steps:
        own[max(0, first) : stop] = [True] * len(own[max(0, first) : stop])
    return own
