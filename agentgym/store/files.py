"""Writing to a disk that may be full: a write is whole, or the file is as it was; and where."""

import errno
import os
import shutil
from contextlib import suppress
from pathlib import Path

from agentgym.errors import StoreError

_FULL = (errno.ENOSPC, errno.EDQUOT)


def user_cache(name: str) -> Path:
    """Return a folder for what can be made again: in `~/.cache/agentgym`, or where XDG_CACHE_HOME says."""
    home = os.environ.get("XDG_CACHE_HOME")
    return (Path(home) if home else Path.home() / ".cache") / "agentgym" / name


def append_whole(descriptor: int, data: bytes, *, path: Path) -> None:
    """Append all of `data` in as few writes as the system allows: one, as a rule.

    Raises:
        StoreError: it did not fit; the file is cut back to what it was, where that is possible.
    """
    start = os.fstat(descriptor).st_size
    rest = memoryview(data)
    try:
        while rest:
            rest = rest[os.write(descriptor, rest) :]
    except BaseException as error:  # also an interrupt between two short writes
        with suppress(OSError):
            os.ftruncate(descriptor, start)
        if isinstance(error, OSError):
            raise write_error(error, path=path, size=len(data)) from error
        raise


def replace_file(path: Path, text: str) -> None:
    """Replace a file durably: readers see the old text or the new one, also after a crash.

    Raises:
        StoreError: the disk is full, or the like; the old file is still there.
    """
    data = text.encode()
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise write_error(error, path=path, size=len(data)) from error


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_error(error: OSError, *, path: Path, size: int) -> StoreError:
    """Say what could not be written, how much of it (0: nothing yet), and what to do."""
    kept = "nothing recorded earlier is lost"
    if error.errno in _FULL:
        return StoreError(
            f"disk full: {size} bytes did not fit into {path}",
            hint=f"free some space ({_free_bytes(path)} bytes are left there) and resume; {kept}",
        )
    if error.errno == errno.EFBIG:
        return StoreError(
            f"file size limit reached: {size} bytes did not fit into {path}",
            hint=f"raise the limit (`ulimit -f`) and resume; {kept}",
        )
    if not size:
        return StoreError(f"cannot write {path}: {error.strerror}")
    return StoreError(f"cannot write {path} ({size} bytes): {error.strerror}", hint=kept)


def _free_bytes(path: Path) -> int:
    try:
        return shutil.disk_usage(path.parent).free
    except OSError:
        return 0
