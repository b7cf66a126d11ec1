"""ToolRL: a reward for the shape of an answer, and one for its tool calls."""

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

Call = Mapping[str, Any]
"""`{"name": ..., "parameters": {...}}`"""

LARGEST = 3.0
"""The correctness reward lies between minus this and this."""


def toolrl_reward(text: str, truth: Sequence[Call], *, responds: bool = False) -> float:
    """Return the format reward plus the correctness reward, -3 to 4.

    Args:
        text: what the model wrote, with its calls as text, one JSON object a line.
        truth: the calls that are right.
        responds: whether a right answer has a `<response>`.

    Source: qiancheng0/ToolRL, verl/utils/reward_score/rlla.py at 8cee13e (read, and its numbers
    reproduced). Of its switches none is here: a schedule of weights is the shaper's. Deviation:
    a predicted call without a name or a table of parameters makes the calls unreadable even where
    no true call has its name.
    """
    shape = format_reward(text, calls=bool(truth), responds=responds)
    if not truth:
        return shape  # superfluous calls are punished by the format alone
    predicted = parse_calls(text)
    return shape + (-LARGEST if predicted is None else correctness(truth, predicted))


def format_reward(text: str, *, calls: bool, responds: bool) -> float:
    r"""Return 1 where the text has the right parts in the right order, each once, else 0.

    The parts are `<think>`, then `<tool_call>` (with its own lines) and `<response>` where they
    are due, a line break between them.

    >>> format_reward("<think>why</think>\n<response>42</response>", calls=False, responds=True)
    1.0
    """
    parts = [r"<think>.*?</think>"]
    parts += [r"<tool_call>\n.*?\n</tool_call>"] * calls + [r"<response>.*?</response>"] * responds
    tags = ["tool_call"] * calls + ["response"] * responds
    is_once = all(text.count(f"<{tag}>") == text.count(f"</{tag}>") == 1 for tag in tags)
    pattern = "\n".join(parts)
    return float(is_once and re.search(f"^{pattern}$", text, re.DOTALL) is not None)


def parse_calls(text: str) -> list[Call] | None:
    """Return the calls between the first `<tool_call>` and the next `</tool_call>`, or None.

    None where a tag is missing or a line is no call.
    """
    if "<tool_call>" not in text or "</tool_call>" not in text:
        return None
    inside = text.split("<tool_call>")[1].split("</tool_call>")[0].strip()
    try:
        calls = [json.loads(line) for line in inside.split("\n")]
    except (ValueError, RecursionError):  # no JSON, or brackets thousands deep
        return None
    return calls if all(map(_is_call, calls)) else None


def correctness(truth: Sequence[Call], predicted: Sequence[Call]) -> float:
    """Return how near the predicted calls are to the true ones, -3 to 3.

        S = J(names) + sum over true calls j of the best, among unused predicted calls of the same
            name, of J(parameter names) + number of equal values
        S_max = 1 + sum_j (1 + number of parameters of j)
        reward = 6 S / S_max - 3

    J is the Jaccard index of multisets. True calls choose in their order; a candidate that has
    nothing right is not used up. The order of calls plays no part. No true calls: 0, as there.

    >>> right = [{"name": "open", "parameters": {"id": 1}}]
    >>> correctness(right, right), correctness(right, [])
    (3.0, -3.0)
    """
    if not truth:
        return 0.0
    if list(truth) == list(predicted):
        return LARGEST
    score = _jaccard([call["name"] for call in truth], [call["name"] for call in predicted])
    unused = list(predicted)
    for call in truth:
        scores = [_similarity(call, each) for each in unused]
        best = max(scores, default=0.0)
        if best > 0:
            score += best
            del unused[scores.index(best)]
    most = 1 + sum(1 + len(call["parameters"]) for call in truth)
    return 2 * LARGEST * score / most - LARGEST


def _similarity(call: Call, other: Call) -> float:
    if call["name"] != other["name"]:
        return 0.0
    given, found = call["parameters"], other["parameters"]
    equal = sum(bool(name in found and found[name] == value) for name, value in given.items())
    return _jaccard(list(given), list(found)) + equal


def _jaccard(left: Sequence[str], right: Sequence[str]) -> float:
    if not left and not right:
        return 1.0
    counts, others = Counter(left), Counter(right)
    return (counts & others).total() / (counts | others).total()


def _is_call(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and isinstance(value.get("name"), str)
        and isinstance(value.get("parameters"), dict)
    )
