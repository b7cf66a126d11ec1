"""PAR: a score relative to reference answers, kept between 0 and 1."""

import math
from collections.abc import Sequence


def par_reward(score: float, references: Sequence[float], *, k: float = 1.0) -> float:
    """Return the mean over the references of sigmoid(k (score - reference)).

    `references` are the scores that the same reward model gives to other answers to the *same
    prompt*; the authors take at most 10. It is meant for the score of a whole answer: where the
    policy is far above its references the reward saturates, so that there is little to hack for.

    Source: PorUna-byte/PAR, trainers/reward_shaper.py at 257865a (read, and its numbers
    reproduced). Deviation: without references it is an error, there a division by zero.

    Raises:
        ValueError: there are no references.

    >>> round(par_reward(0.0, [0, 1, -1]), 6)
    0.5
    """
    if not references:
        raise ValueError("par_reward needs the score of at least one reference answer")
    # tanh never overflows, as exp does, nor does a difference of halves
    halves = (math.tanh(k * (score / 2 - each / 2)) for each in references)
    return 0.5 + 0.5 * sum(halves) / len(references)
