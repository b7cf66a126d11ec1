"""Reading a final answer, and how right it is."""

import re
from collections.abc import Collection
from typing import NamedTuple

from agentgym.envs.search.text import normalise

_MAX_CHARS = 200  # of an answer; names are short
_LABEL = re.compile(r"[\s*_#>`-]{0,20}(?:final )?answer[\s*_`]{0,20}:", re.IGNORECASE)
_CITED = re.compile(r"\[([^\[\]\n]{0,1000})\]")


class Answer(NamedTuple):
    """What a policy said in the end."""

    text: str
    """Normalised; empty where there is no single answer."""
    citations: frozenset[str]


def read_answer(text: str) -> Answer:
    r"""Read `answer: the Copper Heron [d0042] [d0007]`.

    The label may be in any case and in bold. Where no line has one, a text of one line is the
    answer. Two different answers are none. Citations stand in square brackets, anywhere.

    >>> read_answer("It was founded by her.\n**Answer:** The Copper Heron. [d0042, d0007]").text
    'copper heron'
    """
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    labelled = [(line, match.end()) for line in lines if (match := _LABEL.match(line))]
    candidates = [line[end:] for line, end in labelled] or (lines if len(lines) == 1 else [])
    answers = {_plain(candidate) for candidate in candidates}
    return Answer(answers.pop() if len(answers) == 1 else "", _citations(text))


def is_right(answer: Answer, accepted: Collection[str]) -> bool:
    """Return whether the answer is one of the accepted names, and nothing beside it."""
    return bool(answer.text) and answer.text in {normalise(each) for each in accepted}


def citation_score(
    cited: Collection[str], *, opened: Collection[str], gold: Collection[str]
) -> float:
    """Return F1 of what was cited: all of gold and nothing else; unread articles do not count.

    >>> citation_score({"d1", "d2"}, opened={"d1", "d2"}, gold={"d1"})
    0.6666666666666666
    """
    right = len(set(cited) & set(opened) & set(gold))
    return 2 * right / (len(set(cited)) + len(set(gold))) if right else 0.0


def recall(opened: Collection[str], gold: Collection[str]) -> float:
    """Return the share of gold that was opened."""
    return len(set(opened) & set(gold)) / len(set(gold)) if gold else 0.0


def _plain(candidate: str) -> str:
    text = _CITED.sub(" ", candidate).strip()
    return normalise(text) if len(text) <= _MAX_CHARS else ""


def _citations(text: str) -> frozenset[str]:
    ids = (part for inside in _CITED.findall(text) for part in re.split(r"[\s,;]+", inside))
    return frozenset(each.casefold() for each in ids if each)
