"""Batched decoding: many growing token streams, one forward pass per token.

Nothing here is thread safe; `LocalEngine` calls it from its one thread.
"""

import itertools
import math
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from agentgym.engine import Weights
from agentgym.engines.cache import RowCache, round_up
from agentgym.engines.draw import draw
from agentgym.engines.weights import copy_weights
from agentgym.errors import EngineError
from agentgym.types import Completion

_PREFILL_TOKENS = 8192  # most padded tokens of one prefill pass, which bounds its activations
_MASK_CELLS = 2**25  # most numbers in the mask of one pass: 128 MB in float32
_HEAD = 64  # tokens at the beginning of a prompt by which those that may share more are known
_WORTH = 32  # fewest tokens that are rather copied from another row than computed
_HOLD_STEPS = 4  # most steps that a few requests wait for more, as a prefill pass is dear
_BUSY = np.iinfo(np.int64).max
_FREE = -1


@dataclass(slots=True, kw_only=True, eq=False)
class Request:
    """One completion that somebody waits for."""

    token_ids: tuple[int, ...]
    temperature: float
    limit: int
    """Most tokens to sample."""
    uniforms: NDArray[np.float64]
    """[limit], what the tokens are drawn with."""
    stop: frozenset[int]
    session: str | None
    future: "Future[Completion]" = field(default_factory=Future)
    sampled: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    versions: list[tuple[int, int]] = field(default_factory=list)

    def take(self, token: int, logprob: float) -> bool:
        """Append a sampled token; return whether it was the last."""
        self.sampled.append(token)
        self.logprobs.append(logprob)
        return token in self.stop or len(self.sampled) == self.limit

    def finish(self) -> None:
        """Hand the completion to whoever waits."""
        if self.future.set_running_or_notify_cancel():
            self.future.set_result(
                Completion(
                    token_ids=tuple(self.sampled),
                    logprobs=tuple(self.logprobs),
                    finish_reason="stop" if self.sampled[-1] in self.stop else "length",
                    versions=tuple(self.versions),
                )
            )

    def fail(self, error: EngineError) -> None:
        """Raise `error` where the completion is awaited."""
        if self.future.set_running_or_notify_cancel():
            self.future.set_exception(error)


