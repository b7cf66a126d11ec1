"""What became of each sampled token of an optimiser step, with all that led to its weight.

The record has cause and weight; the advantage, ratio, bounds, correction and share are computed
again, and `derived` is the cause that they give. Where a number is not in the record (what stood
before a second pass over the rows) it is NaN, and the recorded cause stands alone.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from agentgym.config.methods import Training
from agentgym.errors import StoreError
from agentgym.table import Bools, Floats, Ints
from agentgym.trainers.causes import Cause
from agentgym.trainers.credit.base import equal_groups
from agentgym.trainers.recompute import Update, check_sound
from agentgym.types import derive_seed
from agentgym.viewer.clipping import Clip, Corrected, Tokens, clip, correct, is_near

T = TypeVar("T", bound=np.generic)


class Rows(NamedTuple):
    """The rows of an optimiser step, one for each segment, trained on or not."""

    of_step: Ints
    """[S], the row of each step's tokens; -1: no segment has it."""
    segment: Ints
    """[R], its number in its trajectory."""
    trajectory: Ints
    """[R]"""
    tokens: Ints
    """[R], sampled ones."""
    length: Ints
    """[R], up to the last sampled one."""


class Shares(NamedTuple):
    """What tokens count in the loss, before corrections; -1 and NaN where they are in no minibatch."""

    minibatch: Ints
    """[N], of the last pass, from 0."""
    share: Floats
    """[N]"""


