"""Weights on their way to another process: a file of safetensors that is written over and over."""

import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agentgym.engines import locked
from agentgym.errors import EngineError

if TYPE_CHECKING:
    import torch

FILE = "model.safetensors"
_PARTIAL = "model.partial"
_PREFIX = "agentgym-weights-"
_ALIGN = 64  # bytes of the header are a multiple of it, so that the numbers are aligned
_NAMES = {"float64": "F64", "float32": "F32", "float16": "F16", "bfloat16": "BF16"}


class WeightsFolder:
    """A folder with one safetensors file, kept in memory and written in place.

    While it is written the file has another name, so that weights that are half new are never
    loaded, whatever happens to the writer. The folder is locked as long as its writer lives;
    those of writers that were killed are removed when the next one is made.

    Memory that is already there is written at the speed of a copy; a new file of 2 GB would
    take three times as long.
    """

    def __init__(self, parent: Path | None = None) -> None:
        self._parent = parent
        self._root: Path | None = None
        self._lock: int | None = None
        self._layout: dict[str, Any] = {}
        self._views: dict[str, torch.Tensor] = {}

    def write(self, weights: "Mapping[str, torch.Tensor]", *, dtype: str | None = None) -> Path:
        """Write the tensors, floating ones as `dtype`, and return the folder.

        Raises:
            EngineError: there is no room for them, or it cannot be written.
        """
        try:
            root = self._make(weights, dtype)
            partial, file = root / _PARTIAL, root / FILE
            if file.exists():
                file.rename(partial)
            self._lay_out(partial, weights, dtype)
            self._copy(weights)
            partial.rename(file)
        except OSError as error:
            raise EngineError(
                f"the weights cannot be written for the engine: {error}",
                hint="name a folder with more room, as engine.weights_dir",
            ) from error
        return root

    @property
    def root(self) -> Path | None:
        """The folder; None before anything was written."""
        return self._root

    def close(self) -> None:
        """Remove the folder. Idempotent."""
        self._views, self._layout = {}, {}
        if self._root is not None:
            shutil.rmtree(self._root, ignore_errors=True)
            self._root = None
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _make(self, weights: "Mapping[str, torch.Tensor]", dtype: str | None) -> Path:
        if self._root is None:
            parent = self._parent or _roomy(sum(_bytes(each, dtype) for each in weights.values()))
            parent.mkdir(parents=True, exist_ok=True)
            sweep(parent)
            self._root, self._lock = locked.new_locked(parent, _PREFIX)
        return self._root

    def _lay_out(
        self, file: Path, weights: "Mapping[str, torch.Tensor]", dtype: str | None
    ) -> None:
        """Give the file its header and map it, unless it has the same from the last time."""
        import torch

        entries, size = _entries(weights, dtype)
        if entries == self._layout and file.exists():
            return
        header = _header(entries)
        total = len(header) + size
        self._views, self._layout = {}, {}
        with open(file, "wb") as handle:
            handle.write(header)
            os.posix_fallocate(handle.fileno(), 0, total)  # no room is an error here, not a signal
        mapped = torch.from_file(str(file), shared=True, size=total, dtype=torch.uint8)
        for name, entry in entries.items():
            first, end = (len(header) + offset for offset in entry["data_offsets"])
            kind = getattr(torch, _dtype(weights[name], dtype))
            self._views[name] = mapped[first:end].view(kind).view(entry["shape"])
        self._layout = entries

    def _copy(self, weights: "Mapping[str, torch.Tensor]") -> None:
        import torch

        with torch.no_grad():
            for name, tensor in weights.items():
                self._views[name].copy_(tensor)


def sweep(parent: Path) -> None:
    """Remove the folders of writers that are gone."""
    locked.sweep(parent, _PREFIX)


def _roomy(size: int) -> Path:
    """Return /dev/shm where `size` bytes fit twice, else the folder for temporary files."""
    memory = Path("/dev/shm")
    if memory.is_dir() and os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > 2 * size:
        return memory
    return Path(tempfile.gettempdir())


def _entries(
    weights: "Mapping[str, torch.Tensor]", dtype: str | None
) -> tuple[dict[str, Any], int]:
    """Return name -> type, shape and place of each tensor, and the bytes of them all.

    There are no gaps, as the format wants it; large numbers come first, so that all are aligned.
    """
    entries = {}
    end = 0
    order = sorted(weights, key=lambda name: -_itemsize(weights[name], dtype))
    for name in order:
        first, end = end, end + _bytes(weights[name], dtype)
        entries[name] = {
            "dtype": _NAMES[_dtype(weights[name], dtype)],
            "shape": list(weights[name].shape),
            "data_offsets": [first, end],
        }
    return entries, end


def _header(entries: Mapping[str, Any]) -> bytes:
    """Return what stands before the tensors.

    Source: the format's description, https://github.com/huggingface/safetensors#format.
    """
    text = json.dumps(entries, separators=(",", ":")).encode()
    text += b" " * (-(len(text) + 8) % _ALIGN)
    return len(text).to_bytes(8, "little") + text


def _dtype(tensor: "torch.Tensor", dtype: str | None) -> str:
    name = str(tensor.dtype).removeprefix("torch.")
    if name not in _NAMES:
        raise EngineError(f"weights of the type {name} cannot be handed to the engine")
    return dtype or name


def _itemsize(tensor: "torch.Tensor", dtype: str | None) -> int:
    import torch

    size: int = getattr(torch, _dtype(tensor, dtype)).itemsize
    return size


def _bytes(tensor: "torch.Tensor", dtype: str | None) -> int:
    return tensor.numel() * _itemsize(tensor, dtype)
