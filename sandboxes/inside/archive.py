"""The folder /box as a tar archive, and back: regular files and folders, nothing else.

Archives are POSIX ustar with GNU's long names, so that `tar` reads them and writes them. They
come from outside and may be hostile: nothing is written before all of an archive was checked.
"""

import errno
import os
import stat

from agentgym.sandboxes.inside.files import create, open_folder
from agentgym.sandboxes.inside.wiping import empty

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from agentgym.sandboxes.inside.wire import Request

    Entry = tuple[bytes, int, int, bool, int, int]

_ROOT = b"/box"
_BLOCK = 512
_CHUNK = 65536
_MOST_ENTRIES = 16384
_LONGEST_NAME = 4000
_FILE, _FOLDER, _LONG_NAME = b"0", b"5", b"L"


def snapshot(_: "Request") -> int:
    """Write an archive to stdout; links, devices, pipes and sockets are left out."""
    try:
        for name, found in _walk():
            is_folder = stat.S_ISDIR(found.st_mode)
            _put_header(name, found, is_folder=is_folder)
            if not is_folder:
                _put_content(name, found.st_size)
        _put(bytes(2 * _BLOCK))
    except OSError as error:
        return error.errno or errno.EIO
    return 0


def restore(_: "Request") -> int:
    """Put the archive from stdin in the place of all of /box; the exit code is an errno."""
    data = bytearray()
    while chunk := os.read(0, _CHUNK):
        data += chunk
    try:
        entries = list(_entries(memoryview(data)))
        empty("/box", 0o700)
        for entry in entries:
            _place(memoryview(data), *entry)
    except ValueError as error:
        os.write(2, str(error).encode())
        return errno.EBADMSG
    except OSError as error:
        return error.errno or errno.EIO
    return 0


def _walk() -> "Iterator[tuple[bytes, os.stat_result]]":
    """Folders before what is in them, in the order of their names."""
    waiting = [b""]
    while waiting:
        folder = waiting.pop()
        inner = []
        for name in sorted(os.listdir(_ROOT + b"/" + folder)):
            path = folder + name
            found = os.lstat(_ROOT + b"/" + path)
            if stat.S_ISDIR(found.st_mode):
                yield path + b"/", found
                inner.append(path + b"/")
            elif stat.S_ISREG(found.st_mode):
                yield path, found
        waiting += reversed(inner)


def _put_header(name: bytes, found: os.stat_result, *, is_folder: bool) -> None:
    if len(name) > 100:
        _put(_header(b"././@LongLink", 0, len(name) + 1, 0, _LONG_NAME))
        _put(_padded(name + b"\0"))
    # A folder's time tells when it was unpacked; equal boxes have equal archives.
    size, mtime = (0, 0) if is_folder else (found.st_size, int(found.st_mtime))
    mode = stat.S_IMODE(found.st_mode) & 0o777
    kind = _FOLDER if is_folder else _FILE
    _put(_header(name[:100], mode, size, mtime, kind))


def _header(name: bytes, mode: int, size: int, mtime: int, kind: bytes) -> bytes:
    fields = name.ljust(100, b"\0") + b"%07o\0" % mode + b"0000000\0" * 2
    fields += b"%011o\0" % size + b"%011o\0" % max(0, mtime)
    rest = kind + bytes(100) + b"ustar\x0000" + bytes(247)
    checksum = sum(fields) + 8 * 32 + sum(rest)
    return fields + b"%06o\0 " % checksum + rest


def _put_content(name: bytes, size: int) -> None:
    fd = os.open(_ROOT + b"/" + name, os.O_RDONLY | os.O_NOFOLLOW)
    while chunk := os.read(fd, _CHUNK):
        _put(chunk)
    os.close(fd)
    _put(bytes(-size % _BLOCK))


def _put(data: bytes) -> None:
    while data:
        data = data[os.write(1, data) :]


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % _BLOCK)


def _entries(data: memoryview) -> "Iterator[Entry]":
    """Check an archive: (name, mode, mtime, is a folder, start, size) of each entry.

    Raises:
        ValueError: something in it may not be there.
    """
    at = count = 0
    long_name = b""
    while at + _BLOCK <= len(data) and any(data[at : at + _BLOCK]):
        header = bytes(data[at : at + _BLOCK])
        if sum(header[:148]) + 8 * 32 + sum(header[156:]) != _number(header[148:156]):
            raise ValueError(f"no tar header at byte {at}")
        name = long_name or _name(header)
        mode, size, mtime = (_number(header[a:b]) for a, b in ((100, 108), (124, 136), (136, 148)))
        kind = header[156:157].replace(b"\0", _FILE)
        at += _BLOCK
        if at + size > len(data):
            raise ValueError(f"{name!r} is cut off")
        if kind == _LONG_NAME and size <= _LONGEST_NAME:
            long_name = bytes(data[at : at + size]).rstrip(b"\0")
        elif kind in (_FILE, _FOLDER):
            long_name = b""
            yield _checked(name), mode & 0o777, mtime, kind == _FOLDER, at, size
        else:
            raise ValueError(f"{name!r} is neither a file nor a folder")
        at += size + -size % _BLOCK
        count += 1
        if count > _MOST_ENTRIES:
            raise ValueError(f"more than {_MOST_ENTRIES} entries")
    if at + _BLOCK > len(data):
        raise ValueError("it has no end")


def _name(header: bytes) -> bytes:
    name = header[:100].split(b"\0")[0]
    prefix = header[345:500].split(b"\0")[0] if header[257:263] == b"ustar\0" else b""
    return prefix + b"/" + name if prefix else name


def _number(field: bytes) -> int:
    text = field.strip(b" \0")
    if text.strip(b"01234567"):
        raise ValueError("a header holds no octal number")
    return int(text or b"0", 8)


def _checked(name: bytes) -> bytes:
    parts = [part for part in name.split(b"/") if part not in (b"", b".")]
    is_short = len(name) <= _LONGEST_NAME and all(len(part) < 256 for part in parts)
    if name.startswith(b"/") or b".." in parts or b"\0" in name or not is_short:
        raise ValueError(f"{name!r} does not lead to a place in the box")
    return b"/".join(parts)


def _place(
    data: memoryview, name: bytes, mode: int, mtime: int, is_folder: bool, at: int, size: int
) -> None:
    if not name:  # the box itself
        return
    folder, last = open_folder(_ROOT + b"/" + name, make=True)
    try:
        if is_folder:
            _make_folder(folder, last, mode)
            return
        fd = create(folder, last)
        content = data[at : at + size]
        while content:
            content = content[os.write(fd, content) :]
        os.fchmod(fd, mode)
        os.utime(fd, (mtime, mtime))
        os.close(fd)
    finally:
        os.close(folder)


def _make_folder(folder: int, name: bytes, mode: int) -> None:
    """Make it open to us: what is put into it comes later."""
    try:
        os.mkdir(name, dir_fd=folder)
    except FileExistsError:
        pass
    fd = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=folder)
    os.fchmod(fd, mode | 0o700)
    os.close(fd)
