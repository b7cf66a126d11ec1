"""Collects the tests of a module, and runs one of them with its fixtures.

Everything that would let a test pass without running is refused when it is collected: tests that
are skipped or expected to fail, coroutines, generators, fixtures and hooks that are not known.
"""

from agentgym.grading.inside.testing import Failed, Fixture, Mark, Param, Refused, listed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

_GENERATOR, _COROUTINE, _ASYNC_GENERATOR = 0x20, 0x80, 0x200  # of code.co_flags
_PACKAGE = __name__.rpartition(".")[0]
_HOOKS = (
    *("setup_module", "teardown_module", "setup_function", "teardown_function"),
    *("setup_class", "teardown_class", "setUp", "tearDown"),
)


class Test:
    """One test with its values."""

    def __init__(self, id: str, owner: "Any", function: "Any", values: "dict[str, Any]") -> None:
        self.id = id
        self.owner = owner
        self.function = function
        self.values = values


def tests_of(module: "dict[str, Any]") -> "list[Test]":
    """Return the tests of a module.

    Raises:
        Refused: something in it cannot be graded by.
    """
    found: list[Test] = []
    for name, value in list(module.items()):
        if name in _HOOKS:
            raise Refused(f"{name} is not known here: use a fixture")
        if _is_of_the_solution(value):
            continue
        if name.startswith("test") and callable(value):
            found += _expanded(name, None, value, module)
        elif isinstance(value, type) and "TestCase" in [base.__name__ for base in value.__mro__]:
            raise Refused(f"{name} is a class of unittest: write a plain one")
        elif name.startswith("Test") and isinstance(value, type):
            found += _tests_of_class(name, value, module)
    if not found:
        raise Refused("there are no tests")
    return found


def _is_of_the_solution(value: "Any") -> bool:
    """Whether it stands for something imported, whose name says nothing."""
    kind = value if isinstance(value, type) else type(value)
    return str(vars(kind).get("__module__")).startswith(_PACKAGE)


def _tests_of_class(prefix: str, owner: "Any", module: "dict[str, Any]") -> "list[Test]":
    names: dict[str, Any] = {}
    for base in reversed(owner.__mro__[:-1]):
        names.update(vars(base))
    for name in (*_HOOKS, "__init__", "__new__"):
        if name in names:
            raise Refused(f"{prefix}.{name} is not known here: use a fixture")
    found = []
    for name, value in names.items():
        if _is_of_the_solution(value):
            continue
        if name.startswith("Test") and isinstance(value, type):
            raise Refused(f"{prefix}.{name} is a class in a class: write it beside the other")
        if name.startswith("test"):
            found += _expanded(f"{prefix}::{name}", owner, value, module)
    if not found:
        raise Refused(f"there are no tests in {prefix}")
    return found


def _expanded(id: str, owner: "Any", function: "Any", module: "dict[str, Any]") -> "list[Test]":
    code = getattr(_unwrapped(function), "__code__", None)
    if code is None or code.co_flags & (_GENERATOR | _COROUTINE | _ASYNC_GENERATOR):
        raise Refused(f"{id} is no plain function: it would not run")
    rows: list[tuple[list[str], dict[str, Any]]] = [([], {})]
    marks = _marks_of(function) + ([] if owner is None else _marks_of(owner))
    for mark in marks + listed(module.get("pytestmark", [])):
        if mark.name == "parametrize":
            rows = [
                ([str(at), *places], {**values, **more})
                for places, values in rows
                for at, more in enumerate(_rows(id, mark))
            ]
    tests = [
        Test(f"{id}[{'-'.join(places)}]" if places else id, owner, function, values)
        for places, values in rows
    ]
    for test in tests[:1]:
        _check_names(test, module)
    if not tests:
        raise Refused(f"{id} has no values to run with")
    return tests


