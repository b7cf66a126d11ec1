"""The simulated APIs of one episode, what is called on them, and BFCL's own verdict.

BFCL's runner evaluates calls as Python text on instances that it keeps in a module of its own.
Here a call is a method of an instance that belongs to the episode. Only the checker gets the
calls as text, under a name that no other episode has: functions that are offered, identifiers,
and literals that were JSON, so that nothing a model writes is evaluated but as a value.
"""

import ast
import copy
import decimal
import importlib
import inspect
import json
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from itertools import count
from typing import Any, NamedTuple

from agentgym.envs.bfcl.data import Entry, specs_of
from agentgym.tools import ToolError
from agentgym.types import ToolCall

_MAX_FILES = 10_000  # far more than any task has; a folder moved into itself holds infinitely many
_MAX_DIGITS = 1000
_MAX_POWER_BITS = 100_000

_alone = threading.RLock()  # the checker and the mathematics have state of the process
_serials = count()


class Apis:
    """Instances of the classes that a task involves, and the calls so far."""

    def __init__(self, entry: Entry) -> None:
        self._entry = entry
        self._instances = {kind: _instance(kind, entry) for kind in entry.raw["involved_classes"]}
        self._kinds = {spec.name: kind for kind in self._instances for spec in specs_of(kind)}
        self._turns: list[list[list[str]]] = [[]]
        self.is_broken = False

    def begin_turn(self) -> None:
        """The user speaks."""
        self._turns.append([])

    def begin_step(self) -> None:
        """The policy speaks."""
        self._turns[-1].append([])

    @property
    def num_steps(self) -> int:
        """How often the policy has called functions in this turn."""
        return len(self._turns[-1])

    def key(self) -> list[str]:
        """Identify the state of the instances."""
        if self.is_broken:
            return []
        return [_key(instance) for instance in self._instances.values()]

    def verdict(self) -> "Verdict":
        """Ask BFCL's checker."""
        turns = [[step for step in turn if step] for turn in self._turns]
        return check(self._entry, turns)

    def call(self, name: str, arguments: dict[str, Any]) -> str:
        """Call a function as BFCL does, with whatever arguments the model gives.

        Raises:
            ToolError: the API raised, or the call could not end.
        """
        kind = self._kinds[name]
        instance = self._instances[kind]
        for each in arguments:
            if not each.isidentifier():  # the checker evaluates calls as Python
                raise ToolError(f"{each[:64]!r} is no argument of {name}.")
        if kind == "MathAPI":
            _refuse_the_endless(name, arguments)
        if shared := _shared_defaults(kind).get(name):
            arguments = {**copy.deepcopy(shared), **arguments}
        self._turns[-1][-1].append(_to_python(name, arguments))
        try:
            with _undisturbed():
                text = _to_text(getattr(instance, name)(**arguments))
        except Exception as error:  # noqa: BLE001  a model may call an API with anything
            raise ToolError(f"Error during execution: {error}") from None
        if name in ("mv", "cp") and _is_endless(instance.root):
            self.is_broken = True
            return "A directory now holds itself. There is no way on."
        return text


class Verdict(NamedTuple):
    """What the checker says."""

    is_valid: bool
    turns: int
    """How many turns were right before the first that was wrong."""


def check(entry: Entry, turns: list[list[list[str]]]) -> Verdict:
    """Let BFCL's checker compare [turn][step][call] with the truth, and clear up after it."""
    from bfcl_eval.eval_checker.multi_turn_eval import multi_turn_utils
    from bfcl_eval.eval_checker.multi_turn_eval.multi_turn_checker import multi_turn_checker

    name = f"agentgym_{next(_serials)}_"
    with _undisturbed():
        for kind in entry.raw["involved_classes"]:
            _forget_what_was_added(kind)
        try:
            report = multi_turn_checker(turns, entry.truth, entry.raw, "", name)
        finally:
            kept = vars(multi_turn_utils)
            for each in [each for each in kept if each.startswith(name)]:
                del kept[each]
    if report["valid"]:
        return Verdict(is_valid=True, turns=len(entry.truth))
    return Verdict(is_valid=False, turns=_turn_of(report))


def calls_of(entry: Entry, turn: int) -> tuple[ToolCall, ...]:
    """Return the right calls of a turn."""
    return tuple(
        ToolCall(*_to_json(call, entry.raw["involved_classes"]), id=f"call_{number}")
        for number, call in enumerate(entry.truth[turn])
    )


