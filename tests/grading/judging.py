"""What the tests of grading share."""

import contextlib

from agentgym.grading import Suite, grade
from agentgym.sandbox import ExecResult, Limits, Status

LIMITS = Limits(wall_s=2, cpu_s=1)

FUNCTIONS = b"""
class Own(ValueError):
    pass
def give(x):
    return x
def fail(name):
    raise {"own": Own, "value": ValueError, "key": KeyError}[name]("SECRET")
def sort(items, *, reverse=False):
    items.sort(reverse=reverse)
    return object() if reverse else None
def third(x):
    return x / 3
"""

SOLUTION = '''
import enum
import json

PI = 3.5
settings = {"depth": 3}

class Empty(IndexError):
    """Of a stack."""
    code = 7

class Broken(Empty, KeyError):
    def __init__(self, code):
        super().__init__(code)
        self.code = code
    def __str__(self):
        return f"broken {self.code}"

class Stack:
    """Last in, first out."""
    limit = 10
    def __init__(self, items=()):
        self.items = list(items)
    @classmethod
    def of(cls, *items):
        return cls(items)
    def push(self, item):
        self.items.append(item)
        return self
    def pop(self):
        if not self.items:
            raise Empty("nothing there")
        return self.items.pop()
    def __len__(self):
        return len(self.items)
    def __iter__(self):
        return iter(self.items)
    def __getitem__(self, at):
        return self.items[at]
    def __setitem__(self, at, item):
        self.items[at] = item
    def __contains__(self, item):
        return item in self.items
    def __add__(self, other):
        return Stack(self.items + list(other))
    def __radd__(self, other):
        return Stack(list(other) + self.items)
    def __iadd__(self, other):
        self.items += other
        return self
    def __lt__(self, other):
        return len(self) < len(other)
    def __eq__(self, other):
        return self.items == other.items
    def __hash__(self):
        return 1
    def __repr__(self):
        return f"Stack({self.items})"
    def __enter__(self):
        return self
    def __exit__(self, *exc_info):
        self.items.clear()

class Deep(Stack):
    pass

class Color(enum.Enum):
    RED = "r"
    GREEN = "g"

class Swallowing:
    def __init__(self, *kinds):
        self.kinds, self.seen = kinds, []
    def __enter__(self):
        return self
    def __exit__(self, kind, error, trace):
        self.seen.append((kind.__name__, error.args))
        return isinstance(error, (*self.kinds, AssertionError))

def double(x):
    return 2 * x
def convert(x, how):
    return how(x)
def parsed(text):
    return json.loads(text)
def broken():
    raise Broken(5)
def count(n):
    yield from range(n)
def same(x):
    return x
def sort(rows):
    rows[0].sort()
    rows.insert(0, [9])
def fill(mapping, names, raw, *, more):
    mapping["a"] = mapping.pop("b")
    names.add("c")
    raw += b"!"
    more[0]["deep"].append(1)
def adder(n):
    return lambda x: x + n
counter = 0
def tick():
    global counter
    counter += 1
    return counter
def maximum(items):
    return max(items)
def kind_of(x):
    return type(x).__name__
'''


async def words(sandboxes, check, artefacts):
    verdict = await grade(sandboxes, artefacts, [check], limits=LIMITS)
    return {id.partition("[")[2][:-1]: each.word for id, each in verdict.results.items()}


async def graded(sandboxes, tests, *, solution=SOLUTION, limits=None, **options):
    suite = Suite(source=tests, name="s", **options)
    return await grade(sandboxes, {"solution.py": solution.encode()}, [suite], limits=limits)


def indented(body):
    return "".join(f"    {line}\n" for line in body.splitlines())


class Recorder:
    """Sandboxes that run nothing; remembers what each was asked, and answers it so."""

    def __init__(self, **answer) -> None:
        self.info = None
        self.asked: list[list[tuple]] = []
        self._answer = ExecResult(**{"status": Status.EXITED, "exit_code": 0, **answer})

    @contextlib.asynccontextmanager
    async def lease(self, *, fresh=False):
        self.asked.append([])
        yield self

    async def write_file(self, path, content, *, mode=0o644):
        self.asked[-1].append(("write", path, mode))

    async def python(self, code, *, limits):
        self.asked[-1].append(("python", code, limits))
        return self._answer

    async def exec(self, argv, *, stdin, limits):
        self.asked[-1].append(("exec", stdin, limits))
        return self._answer
