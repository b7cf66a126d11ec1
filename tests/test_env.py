import json
from bisect import bisect_left

from agentgym.env import action_key
from agentgym.types import Message, ToolCall


def nested(depth: int) -> str:
    return "[" * depth + "]" * depth


def is_too_deep(depth: int) -> bool:
    try:
        json.loads(nested(depth))
    except RecursionError:
        return True
    return False


def test_arguments_of_any_depth_have_a_key() -> None:
    deepest = bisect_left(range(100_000), True, key=is_too_deep)
    for depth in range(deepest - 20, deepest + 5):
        calls = (ToolCall("run", nested(depth)),)
        assert nested(depth) in action_key(Message("assistant", tool_calls=calls))
