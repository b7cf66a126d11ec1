"""The runs that a server shows: live, finished or crashed, several at once."""

import logging
import threading
import time
from collections import deque
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any

from agentgym.config.methods import recorded_methods
from agentgym.envs import ENVS
from agentgym.errors import AgentGymError
from agentgym.loading import load_env
from agentgym.store.run import Run
from agentgym.trainers.recompute import count_missing, label_of
from agentgym.viewer.cache import cache_folder, remove_stale
from agentgym.viewer.index import Index
from agentgym.viewer.labels import Labels
from agentgym.viewer.lines import GrowingLines
from agentgym.viewer.pieces import Pieces, open_pieces
from agentgym.viewer.roots import name_runs
from agentgym.viewer.scalars import Scalars
from agentgym.viewer.scenes import Scenes
from agentgym.viewer.tagging import TagIndex
from agentgym.viewer.tally import RunTally
from agentgym.viewer.text import TextIndex

logger = logging.getLogger(__name__)

EVENTS = 200
"""Events that are kept of a run, the newest."""

Methods = dict[str, str | None]
"""By which estimator and shaper a run was trained."""

_NO_METHODS: Methods = {"credit": None, "shaping": None}
_LONGEST_CONFIG = 1 << 20
_SUCCESS = ("success", "eval/sampled/success", "eval/greedy/success")
_PAUSE_S = 1.0  # between two looks at a run that has nothing new


class OpenRun:
    """One run directory, read on as it grows. Only labels are written into it."""

    def __init__(
        self, name: str, root: Path, *, cache: Path | None = None, is_temporary: bool = False
    ) -> None:
        self.name = name
        self.root = root
        self.is_temporary = is_temporary
        self.index = Index(root, cache=cache)
        self.text = TextIndex(self.index)
        self.scenes = Scenes(root, self.index)
        self.tally = RunTally(self.index)
        self.tags = TagIndex(self.index, lambda: self.success)
        self.labels = Labels(root)
        self.scalars = Scalars(root / "metrics.jsonl")
        self._lines = GrowingLines(root / "events.jsonl")
        self._events: deque[dict[str, Any]] = deque(maxlen=EVENTS)
        self._alarms: deque[dict[str, Any]] = deque(maxlen=EVENTS)
        self._lock = threading.Lock()
        self._pieces: tuple[int, Pieces] | None = None

    def refresh(self) -> bool:
        """Read some of what is new; return whether there may be more."""
        with self._lock:
            self.scalars.refresh()
            self._read_events()
        more = self.index.refresh()
        return more or self.text.refresh() or self.tags.refresh()

    @property
    def state(self) -> dict[str, Any]:
        """What changes while a run goes on."""
        run, _ = self._opened()
        return {
            "run": self.name,
            "episodes": self.index.progress.episodes,
            "step": self._step(run),
            "status": run.status if run else "unknown",
            "scalars": self.scalars.taken,
        }

    def summary(self) -> dict[str, Any]:
        """Return the line of a list of runs."""
        run, _ = self._opened()
        ((steps,),) = self.index.query("SELECT count(*) FROM step")
        ((faults,),) = self.index.query("SELECT count(*) FROM episode WHERE \"end\" = 'error'")
        return {
            **self.state,
            "path": str(self.root),
            "env": run.info.get("env") if run else None,
            "live": bool(run and run.status == "running"),
            "steps": steps,
            "success": self._success(run),
            "started": run.info.get("created") if run else None,
            **(self._methods()[0] if _is_training(run) else _NO_METHODS),
            "faults": faults,
            "broken": len(self.index.broken),
        }

    def detail(self) -> dict[str, Any]:
        """Return everything about the run but its episodes and curves."""
        run, _ = self._opened()
        with self._lock:
            events, alarms = list(self._events), list(self._alarms)
        faults = self.index.query(
            "SELECT id, reason FROM episode WHERE \"end\" = 'error' ORDER BY row DESC LIMIT 100"
        )
        found = self.index.query("SELECT step, version FROM step ORDER BY step LIMIT 100000")
        return {
            **self.summary(),
            "info": run.info if run else None,
            "config": self._config(),
            "steps": [step for step, _ in found],
            "versions": [version for _, version in found],
            "events": events,
            "alarms": alarms,
            "faults": [{"id": name, "reason": reason} for name, reason in faults],
            "broken": self._damage(),
            "metrics": self.scalars.names,
            "indexed": self.index.progress.to_json()
            | {"text": self.text.progress, "tags": self.tags.progress},
        }

    @property
    def success(self) -> float:
        """The outcome that counts as one; 1 where the environment is not one of ours."""
        run, _ = self._opened()
        return _success_of(str(run.info.get("env"))) if run else 1.0

    def metrics(self, patterns: Iterable[str]) -> dict[str, Any]:
        """Return the curves whose names match."""
        with self._lock:
            return self.scalars.to_json(patterns)

    def pieces(self) -> Pieces:
        """Return what decodes its tokens.

        Raises:
            TokenizerError: nothing does.
        """
        origin = self.index.origin
        if self._pieces is None or self._pieces[0] != origin:  # another run, another tokenizer
            self._pieces = origin, open_pieces(self.root)
        return self._pieces[1]

    def close(self) -> None:
        """Let go of its files. Idempotent."""
        self.labels.close()
        self.index.close()

    def _opened(self) -> tuple[Run | None, str | None]:
        """Return the run as it is now, or why it cannot be opened; its episodes may be there."""
        try:
            return Run.open(self.root), None
        except AgentGymError as error:
            return None, str(error)

    def _step(self, run: Run | None) -> int | None:
        step = run.info.get("step") if run else None
        return step if isinstance(step, int) else None

    def _success(self, run: Run | None) -> float | None:
        """Return the newest share of successes; of a run that trains nothing that of its episodes."""
        found = (self.scalars.last(name) for name in _SUCCESS)
        if _is_training(run):
            return next((value for value in found if value is not None), None)
        ((share,),) = self.index.query(
            "SELECT avg(outcome >= ?) FROM episode WHERE \"end\" != 'error' AND fork_step IS NULL",
            (self.success,),
        )
        return None if share is None else float(share)

    def _methods(self) -> tuple[Methods, str | None]:
        """Return how the run shaped and gave credit, or why that is not known."""
        path = self.root / "config.toml"
        try:
            status = path.stat()
        except OSError as error:
            return _NO_METHODS, f"{path} cannot be read: {error.strerror}"
        return _methods_in(path, status.st_mtime_ns, status.st_size)

    def _damage(self) -> list[str]:
        """Return what of the record cannot be read, or is not there."""
        run, wrong = self._opened()
        told = [each for each in (wrong, self._methods()[1]) if each]
        if run is not None and run.info.get("kind") == "train" and run.status != "running":
            found = {step - 1 for (step,) in self.index.query("SELECT step FROM step")}
            count, numbers = count_missing(found, self._step(run) or 0)
            if count:
                some = ", ".join(map(str, islice(numbers, 5)))
                what = "optimiser step has" if count == 1 else "optimiser steps have"
                told.append(f"{count} {what} no note: {some}{' ...' * (count > 5)}")
        return [*told, *self.index.broken]

    def _config(self) -> str | None:
        with suppress(OSError), (self.root / "config.toml").open("rb") as file:
            return file.read(_LONGEST_CONFIG).decode("utf-8", "replace")
        return None

    def _read_events(self) -> None:
        if self._lines.is_another():
            self._lines.restart()
            self._events.clear()
            self._alarms.clear()
        for event in self._lines.new():
            if event.get("kind") == "drawn":  # for a resume, and more of them than of all others
                continue
            self._events.append(event)
            if event.get("kind") in ("alarm", "warning"):
                self._alarms.append(event)


