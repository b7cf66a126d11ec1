"""Questions in three tiers, drawn without end, and what the test split keeps for itself."""

import functools
import zlib
from collections.abc import Callable, Iterator, Sequence
from itertools import count, cycle
from typing import NamedTuple

from agentgym.envs.search.corpus import Corpus, corpus
from agentgym.envs.search.dice import Dice
from agentgym.envs.search.plan import Plan, Solution, Step, ask, solve
from agentgym.envs.search.relations import PLURALS, RELATIONS, Kind
from agentgym.envs.search.text import normalise, words
from agentgym.envs.search.world import Entity
from agentgym.types import Task, digest

NUM_TEST = 256
_NAMED_SHARE = 8  # one entity in so many is named by test questions only
_COMPOSITION_SHARE = 5  # one composition of steps in so many is asked by test questions only
_FIND_SHARE = 0.35
_ALIAS_SHARE = 0.6


class Draft(NamedTuple):
    """A plan that has been drawn, and what its names stand for."""

    plan: Plan
    kind: Kind


Draw = Callable[["_Drawer"], Draft | None]


def make_tasks(tier: str, split: str, *, documents: int, world: int) -> Iterator[Task]:
    """Yield the tasks of one tier: train without end, test 256 different ones."""
    facts = corpus(documents, world)
    is_test = split == "test"
    dice = Dice("search questions", tier, split, documents, world)
    drawer = _Drawer(facts, dice, _named(documents, world, is_test), aliases=tier == "hard")
    numbers = count()
    seen: set[str] = set()
    for label, draw in cycle(TIERS[tier]):
        task = None
        while task is None or task.id in seen:
            task = _task(label, draw(drawer), drawer, is_test=is_test, number=next(numbers))
        yield task
        if is_test:
            seen.add(task.id)
            if len(seen) == NUM_TEST:
                return


def held_out_name(entity: Entity) -> bool:
    """Whether only test questions name this."""
    return zlib.crc32(entity.name.encode()) % _NAMED_SHARE == 0


def held_out_steps(steps: Sequence[Step]) -> bool:
    """Whether only test questions are composed like this; single steps never are kept."""
    composition = Plan((), tuple(steps)).composition
    return len(steps) > 1 and zlib.crc32(composition.encode()) % _COMPOSITION_SHARE == 0


@functools.lru_cache(maxsize=8)
def _named(documents: int, world: int, is_test: bool) -> tuple[Entity, ...]:
    """Return what questions of a split may name."""
    entities = corpus(documents, world).entities
    return tuple(each for each in entities if held_out_name(each) == is_test)


def _task(
    label: str, draft: Draft | None, drawer: "_Drawer", *, is_test: bool, number: int
) -> Task | None:
    """Return the task; None where the draft is no good question of this split."""
    if draft is None:
        return None
    if len(draft.plan.steps) > 1 and held_out_steps(draft.plan.steps) != is_test:
        return None
    solution = solve(draft.plan, drawer.corpus)
    if solution is None:
        return None
    question = ask(draft.plan, draft.kind, drawer.dice)
    if _gives_away(question, solution):
        return None
    name = digest(question)
    return Task(
        question,
        id=name if is_test else f"{name}-{number}",
        answer=solution.answer,
        payload={
            "kind": label,
            "corpus": drawer.corpus.id,
            **draft.plan.payload(),
            "accepted": list(solution.accepted),
            "documents": list(solution.documents),
        },
    )


def _gives_away(question: str, solution: Solution) -> bool:
    """Whether a spelling of the answer stands in the question."""
    asked = f" {' '.join(words(question))} "
    return any(f" {' '.join(words(name))} " in asked for name in solution.accepted)


