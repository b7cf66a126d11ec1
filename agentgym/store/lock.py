"""One process writes a run at a time."""

import errno
import fcntl
import logging
import os
import platform
import time
from pathlib import Path

from agentgym.errors import StoreError

logger = logging.getLogger(__name__)

LOCK_NAME = ".lock"

_UNSUPPORTED = (errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK)
_TRIES = 5  # a reader that asks `is_locked` holds the lock for an instant


class RunLock:
    """An advisory lock that the system frees when the process ends, however it ends."""

    def __init__(self, folder: Path) -> None:
        """Take the lock.

        Raises:
            StoreError: another process holds it, or the file cannot be made.
        """
        path = folder / LOCK_NAME
        try:
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            raise StoreError(f"cannot lock {folder}: {error.strerror}") from error
        try:
            self._take(folder)
        except BaseException:
            os.close(self._descriptor)
            raise

    def release(self) -> None:
        """Free the lock. Idempotent."""
        if self._descriptor < 0:
            return
        descriptor, self._descriptor = self._descriptor, -1
        fcntl.flock(descriptor, fcntl.LOCK_UN)  # closing is not enough where a fork holds it too
        os.close(descriptor)

    def _take(self, folder: Path) -> None:
        for left in reversed(range(_TRIES)):
            try:
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if left:
                    time.sleep(0.02)
                    continue
                owner = os.pread(self._descriptor, 256, 0).decode("utf-8", "replace").strip()
                raise StoreError(
                    f"{folder} is being written by {owner or 'another process'}",
                    hint="wait for it to end, or stop it",
                ) from error
            except OSError as error:
                if error.errno not in _UNSUPPORTED:
                    raise StoreError(f"cannot lock {folder}: {error.strerror}") from error
                logger.warning("%s: this file system has no locks; start one run only", folder)
                break
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, f"pid {os.getpid()} on {platform.node()}\n".encode(), 0)


def is_locked(folder: Path) -> bool:
    """Say whether some process is writing this run."""
    try:
        descriptor = os.open(folder / LOCK_NAME, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    else:
        return False
    finally:
        os.close(descriptor)