class OpenRuns:
    """Runs by their names, and a thread that reads on in all of them."""

    def __init__(
        self,
        roots: Sequence[Path],
        *,
        cache: Path | None = None,
        temporary: Collection[Path] = (),
    ) -> None:
        """The index of a run that is `temporary` stands beside it, and goes with its folder."""
        self._runs = {
            name: OpenRun(name, root, cache=root.parent / "index", is_temporary=True)
            if root in temporary
            else OpenRun(name, root, cache=cache)
            for name, root in zip(name_runs(roots), roots, strict=True)
        }
        self._cache = cache or cache_folder()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="index", daemon=True)

    def __iter__(self) -> Iterator[OpenRun]:
        return iter(self._runs.values())

    def get(self, name: str) -> OpenRun | None:
        """Return a run by its name."""
        return self._runs.get(name)

    def start(self) -> None:
        """Begin to follow the runs in the background."""
        self._thread.start()

    def read_all(self) -> None:
        """Read everything that is there now."""
        for run in self:
            while run.refresh():
                pass

    def close(self) -> None:
        """Stop following. Idempotent."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(timeout=5)
        for run in self:
            run.close()

    def _follow(self) -> None:
        remove_stale(self._cache)
        while not self._stopping.is_set():
            more = [_read_on(run) for run in self if not self._stopping.is_set()]
            if any(more):
                time.sleep(0.001)  # let those who ask in between
            else:
                self._stopping.wait(_PAUSE_S)


def _is_training(run: Run | None) -> bool:
    """Return whether it may have trained: a run that does not say what it is may."""
    return run is None or run.info.get("kind") in ("train", None)


@lru_cache(maxsize=64)
def _success_of(env: str) -> float:
    """Ask an environment that comes with agentgym: a record must not choose what is imported."""
    if env not in ENVS:
        return 1.0
    try:
        return float(load_env(env, ENVS).success)
    except AgentGymError:
        return 1.0


@lru_cache(maxsize=64)
def _methods_in(path: Path, changed: int, size: int) -> tuple[Methods, str | None]:
    """Read methods once for each state of the file: pydantic takes a while."""
    try:
        found = recorded_methods(path)
    except (AgentGymError, OSError, ValueError) as error:
        return _NO_METHODS, str(error)
    return {"credit": label_of(found.credit), "shaping": label_of(found.shaping)}, None


def _read_on(run: OpenRun) -> bool:
    """Read on in a run; what goes wrong there must not stop the others."""
    try:
        return run.refresh()
    except Exception as error:  # noqa: BLE001
        logger.warning("cannot read on in %s: %s: %s", run.root, type(error).__name__, error)
        return False
