"""The scores of inspect as rewards."""

import re
from collections.abc import Mapping
from typing import Any

from agentgym.formats.reader import Part, Told
from agentgym.types import OUTCOME, Step

_GRADES = {"C": 1.0, "P": 0.5, "I": 0.0, "N": 0.0}
_WORDS = {"yes": 1.0, "true": 1.0, "no": 0.0, "false": 0.0}
_NUMBER = re.compile(r"[-+]?(\d{1,300}(\.\d*)?|\.\d+)([eE][-+]?\d{1,5})?", re.ASCII)


class Score(Part):
    """What a scorer gave."""

    value: Any = None


def with_scores(steps: list[Step], scores: Mapping[str, Score], told: Told) -> list[Step]:
    """Give the last step the scores; that of a single scorer is the outcome."""
    terms: dict[str, float] = {}
    values = {name: each.value for name, each in scores.items()}
    for name, value in values.items():
        inner = value.items() if isinstance(value, dict) else [(None, value)]
        for key, each in inner:
            number = _number(each)
            if number is None:
                told["with a score that is no number"] += 1
            else:
                terms[name if key is None else f"{name}/{key}"] = number
    if len(values) == 1 and list(terms) == list(values):
        terms = {OUTCOME: next(iter(terms.values()))}
    elif terms and OUTCOME not in terms:
        told["with several scores, none of which is the outcome"] += 1
    if steps:
        steps[-1].reward_terms = terms
    return steps


def _number(score: Any) -> float | None:
    """Return a score as inspect makes a number of it; None where it would take 0 for want of one."""
    if isinstance(score, str):
        score = _GRADES.get(score, _WORDS.get(score.lower(), score))
    if isinstance(score, str) and _NUMBER.fullmatch(score):
        score = float(score)
    is_number = isinstance(score, bool | int | float) and abs(score) < 1e308
    return float(score) if is_number else None
