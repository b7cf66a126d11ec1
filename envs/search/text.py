"""What counts as the same words: for search, for names and for answers."""

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
