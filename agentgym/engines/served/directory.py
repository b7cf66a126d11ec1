"""The private folder of a running server: its sockets, its token, its logs, and weights in transit."""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_PREFIX = "agentgym-serve-"
_LOCK = "lock"
_MEMORY = Path("/dev/shm")
_SHARE = 2.5  # of the model's size: two sets of weights are kept, and something beside them


@contextmanager
def private_directory(*, weights_bytes: int) -> Iterator[Path]:
    """Hold a folder that only its owner can enter; it is gone afterwards.

    It is in memory where two sets of weights fit. What killed servers left is removed first.
    """
    base = _base(weights_bytes)
    for left in (_MEMORY, Path(tempfile.gettempdir())):
        _reap(left)
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=base))
    lock = os.open(folder / _LOCK, os.O_CREAT | os.O_RDWR, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        (folder / "weights").mkdir(mode=0o700)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def _base(weights_bytes: int) -> Path:
    with suppress(OSError):
        room = os.statvfs(_MEMORY)
        if os.access(_MEMORY, os.W_OK) and room.f_bavail * room.f_frsize > _SHARE * weights_bytes:
            return _MEMORY
    return Path(tempfile.gettempdir())


def _reap(base: Path) -> None:
    """Remove folders of ours whose owner is gone, which its lock tells."""
    for folder in base.glob(f"{_PREFIX}*"):
        with suppress(OSError):
            if folder.stat().st_uid != os.getuid() or folder.is_symlink():
                continue
            lock = os.open(folder / _LOCK, os.O_RDWR | os.O_NOFOLLOW)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(lock)