def _turn_of(report: Mapping[str, Any]) -> int:
    """Return the first wrong turn."""
    details = report.get("details", {})
    executed = report.get("execution_result") or details.get("execution_result")
    if executed:
        return len(executed) - 1
    told = re.search(r"turn (\d+)\.$", report["error_message"])
    return int(told[1]) if told else 0


def _class(kind: str) -> Any:
    from bfcl_eval.constants.executable_backend_config import CLASS_FILE_PATH_MAPPING

    return getattr(importlib.import_module(CLASS_FILE_PATH_MAPPING[kind]), kind)


def _instance(kind: str, entry: Entry) -> Any:
    instance = _class(kind)()
    if hasattr(instance, "_load_scenario"):
        scenario = copy.deepcopy(entry.raw["initial_config"].get(kind, {}))
        instance._load_scenario(scenario, long_context=entry.is_long)
    return instance


def _key(instance: Any) -> str:
    """Return its public state, where it stands in the file system, and what chance comes next."""
    state = {key: value for key, value in vars(instance).items() if not key.startswith("_")}
    chance = instance._random.getstate()[1] if hasattr(instance, "_random") else ()
    place = instance.pwd() if hasattr(instance, "pwd") else None
    return repr((state, place, hash(chance)))


@cache
def _shared_defaults(kind: str) -> dict[str, dict[str, list[Any]]]:
    """Return defaults that are lists, by function and parameter.

    An API that adds to such a list would tell every later episode, so each gets one of its own.
    """
    defaults = {
        spec.name: {
            name: parameter.default
            for name, parameter in inspect.signature(
                getattr(_class(kind), spec.name)
            ).parameters.items()
            if isinstance(parameter.default, list)
        }
        for spec in specs_of(kind)
    }
    return {name: each for name, each in defaults.items() if each}


def _forget_what_was_added(kind: str) -> None:
    for defaults in _shared_defaults(kind).values():
        for default in defaults.values():
            default.clear()  # all are empty lists


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Work alone, and leave the precision of the process as it was."""
    import mpmath

    with _alone, decimal.localcontext(), mpmath.workprec(mpmath.mp.prec):
        yield


def _to_text(value: Any) -> str:
    """Return a result as BFCL tells it."""
    if isinstance(value, dict):
        try:
            return json.dumps(value)
        except (TypeError, ValueError):
            pass
    return str(value)


def _to_python(name: str, arguments: Mapping[str, Any]) -> str:
    return f"{name}({', '.join(f'{key}={value!r}' for key, value in arguments.items())})"


def _to_json(call: str, kinds: Sequence[str]) -> tuple[str, str]:
    """Return the name and the arguments of a call that is written in Python."""
    node = ast.parse(call, mode="eval").body
    assert isinstance(node, ast.Call)
    assert isinstance(node.func, ast.Name)
    name = node.func.id
    spec = next(spec for kind in kinds for spec in specs_of(kind) if spec.name == name)
    positional = zip(spec.parameters["properties"], node.args, strict=False)
    arguments = {key: ast.literal_eval(value) for key, value in positional}
    arguments |= {str(each.arg): ast.literal_eval(each.value) for each in node.keywords}
    return name, json.dumps(arguments)


def _refuse_the_endless(name: str, arguments: Mapping[str, Any]) -> None:
    """Stop mathematics that would take for ever, or all memory.

    Raises:
        ToolError: it would.
    """
    digits = arguments.get("precision", arguments.get("decimal_places", 0))
    if isinstance(digits, int | float) and abs(digits) > _MAX_DIGITS:
        raise ToolError(f"At most {_MAX_DIGITS} digits can be computed.")
    base, exponent = arguments.get("base"), arguments.get("exponent")
    if isinstance(base, int) and isinstance(exponent, int):
        bits = base.bit_length() * exponent
        if bits > _MAX_POWER_BITS:
            raise ToolError("The power is too large to be computed.")
    if name == "logarithm" and any(isinstance(each, str) for each in arguments.values()):
        raise ToolError("logarithm takes numbers.")


def _is_endless(root: Any) -> bool:
    """Return whether a tree of files has more of them than any sane one."""
    seen, waiting = 0, [root]
    while waiting:
        for item in waiting.pop().contents.values():
            seen += 1
            if seen > _MAX_FILES:
                return True
            if hasattr(item, "contents"):
                waiting.append(item)
    return False