def _rows(id: str, mark: Mark) -> "Iterator[dict[str, Any]]":
    told = dict(zip(("argnames", "argvalues", "indirect"), mark.args), **mark.kwargs)
    if "argnames" not in told or "argvalues" not in told:
        raise Refused(f"{id}: parametrize needs names and a list of values")
    if told.get("indirect"):
        raise Refused(f"{id}: indirect parameters are not known here")
    names, is_bare = told["argnames"], False
    if isinstance(names, str):
        names = [name.strip() for name in names.split(",") if name.strip()]
        is_bare = len(names) == 1
    for row in told["argvalues"]:
        row = row.values if isinstance(row, Param) else (row,) if is_bare else row
        if not hasattr(row, "__len__") or len(row) != len(names):
            raise Refused(f"{id}: {row!r} for the names {', '.join(names)}")
        yield dict(zip(names, row))


def _check_names(test: Test, module: "dict[str, Any]") -> None:
    fixtures = _fixtures(test.owner, module)
    wanted = [*_arguments(test.function, test.owner)]
    for name in test.values:
        if name not in wanted:
            raise Refused(f"{test.id} takes no argument {name}")
    wanted += [name for name, each in fixtures.items() if each.autouse]
    seen = set(test.values)
    while wanted:
        name = wanted.pop()
        if name in seen:
            continue
        seen.add(name)
        if name not in fixtures:
            raise Refused(f"{test.id} asks for {name}, which is no fixture of this module")
        function = fixtures[name].function
        if function.__code__.co_flags & (_COROUTINE | _ASYNC_GENERATOR):
            raise Refused(f"the fixture {name} is a coroutine")
        wanted += _arguments(function, test.owner)


def _fixtures(owner: "Any", module: "dict[str, Any]") -> "dict[str, Fixture]":
    values = list(module.values())
    for base in reversed(owner.__mro__) if owner is not None else ():
        values += vars(base).values()
    return {each.name: each for each in values if isinstance(each, Fixture)}


def _arguments(function: "Any", owner: "Any") -> "list[str]":
    function = _unwrapped(function)
    code = function.__code__
    names = code.co_varnames[: code.co_argcount - len(function.__defaults__ or ())]
    return [name for name in names if not (name == "self" and owner is not None)]


def _unwrapped(function: "Any") -> "Any":
    while hasattr(function, "__wrapped__"):
        function = function.__wrapped__
    return function


def run(test: Test, module: "dict[str, Any]") -> None:
    """Run a test with its fixtures.

    Raises:
        BaseException: whatever it raises.
    """
    instance = None if test.owner is None else test.owner()
    running = _Running(_fixtures(test.owner, module), test, instance)
    try:
        for name, each in running.fixtures.items():
            if each.autouse:
                running.value(name)
        _around(instance, "setup_method", test.function)
        try:
            running.call(test.function)
        finally:
            _around(instance, "teardown_method", test.function)
    finally:
        running.finish()


def _around(instance: "Any", name: str, function: "Any") -> None:
    hook = getattr(instance, name, None)
    if hook is not None:
        hook(*[function][: hook.__func__.__code__.co_argcount - 1])


class _Running:
    """The values of fixtures while a test runs."""

    def __init__(self, fixtures: "dict[str, Fixture]", test: Test, instance: "Any") -> None:
        self.fixtures = fixtures
        self._values = dict(test.values)
        self._instance = instance
        self._owner = test.owner
        self._finish: list[Callable[[], None]] = []

    def value(self, name: str) -> "Any":
        if name not in self._values:
            self._values[name] = self.call(self.fixtures[name].function)
        return self._values[name]

    def call(self, function: "Any") -> "Any":
        """Call it with what it asks for; of a generator, return what it yields."""
        values = {name: self.value(name) for name in _arguments(function, self._owner)}
        code = _unwrapped(function).__code__
        if self._instance is not None and code.co_varnames[:1] == ("self",):
            values["self"] = self._instance
        result = function(**values)
        if not code.co_flags & _GENERATOR:
            return result
        self._finish.append(lambda: _exhaust(result))
        return next(result)

    def finish(self) -> None:
        """Let fixtures clean up, the last one first."""
        while self._finish:
            self._finish.pop()()


def _exhaust(generator: "Any") -> None:
    for _ in generator:
        raise Failed("a fixture yields twice")


def _marks_of(subject: "Any") -> "list[Mark]":
    """Return the marks that stand on a function, or on a class and those it derives from."""
    bases = subject.__mro__ if isinstance(subject, type) else (subject,)
    return [mark for base in bases for mark in listed(vars(base).get("pytestmark", []))]
