"""The keys and values of many token streams, one row each, as a cache of transformers."""

from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import Cache

_STRIDE = 16  # how far the visible columns are rounded up, so that shapes repeat
_FIRST = 512  # columns to begin with


class RowCache(Cache):  # type: ignore[misc]
    """A block [rows, columns, heads, dim] per layer; a pass sees some rows and columns.

    The blocks are made when the first pass shows their shapes, and grow by rows and columns as
    these are needed, so that a long context takes memory where it is used. They always hold numbers, never uninitialised memory: what is masked is still multiplied by 0.
    """

    def __init__(self, columns: int) -> None:
        super().__init__(layers=[])
        self._most = round_up(columns + 1)
        self.columns = min(self._most, _FIRST)
        self.rows = 0
        self._blocks: dict[tuple[int, int], Tensor] = {}
        self._first = self._last = self._seen = 0
        self._target: Tensor = torch.empty(0)

    @property
    def scratch(self) -> int:
        """The column that takes what nobody reads."""
        return self.columns - 1

    def grow(self, rows: int) -> None:
        """Make room for `rows`, keeping what is there."""
        self.rows = rows
        for key, block in self._blocks.items():
            self._blocks[key] = torch.cat(
                [block, block.new_zeros(rows - len(block), *block.shape[1:])]
            )

    def widen(self, columns: int) -> None:
        """Make room for rows of so many tokens, keeping what is there."""
        if columns < self.columns:  # the last one is for scratch
            return
        self.columns = min(self._most, max(2 * self.columns, round_up(columns + 1)))
        for key, block in self._blocks.items():
            shape = (len(block), self.columns - block.shape[1], *block.shape[2:])
            self._blocks[key] = torch.cat([block, block.new_zeros(shape)], 1)

    def clear(self) -> None:
        """Give the memory back, and forget blocks that only began to grow."""
        self._blocks.clear()

    def aim(self, first: int, last: int, *, seen: int, target: Tensor) -> None:
        """Point the next pass at the rows `first` to `last` and the columns before `seen`.

        `target` says where each new token is written, as row * columns + column.
        """
        self._first, self._last, self._seen = first, last, seen
        self._target = target

    def update(
        self, key_states: Tensor, value_states: Tensor, layer_idx: int, *_: Any, **__: Any
    ) -> tuple[Tensor, Tensor]:
        """Write [rows, heads, new, dim] and return all that the pass may see, in that layout."""
        keys = self._write((layer_idx, 0), key_states)
        values = self._write((layer_idx, 1), value_states)
        return keys, values

    def move(self, *, to: list[int], source: list[int], seen: int) -> None:
        """Copy the columns before `seen` of the rows `source` over the rows `to`, at once."""
        targets = torch.tensor(to, device=self._target.device)
        sources = torch.tensor(source, device=self._target.device)
        for block in self._blocks.values():
            part = block[:, :seen]
            part.index_copy_(0, targets, part.index_select(0, sources))

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """Return 0: positions and masks are always given."""
        return 0

    def _write(self, key: tuple[int, int], states: Tensor) -> Tensor:
        heads, dim = states.shape[1], states.shape[3]
        block = self._blocks.get(key)
        if block is None:
            block = states.new_zeros(self.rows, self.columns, heads, dim)
            self._blocks[key] = block
        block.view(-1, heads, dim)[self._target] = states.transpose(1, 2).reshape(-1, heads, dim)
        return block[self._first : self._last, : self._seen].transpose(1, 2)


def round_up(columns: int) -> int:
    """Return the next multiple of the stride."""
    return -(-columns // _STRIDE) * _STRIDE
