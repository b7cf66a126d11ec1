"""The problems of the calculator in three tiers, and the script that solves them."""

import random
from collections.abc import Iterator, Sequence
from itertools import count

from agentgym.env import Script
from agentgym.envs.calculator.arithmetic import evaluate
from agentgym.types import Message, Task, ToolCall, digest

_NUM_TEST = 256
_TEST_SHARE = 8  # one problem in so many belongs to the test split

Problem = tuple[str, str]
"""(question, expression)"""


def make_tasks(tier: str, split: str) -> Iterator[Task]:
    """Yield the tasks of one tier: train without end, test a few different ones.

    A problem is of one split only, by its digest.
    """
    is_test = split == "test"
    rng = random.Random(f"calculator {tier} {split}")
    seen: set[str] = set()
    for number in count():
        question, expression = _MAKERS[tier](rng)
        name = digest(question)
        if name in seen or (int(name, 16) % _TEST_SHARE == 0) != is_test:
            continue
        yield Task(
            question,
            id=f"{name}-{number}",
            answer=int(evaluate(expression)),
            payload={"expression": expression},
            split=split,
        )
        if is_test:
            seen.add(name)
            if len(seen) == _NUM_TEST:
                return


def solve(task: Task) -> Script:
    """Return the script that calculates, then repeats what the tool said."""
    call = ToolCall("calc", f'{{"expression": "{task.payload["expression"]}"}}', "call_0")

    def script(conversation: Sequence[Message]) -> Message:
        last = conversation[-1]
        if last.role == "tool":
            return Message("assistant", last.content)
        return Message("assistant", tool_calls=(call,))

    return script


def _easy(rng: random.Random) -> Problem:
    a, b, c = (rng.randint(2, 99) for _ in range(3))
    first, second = rng.choice("+-*"), rng.choice("+-")
    expression = f"{a} {first} {b} {second} {c}"
    return f"What is {expression}?", expression


def _medium(rng: random.Random) -> Problem:
    a, b, c, d, e = (rng.randint(2, 99) for _ in range(5))
    first, second, third = (rng.choice("+-") for _ in range(3))
    expression = rng.choice(
        (
            f"({a} {first} {b}) * ({c} {second} {d}) {third} {e}",
            f"{a} * ({b} {first} {c} * {d}) {second} {e}",
            f"(({a} {first} {b}) * {c} {second} {d}) * {e}",
        )
    )
    return f"What is {expression}?", expression


def _hard(rng: random.Random) -> Problem:
    return rng.choice((_shop, _trip, _tank))(rng)


def _shop(rng: random.Random) -> Problem:
    boxes, each, sold, price = (rng.randint(11, 99) for _ in range(4))
    boxes += sold
    question = (
        f"A shop buys {boxes} boxes with {each} pens in each. It throws {sold} pens away and sells "
        f"the others for {price} cents each. How many cents does it take in?"
    )
    return question, f"({boxes} * {each} - {sold}) * {price}"


def _trip(rng: random.Random) -> Problem:
    days, slow, fast, rest = (rng.randint(11, 99) for _ in range(4))
    question = (
        f"A ship sails {slow} miles a day for {days} days, rests for {rest} days, then sails "
        f"{fast} miles a day for twice as many days as at first. How many miles is that?"
    )
    return question, f"{slow} * {days} + {fast} * 2 * {days}"


def _tank(rng: random.Random) -> Problem:
    flow, hours, leak, start = (rng.randint(11, 99) for _ in range(4))
    flow += leak
    question = (
        f"A tank holds {start} litres. For {hours} hours, {flow} litres flow in every hour and "
        f"{leak} litres leak out every hour. How many litres are in it then?"
    )
    return question, f"{start} + {hours} * ({flow} - {leak})"


_MAKERS = {"easy": _easy, "medium": _medium, "hard": _hard}
TIERS = tuple(_MAKERS)
