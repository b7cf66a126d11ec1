"""Images made offline from what is installed on this machine; any other image will do as well."""

import tempfile

from agentgym.sandboxes.docker.engine import Engine
from agentgym.sandboxes.docker.packages import write_archive

DEFAULT_IMAGE = "agentgym/python:latest"

_SHELL = ("bash", "coreutils", "dash", "diffutils", "findutils", "grep", "gzip", "mawk", "sed")
PYTHON = ("python3-minimal", "libpython3-stdlib", "tar", "util-linux", *_SHELL)
"""Debian's Python with its standard library, a shell and its programs."""


def build(engine: Engine, image: str = DEFAULT_IMAGE, *, packages: tuple[str, ...] = PYTHON) -> str:
    """Make an image of installed packages and what they need, and return its digest.

    Raises:
        MissingError: this is no Debian, or a package is not installed.
        SandboxUnavailable: the engine does not answer, or its disk is full.
    """
    with tempfile.TemporaryFile() as file:
        write_archive(packages, file)
        file.seek(0)
        return engine.import_image(file, image)