class _Drawer:
    """Draws plans; most have a solution, which is looked at afterwards."""

    def __init__(
        self, corpus: Corpus, dice: Dice, named: Sequence[Entity], *, aliases: bool
    ) -> None:
        self.corpus = corpus
        self.dice = dice
        self._named = named
        self._of_kind = {
            kind: tuple(each for each in named if each.kind == kind) for kind in PLURALS
        }
        self._renamed = tuple(each for each in named if each.alias)
        self._aliases = aliases

    def chain(self, hops: int, *, find: bool = False) -> Draft | None:
        """From one entity over others to an entity or a number."""
        start = self._start()
        walk = self._walk(start, hops, find=find)
        return self._draft((start,), walk) if walk else None

    def compare(self, number: int, hops: int) -> Draft | None:
        """From several of a kind to one of them, and on from there."""
        kind = self._start().kind
        starts = tuple(self.dice.some(self._of_kind[kind], number))
        return self._continued(starts, (self._extreme(kind),), hops)

    def choose(self, hops: int) -> Draft | None:
        """From an entity to all that point to it, to one of these, and on from there."""
        start = self._start()
        inverses = _INVERSES.get(start.kind)
        if not inverses:
            return None
        step = Step("find", self.dice.pick(inverses))
        return self._continued((start,), (step, self._extreme(step.of.subject)), hops)

    def _start(self) -> Entity:
        """Draw something to name; where other names are used, oftener one that has another."""
        renamed = self._renamed if self._aliases and self.dice.chance(_ALIAS_SHARE) else ()
        return self.dice.pick(renamed or self._named)

    def _continued(
        self, starts: tuple[Entity, ...], begin: tuple[Step, ...], hops: int
    ) -> Draft | None:
        reached = solve(Plan(tuple(each.name for each in starts), begin), self.corpus)
        if reached is None:
            return None
        walk = self._walk(self.corpus.by_name[normalise(reached.answer)], hops, find=False)
        if not walk or walk[0].relation == begin[-1].relation:  # the birth year of the oldest
            return None
        return self._draft(starts, begin + walk)

    def _walk(self, here: Entity, hops: int, *, find: bool) -> tuple[Step, ...]:
        """Step from entity to entity, and perhaps to a number last; empty where no way leads on."""
        steps: list[Step] = []
        for left in range(hops, 0, -1):
            ways = self._finds(here) if find and self.dice.chance(_FIND_SHARE) else []
            ways = ways or self._gets(here, last=left == 1)
            if not ways:
                return ()
            step, there = self.dice.pick(ways)
            steps.append(step)
            if isinstance(there, Entity):
                here = there
        return tuple(steps)

    def _gets(self, here: Entity, *, last: bool) -> list[tuple[Step, Entity | int]]:
        return [
            (Step("get", relation), value)
            for relation, value in here.facts.items()
            if last or isinstance(value, Entity)
        ]

    def _finds(self, here: Entity) -> list[tuple[Step, Entity | int]]:
        found = (
            (relation, self.corpus.bearers.get((relation, here.id), ()))
            for relation in _INVERSES.get(here.kind, ())
        )
        return [(Step("find", relation), each[0]) for relation, each in found if len(each) == 1]

    def _extreme(self, kind: Kind) -> Step:
        return Step(self.dice.pick(("least", "most")), _ORDERED[kind])

    def _draft(self, starts: tuple[Entity, ...], steps: tuple[Step, ...]) -> Draft:
        other_names = self._aliases and steps[:1] and steps[0].verb != "find"
        names = tuple(
            each.alias
            if each.alias and other_names and self.dice.chance(_ALIAS_SHARE)
            else each.name
            for each in starts
        )
        return Draft(Plan(names, steps), starts[0].kind)


_INVERSES: dict[str, list[str]] = {
    kind: [name for name, each in RELATIONS.items() if each.inverse and each.value == kind]
    for kind in PLURALS
}
_ORDERED = {each.subject: name for name, each in RELATIONS.items() if each.order}

TIERS: dict[str, tuple[tuple[str, Draw], ...]] = {
    "easy": (
        ("1-hop", lambda drawer: drawer.chain(1)),
        ("2-hop", lambda drawer: drawer.chain(2)),
    ),
    "medium": (
        ("2-hop", lambda drawer: drawer.chain(2, find=True)),
        ("3-hop", lambda drawer: drawer.chain(3, find=True)),
    ),
    "hard": (
        ("3-hop", lambda drawer: drawer.chain(3, find=True)),
        ("compare", lambda drawer: drawer.compare(2, hops=2)),
        ("choose", lambda drawer: drawer.choose(hops=2)),
        ("4-hop", lambda drawer: drawer.chain(4, find=True)),
        ("compare", lambda drawer: drawer.compare(3, hops=1)),
        ("choose", lambda drawer: drawer.choose(hops=1)),
    ),
}
"""Of each tier the kinds of questions, in turn."""
