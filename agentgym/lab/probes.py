"""Steps whose advantage is looked into: which, what follows them, and what they are worth."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from agentgym.lab.exact import Worth
from agentgym.types import OUTCOME, Trajectory


@dataclass(slots=True, eq=False)
class Values:
    """Returns of continuations from one place: an episode up to a step."""

    trajectory: Trajectory
    step: int
    """So many messages have been said."""
    returns: list[float] = field(default_factory=list)

    @property
    def mean(self) -> float:
        """The value."""
        return float(np.mean(self.returns))

    @property
    def squared_error(self) -> float:
        """Of the mean."""
        return float(np.var(self.returns, ddof=1)) / len(self.returns)


@dataclass(slots=True, eq=False)
class Probe:
    """One step that a policy took."""

    trajectory: Trajectory
    step: int
    before: Values
    """Of the state before the action."""
    after: Values | None
    """Of the state that it led to; None where the episode ended with it."""
    draws: list[Trajectory] = field(default_factory=list)
    """Episodes that are equal up to this step and go on as the policy may."""
    worth: Worth | None = None
    """What it is worth, where that was calculated."""

    @property
    def reward(self) -> float:
        """What the step itself earned."""
        return outcome(self.trajectory, self.step)

    def estimated(self, gamma: float) -> tuple[float, float]:
        """Return the advantage by its continuations, and the squared error of that."""
        mean, error = self.reward - self.before.mean, self.before.squared_error
        if self.after is not None:
            mean += gamma * self.after.mean
            error += gamma**2 * self.after.squared_error
        return mean, error


def outcome(trajectory: Trajectory, step: int) -> float:
    """Return what a step earned of the outcome."""
    return trajectory.steps[step].reward_terms.get(OUTCOME, 0.0)


def return_from(trajectory: Trajectory, step: int, *, gamma: float) -> float:
    """Return the discounted outcome of the steps from `step` on.

    >>> from agentgym.types import Message, Step, Task
    >>> steps = [Step(message=Message("assistant"), reward_terms={OUTCOME: r}) for r in (0.0, 1.0)]
    >>> return_from(Trajectory(id="t", task=Task(""), group_id="g", steps=steps), 0, gamma=0.5)
    0.5
    """
    later = range(step, len(trajectory.steps))
    return sum(gamma ** (place - step) * outcome(trajectory, place) for place in later)


def choose_probes(
    groups: Sequence[Sequence[Trajectory]], number: int, *, seed: int, uses_seed: bool
) -> list[Probe]:
    """Draw steps of episodes, as many of each group as can be, the groups in turns.

    Every step of a group is as likely as any other. Places that are equal share their values:
    equal messages to an equal environment.
    """
    chance = random.Random(seed)
    shelf: dict[tuple[object, ...], Values] = {}

    def values(trajectory: Trajectory, step: int) -> Values:
        said = tuple(repr(each.message) for each in trajectory.steps[:step])
        place = (trajectory.group_id, trajectory.seed if uses_seed else None, said)
        return shelf.setdefault(place, Values(trajectory, step))

    queues = []
    for group in groups:
        steps = [(each, step) for each in group for step in range(len(each.steps))]
        queues.append(chance.sample(steps, len(steps)))
    chosen: list[Probe] = []
    while len(chosen) < number and any(queues):
        for queue in queues:
            if queue and len(chosen) < number:
                trajectory, step = queue.pop()
                is_last = step + 1 == len(trajectory.steps)
                after = None if is_last else values(trajectory, step + 1)
                chosen.append(Probe(trajectory, step, values(trajectory, step), after))
    return chosen
