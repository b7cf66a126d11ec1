"""Tasks: a few operations on a list of integers, then perhaps a reduction, said in words.

Expected values are computed here, on the host, by functions that stand beside the program text
of each operation; no program is ever executed in this process.
"""

import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, Literal

from agentgym.types import Task, derive_seed

Tier = Literal["easy", "medium", "hard"]
Value = int | list[int]
Chain = Sequence[tuple[str, int]]
"""(kind, constant) of each operation in order; the constant is 0 where a kind has none."""

NUM_OPERATIONS: dict[Tier, tuple[int, ...]] = {
    "easy": (1,),
    "medium": (1, 2),
    "hard": (1, 2, 3, 2, 3),
}
"""Operations of the tasks of a tier, in turn."""
NUM_TEST = 512
NUM_PUBLIC = 3

_PUBLIC_VALUES = range(-4, 10)  # few, so that duplicates, signs and small constants all matter
_PUBLIC_LENGTHS = (5, 6, 7)
_HIDDEN_VALUES = range(-9, 16)
_HIDDEN_LENGTHS = (1, 4, 6, 8, 9)
_ANY = (1, 2, 3, 4, 5)
_SALT = 2050  # spreads the held-out ones among the 39 compositions of a single operation


@dataclass(frozen=True, slots=True)
class Operation:
    """One kind of step from list to list; `{k}` in its texts stands for the constant."""

    apply: Callable[[list[int], int], list[int]]
    code: str
    """The right expression for the new `x`."""
    wrong: tuple[str, str]
    """Plausible mistakes. None may be another kind's `code`: where the two share words, the
    mistake could never be unlearned."""
    wordings: tuple[str, str]
    constants: tuple[int, ...] = (0,)


@dataclass(frozen=True, slots=True)
class Reduction:
    """What is returned at the end."""

    apply: Callable[[list[int]], Value]
    code: str
    wordings: tuple[str, str]


OPERATIONS: dict[str, Operation] = {
    "even": Operation(
        lambda x, k: [v for v in x if v % 2 == 0],
        "[v for v in x if v % 2 == 0]",
        ("[v for v in x if v % 2 == 1]", "[v % 2 for v in x]"),
        ("keep even numbers", "only values that are even"),
    ),
    "multiple": Operation(
        lambda x, k: [v for v in x if v % k == 0],
        "[v for v in x if v % {k} == 0]",
        ("[v for v in x if v // {k} == 0]", "[v for v in x if {k} % v == 0]"),
        ("keep multiples of {k}", "only values divisible by {k}"),
        (3, 4, 5),  # 1 changes nothing and 2 is `even`
    ),
    "above": Operation(
        lambda x, k: [v for v in x if v > k],
        "[v for v in x if v > {k}]",
        ("[v for v in x if v < {k}]", "[v > {k} for v in x]"),
        ("keep numbers above {k}", "only values greater than {k}"),
        _ANY,
    ),
    "add": Operation(
        lambda x, k: [v + k for v in x],
        "[v + {k} for v in x]",
        ("[v - {k} for v in x]", "x + {k}"),
        ("add {k} to each", "increase each by {k}"),
        _ANY,
    ),
    "scale": Operation(
        lambda x, k: [v * k for v in x],
        "[v * {k} for v in x]",
        ("[v ** {k} for v in x]", "[v // {k} for v in x]"),
        ("multiply each by {k}", "scale each by {k}"),
        (2, 3, 4, 5),
    ),
    "square": Operation(
        lambda x, k: [v * v for v in x],
        "[v * v for v in x]",
        ("[v + v for v in x]", "x * x"),
        ("square each", "multiply each with itself"),
    ),
    "absolute": Operation(
        lambda x, k: [abs(v) for v in x],
        "[abs(v) for v in x]",
        ("abs(x)", "[-v for v in x]"),
        ("take absolute values", "remove minus signs"),
    ),
    "cap": Operation(
        lambda x, k: [min(v, k) for v in x],
        "[min(v, {k}) for v in x]",
        ("[max(v, {k}) for v in x]", "min(x, {k})"),
        ("cap each at {k}", "limit each to at most {k}"),
        _ANY,
    ),
    "take": Operation(
        lambda x, k: x[:k],
        "x[:{k}]",
        ("x[{k}]", "x[-{k}:]"),
        ("take the first {k}", "only the first {k} items"),
        _ANY,
    ),
    "drop": Operation(
        lambda x, k: x[k:],
        "x[{k}:]",
        ("x[:-{k}]", "x[::{k}]"),
        ("drop the first {k}", "skip the first {k} items"),
        _ANY,
    ),
    "reverse": Operation(
        lambda x, k: x[::-1],
        "x[::-1]",
        ("x.reverse()", "x[-1]"),
        ("reverse the order", "go backwards"),
    ),
    "sort": Operation(
        lambda x, k: sorted(x),
        "sorted(x)",
        ("x.sort()", "sorted(x)[::-1]"),
        ("sort ascending", "order from low to high"),
    ),
    "unique": Operation(
        lambda x, k: list(dict.fromkeys(x)),
        "list(dict.fromkeys(x))",
        ("[v for v in x if x.count(v) == 1]", "x.unique()"),
        ("remove later duplicates", "keep first occurrences"),
    ),
}

