"""The tasks and the descriptions of functions, as the package bfcl-eval ships them."""

import importlib.util
import json
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Literal, NamedTuple, cast, get_args

from agentgym.errors import MissingError, TaskError
from agentgym.types import Task, ToolSpec

Tier = Literal["base", "miss_param", "miss_func", "long_context"]

_TYPES = {"dict": "object", "float": "number", "tuple": "array"}
_UNTYPED = "any"


class Entry(NamedTuple):
    """One task of BFCL."""

    raw: dict[str, Any]
    """As it stands in the file; the checker wants it so."""
    truth: list[list[str]]
    """The right calls of every turn, in Python."""
    users: tuple[str, ...]
    """What the user says at the start of every turn."""
    offered: Mapping[int, tuple[ToolSpec, ...]]
    """The functions that come in at the start of a turn; most come at 0."""

    @property
    def id(self) -> str:
        """Such as multi_turn_base_17."""
        return str(self.raw["id"])

    @property
    def is_long(self) -> bool:
        """Whether the simulated APIs pad what they say."""
        return "long_context" in self.id


def require() -> Path:
    """Return the folder of the package.

    Raises:
        MissingError: it, or what it needs for these tasks, is not installed.
    """
    found = importlib.util.find_spec("bfcl_eval")
    if found is None or importlib.util.find_spec("mpmath") is None:
        missing = "bfcl_eval" if found is None else "mpmath"
        raise MissingError(
            f"agentgym/BFCL-v0 needs the package {missing}",
            hint="pip install 'agentgym-framework[bfcl]' && pip install --no-deps bfcl-eval "
            "(its dependencies are of no use here)",
        )
    assert found.submodule_search_locations is not None
    return Path(found.submodule_search_locations[0])


@cache
def entries(tier: Tier) -> Mapping[str, Entry]:
    """Return the tasks of a category by their ids, in the order of the file.

    Raises:
        MissingError: as `require`.
    """
    folder = require() / "data"
    name = f"BFCL_v4_multi_turn_{tier}.json"
    truths = {
        each["id"]: each["ground_truth"] for each in _lines(folder / "possible_answer" / name)
    }
    return {raw["id"]: _entry(raw, truths[raw["id"]]) for raw in _lines(folder / name)}


def entry_of(task: Task) -> Entry:
    """Return what a task stands for.

    Raises:
        TaskError: it is none of these.
        MissingError: as `require`.
    """
    name = task.payload.get("id") if isinstance(task.payload, dict) else None
    tier = str(name).removeprefix("multi_turn_").rpartition("_")[0]
    known = entries(cast(Tier, tier)) if tier in get_args(Tier) else {}
    found = known.get(str(name))
    if found is None:
        raise TaskError(
            f"task {task.id} has no id of BFCL in its payload",
            hint="take tasks from BFCLConfig().tasks(split)",
        )
    return found


@cache
def max_steps() -> int:
    """Return how often a model may call functions in one turn."""
    from bfcl_eval.constants.default_prompts import MAXIMUM_STEP_LIMIT

    return int(MAXIMUM_STEP_LIMIT)


def _entry(raw: dict[str, Any], truth: list[list[str]]) -> Entry:
    """Sort the functions of a task by the turn in which they come in."""
    from bfcl_eval.constants.default_prompts import (
        DEFAULT_USER_PROMPT_FOR_ADDITIONAL_FUNCTION_PROMPTING as MORE,
    )

    held_out = {int(turn): set(names) for turn, names in raw.get("missed_function", {}).items()}
    hidden = {name for names in held_out.values() for name in names}
    hidden.update(raw.get("excluded_function", ()))
    specs = {spec.name: spec for kind in raw["involved_classes"] for spec in specs_of(kind)}
    offered = {0: tuple(spec for spec in specs.values() if spec.name not in hidden)}
    users = ["\n".join(said["content"] for said in turn) for turn in raw["question"]]
    for turn, names in held_out.items():
        offered[turn] = tuple(spec for spec in specs.values() if spec.name in names)
        told = [spec.to_openai()["function"] for spec in offered[turn]]
        users[turn] = MORE.format(functions=json.dumps(told))
    return Entry(raw, truth, tuple(users), offered)


@cache
def specs_of(kind: str) -> tuple[ToolSpec, ...]:
    """Return the functions of one simulated API."""
    from bfcl_eval.constants.executable_backend_config import MULTI_TURN_FUNC_DOC_FILE_MAPPING

    file = require() / "data" / "multi_turn_func_doc" / MULTI_TURN_FUNC_DOC_FILE_MAPPING[kind]
    return tuple(
        ToolSpec(doc["name"], doc["description"], _schema(doc["parameters"]))
        for doc in _lines(file)
    )


def _schema(part: Mapping[str, Any]) -> dict[str, Any]:
    """Return a schema of BFCL in the words of JSON Schema.

    A default "None" is how BFCL writes that there is none.
    """
    schema = {
        key: value
        for key, value in part.items()
        if not (key == "type" and value == _UNTYPED) and not (key == "default" and value == "None")
    }
    if "type" in schema:
        schema["type"] = _TYPES.get(part["type"], part["type"])
    if "properties" in part:
        schema["properties"] = {name: _schema(each) for name, each in part["properties"].items()}
    if "items" in part:
        schema["items"] = _schema(part["items"])
    return schema


def _lines(file: Path) -> Iterator[dict[str, Any]]:
    with file.open(encoding="utf-8") as lines:
        yield from (json.loads(line) for line in lines)
