"""Anchors of GiGPO that need not be equal: states whose texts are similar enough.

Clustering is by leaders, in the order of the rows: a text joins the first leader that it is
similar to, or becomes one. Similarity is the ratio of difflib's SequenceMatcher, and most pairs
are decided by cheaper bounds on it. What is left costs time that grows with the square of the
length: about half a second for a pair of 3,000 letters that are nearly as alike as asked for.
"""

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import groupby, pairwise
from operator import eq

import numpy as np

from agentgym.errors import ConfigError
from agentgym.trainers.credit.base import Ints, StepTable, number_rows, unshared

_EVERY = 16  # letters between two looks at what can still be matched
_ROUNDING = 1e-6  # a product such as 0.9 * 1000 / 2 may lie above the whole number that it is
_DIGEST = re.compile("[0-9a-f]{16}")


def similar_anchors(table: StepTable, *, similarity: float, autojunk: bool = False) -> Ints:
    """Number the steps [S]: equal where their states are similar, and of the same group.

    Args:
        table: the steps.
        similarity: the least ratio.
        autojunk: as verl-agent has it: in texts of 200 characters and more, difflib then ignores
            each character that makes up over 1 % of them, so that most texts are unlike all others.

    Raises:
        ConfigError: the table has digests of states, and no texts.
    """
    known = table.state >= 0
    leaders = unshared(table.state)
    if known.any():
        texts = _texts(table, np.unique(table.state[known]))
        pairs = np.stack([table.step_group[known], table.state[known]], axis=1)
        distinct, first, place = np.unique(pairs, axis=0, return_index=True, return_inverse=True)
        found = np.empty(len(distinct), dtype=np.int64)
        starts = np.searchsorted(distinct[:, 0], np.arange(table.num_groups + 1))
        for start, stop in pairwise(starts.tolist()):
            rows = start + np.argsort(first[start:stop])
            chosen = _leaders([texts[state] for state in distinct[rows, 1]], similarity, autojunk)
            found[rows] = distinct[rows[chosen], 1]
        leaders[known] = found[place.reshape(-1)]
    return number_rows(table.step_group, leaders)


def _texts(table: StepTable, states: Ints) -> dict[int, str]:
    """Return the observation of each state; its key, where that is not a digest."""
    texts = {}
    for state in states.tolist():
        observed = table.state_texts[state] if table.state_texts else ""
        key = table.state_keys[state] if table.state_keys else ""
        is_readable = key and not _DIGEST.fullmatch(key)
        if not is_readable and not table.state_texts:
            raise ConfigError(
                f"similar anchors need the texts of states, and of the state {key!r} the table "
                "has the digest only",
                hint='use credit.anchors = "exact", or a table by build_table of whole episodes',
            )
        texts[state] = observed or (key if is_readable else "")
    return texts


def _leaders(texts: Sequence[str], similarity: float, autojunk: bool) -> list[int]:
    """Return for each text the place of its leader, which may be itself."""
    letters = {letter: place for place, letter in enumerate(sorted(set("".join(texts))))}
    counts = np.zeros((len(texts), len(letters)), dtype=np.int32)
    for row, text in enumerate(texts):
        for letter, count in Counter(text).items():
            counts[row, letters[letter]] = count
    sizes = np.array([len(text) for text in texts])
    leaders: list[_Leader] = []
    places = np.zeros(len(texts), dtype=np.int64)  # of the leaders; the first len(leaders) count
    chosen: list[int] = []
    for row, text in enumerate(texts):
        shared = np.minimum(counts[places[: len(leaders)]], counts[row]).sum(axis=1)
        most = _ratio(shared, sizes[places[: len(leaders)]] + sizes[row])
        close = np.flatnonzero(most >= similarity).tolist()
        joined = next((n for n in close if leaders[n].leads(text, similarity, autojunk)), None)
        if joined is None:
            joined = len(leaders)
            places[joined] = row
            leaders.append(_Leader(text))
        chosen.append(int(places[joined]))
    return chosen


