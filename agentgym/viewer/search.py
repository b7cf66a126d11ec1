"""What was said in the episodes of a run, and in which turn."""

import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from agentgym.errors import ConfigError, StoreError
from agentgym.types import Message, Trajectory
from agentgym.viewer.filter import Where, phrase, said
from agentgym.viewer.index import Index
from agentgym.viewer.listing import list_episodes
from agentgym.viewer.scenes import read_plain

MOST_HITS = 4
"""Turns of one episode that are shown."""

MOST_EPISODES = 50
"""Of one answer: each is opened."""

LONGEST_WORDS = 200
_AROUND = 80  # characters on each side of what was found
_LONGEST = 1 << 20  # characters of one message that are looked through


@dataclass(frozen=True, slots=True)
class Hit:
    """A place where something was said."""

    turn: int | None
    """None: in the prompt."""
    role: str
    before: str
    match: str
    """As it stands there."""
    after: str


def search(index: Index, words: str, where: Where, *, offset: int, limit: int) -> dict[str, Any]:
    """Return episodes in which these words stand one after another, and where; the last may go on.

    Raises:
        ConfigError: there are no words, or too many.
    """
    pattern = pattern_of(words)
    sql, values = f"({where.sql}) AND {said()}", (*where.values, phrase(words))
    found = Where(sql, values, wants_text=True)  # more of it is found as words are read
    page = list_episodes(index, found, sort="-", offset=offset, limit=min(limit, MOST_EPISODES))
    rows = []
    for row in page.rows:
        hits, more = _hits(index, row["id"], pattern)
        rows.append(row | {"hits": [asdict(hit) for hit in hits], "more": more})
    return {"total": page.total, "rows": rows}


def pattern_of(words: str) -> re.Pattern[str]:
    r"""Return what finds words as the index does: in any case, whatever stands between them.

    >>> pattern_of("red door").search("a Red, doorknob")
    <re.Match object; span=(2, 10), match='Red, door'>

    Raises:
        ConfigError: there are none, or too many.
    """
    found = re.findall(r"\w+", words)
    if not found or len(words) > LONGEST_WORDS:
        raise ConfigError(f"expected words, at most {LONGEST_WORDS} characters of them")
    between = r"[\W_]+"
    return re.compile(rf"(?<![^\W_]){between.join(map(re.escape, found))}", re.IGNORECASE)


def hits_in(trajectory: Trajectory, pattern: re.Pattern[str]) -> Iterator[Hit]:
    """Yield the first place of every turn where something was said."""
    for message in trajectory.prompt:
        yield from _in_message(message, None, pattern)
    for turn, step in enumerate(trajectory.steps):
        for message in (step.message, *step.replies):
            hit = next(_in_message(message, turn, pattern), None)
            if hit is not None:
                yield hit
                break


def _hits(index: Index, name: str, pattern: re.Pattern[str]) -> tuple[list[Hit], int]:
    """Return the first hits in an episode, and how many more there are; of a broken one none."""
    try:
        head = index.head(name)
        found = list(hits_in(read_plain(head), pattern)) if head else []
    except StoreError:
        return [], 0
    return found[:MOST_HITS], len(found[MOST_HITS:])


def _in_message(message: Message, turn: int | None, pattern: re.Pattern[str]) -> Iterator[Hit]:
    calls = [f"{call.name} {call.arguments}" for call in message.tool_calls]
    for text in (message.content, *calls):
        match = pattern.search(text, 0, _LONGEST)
        if match is not None:
            start, stop = match.span()
            before, after = text[max(0, start - _AROUND) : start], text[stop : stop + _AROUND]
            yield Hit(turn, message.role, before, match[0], after)
