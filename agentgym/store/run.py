"""The run directory: what it is, who writes it, and what happened in it."""

import difflib
import importlib.metadata
import json
import os
import platform
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, Self

from agentgym.errors import ConfigError, StoreError
from agentgym.store.files import append_whole, replace_file, write_error
from agentgym.store.jsonline import check_schema, from_json, to_json
from agentgym.store.lock import LOCK_NAME, RunLock, is_locked
from agentgym.version import __version__

SCHEMA = "agentgym.run/1"

Status = Literal["running", "finished", "interrupted", "failed"]

Clock = Callable[[], datetime]
"""Tells the time that is written down."""

_RUN_FILE = "run.json"
_PACKAGES = ("numpy", "torch", "transformers")


class Run:
    """A run directory. `create` and `resume` own it until `close`; `open` only reads."""

    def __init__(
        self,
        root: Path,
        *,
        info: dict[str, Any],
        lock: RunLock | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.root = root
        self.info = info
        """What run.json says."""
        self._lock = lock
        self._clock = clock or _now
        self._events: int | None = None

    @classmethod
    def create(
        cls,
        path: str | Path,
        *,
        config_text: str,
        command: Sequence[str],
        seed: int,
        env: str | None = None,
        clean: bool = False,
        clock: Clock | None = None,
    ) -> Self:
        """Make a run directory and own it; `clean` deletes a run that is there already.

        `clock` tells what time is written down; None: that of this machine.

        Raises:
            ConfigError: there is something already.
            StoreError: it cannot be made, or another process writes it.
        """
        root = Path(path)
        if clean:
            _delete(root)
        _refuse_used(root)
        try:
            root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise write_error(error, path=root, size=0) from error
        lock = RunLock(root)
        try:
            _refuse_used(root)  # again, now that nobody else can fill it
            now = _stamp((clock or _now)())
            info = _new_info(command, seed, env) | {"created": now, "updated": now}
            run = cls(root, info=info, lock=lock, clock=clock)
            replace_file(run.config_path, config_text)
            run.update(status="running")
        except BaseException:
            lock.release()
            raise
        return run

    @classmethod
    def open(cls, path: str | Path) -> Self:
        """Read a run, also one that is being written or was killed.

        Raises:
            ConfigError: there is no run.
            StoreError: it is broken, or of a newer version.
        """
        root = Path(path)
        return cls(root, info=_read_info(root))

    @classmethod
    def resume(cls, path: str | Path) -> Self:
        """Own an existing run again.

        Raises:
            ConfigError: there is no run.
            StoreError: it is broken, of a newer version, or another process writes it.
        """
        root = Path(path)
        _read_info(root)
        lock = RunLock(root)
        try:
            run = cls(root, info=_read_info(root), lock=lock)
            run.update(status="running")
        except BaseException:
            lock.release()
            raise
        return run

    @property
    def config_path(self) -> Path:
        """The resolved configuration."""
        return self.root / "config.toml"

    @property
    def metrics_path(self) -> Path:
        """Scalars per step."""
        return self.root / "metrics.jsonl"

    @property
    def events_path(self) -> Path:
        """Phases, checkpoints, policy versions, faults."""
        return self.root / "events.jsonl"

    @property
    def checkpoints_dir(self) -> Path:
        """One folder per checkpoint."""
        return self.root / "checkpoints"

    @property
    def step(self) -> int:
        """The last optimiser step that run.json knows of."""
        return int(self.info["step"])

    @property
    def status(self) -> Status:
        """What became of it; a run that says `running` but has no process was interrupted."""
        status: Status = self.info["status"]
        if status == "running" and self._lock is None and not is_locked(self.root):
            return "interrupted"
        return status

    def update(self, *, status: Status | None = None, **fields: Any) -> None:
        """Change run.json, atomically.

        Raises:
            StoreError: the disk is full, or the like; the old one is still there.
        """
        self._check_owned()
        info = self.info | fields | {"updated": _stamp(self._clock())}
        if status is not None:
            info["status"] = status
        replace_file(self.root / _RUN_FILE, _pretty(info))
        self.info = info

    def event(self, kind: str, **fields: Any) -> None:
        """Append a line to events.jsonl.

        Raises:
            StoreError: the disk is full, or a value is not JSON.
        """
        self._check_owned()
        event = {"time": _stamp(self._clock()), "kind": kind, **fields}
        line = to_json(event, what=f"event {kind}") + b"\n"
        if self._events is None:
            self._events = _open_lines(self.events_path)
        append_whole(self._events, line, path=self.events_path)

    def events(self) -> Iterator[dict[str, Any]]:
        """Yield the events; a line cut by a crash is left out."""
        with suppress(FileNotFoundError), self.events_path.open("rb") as file:
            for line in file:
                with suppress(ValueError):
                    yield from_json(line)

    def discard(self) -> None:
        """Delete a run that came to nothing, so that its name is free again.

        Raises:
            StoreError: it cannot be deleted.
        """
        self._check_owned()
        _remove(self.root)

    def close(self) -> None:
        """Let go of the run. Idempotent."""
        if self._events is not None:
            os.close(self._events)
            self._events = None
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _check_owned(self) -> None:
        if self._lock is None:
            raise StoreError(f"{self.root} is open for reading only")


def _refuse_used(root: Path) -> None:
    if root.is_dir() and not any(each.name != LOCK_NAME for each in root.iterdir()):
        return
    if (root.exists() or root.is_symlink()) and not (root / _RUN_FILE).is_file():
        raise ConfigError(f"{root} exists already and is no run", hint="choose another name")
    if root.exists():
        raise ConfigError(
            f"the run directory {root} exists already",
            hint=f"continue a training with `agentgym resume {root}`, choose another name, "
            "or delete it first with --clean",
        )


def _delete(root: Path) -> None:
    if not root.exists():
        return
    if not any((root / name).exists() for name in (_RUN_FILE, LOCK_NAME)):
        if root.is_dir() and not any(root.iterdir()):
            return
        raise ConfigError(f"{root} is no run; it is not deleted", hint="choose another name")
    lock = RunLock(root)
    try:
        _remove(root)
    finally:
        lock.release()


def _remove(root: Path) -> None:
    """Delete a folder; one behind a link, and the current one, are only emptied."""
    try:
        if root.is_symlink() or root.resolve() == Path.cwd():
            _empty(root)
        else:
            shutil.rmtree(root)
    except OSError as error:
        raise StoreError(f"cannot delete {root}: {error.strerror or error}") from error


def _empty(folder: Path) -> None:
    for each in folder.iterdir():
        if each.is_dir() and not each.is_symlink():
            shutil.rmtree(each)
        else:
            each.unlink()


def _read_info(root: Path) -> dict[str, Any]:
    path = root / _RUN_FILE
    if not path.is_file():
        raise ConfigError(f"no run at {root}", hint=_nearest(root))
    try:
        info = from_json(path.read_bytes())
    except (OSError, ValueError) as error:
        raise StoreError(f"{path} cannot be read: {error}") from error
    if not isinstance(info, dict):
        raise StoreError(f"{path} is no object")
    check_schema(info.get("schema"), SCHEMA, path=path)
    return info


def _nearest(root: Path) -> str:
    folders = [root.parent, root.parent / "runs"]
    runs = {each.parent.name: each.parent for one in folders for each in one.glob(f"*/{_RUN_FILE}")}
    if not runs:
        return "a run is a directory with a run.json; there is none here"
    close = difflib.get_close_matches(root.name, runs, n=1)
    if close:
        return f"did you mean {str(runs[close[0]])!r}?"
    return f"there are: {', '.join(sorted(str(path) for path in runs.values())[:8])}"


def _new_info(command: Sequence[str], seed: int, env: str | None) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "status": "running",
        "step": 0,
        "command": list(command),
        "env": env,
        "seed": seed,
        "host": platform.node(),
        "pid": os.getpid(),
        "versions": _versions(),
        "git_commit": _git_commit(),
    }


def _versions() -> dict[str, str]:
    versions = {"agentgym": __version__, "python": platform.python_version()}
    for package in _PACKAGES:
        with suppress(importlib.metadata.PackageNotFoundError):
            versions[package] = importlib.metadata.version(package)
    return versions


def _git_commit() -> str | None:
    try:
        command = ["git", "rev-parse", "HEAD"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=5, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def _open_lines(path: Path) -> int:
    """Open a file of lines for appending; a line cut by a crash is ended first."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o666)
    except OSError as error:
        raise write_error(error, path=path, size=0) from error
    size = os.fstat(descriptor).st_size
    if size and os.pread(descriptor, 1, size - 1) != b"\n":
        append_whole(descriptor, b"\n", path=path)
    return descriptor


def _pretty(info: dict[str, Any]) -> str:
    to_json(info, what=_RUN_FILE)
    return json.dumps(info, indent=2) + "\n"


def _now() -> datetime:
    return datetime.now(UTC)


def _stamp(time: datetime) -> str:
    return time.isoformat(timespec="milliseconds")
