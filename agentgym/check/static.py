"""Checks that play no episode: 1 import, 2 identity, 3 config, 5 tasks."""

import asyncio
import contextlib
import json
import math
import re
import sys
from pathlib import Path
from typing import Any, get_args

from pydantic import ValidationError

from agentgym.check import probe
from agentgym.check.places import file_of
from agentgym.check.report import Failed, NotChecked
from agentgym.check.subject import Subject
from agentgym.env import EnvConfig
from agentgym.types import Task, digest

_ID = re.compile(r"[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+-v[0-9]+")
_IMPORT_TIMEOUT_S = 120.0
_MAX_TASKS = 500


async def check_import(subject: Subject) -> str:
    """Import the module in a process of its own and watch what its top-level code does."""
    file = file_of(subject.config_class)
    if file is None:
        raise NotChecked("its module has no file")
    order = {
        "module": subject.config_class.__module__,
        "file": str(file.absolute()),
        "folder": str(file.absolute().parent),
        "path": sys.path,
    }
    seen = await _probe(order)
    if seen["error"]:
        raise Failed(f"importing {file} raised {seen['error']}")
    if seen["effects"]:
        texts = [f"{Path(where).name} {what}" for where, what in seen["effects"][:5]]
        raise Failed(
            f"importing it has effects: {'; '.join(texts)}",
            where=seen["effects"][0][0],
            hint="do this in build or reset, not when the module is imported",
        )
    return ""


async def check_identity(subject: Subject) -> str:
    """Look at the id and the class variables."""
    config = subject.config_class
    name = getattr(config, "id", None)
    if not isinstance(name, str) or not _ID.fullmatch(name):
        raise Failed(
            f"the id is {name!r}, expected one like me/Name-v0 of ASCII letters, digits, . _ -",
            hint="choose another id; its version changes whenever scores do",
        )
    if name.startswith("agentgym/") and config.__module__.partition(".")[0] != "agentgym":
        raise Failed(
            f"the id is {name!r}, and agentgym/ is for its own environments",
            hint=f"choose a namespace of yours, such as me/{name.partition('/')[2]}",
        )
    _check_names("splits", config.splits, at_least=1)
    _check_names("tiers", config.tiers, at_least=0)
    if config.tiers and set(config.tiers) != set(_values_of("tier", config)):
        raise Failed(
            f"tiers are {config.tiers}, but the field `tier` takes {_values_of('tier', config)}",
            hint="give it a field `tier` that is a Literal of the same names",
        )
    low, high = config.reward_range
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise Failed(f"reward_range is {config.reward_range!r}", hint="write (lowest, highest)")
    if not low <= config.success <= high:
        raise Failed(f"success = {config.success} lies outside of reward_range = {(low, high)}")
    return name


async def check_config(subject: Subject) -> str:
    """Make it, write it as JSON, read it again; refuse what is unknown."""
    kind = subject.config_class
    try:
        config = kind(**subject.overrides)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        field = ".".join(map(str, problem["loc"]))
        raise Failed(
            f"it cannot be made without settings: `{field}`: {problem['msg']}",
            hint="give every field a default that works",
        ) from error
    text = config.model_dump_json()
    if kind.model_validate_json(text) != config:
        raise Failed(f"it is not equal after a round trip through JSON: {text:.200}")
    kind.model_json_schema()
    for key, wanted in (("extra", "forbid"), ("frozen", True)):
        if kind.model_config.get(key) != wanted:
            raise Failed(
                f"its model_config has {key}={kind.model_config.get(key)!r}, not {wanted!r}",
                hint="leave model_config as EnvConfig has it",
            )
    return f"{len(kind.model_fields)} fields"


async def check_splits(subject: Subject) -> str:
    """Look for a split to test on; that splits are disjoint is told by the check of tasks."""
    splits = subject.config_class.splits
    if len(splits) < 2:
        raise NotChecked(
            f"it declares a single split, {splits[0]!r}",
            hint='declare splits = ("train", "test"), and give each its own tasks',
        )
    return ", ".join(splits)


async def check_tasks(subject: Subject) -> str:
    """Take tasks of every split, in every tier, twice.

    Equal problems under different ids are only told: the seed may make them differ.
    """
    counts, shared = [], 0
    for config in subject.tiers():
        seen: dict[str, str] = {}
        contents: set[str] = set()
        for split in config.splits:
            tasks = await subject.tasks(config, split, number=_MAX_TASKS)
            _check_split(tasks, split, seen)
            if tasks != await subject.tasks(config, split, number=_MAX_TASKS):
                raise Failed(
                    f"the tasks of {split!r} are not the same when they are made again",
                    hint="seed a random.Random(...) of your own inside tasks()",
                )
            counts.append(f"{len(tasks)}{'+' if len(tasks) == _MAX_TASKS else ''} {split}")
            mine = {digest(task.prompt, task.answer, task.payload) for task in tasks}
            shared += len(contents & mine)
            contents |= mine
    told = f"; {shared} problems stand in two splits, under different ids" if shared else ""
    return ", ".join(counts) + told


async def _probe(order: dict[str, Any]) -> dict[str, Any]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-B", "-P", probe.__file__, json.dumps(order)),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(_IMPORT_TIMEOUT_S):
            stdout, stderr = await process.communicate()
    except TimeoutError:
        raise Failed(f"importing it takes more than {_IMPORT_TIMEOUT_S:g} s") from None
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    try:
        answer: dict[str, Any] = json.loads(stdout)
    except ValueError:
        told = stderr.decode(errors="replace").strip()[-300:]
        raise Failed(f"importing it ended the process ({process.returncode}): {told}") from None
    return answer


def _check_names(what: str, names: Any, *, at_least: int) -> None:
    good = (
        isinstance(names, tuple)
        and len(names) >= at_least
        and len(set(names)) == len(names)
        and all(isinstance(name, str) and name for name in names)
    )
    if not good:
        raise Failed(f"{what} = {names!r}", hint="write a tuple of different names")


def _values_of(field: str, config: type[EnvConfig]) -> tuple[Any, ...]:
    info = config.model_fields.get(field)
    return get_args(info.annotation) if info else ()


def _check_split(tasks: list[Task], split: str, seen: dict[str, str]) -> None:
    """Look at the tasks of a split; `seen` holds the split of every id so far."""
    if not tasks:
        raise Failed(f"the split {split!r} has no tasks", hint="yield some, or change `splits`")
    for task in tasks:
        if not isinstance(task, Task):
            raise Failed(f"tasks({split!r}) yielded {type(task).__name__}, expected Task")
        if task.id in seen:
            where = "twice in" if seen[task.id] == split else f"in {seen[task.id]!r} and in"
            raise Failed(
                f"the task {task.id!r} is {where} {split!r}",
                hint="splits must be disjoint and ids unique; give other tasks, or other ids",
            )
        seen[task.id] = split
        for name in ("answer", "payload"):
            _check_json(name, getattr(task, name))


def _check_json(name: str, value: Any) -> None:
    try:
        equal = json.loads(json.dumps(value, allow_nan=False)) == value
    except (TypeError, ValueError):
        equal = False
    if not equal:
        raise Failed(
            f"the {name} of a task is no JSON value: {value!r:.120}",
            hint="use dict with string keys, list, str, int, float, bool or None (no tuples)",
        )
