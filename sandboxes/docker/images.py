"""Our images in an engine; any other image with Python will do as well."""

import contextlib
import tempfile
from collections.abc import Mapping
from typing import Any

from agentgym.sandboxes import images
from agentgym.sandboxes.docker.engine import Engine, NoSuchImage
from agentgym.sandboxes.images.archive import write_archive

DEFAULT_IMAGE = "agentgym/python:latest"


def tag(name: str) -> str:
    """Return what an image of ours is called in an engine."""
    return f"agentgym/{name}:latest"


def build(
    engine: Engine, image: str = DEFAULT_IMAGE, *, packages: tuple[str, ...] | None = None
) -> str:
    """Make an image of installed packages and what they need, and return its id.

    Raises:
        MissingError: this is no Debian, or a package is not installed.
        SandboxUnavailable: the engine does not answer, or its disk is full.
    """
    recipe = images.Recipe(packages=packages) if packages else images.RECIPES["python"]
    return publish(engine, images.make(recipe), image)


def publish(engine: Engine, image: images.Image, name: str) -> str:
    """Import an image, and return its id there; one that is there already is left alone.

    Raises:
        SandboxUnavailable: the engine does not answer, or its disk is full.
    """
    with contextlib.suppress(NoSuchImage):
        there = engine.image(name)
        if digest(there) == image.digest:
            return str(there["Id"])
    with tempfile.TemporaryFile() as file:
        write_archive(image.root, file)
        file.seek(0)
        return engine.import_image(file, name)


def digest(found: Mapping[str, Any]) -> str:
    """Return what identifies an image wherever it is: its one layer, if it has one, else its id.

    The id of an import depends on when it was made; the layer is the archive.
    """
    layers: list[str] = found["RootFS"].get("Layers") or []
    return layers[0] if len(layers) == 1 else str(found["Id"])
