"""Temporary folders that are locked while their owner lives, so that others can clear away the rest."""

import fcntl
import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

_LOCK = "lock"


def new_locked(parent: Path, prefix: str) -> tuple[Path, int]:
    """Make a folder that only its owner can enter; it is the owner's until the descriptor is closed.

    It is locked before it has the name that `sweep` looks for.
    """
    hidden = Path(tempfile.mkdtemp(prefix=".agentgym-", dir=parent))
    lock = os.open(hidden / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    root = parent / f"{prefix}{os.getpid()}-{hidden.name.rpartition('-')[2]}"
    hidden.rename(root)
    return root, lock


def sweep(parent: Path, prefix: str) -> None:
    """Remove folders of this user whose owner is gone, which the lock tells."""
    for root in parent.glob(f"{prefix}*"):
        with suppress(OSError):  # locked, or just removed
            if root.is_symlink() or root.stat().st_uid != os.getuid():
                continue
            lock = os.open(root / _LOCK, os.O_RDWR | os.O_NOFOLLOW)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(root, ignore_errors=True)
            finally:
                os.close(lock)
