"""`agentgym new`: the package of an environment, ready to install, check and publish."""

import re
import sys
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from agentgym.cli.output import echo
from agentgym.errors import ConfigError, StoreError

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

_NAME = re.compile(r"[a-z][a-z0-9]*([-_][a-z0-9]+)*")
_ID = re.compile(r"[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+-v[0-9]+")
_FRAMEWORK = "agentgym-framework"


class Flavour(NamedTuple):
    """A kind of environment to begin with."""

    attribute: str
    """What the entry point names in env.py."""
    requires: str


_FLAVOURS = {
    "tool": Flavour("tasks", _FRAMEWORK),
    "stateful": Flavour("ShopConfig", _FRAMEWORK),
    "sandbox": Flavour("CountConfig", _FRAMEWORK),
    "gymnasium": Flavour("LineConfig", f"{_FRAMEWORK}[gym]"),
}


def new(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="Of the package and its folder: my-env, ./my-env.")
    ],
    tool: Annotated[
        bool, typer.Option("--tool", help="Functions as tools and @ag.env, the default.")
    ] = False,
    stateful: Annotated[
        bool, typer.Option("--stateful", help="A class with state, rewards and snapshots.")
    ] = False,
    sandbox: Annotated[
        bool, typer.Option("--sandbox", help="A tool that runs the model's programs in a sandbox.")
    ] = False,
    gymnasium: Annotated[
        bool, typer.Option("--gymnasium", help="A gymnasium.Env, brought in by the adapter.")
    ] = False,
    id_: Annotated[
        str | None, typer.Option("--id", help="Of the environment; me/Name-v0, if not said.")
    ] = None,
) -> None:
    """Write a package with an environment and the test that checks it."""
    chosen = {"tool": tool, "stateful": stateful, "sandbox": sandbox, "gymnasium": gymnasium}
    flavours = [flavour for flavour, wanted in chosen.items() if wanted] or ["tool"]
    if len(flavours) > 1:
        both = " and ".join(f"--{each}" for each in flavours)
        raise ConfigError(f"{both} cannot be given together", hint="choose one")
    folder = Path(name)
    package = folder.name
    _check_names(package, id_)
    if folder.exists():
        raise ConfigError(
            f"{folder} exists already", hint="choose another name; nothing was written"
        )
    words = _words(package, id_, flavours[0])
    for path, text in _contents(words, flavours[0]).items():
        _write(folder / path, text)
        echo(f"wrote {folder / path}")
    echo(f"next: pip install -e {folder} && agentgym check {words['id']} --strict")


def _write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise StoreError(f"cannot write {path}: {error.strerror}") from error


def _check_names(package: str, id_: str | None) -> None:
    import keyword
    from importlib.machinery import PathFinder

    if not _NAME.fullmatch(package):
        raise ConfigError(
            f"{package!r} is no name for a package",
            hint="lower case letters, digits and single dashes, such as my-env",
        )
    module = package.replace("-", "_")
    found = PathFinder.find_spec(module)
    is_there = found is not None and found.origin is not None  # a mere folder has none
    is_taken = is_there or module in sys.stdlib_module_names or module in ("tests", "gymnasium")
    if is_taken or keyword.iskeyword(module):
        raise ConfigError(f"the module {module!r} would hide another", hint=f"try {package}-env")
    if id_ is not None and not _ID.fullmatch(id_):
        raise ConfigError(f"{id_!r} is no id of an environment", hint="write --id me/Name-v0")
    if id_ is not None and id_.startswith("agentgym/"):
        raise ConfigError(
            f"{id_}: agentgym/ is for its own environments", hint="write --id me/Name-v0"
        )


def _words(package: str, id_: str | None, flavour: str) -> dict[str, str]:
    module = package.replace("-", "_")
    title = "".join(part.capitalize() for part in module.split("_"))
    return {
        "package": package,
        "module": module,
        "id": id_ or f"me/{title}-v0",
        "attribute": _FLAVOURS[flavour].attribute,
        "dependencies": f'"{_FLAVOURS[flavour].requires}"',
    }


def _contents(words: dict[str, str], flavour: str) -> dict[str, str]:
    """Return path -> text of every file."""
    scaffold = files("agentgym.cli") / "scaffold"
    common, source = scaffold / "common", f"src/{words['module']}"
    places = {
        "pyproject.toml": common / "pyproject.toml.tmpl",
        "README.md": common / "README.md.tmpl",
        ".gitignore": common / "gitignore.tmpl",
        f"{source}/__init__.py": common / "init.py.tmpl",
        "tests/test_env.py": common / "test_env.py.tmpl",
    }
    for place in (scaffold / flavour).iterdir():
        places[f"{source}/{place.name.removesuffix('.tmpl')}"] = place
    return {path: _filled(place, words) for path, place in places.items()}


def _filled(place: "Traversable", words: dict[str, str]) -> str:
    return Template(place.read_text(encoding="utf-8")).substitute(words)
