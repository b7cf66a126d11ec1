"""The private folder of a running server: its sockets, its token, its logs, and weights in transit."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from agentgym.engines.locked import new_locked, sweep

_PREFIX = "agentgym-serve-"
_MEMORY = Path("/dev/shm")
_SHARE = 2.5  # of the model's size: two sets of weights are kept, and something beside them


@contextmanager
def private_directory(*, weights_bytes: int) -> Iterator[Path]:
    """Hold a folder that only its owner can enter; it is gone afterwards.

    It is in memory where two sets of weights fit. What killed servers left is removed first.
    """
    base = _base(weights_bytes)
    for left in (_MEMORY, Path(tempfile.gettempdir())):
        sweep(left, _PREFIX)
    folder, lock = new_locked(base, _PREFIX)
    try:
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
