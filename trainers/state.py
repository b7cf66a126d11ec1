"""Trainer and optimizer as a checkpoint has them, and as they begin."""

from pathlib import Path
from typing import Any, NamedTuple

import torch

from agentgym.engine import Loaded
from agentgym.engines.model import load_model
from agentgym.engines.quiet import quiet
from agentgym.trainers.checkpoint import REFERENCE, load_state, save_checkpoint
from agentgym.trainers.setup import Parts, Settings, build_parts, build_policy
from agentgym.trainers.update import Updater


class Restored(NamedTuple):
    """What a checkpoint holds, put to work."""

    parts: Parts
    updater: Updater
    state: dict[str, Any]
    """What the trainer itself wrote down."""


def restore(settings: Settings, folder: Path) -> Restored:
    """Go on from a checkpoint: weights, optimizer, reference and torch's own generator.

    Raises:
        StoreError: it is damaged.
    """
    state = load_state(folder)
    parts = build_parts(settings, _load(settings, folder))
    updater = make_updater(settings, parts)
    updater.optimizer.load_state_dict(state["optimizer"])
    if settings.loss.kl_penalty:
        reference = _load(settings, folder / REFERENCE, dtype="float32")
        updater.reference = build_policy(settings, reference)
    torch.set_rng_state(state["rng"])
    return Restored(parts, updater, state)


def save_state(
    root: Path, step: int, *, parts: Parts, updater: Updater, state: dict[str, Any], keep: int
) -> Path:
    """Write a checkpoint, which `restore` goes on from, and return its folder.

    Raises:
        StoreError: it cannot be written.
    """
    reference = updater.reference
    whole = {
        "format": 1,
        **state,
        "optimizer": updater.optimizer.state_dict(),
        "rng": torch.get_rng_state(),
    }
    with quiet():
        return save_checkpoint(
            root,
            step,
            parts=(parts.policy.model, parts.tokenizer),
            reference=(reference.model, parts.tokenizer) if reference else (),
            state=whole,
            keep=keep,
        )


def make_updater(settings: Settings, parts: Parts) -> Updater:
    """Return what moves the weights of the policy, with a fresh optimizer."""
    return Updater(parts.policy, loss=settings.loss, optim=settings.optim, train=settings.train)


def _load(settings: Settings, folder: Path, **changes: Any) -> Loaded:
    return load_model(settings.model.model_copy(update={"path": str(folder), **changes}))
