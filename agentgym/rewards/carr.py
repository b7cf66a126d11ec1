"""CaRR: which of a question's rubrics an answer's citations support."""

from collections import defaultdict, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Rubric:
    """A statement about hidden entities, as a judge found it."""

    entities: Iterable[str]
    """The names of the placeholders in it, E0 for the answer."""
    supported: bool
    """Whether the answer names all of them and the pages it cites support the statement."""

    def __post_init__(self) -> None:
        """Refuse one text, which would be taken for its letters."""
        if isinstance(self.entities, str):
            raise ValueError(f"entities should be several names, not the text {self.entities!r}")


def rubric_reward(rubrics: Sequence[Rubric], *, answer: str = "E0") -> float:
    """Return the share of the rubrics that are supported and hang together with the answer.

    A rubric counts where it is supported and can be reached from the entity `answer` over
    supported rubrics that share entities. No rubrics give 0.

    Who calls it asks a model which entities an answer names, and whether the cited pages (the
    authors: at most 20, only those really visited) support each statement; a judge that fails
    and an unfinished episode give 0 there.

    Source: THUDM/CaRR, deepsearch_rm_with_rubrics/launch_server.py at e81b314 (read).

    >>> rubric_reward([Rubric(("E0", "E1"), True), Rubric(("E1",), True), Rubric(("E2",), True)])
    0.6666666666666666
    """
    if not rubrics:
        return 0.0
    entities = [tuple(rubric.entities) for rubric in rubrics]
    supporting: defaultdict[str, list[int]] = defaultdict(list)
    for number, rubric in enumerate(rubrics):
        if rubric.supported:
            for entity in entities[number]:
                supporting[entity].append(number)
    seen, reached, queue = {answer}, set[int](), deque([answer])
    while queue:
        for number in supporting[queue.popleft()]:
            reached.add(number)
            fresh = set(entities[number]) - seen
            seen |= fresh
            queue.extend(fresh)
    return len(reached) / len(rubrics)