def _ratio(matches: Ints, sizes: Ints) -> "np.ndarray[tuple[int, ...], np.dtype[np.float64]]":
    """Return difflib's ratio; two empty texts are alike."""
    return np.where(sizes == 0, 1.0, 2.0 * matches / np.maximum(sizes, 1))


@dataclass(slots=True)
class _Leader:
    """The first text of a cluster, and where each letter stands in it."""

    text: str
    bits: dict[str, int]

    def __init__(self, text: str) -> None:
        self.text = text
        self.bits = {}
        for place, letter in enumerate(text):
            self.bits[letter] = self.bits.get(letter, 0) | 1 << place

    def leads(self, text: str, similarity: float, autojunk: bool) -> bool:
        """Whether the ratio of `text` and this one is at least `similarity`."""
        if text == self.text:
            return True
        size = len(text) + len(self.text)
        needed = math.ceil(similarity * size / 2 - _ROUNDING)
        if not self._may_match(text, needed):
            return False
        if autojunk:
            return SequenceMatcher(None, text, self.text).ratio() >= similarity
        return 2.0 * matches(text, self.text) / size >= similarity

    def _may_match(self, text: str, needed: int) -> bool:
        """Whether a common subsequence of the length `needed` is possible.

        One bit for each letter of the leader, all of them moved at once by an addition (Allison
        and Dix, 1986; the form of Hyyro, 2004). Letters are matched only where so many remain
        unmatched as may, which is a band around the diagonal.
        """
        right = len(self.text) - needed
        band = (1 << (right + len(text) - needed + 1)) - 1
        back = len(text) - needed
        full = unmatched = (1 << len(self.text)) - 1
        for place, letter in enumerate(text):
            near = band << (place - back) if place >= back else band >> (back - place)
            matched = unmatched & self.bits.get(letter, 0) & near
            unmatched = (unmatched + matched | unmatched - matched) & full
            if place % _EVERY == 0:
                found = len(self.text) - unmatched.bit_count()
                if found + len(text) - 1 - place < needed:
                    return False
        return len(self.text) - unmatched.bit_count() >= needed


def matches(a: str, b: str) -> int:
    """Return how many letters difflib matches without its autojunk.

    The longest common block, the first of them in `a` and then in `b`; and the same again to the
    left and to the right of it.

    >>> matches("tide", "diet"), matches("diet", "tide")
    (1, 2)
    """
    total, rest = 0, [(a, b)]
    while rest:
        a, b = rest.pop()
        if length := _longest(a, b):
            blocks = _blocks(b, length)
            i = next(place for place in range(len(a)) if a[place : place + length] in blocks)
            j = b.index(a[i : i + length])
            total += length
            rest += [(a[:i], b[:j]), (a[i + length :], b[j + length :])]
    return total


def _longest(a: str, b: str) -> int:
    """Return the length of the longest common block: by halving, since its parts are common too."""
    least, most = max(_aligned(a, b), _aligned(a[::-1], b[::-1])), min(len(a), len(b))
    if least < most and not _have_common(a, b, least + 1):  # mostly so, where little was changed
        return least
    while least < most:
        middle = (least + most + 1) // 2
        if _have_common(a, b, middle):
            least = middle
        else:
            most = middle - 1
    return least


def _aligned(a: str, b: str) -> int:
    """Return the length of the longest common block that stands at the same place."""
    return max((len(list(run)) for equal, run in groupby(map(eq, a, b)) if equal), default=0)


def _have_common(a: str, b: str, length: int) -> bool:
    return not _blocks(a, length).isdisjoint(
        b[place : place + length] for place in range(len(b) - length + 1)
    )


def _blocks(text: str, length: int) -> set[str]:
    return {text[place : place + length] for place in range(len(text) - length + 1)}
