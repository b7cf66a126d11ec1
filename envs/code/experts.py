"""Scripted agents: one that knows, and an imperfect teacher to imitate."""

import json
from collections.abc import Sequence
from random import Random

from agentgym.env import Script
from agentgym.envs.code.tasks import OPERATIONS, program
from agentgym.types import Message, Task, ToolCall, derive_seed

KNOWN = 0.65
"""How often the teacher does an operation right that it knows."""
BELIEVED = (0.3, 0.5)
"""Of one it is mistaken about: how often right, and how often its favourite mistake."""
MISTAKEN = frozenset({"above", "cap", "drop", "multiple", "scale", "unique"})
RETRY = 0.6
SLIP = 0.04
MAX_TESTS = 3


def expert(task: Task) -> Script:
    """Return the agent that tests the right program and hands it in."""

    def script(messages: Sequence[Message]) -> Message:
        return _submit() if messages[-1].role == "tool" else _run_tests(str(task.answer))

    return script


def teacher(task: Task, seed: int) -> Script:
    """Return an agent that is mistaken about some operations and does not always try again.

    Whoever repeats what it does most often fails wherever it is mistaken, so that imitation is
    not enough. After a failure it tries different code, or hands in what it has; a program that
    passed is handed in.
    """
    rng = Random(derive_seed("teacher", task.id, seed))
    tried: list[str] = []

    def script(messages: Sequence[Message]) -> Message:
        if messages[-1].role == "tool":
            passed = messages[-1].content == "pass"
            if passed or len(tried) == MAX_TESTS or rng.random() > RETRY:
                return _submit()
        while (code := _attempt(rng, task)) in tried:
            pass
        tried.append(code)
        return _run_tests(code)

    return script


def _attempt(rng: Random, task: Task) -> str:
    chain = task.payload["operations"]
    expressions = [_expression(rng, kind) for kind, _ in chain]
    code = program(chain, task.payload["reduction"], expressions)
    return rng.choice(_SLIPS)(code) if rng.random() < SLIP else code


def _expression(rng: Random, kind: str) -> str:
    right, favourite = BELIEVED if kind in MISTAKEN else (KNOWN, (1 - KNOWN) / 2)
    weights = (right, favourite, 1 - right - favourite)
    operation = OPERATIONS[kind]
    return rng.choices((operation.code, *operation.wrong), weights)[0]


# Slips bring the words of their errors into what is imitated, so that a vocabulary made of it
# knows them.
_SLIPS = (
    lambda code: code.replace("return ", "return ("),
    lambda code: code.replace("return ", "return y + "),
)


def _run_tests(code: str) -> Message:
    return _call("run_tests", {"code": code})


def _submit() -> Message:
    return _call("submit", {})


def _call(name: str, arguments: dict[str, str]) -> Message:
    return Message("assistant", tool_calls=(ToolCall(name, json.dumps(arguments)),))
