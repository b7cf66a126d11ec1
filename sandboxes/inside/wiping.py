"""A sandbox as it was at its start: wiped, and compared."""

import errno
import itertools
import os
import stat

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    Usage = dict[str, tuple[int, int, int]]

_ROOTS = ("/box", "/tmp", "/dev/shm")


def wipe(baseline: "Usage") -> bool:
    """Wipe and compare with how it was at the start; nothing may run."""
    try:
        for root, (mode, *_) in baseline.items():
            empty(root, mode)
        alone = [name for name in os.listdir("/proc") if name.isdigit()] == ["1"]
        return alone and usage() == baseline
    except OSError:
        return False


def usage() -> "Usage":
    """Mode, blocks and inodes in use of each place a program can write to."""
    usage = {}
    for root in _ROOTS:
        space = os.statvfs(root)
        mode = stat.S_IMODE(os.stat(root).st_mode)
        usage[root] = (mode, space.f_blocks - space.f_bfree, space.f_files - space.f_ffree)
    return usage


def empty(root: str, mode: int) -> None:
    """Empty a folder. Nested folders move up one by one, so that no depth is too deep."""
    os.chmod(root, mode)
    for name in os.listxattr(root):
        os.removexattr(root, name)
    free = itertools.count()
    top = os.fsencode(root)
    while names := os.listdir(top):
        for path in (top + b"/" + name for name in names):
            if not _is_dir(path):
                os.unlink(path)
                continue
            os.chmod(path, 0o700)
            for inner in (path + b"/" + name for name in os.listdir(path)):
                if _is_dir(inner):
                    os.chmod(inner, 0o700)
                    _move(inner, top, free)
                else:
                    os.unlink(inner)
            os.rmdir(path)
    os.utime(root, (0, 0))


def _move(path: bytes, top: bytes, free: "Iterator[int]") -> None:
    """Move a folder to the top, to a name that nothing has."""
    for number in free:
        try:
            os.rename(path, b"%s/.%d" % (top, number))
            return
        except OSError as error:
            if error.errno not in (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR):
                raise


def _is_dir(path: bytes) -> bool:
    return stat.S_ISDIR(os.lstat(path).st_mode)
