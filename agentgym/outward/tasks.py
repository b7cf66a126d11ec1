"""Which task the next episode plays."""

import difflib
from collections.abc import Iterator, Mapping
from numbers import Integral
from typing import Any

from agentgym.env import EnvConfig, tasks_of
from agentgym.errors import ConfigError, EnvError
from agentgym.types import Task, with_env

POOL = 1024
"""A seeded reset draws one of so many first tasks of the split; an id is looked for in them."""

_KNOWN = ("task", "task_id", "index")


class TaskPicker:
    """The tasks of one split in order; the first `POOL` are kept, the others made again."""

    def __init__(self, config: EnvConfig, split: str) -> None:
        if split not in config.splits:
            close = difflib.get_close_matches(split, config.splits, n=1)
            known = f"splits of {config.id}: {', '.join(config.splits)}"
            hint = f"did you mean {close[0]!r}? {known}" if close else known
            raise ConfigError(f"unknown split {split!r}", hint=hint)
        self._config = config
        self._split = split
        self._kept: list[Task] = []
        self._stream: Iterator[Task] = iter(())
        self._made = 0
        self._place = -1

    def next(self) -> Task:
        """Return the task after the last one; after the end the first."""
        return self._go(self._place + 1)

    def drawn(self, number: int) -> Task:
        """Return one by a random number below `POOL`; a shorter split is counted round."""
        return self._go(number)

    def chosen(self, options: Mapping[str, Any]) -> Task | None:
        """Return the task that the options of a reset name; None where they name none.

        Raises:
            ConfigError: they name none that there is, or more than one.
        """
        unknown = [key for key in options if key not in _KNOWN]
        if unknown:
            close = difflib.get_close_matches(str(unknown[0]), _KNOWN, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(_KNOWN)}"
            raise ConfigError(f"unknown option {unknown[0]!r} of reset", hint=hint)
        if len(options) > 1:
            raise ConfigError(f"{' and '.join(options)} are given", hint="give one of them")
        if "task" in options:
            return self._given(options["task"])
        if "task_id" in options:
            return self._by_id(options["task_id"])
        return self._by_index(options["index"]) if "index" in options else None

    def _given(self, task: Any) -> Task:
        if not isinstance(task, Task):
            raise ConfigError(f"the option task is {task!r:.80}, expected an agentgym Task")
        return with_env(task, self._config.id)

    def _by_id(self, name: Any) -> Task:
        for index in range(POOL):
            task = self._at(index)
            if task is None:
                break
            if task.id == name:
                self._place = index
                return task
        close = difflib.get_close_matches(str(name), [task.id for task in self._kept], n=1)
        raise ConfigError(
            f"no task {name!r} among the first {len(self._kept)} of {self._split!r}",
            hint=f"did you mean {close[0]!r}?" if close else "give index=..., or the task itself",
        )

    def _by_index(self, index: Any) -> Task:
        if not isinstance(index, Integral) or index < 0:
            raise ConfigError(f"the option index is {index!r:.80}, expected 0 or more")
        task = self._at(int(index))
        if task is None:
            raise ConfigError(f"no task {index}: {self._split!r} has {self._made} tasks")
        self._place = int(index)
        return task

    def _go(self, index: int) -> Task:
        """Move to a task; an index beyond the end starts again at the first."""
        task = self._at(index)
        if task is None:
            if self._made == 0:
                raise EnvError(f"the split {self._split!r} of {self._config.id} has no tasks")
            index %= self._made
            task = self._at(index)
            assert task is not None
        self._place = index
        return task

    def _at(self, index: int) -> Task | None:
        """Return a task by its place; None beyond the end, and then all were made."""
        if index < len(self._kept):
            return self._kept[index]
        if self._made == 0 or index < self._made:
            self._stream, self._made = tasks_of(self._config, self._split), 0
        task = None
        while self._made <= index:
            task = self._make()
            if task is None:
                return None
            if self._made == len(self._kept) < POOL:
                self._kept.append(task)
            self._made += 1
        return task

    def _make(self) -> Task | None:
        try:
            return next(self._stream, None)
        except BaseException:
            self._made = 0  # a generator that raised would look like one at its end
            raise