REDUCTIONS: dict[str, Reduction] = {
    "list": Reduction(lambda x: x, "x", ("return the list", "return all items")),
    "sum": Reduction(sum, "sum(x)", ("return the sum", "return the total")),
    "max": Reduction(
        lambda x: max(x, default=0),
        "max(x, default=0)",
        ("return the maximum or 0 if empty", "return the largest or 0 if empty"),
    ),
    "len": Reduction(len, "len(x)", ("return the count", "return how many")),
}
_KINDS = tuple(OPERATIONS)
_ENDINGS = tuple(REDUCTIONS)


def tasks(tier: Tier, split: str) -> Iterator[Task]:
    """Yield the tasks of a split: `test` has 512 distinct ones, `train` never ends."""
    rng = Random(derive_seed("agentgym/Code-v0", tier, split))
    seen: set[str] = set()
    while True:
        for size in NUM_OPERATIONS[tier]:
            task = None
            while task is None:
                task = _draw(rng, size, split)
            if split == "test":
                if len(seen) == NUM_TEST:
                    return
                if task.id in seen:
                    continue
                seen.add(task.id)
            yield task


def held_out(kinds: Sequence[str], reduction: str) -> bool:
    """Whether a composition belongs to `test`; a lone operation without reduction never does."""
    if len(kinds) == 1 and reduction == "list":
        return False
    return zlib.crc32("-".join([str(_SALT), *kinds, reduction]).encode()) % 5 == 0


def evaluate(chain: Chain, reduction: str, x: list[int]) -> Value:
    """Return what a right program returns for `x`.

    >>> evaluate([("even", 0), ("add", 3)], "sum", [1, 2, 4])
    12
    """
    for kind, constant in chain:
        x = OPERATIONS[kind].apply(x, constant)
    return REDUCTIONS[reduction].apply(x)


def program(chain: Chain, reduction: str, expressions: Sequence[str] = ()) -> str:
    """Return a program of one statement per operation; `expressions` default to the right ones.

    >>> program([("drop", 2)], "sum")
    'def f(x): x = x[2:]; return sum(x)'
    """
    expressions = expressions or [OPERATIONS[kind].code for kind, _ in chain]
    statements = [
        f"x = {expression.replace('{k}', str(constant))}; "
        for expression, (_, constant) in zip(expressions, chain, strict=True)
    ]
    return f"def f(x): {''.join(statements)}return {REDUCTIONS[reduction].code}"


def _draw(rng: Random, size: int, split: str) -> Task | None:
    """Draw a task, or None where the draw is of the other split or some operation is idle."""
    kinds = rng.sample(_KINDS, size)
    reduction = rng.choice(_ENDINGS)
    if held_out(kinds, reduction) != (split == "test"):
        return None
    chain = [(kind, rng.choice(OPERATIONS[kind].constants)) for kind in kinds]
    inputs = [rng.choices(_PUBLIC_VALUES, k=rng.choice(_PUBLIC_LENGTHS)) for _ in range(NUM_PUBLIC)]
    public = _examples(chain, reduction, inputs)
    if not _telling(chain, reduction, public):
        return None
    hidden = [rng.choices(_HIDDEN_VALUES, k=length) for length in _HIDDEN_LENGTHS]
    return Task(
        _prompt(rng, chain, reduction),
        answer=program(chain, reduction),
        payload={
            "operations": [list(pair) for pair in chain],
            "reduction": reduction,
            "kind": f"{size}-op" if size == 1 else f"{size}-ops",
            "public": public,
            "hidden": _examples(chain, reduction, [*hidden, []]),
        },
        split=split,
    )


def _examples(chain: Chain, reduction: str, inputs: Sequence[list[int]]) -> list[list[Any]]:
    return [[x, evaluate(chain, reduction, x)] for x in inputs]


def _telling(chain: Chain, reduction: str, public: Sequence[Sequence[Any]]) -> bool:
    """Whether the examples refute a constant and every program that leaves one operation out."""
    wants = [want for _, want in public]
    if all(want == wants[0] for want in wants):
        return False
    for left_out in range(len(chain)):
        rest = [*chain[:left_out], *chain[left_out + 1 :]]
        if all(evaluate(rest, reduction, x) == want for x, want in public):
            return False
    return True


def _prompt(rng: Random, chain: Chain, reduction: str) -> str:
    words = [
        rng.choice(OPERATIONS[kind].wordings).replace("{k}", str(constant))
        for kind, constant in chain
    ]
    return f"write f(x): {'; '.join(words)}; {rng.choice(REDUCTIONS[reduction].wordings)}"
