"""Builds images; what was made of the same ingredients before is not made again."""

import contextlib
import hashlib
import json
import os
import platform
from collections.abc import Iterator, Mapping
from pathlib import Path

from agentgym.errors import MissingError
from agentgym.sandboxes.images import packages, shelf, tree
from agentgym.sandboxes.images.archive import write_archive
from agentgym.sandboxes.images.recipes import RECIPES, Recipe
from agentgym.sandboxes.images.shelf import Image
from agentgym.sandboxes.images.wheels import gather

_FORMAT = 1
"""Another number, another tree of the same ingredients."""


def build(name: str, *, wheels: Path | None = None) -> Image:
    """Make the image of this name by its recipe.

    Raises:
        ConfigError, MissingError: as `make`.
    """
    return shelf.name_it(name, make(RECIPES[name], wheels=wheels).name)


def make(recipe: Recipe, *, wheels: Path | None = None) -> Image:
    """Make an image of what is installed here and of wheels; its name is the key of those.

    `wheels`: the folder to take all of them from; None: those fetched before, or a network.

    Raises:
        MissingError: this is no Debian, a package or wheel is missing, or the disk is full.
        ConfigError: a wheel would replace a file.
    """
    with _explained(), shelf.workplace() as folder:
        return shelf.find(_make(recipe, wheels=wheels, folder=folder))


def _make(recipe: Recipe, *, wheels: Path | None, folder: Path) -> str:
    """Make the tree if there is none like it, and return the key of its ingredients."""
    versions = packages.closure(recipe.packages)
    found = _wheels(recipe, given=wheels, folder=folder / "wheels")
    key = _key(recipe, versions, found)
    if shelf.is_made(key):
        return key
    image = folder / "image"
    root = shelf.root_of(image)
    root.mkdir(parents=True)
    tree.copy_places(packages.places(versions), root)
    tree.add_links(recipe.links, root)
    tree.add_wheels(found, root)
    tree.compile_all(root)
    tree.open_to_all(root)
    with open(os.devnull, "wb") as nowhere:
        shelf.put(image, key, write_archive(root, nowhere))
    return key


def _wheels(recipe: Recipe, *, given: Path | None, folder: Path) -> list[Path]:
    if not recipe.wheels:
        return []
    folder.mkdir()
    return gather(
        recipe.wheels,
        version=tree.python_version(Path("/")),
        given=given,
        kept=shelf.cache() / "wheels",
        folder=folder,
    )


def _key(recipe: Recipe, versions: Mapping[str, str], wheels: list[Path]) -> str:
    ingredients = {
        "format": _FORMAT,
        "machine": platform.machine(),
        "packages": dict(versions),
        "links": dict(recipe.links),
        "wheels": {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in wheels},
    }
    return hashlib.sha256(json.dumps(ingredients, sort_keys=True).encode()).hexdigest()[:16]


@contextlib.contextmanager
def _explained() -> Iterator[None]:
    """Say what to do where files cannot be written."""
    try:
        yield
    except OSError as error:
        raise MissingError(
            f"no image can be made in {shelf.shelf()}: {error}",
            hint="make room there, or choose another folder: XDG_CACHE_HOME=/some/where",
        ) from error
