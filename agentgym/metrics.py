"""Named scalars, once per step, to wherever they are wanted. Logging never ends a training."""

import json
import logging
import math
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from agentgym.errors import MissingError

logger = logging.getLogger(__name__)

Sink = Callable[[int, Mapping[str, float]], None]
"""(step, scalars) -> None; its `close()` is called at the end, if it has one."""


class Metrics:
    """Hands the scalars of a step to every sink. A sink that fails is warned of, once."""

    def __init__(self, *sinks: Sink) -> None:
        self._sinks = sinks
        self._failed: set[int] = set()

    def log(self, step: int, scalars: Mapping[str, float]) -> None:
        """Record the scalars of a step; a step may come in several parts."""
        values = {name: float(value) for name, value in scalars.items()}
        for sink in self._sinks:
            self._guard(sink, partial(sink, step, values))

    def close(self) -> None:
        """Flush and close all sinks."""
        for sink in self._sinks:
            self._guard(sink, getattr(sink, "close", lambda: None))

    def _guard(self, sink: Sink, act: Callable[[], None]) -> None:
        try:
            act()
        except Exception as error:  # noqa: BLE001  a broken plot must not cost a training
            if id(sink) not in self._failed:
                self._failed.add(id(sink))
                name = type(sink).__name__
                logger.warning("metrics are missing: %s: %s: %s", name, type(error).__name__, error)


class JsonlSink:
    """Appends one JSON line per call to a file; numbers that are not finite become null.

    `clock` tells the seconds since 1970 that are written down.
    """

    def __init__(self, path: Path, *, clock: Callable[[], float] = time.time) -> None:
        self._path = path
        self._clock = clock
        self._descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o666)
        size = os.fstat(self._descriptor).st_size
        self._torn = size > 0 and os.pread(self._descriptor, 1, size - 1) != b"\n"

    def __call__(self, step: int, scalars: Mapping[str, float]) -> None:
        """Write the line whole, or not at all."""
        finite = {name: value if math.isfinite(value) else None for name, value in scalars.items()}
        line = json.dumps({"step": step, "time": round(self._clock(), 3), **finite}) + "\n"
        self._append(b"\n" * self._torn + line.encode())
        self._torn = False

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)

    def _append(self, data: bytes) -> None:
        start = os.fstat(self._descriptor).st_size
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]
        except BaseException:
            with suppress(OSError):
                os.ftruncate(self._descriptor, start)
            raise


class TensorBoardSink:
    """Writes event files; needs the package tensorboard, and not torch."""

    def __init__(self, folder: Path) -> None:
        try:
            from tensorboard.compat.proto import event_pb2, summary_pb2
            from tensorboard.summary.writer.event_file_writer import EventFileWriter
        except ImportError as error:
            raise MissingError(
                "the package tensorboard is not installed",
                hint="pip install 'agentgym-framework[train]', or leave tensorboard out",
            ) from error
        self._event = event_pb2.Event
        self._summary = summary_pb2.Summary
        self._writer: Any = EventFileWriter(str(folder))

    def __call__(self, step: int, scalars: Mapping[str, float]) -> None:
        """Write one event with all scalars."""
        values = [
            self._summary.Value(tag=name, simple_value=value) for name, value in scalars.items()
        ]
        event = self._event(wall_time=time.time(), step=step, summary=self._summary(value=values))
        self._writer.add_event(event)
        self._writer.flush()

    def close(self) -> None:
        """Close the file."""
        self._writer.close()


def read_metrics(path: Path) -> dict[int, dict[str, float]]:
    """Return the scalars of each step; what a resumed run wrote again replaces the older.

    null reads as NaN; a line cut by a crash is left out.
    """
    steps: dict[int, dict[str, float]] = {}
    for line in _lines(path):
        step = line.pop("step")
        line.pop("time", None)
        values = {name: math.nan if value is None else value for name, value in line.items()}
        steps.setdefault(step, {}).update(values)
    return steps


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    with path.open("rb") as file:
        for text in file:
            with suppress(ValueError):
                yield json.loads(text)