class Decoder:
    """Decodes all its requests together; they come and go between steps.

    Each token stream has a row of the cache. The rows being decoded are always the first ones,
    so that a pass reads one contiguous block and gathers nothing; rows behind them keep what
    idle sessions have cached, until the least recently used one is needed.
    """

    def __init__(
        self, model: Any, *, max_context: int, max_batch: int, max_sessions: int, version: int = 0
    ) -> None:
        self._model = model.eval()
        self._device: torch.device = model.device
        self._dtype: torch.dtype = model.dtype
        self._max_batch = max_batch
        self._max_sessions = max(max_batch, max_sessions)
        self._version = version
        self._cache = RowCache(max_context)
        self._columns = torch.arange(round_up(max_context), device=self._device)
        self._waiting: deque[Request] = deque()
        self._active = 0
        self._held = 0
        self._clock = itertools.count()
        self._row_of: dict[str, int] = {}
        # What each row holds. The first `_active` rows have a request.
        self._requests: list[Request | None] = [None] * self._max_sessions
        self._sessions: list[str | None] = [None] * self._max_sessions
        self._tokens = np.zeros((self._max_sessions, max_context), np.int64)
        self._known = np.zeros(self._max_sessions, np.int64)
        self._cached = np.zeros(self._max_sessions, np.int64)
        self._used = np.full(self._max_sessions, _FREE, np.int64)

    @property
    def busy(self) -> bool:
        """Whether a step would do anything."""
        return bool(self._active or self._waiting)

    def submit(self, request: Request) -> None:
        """Queue a request; it joins at the next step that has room."""
        self._waiting.append(request)

    @torch.inference_mode()
    def cancel(self, request: Request) -> None:
        """Drop a request whose caller is gone."""
        if request in self._waiting:
            self._waiting.remove(request)
        elif request in self._requests:
            self._retire([self._requests.index(request)])

    def release(self, session: str) -> None:
        """Forget what is cached for a session."""
        row = self._row_of.pop(session, None)
        if row is not None:
            self._sessions[row] = None
            if row >= self._active:
                self._free(row)

    @torch.inference_mode()
    def logprobs(self, token_ids: Sequence[int]) -> tuple[float, ...]:
        """Compute the log-probability of each id after the first, with nothing cached."""
        if len(token_ids) == 1:
            return ()
        ids = torch.tensor([token_ids], device=self._device)
        logits = self._model(input_ids=ids[:, :-1], use_cache=False).logits.float()
        found = logits.log_softmax(-1).gather(-1, ids[:, 1:, None])
        return tuple(found.flatten().tolist())

    def load(self, source: Weights, *, version: int) -> None:
        """Take new weights; requests under way go on with them, their context computed anew."""
        if source is not None:
            copy_weights(self._model, source)
        self._model.eval()
        self._version = version
        self._waiting.extendleft(reversed(self._drop()))

    def fail(self, error: EngineError) -> None:
        """Fail every request and forget everything cached."""
        requests = [*self._drop(), *self._waiting]
        self._waiting.clear()
        self._cache.clear()
        for request in requests:
            request.fail(error)

    @torch.inference_mode()
    def step(self) -> None:
        """Let waiting requests join and sample one token of each stream."""
        for joining in self._waves(self._admit()):
            finished: list[int] = []
            for first, last in self._place(joining):
                finished += self._advance(first, last)
            self._retire(finished)
        if self._active:
            self._retire(self._advance(0, self._active))

    # Rows

    def _admit(self) -> list[Request]:
        """Return the waiting requests that there is room for."""
        few = 8 * len(self._waiting) < self._active
        if few and self._held < _HOLD_STEPS:
            self._held += bool(self._waiting)
            return []
        self._held = 0
        room = self._max_batch - self._active
        return list(itertools.islice(self._waiting, room))

    def _waves(self, joining: Sequence[Request]) -> list[list[Request]]:
        """Split requests so that whoever shares a beginning with another comes after it.

        First one of each beginning, then one of each prompt and those with a row of their own,
        then the rest: a group of episodes of one task has its prompt computed once.
        """
        heads: set[tuple[int, ...]] = set()
        prompts: set[tuple[int, ...]] = set()
        waves: tuple[list[Request], ...] = ([], [], [])
        for request in joining:
            head = request.token_ids[:_HEAD]
            if request.session in self._row_of:
                wave = 1
            else:
                wave = 0 if head not in heads else 1 if request.token_ids not in prompts else 2
            heads.add(head)
            prompts.add(request.token_ids)
            waves[wave].append(request)
        return [wave for wave in waves if wave]

    def _place(self, joining: Sequence[Request]) -> list[tuple[int, int]]:
        """Give requests the rows after the active ones; return the ranges to prefill."""
        rows = [self._claim(request) for request in joining]
        self._borrow(rows)
        rows.sort(key=self._num_new)
        first = self._active
        order = list(range(self._cache.rows))
        for target, row in enumerate(rows, first):
            place = order.index(row, first)
            order[target], order[place] = row, order[target]
        self._permute(order)
        for request in joining:
            self._waiting.remove(request)
        self._active += len(rows)
        return self._prefill_ranges(first)

    def _claim(self, request: Request) -> int:
        """Fill an idle row with a request, keeping what is cached of its tokens."""
        row = self._row_of.get(request.session) if request.session is not None else None
        session = request.session
        if row is not None and self._used[row] == _BUSY:
            row, session = None, None
        if row is None:
            row = self._idle_row()
            if session is not None:
                self._row_of[session] = row
        tokens = np.array([*request.token_ids, *request.sampled], np.int64)
        count = min(int(self._cached[row]), len(tokens) - 1)
        differ = np.flatnonzero(self._tokens[row, :count] != tokens[:count])
        self._cached[row] = differ[0] if len(differ) else count
        self._tokens[row, : len(tokens)] = tokens
        self._known[row] = len(tokens)
        self._used[row] = _BUSY
        self._sessions[row] = session
        self._requests[row] = request
        if not request.versions or request.versions[-1][1] != self._version:
            request.versions.append((len(request.sampled), self._version))
        return row

    def _borrow(self, rows: Sequence[int]) -> None:
        """Copy into rows what others have cached of a longer common beginning."""
        found = [each for each in map(self._lender, rows) if each is not None]
        if not found:
            return
        to, source, common = (list(column) for column in zip(*found, strict=True))
        # More than is common does no harm: what is not cached is written before it is read.
        self._cache.move(to=to, source=source, seen=max(common))
        self._cached[to] = common

    def _lender(self, row: int) -> tuple[int, int, int] | None:
        """Return the row, another one, and how many tokens cached there are those of this row."""
        have, most = int(self._cached[row]), int(self._known[row]) - 1
        others = np.flatnonzero(self._cached[: self._cache.rows] >= have + _WORTH)
        if most < have + _WORTH or not len(others):
            return None
        same = self._tokens[others, :most] == self._tokens[row, :most]
        common = np.where(same.all(1), most, same.argmin(1))
        common = np.minimum(common, self._cached[others])
        best = int(common.argmax())
        if common[best] < have + _WORTH:
            return None
        return row, int(others[best]), int(common[best])

    def _idle_row(self) -> int:
        """Return a free row, else that of the session used least recently."""
        rows = self._cache.rows
        row = int(np.argmin(self._used[:rows])) if rows else 0
        if (not rows or self._used[row] != _FREE) and rows < self._max_sessions:
            self._cache.grow(min(max(2 * rows, 8), self._max_sessions))
            return rows
        session = self._sessions[row]
        if session is not None:
            del self._row_of[session]
        self._free(row)
        return row

    def _free(self, row: int) -> None:
        self._sessions[row] = None
        self._used[row] = _FREE
        self._cached[row] = 0

    def _retire(self, rows: Sequence[int]) -> None:
        """Take rows out of the active ones; what a session has cached stays."""
        if not rows:
            return
        for row in rows:
            self._requests[row] = None
            if self._sessions[row] is None:
                self._free(row)
            else:
                self._used[row] = next(self._clock)
        order = list(range(self._cache.rows))
        for row in sorted(rows, reverse=True):
            self._active -= 1
            order[row], order[self._active] = order[self._active], order[row]
        self._permute(order)

    def _permute(self, order: list[int]) -> None:
        """Move every row: row i becomes what row order[i] was."""
        to = [row for row, source in enumerate(order) if row != source]
        if not to:
            return
        source = [order[row] for row in to]
        filled = [pair for pair in zip(to, source, strict=True) if self._cached[pair[1]]]
        if filled:
            targets, sources = (list(column) for column in zip(*filled, strict=True))
            seen = int(self._cached[sources].max())
            self._cache.move(to=targets, source=sources, seen=seen)
        for column in (self._tokens, self._known, self._cached, self._used):
            column[to] = column[source]
        moved = [(self._requests[row], self._sessions[row]) for row in source]
        for row, (request, session) in zip(to, moved, strict=True):
            self._requests[row], self._sessions[row] = request, session
            if session is not None:
                self._row_of[session] = row

    def _drop(self) -> list[Request]:
        """Empty all rows and return the requests that were in them."""
        requests = [request for request in self._requests[: self._active] if request is not None]
        self._active = 0
        self._row_of.clear()
        self._requests = [None] * self._max_sessions
        self._sessions = [None] * self._max_sessions
        self._cached[:] = 0
        self._used[:] = _FREE
        return requests

    # Passes

    def _num_new(self, row: int) -> int:
        return int(self._known[row] - self._cached[row])

    def _prefill_ranges(self, first: int) -> list[tuple[int, int]]:
        """Split the active rows from `first` on, which are sorted by what is new in them.

        Rows with a single new token need no pass of their own: they are decoded with all others.
        """
        while first < self._active and self._num_new(first) == 1:
            first += 1
        ranges = []
        for row in range(first, self._active):
            new = self._num_new(row)
            is_full = (row + 1 - first) * new > self._room(first, row + 1)
            if is_full or new > 32 + 2 * self._num_new(first):
                ranges.append((first, row))
                first = row
        ranges.append((first, self._active))
        return [(first, last) for first, last in ranges if first < last]

    def _advance(self, first: int, last: int) -> list[int]:
        """Sample one token of each row in a range; return the rows that are complete."""
        requests = [request for request in self._requests[first:last] if request is not None]
        logits = self._compute(first, last)
        tokens, logprobs = draw(
            logits,
            np.array([request.uniforms[len(request.sampled)] for request in requests]),
            np.array([request.temperature for request in requests]),
        )
        known = self._known[first:last]
        self._cached[first:last] = known
        self._tokens[np.arange(first, last), known] = tokens
        known += 1
        finished = []
        drawn = zip(requests, tokens.tolist(), logprobs.tolist(), strict=True)
        for row, (request, token, logprob) in enumerate(drawn, first):
            if not math.isfinite(logprob):
                request.fail(EngineError("the model computed NaN"))
                finished.append(row)
            elif request.take(token, logprob):
                request.finish()
                finished.append(row)
        return finished

    def _room(self, first: int, last: int) -> int:
        """Return the most padded tokens of one pass over a range of rows."""
        seen = round_up(int(self._known[first:last].max()))
        return max(1, min(_PREFILL_TOKENS, _MASK_CELLS // seen))

    def _compute(self, first: int, last: int) -> Tensor:
        """Compute what is not cached of a range of rows, a long context piece by piece."""
        piece = max(1, self._room(first, last) // (last - first))
        known, cached = self._known[first:last], self._cached[first:last]
        while int((known - cached).max()) > piece:
            upto = np.minimum(known - 1, cached + piece)
            self._forward(first, last, upto)
            cached[:] = upto
        return self._forward(first, last, known)

    def _forward(self, first: int, last: int, upto: NDArray[np.int64]) -> Tensor:
        """Compute what is not cached before `upto` [rows]; return the last logits, [rows, V].

        Rows end in the same column. One with less to compute than others repeats tokens it has
        cached, which are written where nobody reads.
        """
        self._cache.widen(int(upto.max()))
        known, cached = upto[:, None], self._cached[first:last, None]
        width = int((known - cached).max())
        position = known + np.arange(-width, 0)
        rows = np.arange(first, last)[:, None]
        column = np.where(position < cached, self._cache.scratch, position)
        position = np.maximum(position, 0)
        packed = np.stack(
            [self._tokens[rows, position], position, rows * self._cache.columns + column]
        )
        token_ids, position_ids, target = torch.from_numpy(packed).to(self._device)
        seen = round_up(int(known.max()))
        self._cache.aim(first, last, seen=seen, target=target.view(-1))
        hidden = self._columns[:seen] > position_ids[:, None, :, None]
        mask = torch.zeros(hidden.shape, dtype=self._dtype, device=self._device)
        mask.masked_fill_(hidden, torch.finfo(self._dtype).min)
        output = self._model(
            input_ids=token_ids,
            attention_mask=mask,
            position_ids=position_ids,
            past_key_values=self._cache,
            use_cache=True,
            logits_to_keep=1,
        )
        return output.logits[:, -1]  # type: ignore[no-any-return]
