"""Where a loss cuts the gradient of a token off, and what a correction makes of it; in numpy.

The losses are of torch's tensors, and no torch is needed to look at a run; the tests hold these
formulas against the losses themselves.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from agentgym.table import Bools, Floats, Ints
from agentgym.trainers.losses import Loss
from agentgym.trainers.losses.base import MAX_LOG_RATIO
from agentgym.trainers.losses.corrections import TIS, IcePop, OffPolicyMask, Rejection
from agentgym.trainers.losses.dcpo import DCPO
from agentgym.trainers.losses.gspo import GSPO
from agentgym.trainers.losses.ppo import PPO
from agentgym.trainers.losses.rec import REC

ROUNDING = 1e-4
"""A ratio this near to a bound, in proportion, may be on either side of it: sums in float32."""


class Tokens(NamedTuple):
    """What the formulas look at, of [N] tokens that stand in trained rows."""

    logprobs: Floats
    """The trainer's, in the pass that is asked about."""
    old: Floats
    """What the loss compares them with; NaN: not in the record."""
    engine: Floats
    """The engine's, when it sampled."""
    own: Floats
    """The trainer's before the update; NaN: not in the record."""
    advantage: Floats
    row: Ints
    """Number of the token's row, from 0."""


class Clip(NamedTuple):
    """The ratio that a loss compares, and the bounds that hold for the sign of the advantage."""

    ratio: Floats
    """[N]; NaN: not known."""
    low: Floats
    """[N]; -inf: none."""
    high: Floats
    """[N]; inf: none."""
    is_cut: Bools
    """[N]; False where the ratio is not known."""


class Corrected(NamedTuple):
    """What a correction looked at, and the weight that it gave."""

    number: Floats
    """[N], of what its bounds are: the trainer's probability over the engine's, or with
    `off_policy_mask` the mean distance of the row; NaN: not known, or nothing is corrected."""
    weight: Floats
    """[N]; NaN: not known."""


def clip(loss: Loss, tokens: Tokens) -> Clip:
    """Return what a loss compares with which bounds, and where it cuts."""
    ratio = _ratio(tokens.logprobs - tokens.old, tokens.row, of_row=_is_of_rows(loss))
    low, high = _bounds(loss, tokens)
    is_cut = (ratio < low) | (ratio > high)
    if isinstance(loss, REC) and loss.clip == "ring":
        good, bad = tokens.advantage > 0, tokens.advantage < 0
        is_cut &= ~(good & (ratio <= 1 - loss.ring_low))
        is_cut &= ~(bad & (ratio >= 1 + loss.ring_high))
    return Clip(ratio, low, high, is_cut)


def correct(loss: Loss, tokens: Tokens) -> Corrected:
    """Return what the correction of a loss made of each token."""
    how = loss.correction
    if isinstance(how, OffPolicyMask):
        gap = _clamped(tokens.engine - tokens.logprobs)
        distance = _row_sums(gap, tokens.row) / _row_sums(np.ones(len(gap)), tokens.row)
        dropped = (tokens.advantage < 0) & (distance > how.delta)
        return Corrected(distance, np.where(np.isnan(distance), np.nan, ~dropped))
    gap = _clamped(tokens.own - tokens.engine)
    if isinstance(how, TIS):
        ratio = np.exp(gap if how.level == "token" else _clamped(_row_sums(gap, tokens.row)))
        return Corrected(ratio, ratio.clip(how.floor, how.cap))
    if isinstance(how, IcePop):
        ratio = np.exp(gap)
        return Corrected(ratio, np.where((ratio < how.low) | (ratio > how.high), 0.0, ratio))
    if isinstance(how, Rejection):
        ratio = np.exp(-gap if how.compat else gap)
        inside = np.where((ratio < how.low) | (ratio > how.high), 0.0, 1.0)
        return Corrected(ratio, np.where(np.isnan(ratio), np.nan, inside))
    nothing = np.full(len(gap), np.nan)
    return Corrected(nothing, np.ones(len(gap)))


def is_near(values: Floats, *bounds: NDArray[np.float64] | float) -> Bools:
    """Return where a value is so near to a bound that rounding decides."""
    near = np.zeros(len(values), dtype=np.bool_)
    for bound in bounds:
        finite = np.where(np.isfinite(bound), bound, np.nan)
        near |= np.abs(values - finite) <= ROUNDING * np.abs(finite)
    return near


def _is_of_rows(loss: Loss) -> bool:
    return isinstance(loss, GSPO) or (isinstance(loss, REC) and loss.clip == "gspo-one-side")


def _ratio(log_ratio: Floats, row: Ints, *, of_row: bool) -> Floats:
    log_ratio = _clamped(log_ratio)
    if of_row:
        log_ratio = _row_sums(log_ratio, row) / _row_sums(np.ones(len(row)), row)
    return np.asarray(np.exp(log_ratio))


def _bounds(loss: Loss, tokens: Tokens) -> tuple[Floats, Floats]:
    """Return the bounds that hold where they stand: good tokens are cut above, bad ones below."""
    good, bad = tokens.advantage > 0, tokens.advantage < 0
    low, high = _range(loss, tokens.old)
    if isinstance(loss, REC) and loss.clip in ("two-side", "ring"):
        good = bad = good | bad
    beyond = np.inf
    if isinstance(loss, PPO | DCPO) and loss.dual_clip is not None:
        beyond = loss.dual_clip
    return np.where(bad, low, -np.inf), np.where(good, high, np.where(bad, beyond, np.inf))


def _range(loss: Loss, old: Floats) -> tuple[Floats | float, Floats | float]:
    """Return the range that ratios are cut to; infinite where a loss does not cut."""
    if isinstance(loss, DCPO):
        q = np.exp(old).clip(1e-8)
        low = (1 + np.sqrt((1 - 4 * loss.clip_low / q).clip(0))) / 2
        high = (1 + np.sqrt(1 + 4 * loss.clip_high / q)) / 2
        return low, high.clip(max=max(loss.cap, 10.0))
    if isinstance(loss, PPO | GSPO) or (isinstance(loss, REC) and loss.clip != "none"):
        return 1 - loss.clip_low, 1 + loss.clip_high
    return -np.inf, np.inf


def _clamped(values: Floats) -> Floats:
    return values.clip(-MAX_LOG_RATIO, MAX_LOG_RATIO)


def _row_sums(values: Floats, row: Ints) -> Floats:
    """Return for each token the sum over its row, [N]."""
    return np.asarray(np.bincount(row, weights=values)[row]) if len(row) else values
