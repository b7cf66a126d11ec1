"""Where images are kept: a folder for each, named after what it was made of, and links to it.

<shelf>/<key>/root      the tree
<shelf>/<key>/digest    of its archive
<shelf>/<name>          a link to the key
"""

import contextlib
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from agentgym.errors import SandboxUnavailable
from agentgym.sandboxes.owners import is_left, owner_name

_ROOT, _DIGEST = "root", "digest"
_NEW = ".new-"


@dataclass(frozen=True, slots=True)
class Image:
    """A root tree, and the digest of its archive."""

    name: str
    digest: str
    root: Path

    def __str__(self) -> str:
        return f"{self.name}@{self.digest}"


def cache() -> Path:
    """Return our folder of what can be made again.

    The home of root is closed to the users that sandboxes run as; /var/cache is not.
    """
    chosen = os.environ.get("XDG_CACHE_HOME")
    if chosen:
        return Path(chosen, "agentgym")
    return Path("/var/cache/agentgym") if os.getuid() == 0 else Path.home() / ".cache/agentgym"


def shelf() -> Path:
    """Return the folder of all images."""
    return cache() / "images"


def find(name: str) -> Image:
    """Return an image by its name.

    Raises:
        SandboxUnavailable: there is none.
    """
    folder = (shelf() / name).resolve()
    if "/" in name or not (folder / _DIGEST).is_file():
        raise SandboxUnavailable(
            f"there is no image {name!r} in {shelf()}",
            hint="agentgym sandbox build python|shell|data",
        )
    return Image(name, (folder / _DIGEST).read_text(), folder / _ROOT)


def find_all() -> list[Image]:
    """Return every image that has a name."""
    links = [path for path in shelf().glob("[!.]*") if path.is_symlink() and path.exists()]
    return [find(path.name) for path in sorted(links)]


@contextlib.contextmanager
def workplace() -> Iterator[Path]:
    """Give a folder beside the images, until the block ends."""
    shelf().mkdir(parents=True, exist_ok=True)
    prefix = f"{_NEW}{owner_name(os.getpid())}."
    with tempfile.TemporaryDirectory(prefix=prefix, dir=shelf()) as folder:
        yield Path(folder)


def reap() -> list[str]:
    """Remove what killed processes began to build; return the names of the folders."""
    left = [path for path in shelf().glob(f"{_NEW}*") if is_left(path, prefix=_NEW)]
    for path in left:
        shutil.rmtree(path, ignore_errors=True)
    return [path.name for path in left if not path.exists()]


def is_made(key: str) -> bool:
    """Whether there is a tree of these ingredients."""
    return (shelf() / key / _DIGEST).is_file()


def root_of(folder: Path) -> Path:
    """Return where the tree is in the folder of an image."""
    return folder / _ROOT


def put(folder: Path, key: str, digest: str) -> None:
    """Make a folder that has a tree an image; of two that were made at once, one stays."""
    (folder / _DIGEST).write_text(digest)
    folder.chmod(0o755)
    try:
        folder.rename(shelf() / key)
    except OSError:
        if not is_made(key):
            raise


def name_it(name: str, key: str) -> Image:
    """Let a name lead to what was made of these ingredients, in one step."""
    link = shelf() / f".{name}-{secrets.token_hex(4)}"
    link.symlink_to(key)
    link.replace(shelf() / name)
    return find(name)
