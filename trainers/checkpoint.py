"""Checkpoints: a folder that transformers can load, and the state of the trainer beside it.

    checkpoints/000010/      config.json, model.safetensors, tokenizer files, trainer.pt
    checkpoints/latest       a link to the newest

A checkpoint is written under a hidden name and renamed when all of it is on the disk, so that
whatever has a plain name is complete.
"""

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import torch

from agentgym.errors import StoreError

REFERENCE = "reference"
"""The folder inside a checkpoint for the model that the KL is measured from."""

_LATEST = "latest"
_STATE = "trainer.pt"
_HIDDEN = ".tmp-"


class Saves(Protocol):
    """A tokenizer or a model of transformers."""

    def save_pretrained(self, save_directory: str | Path) -> Any:
        """Write everything that is needed to load it again."""


def save_checkpoint(
    root: Path,
    step: int,
    *,
    parts: Sequence[Saves],
    state: dict[str, Any],
    keep: int,
    reference: Sequence[Saves] = (),
) -> Path:
    """Write `root/<step>` atomically, point `latest` to it, and remove all but the newest `keep`.

    A step that was saved before is left as it is.
    `reference` goes to a folder of its own inside. `state` holds tensors, numbers, text and containers of these, nothing else.

    Raises:
        StoreError: it cannot be written; the checkpoints before it are untouched.
    """
    folder, hidden = root / f"{step:06d}", root / f"{_HIDDEN}{step:06d}"
    if folder.exists():
        return folder
    root.mkdir(parents=True, exist_ok=True)
    clean(root)
    with _storing(hidden):
        hidden.mkdir()
        for part in parts:
            part.save_pretrained(hidden)
        for part in reference:
            part.save_pretrained(hidden / REFERENCE)
        torch.save(state, hidden / _STATE)
        for path in (*hidden.rglob("*"), hidden):
            _sync(path)
        hidden.rename(folder)
        _point(root, folder.name)
        _sync(root)
    for old in checkpoints(root)[:-keep]:
        _remove(old)
    return folder


def latest_checkpoint(root: Path) -> Path | None:
    """Return the newest complete checkpoint, or None."""
    found = checkpoints(root)
    return found[-1] if found else None


def load_state(folder: Path) -> dict[str, Any]:
    """Return what `save_checkpoint` was given as `state`; runs no code from the file.

    Raises:
        StoreError: the file is missing or damaged.
    """
    try:
        state: dict[str, Any] = torch.load(folder / _STATE, map_location="cpu", weights_only=True)
    except Exception as error:
        raise StoreError(
            f"the checkpoint {folder} cannot be read: {error}",
            hint="remove this folder to resume from the one before it",
        ) from error
    return state


def checkpoints(root: Path) -> list[Path]:
    """Return the complete checkpoints, oldest first."""
    if not root.is_dir():
        return []
    return sorted(path for path in root.iterdir() if path.name.isdigit() and path.is_dir())


def clean(root: Path) -> None:
    """Remove what a killed process left half-written or half-removed."""
    for path in root.glob(f"{_HIDDEN}*"):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


@contextmanager
def _storing(hidden: Path) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # safetensors has errors of its own for a full disk
        shutil.rmtree(hidden, ignore_errors=True)
        raise StoreError(
            f"a checkpoint could not be written to {hidden.parent}: {error}",
            hint="free some space and resume the run; what was saved before is untouched",
        ) from error


def _point(root: Path, name: str) -> None:
    link = root / f"{_HIDDEN}{_LATEST}"
    link.symlink_to(name)
    link.replace(root / _LATEST)


def _remove(folder: Path) -> None:
    """Remove a checkpoint; a crash half way leaves nothing under its name."""
    doomed = folder.with_name(f"{_HIDDEN}removed-{folder.name}")
    folder.rename(doomed)
    shutil.rmtree(doomed)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
