"""The invariant that training rests on: a sampled token is stored once, and as it was sampled."""

from collections.abc import Iterable

import numpy as np

from agentgym.errors import AgentGymError
from agentgym.types import Completion, Segment, Trajectory


def check_exact(trajectories: Iterable[Trajectory]) -> None:
    """Compare the segments of episodes with the completions of their steps.

    A step has at most one span, in one segment, and spans stand in the order of the steps without
    touching each other. A span holds the tokens of the completion and their
    log-probabilities; outside of spans nothing is sampled.

    Raises:
        AgentGymError: it is not so; the episode, segment and step are named.
    """
    for trajectory in trajectories:
        problem = _problem(trajectory)
        if problem:
            raise AgentGymError(
                f"the tokens of episode {trajectory.id} are not those that were sampled: {problem}",
                hint="it must not be trained on; agentgym check run tells what else is wrong",
            )


def _problem(trajectory: Trajectory) -> str | None:
    """Return what is wrong; None: nothing."""
    completions = {
        number: step.completion
        for number, step in enumerate(trajectory.steps)
        if step.completion is not None
    }
    for index, segment in enumerate(trajectory.segments):
        problem = _of_segment(segment, index, completions)
        if problem:
            return f"in segment {index}, {problem}"
    return None  # a step that is in no segment is not trained on


def _of_segment(segment: Segment, index: int, completions: dict[int, Completion]) -> str | None:
    """Return what is wrong with a segment; the steps that it has are taken out of `completions`."""
    length = len(segment.token_ids)
    if segment.parent is not None and not 0 <= segment.parent < index:
        return f"the parent {segment.parent} is none of those before it"
    if not length == len(segment.sampled) == len(segment.logprobs):
        return f"there are {length} tokens, but flags or log-probabilities of other numbers"
    outside = np.asarray(segment.sampled, dtype=np.bool_)
    place, before = 0, -1
    for step, first, stop in segment.steps:
        if not (place <= first < stop <= length and before < step):
            return f"step {step} has the tokens {first} to {stop} behind token {place}"
        completion = completions.pop(step, None)
        if completion is None:
            return f"step {step} sampled no tokens, or has them already"
        if tuple(segment.token_ids[first:stop]) != tuple(completion.token_ids):
            return f"step {step} has other tokens than its completion"
        if tuple(segment.logprobs[first:stop]) != tuple(completion.logprobs):
            return f"step {step} has other log-probabilities than its completion"
        if not outside[first:stop].all():
            return f"step {step} has tokens that are not marked as sampled"
        outside[first:stop] = False
        place, before = stop, step
    if outside.any():
        return f"token {int(outside.argmax())} is marked as sampled, and no step has it"
    return None
