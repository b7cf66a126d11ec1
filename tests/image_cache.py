"""A folder of its own for the images that a module of tests builds."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def own_image_cache() -> Iterator[Path]:
    """Keep images where users of sandboxes may enter; skip where none can be built."""
    if shutil.which("dpkg-query") is None:
        pytest.skip("images are made of Debian packages, and this is no Debian")
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        Path(folder).chmod(0o755)
        patch.setenv("XDG_CACHE_HOME", folder)
        yield Path(folder)
