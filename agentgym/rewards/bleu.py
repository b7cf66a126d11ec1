"""BLEU that is fair to short references."""

import math
from collections import Counter
from collections.abc import Sequence


def length_aware_bleu(answer: str, reference: str) -> float:
    """Return BLEU with n-grams no longer than the reference, 0 to 1.

    The geometric mean of the clipped precisions of n-grams, n = 1 ... min(4, words of the
    reference), times exp(1 - r / c) where the answer (c words) is shorter than the reference (r).
    An exact answer of one word has 1; plain BLEU of order 4 has 0. Words are what white space
    separates, as they are. An empty reference is matched by an empty answer alone.

    Source: PRS, arXiv:2512.07478, names a length-aware BLEU for short answers. Reconstructed from
    its abstract: the cap by the length of the reference is ours.

    >>> length_aware_bleu("paris", "paris"), length_aware_bleu("the city of paris", "paris")
    (1.0, 0.25)
    """
    words, expected = answer.split(), reference.split()
    if not words or not expected:
        return float(words == expected)
    orders = range(1, min(4, len(expected)) + 1)
    precisions = [_precision(words, expected, order) for order in orders]
    if min(precisions) == 0:
        return 0.0
    mean = math.exp(sum(map(math.log, precisions)) / len(precisions))
    return mean * min(1.0, math.exp(1 - len(expected) / len(words)))


def _precision(words: Sequence[str], expected: Sequence[str], order: int) -> float:
    found, wanted = _ngrams(words, order), _ngrams(expected, order)
    return (found & wanted).total() / max(1, found.total())


def _ngrams(words: Sequence[str], order: int) -> Counter[tuple[str, ...]]:
    starts = range(len(words) - order + 1)
    return Counter(tuple(words[start : start + order]) for start in starts)