@dataclass(frozen=True, eq=False)
class TokenWeights:
    """N tokens of one optimiser step: those of one episode, or all.

    How a step is cut up follows from all of its episodes, what became of a token from its own: of
    the other episodes the tokens need not be there, only how many each step sampled, and where.

    Raises:
        StoreError: a column of the record has another length, or is no number.
        KeyError: this step did not use the episode.
    """

    update: Update
    training: Training
    """How the run turned advantages into weights."""
    seed: int
    """Of the run."""
    episode: str | None = None
    """Whose tokens these are; None: of all."""

    def __post_init__(self) -> None:
        check_sound(self.update, where="the run")
        expected = int(self.update.table.token_start[-1])
        for name in ("weights", "cause", "logprobs"):
            if len(self.update.columns[name]) != expected:
                raise StoreError(
                    f"optimiser step {self.update.number} has {len(self.update.columns[name])} "
                    f"{name} for {expected} sampled tokens",
                    hint="agentgym check run tells what else is wrong with the record",
                )
        if self.episode is not None and self.episode not in self.update.table.trajectory_ids:
            raise KeyError(self.episode)

    @property
    def num_tokens(self) -> int:
        """N."""
        return len(self.weight)

    @cached_property
    def weight(self) -> NDArray[np.float32]:
        """[N], as recorded."""
        return np.asarray(self.update.columns["weights"][self._places])

    @cached_property
    def cause(self) -> NDArray[np.int8]:
        """[N], as recorded."""
        return np.asarray(self.update.columns["cause"][self._places])

    @cached_property
    def logprobs(self) -> Floats:
        """[N], the trainer's, as recorded; NaN where a token was in no minibatch."""
        return self.update.columns["logprobs"][self._places].astype(np.float64)

    @property
    def minibatches(self) -> int:
        """How many there were in a pass."""
        return len(self._last_pass)

    @cached_property
    def advantage(self) -> Floats:
        """[N], as a batch has them: in float32, so that the smallest are 0."""
        values = self.update.advantages.astype(np.float32).astype(float)
        is_of_steps = len(values) == self.update.table.num_steps
        return self._of_tokens(values) if is_of_steps else values[self._places]

    @cached_property
    def rows(self) -> Rows:
        """How the step's tokens were laid out."""
        table = self.update.table
        of_step = np.full(table.num_steps, -1, dtype=np.int64)
        found: list[tuple[int, int, int, int]] = []
        for index, trajectory in enumerate(self.update.trajectories):
            for number, segment in enumerate(trajectory.segments):
                for step, _, _ in segment.steps:
                    of_step[table.step_start[index] + step] = len(found)
                counts = sum(stop - first for _, first, stop in segment.steps)
                length = max((stop for _, _, stop in segment.steps), default=0)
                found.append((number, index, counts, length))
        columns = np.array(found, dtype=np.int64).reshape(-1, 4).T
        return Rows(of_step, *columns)

    @cached_property
    def row(self) -> Ints:
        """[N], the row of each token; -1: no segment has it."""
        return self._of_tokens(self.rows.of_step)

    @cached_property
    def is_row_trained(self) -> Bools:
        """[R], whether any token of a row has an advantage; other rows are left out."""
        table, row = self.update.table, self.rows.of_step
        has = self.update.advantages.astype(np.float32) != 0
        if len(has) != table.num_steps:
            has = np.diff(np.concatenate([[0], np.cumsum(has)])[table.token_start]) > 0
        has &= (row >= 0) & (np.diff(table.token_start) > 0)
        return np.bincount(row[has], minlength=len(self.rows.tokens)) > 0

    @cached_property
    def is_used(self) -> Bools:
        """[N], whether a token stands in a row that was trained on."""
        return np.concatenate([self.is_row_trained, [False]])[self.row]

    @cached_property
    def engine_logprobs(self) -> NDArray[np.float32]:
        """[N], what the engine said of each token when it sampled."""
        told = [t for t in self.update.trajectories if self.episode in (None, t.id)]
        steps = chain.from_iterable(each.steps for each in told)
        values = chain.from_iterable(s.completion.logprobs for s in steps if s.completion)
        found = np.fromiter(values, dtype=np.float32)
        if len(found) != self.num_tokens:
            raise StoreError(
                f"optimiser step {self.update.number} has {len(found)} log-probabilities for "
                f"{self.num_tokens} sampled tokens",
                hint="agentgym check run tells which episodes are wrong",
            )
        return found

    @cached_property
    def shares(self) -> Shares:
        """What each token counts in its minibatch."""
        rows, loss = self.rows, self.training.loss
        minibatch = np.full(len(rows.tokens) + 1, -1, dtype=np.int64)
        share = np.full(len(rows.tokens) + 1, np.nan)
        for number, part in enumerate(self._last_pass):
            minibatch[part] = number
            share[part] = {
                "token-mean": 1 / max(1, int(rows.tokens[part].sum())),
                "seq-mean-token-sum": 1 / len(part),
                "seq-mean-token-sum-norm": 1 / (loss.length or 1),
                "seq-mean-token-mean": 1 / (rows.tokens[part].clip(1) * len(part)),
            }[loss.aggregate]
        return Shares(minibatch[self.row], share[self.row])

    @cached_property
    def clip(self) -> Clip:
        """[N], what the loss compared; NaN and no bounds for tokens of no trained row."""
        ratio, low, high, is_cut = clip(self.training.loss, self._tokens)
        return Clip(
            self._all(ratio, np.nan),
            self._all(low, -np.inf),
            self._all(high, np.inf),
            self._all(is_cut.astype(np.float64), 0.0) > 0,
        )

    @cached_property
    def corrected(self) -> Corrected:
        """[N], what the correction looked at and gave; NaN where that is not known.

        Where the record lacks the trainer's first numbers, a token that was trained on still
        tells of its weight.
        """
        number, weight = (self._all(v, np.nan) for v in correct(self.training.loss, self._tokens))
        trained = np.isnan(weight) & (self.cause == Cause.TRAINED)
        weight[trained] = (self.weight / self.shares.share)[trained]
        return Corrected(number, weight)

    @cached_property
    def derived(self) -> NDArray[np.int8]:
        """[N], the `Cause` that the numbers give; -1: they are not enough, or rounding decides."""
        loss, is_known = self.training.loss, np.ones(self.num_tokens, dtype=np.bool_)
        number, weight = self.corrected
        if loss.correction.name != "none":
            is_known &= ~np.isnan(number) & ~is_near(number, *_limits(self.training))
        kept = np.where(weight == 0, Cause.DROPPED, Cause.TRAINED)
        if loss.cuts:
            ratio, low, high, is_cut = self.clip
            is_known &= ~np.isnan(ratio) & ~is_near(ratio, low, high)
            kept = np.where(is_cut, Cause.CLIPPED, kept)
        found = np.where(is_known, kept, -1)
        is_told = self.update.schema > 1 and not loss.reaches_all  # as `recompute.SCHEMA` says
        idle = ~self.is_used | ((self.advantage == 0) & is_told)
        found = np.where(idle, Cause.ZERO_ADVANTAGE, found)
        return np.where(self.row < 0, Cause.NOT_IN_BATCH, found).astype(np.int8)

    @cached_property
    def has_equal_returns(self) -> Bools:
        """[M], whether all returns of the trajectory's group are equal."""
        return equal_groups(self.update.table, self.update.rewards)[self.update.table.group]

    def span(self, episode: str) -> slice:
        """Return the tokens of an episode.

        Raises:
            KeyError: they are not among these.
        """
        table = self.update.table
        if episode not in table.trajectory_ids or self.episode not in (None, episode):
            raise KeyError(episode)
        index = table.trajectory_ids.index(episode)
        first, stop = table.token_start[table.step_start[index : index + 2]].tolist()
        return slice(first - self._places.start, stop - self._places.start)

    def columns(self, episode: str) -> dict[str, NDArray[np.generic]]:
        """Return what the viewer colours tokens by, each [tokens of the episode].

        Raises:
            KeyError: this step did not use it.
        """
        span = self.span(episode)
        found: dict[str, NDArray[np.generic]] = {
            "weight": self.weight,
            "cause": self.cause,
            "advantage": self.advantage.astype(np.float32),
            "trainer_logprobs": self.logprobs.astype(np.float32),
            "ratio": self.clip.ratio.astype(np.float32),
            "correction": self.corrected.weight.astype(np.float32),
            "share": self.shares.share.astype(np.float32),
        }
        return {name: values[span] for name, values in found.items()}

    @cached_property
    def _steps(self) -> slice:
        """The rows of the table that sampled these tokens."""
        table = self.update.table
        if self.episode is None:
            return slice(0, table.num_steps)
        index = table.trajectory_ids.index(self.episode)
        return slice(*table.step_start[index : index + 2].tolist())

    @cached_property
    def _places(self) -> slice:
        """These tokens among those of the whole step."""
        start = self.update.table.token_start
        return slice(int(start[self._steps.start]), int(start[self._steps.stop]))

    def _of_tokens(self, values: NDArray[T]) -> NDArray[T]:
        """Return values of steps [S] for each of these tokens, [N]."""
        counts = np.diff(self.update.table.token_start)[self._steps]
        return np.repeat(values[self._steps], counts)

    @cached_property
    def _last_pass(self) -> list[Ints]:
        """The rows of each minibatch of the last pass."""
        train, order = self.training.train, np.flatnonzero(self.is_row_trained)
        if self.training.loss.correction.name != "none":  # then the longest come first
            order = order[np.argsort(-self.rows.length[order], kind="stable")]
        seed = derive_seed(self.seed, "shuffle", self.update.step)
        parts = [order[part] for part in train.cut(len(order), seed=seed)]
        return parts[-min(train.minibatches, len(order)) :] if parts else []

    @cached_property
    def _tokens(self) -> Tokens:
        """Those of trained rows."""
        used = self.is_used
        logprobs = self.logprobs[used]
        engine = self.engine_logprobs.astype(np.float64)[used]
        is_first = (self.shares.minibatch[used] == 0) & (self.training.train.epochs == 1)
        own = np.where(is_first, logprobs, np.nan)
        is_plain = self.training.loss.correction.name == "none"
        old = engine if is_plain else own
        return Tokens(logprobs, old, engine, own, self.advantage[used], self.row[used])

    def _all(self, values: Floats, fill: float) -> Floats:
        """Spread values of tokens of trained rows over all tokens."""
        found = np.full(self.num_tokens, fill)
        found[self.is_used] = values
        return found


def _limits(training: Training) -> Iterator[float]:
    """Yield the bounds of a correction."""
    how = training.loss.correction
    for name in ("low", "high", "floor", "cap", "delta"):
        if hasattr(how, name):
            yield getattr(how, name)
