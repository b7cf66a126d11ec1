"""Where indexes stand, and for how long: they can be made again at any time."""

import hashlib
import platform
import re
import time
from contextlib import suppress
from pathlib import Path

from agentgym.store.files import user_cache
from agentgym.viewer.tables import VERSION

_NAME = re.compile(r"[0-9a-f]{24}-(\d{1,9})\.sqlite", re.ASCII)
_PARTS = ("", "-wal", "-shm")  # what SQLite puts beside a file
_DAY_S = 24 * 3600.0
_KEPT_S = 30 * _DAY_S  # since somebody opened or wrote it
_EARLIER_KEPT_S = _DAY_S  # of an earlier version, which only a server that still runs may need


def cache_folder() -> Path:
    """Return where indexes stand, if nobody says otherwise."""
    return user_cache("index")


def index_name(root: Path) -> str:
    """Return the name of the index of a run; a file that several machines share would break."""
    key = f"{platform.node()}\0{root.resolve()}"
    digest = hashlib.blake2b(key.encode("utf-8", "surrogateescape"), digest_size=12)
    return f"{digest.hexdigest()}-{VERSION}.sqlite"


def remove_index(path: Path) -> None:
    """Remove an index; a server that has it open makes it anew."""
    for part in _PARTS:
        path.with_name(path.name + part).unlink(missing_ok=True)


def remove_stale(folder: Path) -> None:
    """Remove the indexes that nobody used for long, and sooner those of earlier versions."""
    now = time.time()
    for path in folder.glob("*.sqlite"):
        if found := _NAME.fullmatch(path.name):
            kept = _EARLIER_KEPT_S if int(found[1]) < VERSION else _KEPT_S
            with suppress(OSError):  # of another server, which looks just now, too
                if now - _last_used(path) > kept:
                    remove_index(path)


def _last_used(path: Path) -> float:
    parts = (path.with_name(path.name + part) for part in _PARTS)
    return max(each.stat().st_mtime for each in parts if each.exists())
