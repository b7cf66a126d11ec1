"""Rewards for length: a budget to use, a penalty for what is too long."""

import math


def length_budget(stage: float, *, start: float, decay: float) -> float:
    """Return the budget of a stage: max(1, start * decay^floor(stage)).

    `stage` is t / T, with T optimiser steps a stage. The paper has start 256 and decay 0.7, and
    rounds down.

    Source: Train Long, Think Short, arXiv:2508.08940, section 3.4 (read).

    >>> [int(length_budget(step / 150, start=256, decay=0.7)) for step in (0, 149, 150, 300)]
    [256, 256, 179, 125]
    """
    return max(1.0, start * decay ** math.floor(stage + 1e-9))  # 0.29 * 100 is a hair below 29


def budget_reward(length: float, *, budget: float) -> float:
    """Return how well a budget was used: 1 at the budget, falling to 0 at none and at twice it.

        l / L for l <= L        1 - (l - L) / L for L < l <= 2 L        0 above

    Source: Train Long, Think Short, arXiv:2508.08940, section 3.3 (read).

    >>> [budget_reward(length, budget=100) for length in (50, 100, 150, 300)]
    [0.5, 1.0, 0.5, 0.0]
    """
    used = length / budget
    return used if used <= 1 else max(0.0, 2.0 - used)


def overlong_penalty(length: float, *, max_length: float, cache: float) -> float:
    """Return 0 up to `max_length - cache`, then fall in a line to -1 at `max_length`.

    Source: DAPO's soft overlong punishment, arXiv:2503.14476, equation 13, by way of
    huggingface/trl, trl/rewards/other_rewards.py at 9cb85d3 (read).

    >>> [overlong_penalty(length, max_length=100, cache=20) for length in (80, 90, 101)]
    [0.0, -0.5, -1.0]
    """
    if length > max_length:
        return -1.0
    excess = length - (max_length - cache)
    return max(-1.0, -excess / cache) if excess > 0 else 0.0
