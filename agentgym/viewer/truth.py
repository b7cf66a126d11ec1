"""Token truth: recorded ids beside those that a tokenizer makes of their text.

Training uses the ids that were sampled. Where the text would be tokenised otherwise, whoever
tokenises it again trains on other tokens than the policy chose; those places are told here.
"""

from collections.abc import Sequence
from itertools import accumulate
from typing import Any

from numpy.typing import NDArray

from agentgym.viewer.pieces import Pieces

_AROUND = 64  # tokens of context on both sides: what a tokenizer does depends on what is near


def retokenised(
    pieces: Pieces, token_ids: Sequence[int] | NDArray[Any], *, first: int, stop: int
) -> list[list[int] | None]:
    """Return of each token from `first` to before `stop` what stands in its place; None: the same.

    Tokens that only together have another reading each have all ids of it.

    Raises:
        StoreError: the tokenizer cannot read its own text.
    """
    base, end = max(0, first - _AROUND), min(len(token_ids), stop + _AROUND)
    ids = [int(each) for each in token_ids[base:end]]
    found: list[list[int] | None] = [None] * len(ids)
    for start, last, other in _differences(pieces, ids):
        found[start:last] = [other] * (last - start)
    return found[first - base : stop - base]


def _differences(pieces: Pieces, ids: Sequence[int]) -> list[tuple[int, int, list[int]]]:
    """Return (first, stop, other ids) of each part that is tokenised otherwise."""
    texts = pieces.of(ids, first=0, stop=len(ids))
    text = "".join(each or "" for each in texts)
    again = pieces.encode(text)
    mine = _ends(texts)
    its = _ends(pieces.of(again, first=0, stop=len(again)))
    found, at, to = [], 0, 0
    for place in sorted(mine.keys() & its.keys()):
        own, other = list(ids[at : mine[place]]), again[to : its[place]]
        if own != other and all(texts[each] is not None for each in range(at, mine[place])):
            found.append((at, mine[place], other))
        at, to = mine[place], its[place]
    return found


def _ends(texts: Sequence[str | None]) -> dict[int, int]:
    """Return how many tokens there are up to each place in the text where one ends."""
    places = accumulate(len(each or "") for each in texts)
    return {place: count for count, place in enumerate(places, 1)}
