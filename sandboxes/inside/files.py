"""Files of a sandbox, read and written without following any link."""

import errno
import os
import stat

TYPE_CHECKING = False
if TYPE_CHECKING:
    from agentgym.sandboxes.inside.wire import Request

_CHUNK = 65536


def read(request: "Request") -> int:
    """Write a regular file to stdout; the exit code is an errno."""
    try:
        folder, name = open_folder(bytes(request.subject))
        fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode):
            return errno.EINVAL
        if found.st_size > request.most:
            return errno.EFBIG
        while chunk := os.read(fd, _CHUNK):
            os.write(1, chunk)
    except OSError as error:
        return error.errno or errno.EIO
    return 0


def write(request: "Request") -> int:
    """Replace whatever stands at a path by a file with the bytes of stdin."""
    mode, path = bytes(request.subject).split(b"\0")
    try:
        folder, name = open_folder(path, make=True)
        put(folder, name, int(mode, 8))
    except OSError as error:
        return error.errno or errno.EIO
    return 0


def put(folder: int, name: bytes, mode: int) -> None:
    """Write what comes from stdin to a new file in the place of `name`."""
    fd = create(folder, name)
    while chunk := os.read(0, _CHUNK):
        while chunk:
            chunk = chunk[os.write(fd, chunk) :]
    os.fchmod(fd, mode)
    os.close(fd)


def create(folder: int, name: bytes) -> int:
    """Open a new file in the place of whatever has its name."""
    try:
        os.unlink(name, dir_fd=folder)
    except FileNotFoundError:
        pass
    return os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600, dir_fd=folder)


def open_folder(path: bytes, *, make: bool = False) -> tuple[int, bytes]:
    """Open the folder of a path one name at a time, following no link."""
    *parts, name = path.strip(b"/").split(b"/")
    fd = os.open(b"/", os.O_RDONLY)
    for part in parts:
        if make:
            try:
                os.mkdir(part, dir_fd=fd)
            except OSError:  # what matters is whether it can be opened
                pass
        inner = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=fd)
        os.close(fd)
        fd = inner
    return fd, name
