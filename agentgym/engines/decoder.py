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
from agentgym.engines.weights import copy_weights
from agentgym.errors import EngineError
from agentgym.types import Completion

_PREFILL_TOKENS = 8192  # most padded tokens of one prefill pass, which bounds its activations
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
        self._columns = torch.arange(self._cache.columns, device=self._device)
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
        for request in requests:
            request.fail(error)

    @torch.inference_mode()
    def step(self) -> None:
        """Let waiting requests join and sample one token of each stream."""
        joined = self._admit()
        finished: list[int] = []
        for first, last in joined:
            finished += self._advance(first, last)
        self._retire(finished)
        if self._active:
            self._retire(self._advance(0, self._active))

    # Rows

    def _admit(self) -> list[tuple[int, int]]:
        """Give waiting requests the rows after the active ones; return the ranges to prefill."""
        few = 8 * len(self._waiting) < self._active
        if few and self._held < _HOLD_STEPS:
            self._held += bool(self._waiting)
            return []
        self._held = 0
        room = self._max_batch - self._active
        joining = [self._waiting.popleft() for _ in range(min(room, len(self._waiting)))]
        if not joining:
            return []
        rows = sorted((self._claim(request) for request in joining), key=self._num_new)
        first = self._active
        order = list(range(self._cache.rows))
        for target, row in enumerate(rows, first):
            place = order.index(row, first)
            order[target], order[place] = row, order[target]
        self._permute(order)
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
        """Split the active rows from `first` on, which are sorted by what is new in them."""
        ranges = []
        for row in range(first, self._active):
            size = (row + 1 - first) * self._num_new(row)
            if size > _PREFILL_TOKENS or self._num_new(row) > 32 + 2 * self._num_new(first):
                ranges.append((first, row))
                first = row
        ranges.append((first, self._active))
        return [(first, last) for first, last in ranges if first < last]

    def _advance(self, first: int, last: int) -> list[int]:
        """Sample one token of each row in a range; return the rows that are complete."""
        requests = [request for request in self._requests[first:last] if request is not None]
        logits = self._forward(first, last)
        tokens, logprobs = self._sample(logits, requests)
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

    def _forward(self, first: int, last: int) -> Tensor:
        """Compute what is not cached of a range of rows; return the last logits, [rows, V].

        Rows end in the same column. One with less to compute than others repeats tokens it has
        cached, which are written where nobody reads.
        """
        known, cached = self._known[first:last, None], self._cached[first:last, None]
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

    def _sample(
        self, logits: Tensor, requests: Sequence[Request]
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Draw a token of each row by inverting its distribution function."""
        uniforms = np.array([request.uniforms[len(request.sampled)] for request in requests])
        temperatures = np.array([request.temperature for request in requests])
        greedy = temperatures == 0
        divisor = np.where(greedy, 1.0, temperatures)
        packed = torch.from_numpy(np.stack([uniforms, divisor])).to(self._device)
        logits = logits.float() / packed[1, :, None].float()
        cumulative = logits.double().softmax(-1).cumsum(-1)
        threshold = packed[0, :, None] * cumulative[:, -1:]
        tokens = torch.searchsorted(cumulative, threshold, right=True)
        tokens.clamp_(max=logits.shape[-1] - 1)
        if greedy.any():
            best = logits.argmax(-1, keepdim=True)
            tokens = torch.where(torch.from_numpy(greedy).to(self._device)[:, None], best, tokens)
        logprobs = logits.log_softmax(-1).gather(-1, tokens)
        drawn = torch.cat([tokens.double(), logprobs.double()], -1).cpu().numpy()
        return drawn[:, 0].astype(np.int64), drawn[:, 1]
