"""BM25 over the articles of a corpus."""

import logging
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from agentgym.envs.search.corpus import Article, corpus
from agentgym.envs.search.text import words
from agentgym.tools import on_thread

if TYPE_CHECKING:
    from bm25s import BM25

_K1, _B = 0.9, 0.4  # Pyserini's: an article that mentions a name twice is not twice as good
_MAX_WORDS = 64  # of a query; more only cost time
_INDEXES: dict[tuple[int, int], "Index"] = {}
_LOCK = threading.Lock()


class Hit(NamedTuple):
    """An article that fits a query, and how well."""

    article: Article
    score: float


class Index:
    """Finds articles by their words; equal scores come in the order of the articles."""

    def __init__(self, articles: Sequence[Article]) -> None:
        self._articles = articles
        self._bm25 = _fitted([words(each.title) + words(each.text) for each in articles])

    def search(self, query: str, k: int) -> list[Hit]:
        """Return up to k articles with a word of the query, the best first.

        The order of its words and their number change nothing.
        """
        import numpy as np

        wanted = dict.fromkeys(words(query)[:_MAX_WORDS])
        # In one order, because sums of floats depend on it.
        tokens = sorted(self._bm25.get_tokens_ids(list(wanted)))
        if not tokens:
            return []
        scores = self._bm25.get_scores_from_ids(tokens)
        best = np.argsort(-scores, kind="stable")[:k].tolist()
        return [
            Hit(self._articles[place], float(scores[place])) for place in best if scores[place] > 0
        ]


class LocalRetriever:
    """Searches the index of a corpus, which is made on first use and shared by the process."""

    def __init__(self, documents: int, world: int) -> None:
        self._key = documents, world

    async def search(self, query: str, k: int) -> list[Hit]:
        """Return the best articles: 0.05 ms, so that only making the index takes a thread."""
        index = _INDEXES.get(self._key) or await on_thread(lambda: index_of(*self._key))
        return index.search(query, k)

    async def close(self) -> None:
        """Nothing is held."""


def index_of(documents: int, world: int) -> Index:
    """Return the index of a corpus, made once per process; threads may ask at once."""
    key = documents, world
    with _LOCK:
        if key not in _INDEXES:
            _INDEXES[key] = Index(corpus(documents, world).articles)
        return _INDEXES[key]


def _fitted(texts: list[list[str]]) -> "BM25":
    import bm25s

    # It asks for debug messages of itself when imported, whatever its user wants.
    logging.getLogger("bm25s").setLevel(logging.NOTSET)
    # Numbered in order of appearance: the library's own numbering follows the hashes of the words.
    numbers: dict[str, int] = {}
    tokens = [[numbers.setdefault(word, len(numbers)) for word in text] for text in texts]
    bm25: Any = bm25s.BM25(k1=_K1, b=_B, backend="numpy")
    bm25.index((tokens, numbers), show_progress=False)
    return bm25
