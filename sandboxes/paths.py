"""Paths inside a sandbox: which may be asked for, and what is said of one that cannot be had."""

import errno
import os

_REASONS = {
    errno.EINVAL: "not a regular file",
    errno.ELOOP: "a link",
    errno.ENOTDIR: "a folder of it is a link or no folder",
    errno.EFBIG: "larger than allowed",
}


def checked_path(path: str) -> bytes:
    """Return the absolute path inside, by rules that need no file system.

    Raises:
        ValueError: it is none under /box or /tmp.
    """
    raw = (path if path.startswith("/") else f"/box/{path}").encode("utf-8", "surrogateescape")
    parts = [part for part in raw.split(b"/") if part not in (b"", b".")]
    is_ours = len(parts) > 1 and parts[0] in (b"box", b"tmp")
    is_short = len(raw) < 4096 and all(len(part) < 256 for part in parts)
    if not is_ours or not is_short or b".." in parts or b"\0" in raw:
        raise ValueError(f"{path!r} is not a path under /box or /tmp")
    return b"/" + b"/".join(parts)


def raise_for(code: int, path: str) -> None:
    """Raise what the errno of an access means for whoever asked; 0 means nothing.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it cannot be had, with the reason.
    """
    if code == errno.ENOENT:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
    if code:
        raise ValueError(f"{path!r}: {_REASONS.get(code, os.strerror(code))}")
