"""What counts as the same: words for search, names and answers, ids for citations."""

import re
import unicodedata

_WORD = re.compile(r"[^\W_]+")
_ARTICLES = frozenset({"a", "an", "the"})


def words(text: str) -> list[str]:
    """Return the words in order, without case, accents and punctuation.

    >>> words("The Åskel-river, 12 km")
    ['the', 'askel', 'river', '12', 'km']
    """
    if not text.isascii():
        parts = unicodedata.normalize("NFKD", text)
        text = "".join(char for char in parts if not unicodedata.combining(char))
    return _WORD.findall(text.casefold())


def normalise(text: str) -> str:
    """Return what two equal answers share: the words, without articles.

    >>> normalise(" *The* Copper   Heron. ")
    'copper heron'
    """
    return " ".join(word for word in words(text) if word not in _ARTICLES)


def citable(id: str) -> str:
    """Return an id as it is cited: in brackets, between spaces, and compared without case.

    >>> citable("Wiki 18, [3]")
    'wiki-18---3-'
    """
    return "".join("-" if char.isspace() or char in "[],;" else char for char in id.casefold())
