"""Which directories are runs, and how pages call them."""

import re
from collections.abc import Sequence
from pathlib import Path

from agentgym.errors import ConfigError
from agentgym.store import episodes, notes
from agentgym.store.run import Run

_FILES = ("run.json", "config.toml", "metrics.jsonl", "events.jsonl", ".lock")


def find_runs(paths: Sequence[str | Path]) -> list[Path]:
    """Return the run directories that are meant: runs, or folders of runs.

    Raises:
        ConfigError: a path is neither, or a run has what nobody can read to its end.
    """
    found: list[Path] = []
    for path in map(Path, paths):
        inside = [] if _is_run(path) else sorted(filter(_is_run, _folders(path)))
        if not inside and not _is_run(path):
            Run.open(path)  # says what is wrong, and which runs are near
            raise ConfigError(f"no run at {path}")
        found += inside or [path]
    for root in found:
        _check_files(root)
    return list(dict.fromkeys(found))


def name_runs(roots: Sequence[Path]) -> list[str]:
    """Return a name for each run that can stand in an address, all different.

    >>> name_runs([Path("a/x y"), Path("b/x y"), Path("/")])
    ['x-y', 'x-y-2', 'run']
    """
    names: dict[str, None] = {}
    for root in roots:
        base = re.sub(r"[^A-Za-z0-9_.-]+", "-", root.resolve().name).strip("-.") or "run"
        name, number = base, 1
        while name in names:
            number += 1
            name = f"{base}-{number}"
        names[name] = None
    return list(names)


def _check_files(root: Path) -> None:
    """Refuse pipes and devices, at which a reader would wait, or read without an end."""
    folders = [root / each for each in (episodes.FOLDER, notes.FOLDER)]
    inside = [path for folder in folders if folder.is_dir() for path in folder.iterdir()]
    for path in [*(root / name for name in _FILES), *inside]:
        if path.exists() and not path.is_file() and not path.is_dir():
            raise ConfigError(f"{path} is no ordinary file", hint="do not open this run")


def _is_run(path: Path) -> bool:
    return (path / "run.json").is_file() or (path / episodes.FOLDER).is_dir()


def _folders(path: Path) -> list[Path]:
    return [each for each in path.iterdir() if each.is_dir()] if path.is_dir() else []
