"""The articles about the invented world."""

import functools
import threading
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from agentgym.envs.search.dice import Dice
from agentgym.envs.search.relations import ASIDES, DATED_ASIDES, PLURALS, RELATIONS
from agentgym.envs.search.text import normalise
from agentgym.envs.search.world import Entity, make_world, number
from agentgym.types import digest

_ALIAS_SHARE = 0.15  # how often an article calls something by its other name
_ASIDE_SHARE = 0.7
_RIVERS_KNOWN = 1850
_LOCK = threading.Lock()


@dataclass(frozen=True, slots=True)
class Article:
    """What a search finds and what can be opened."""

    id: str
    title: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Corpus:
    """The world and the articles about it."""

    entities: tuple[Entity, ...]
    articles: tuple[Article, ...]
    """In the order of their ids; the article of each entity has its id."""
    mentions: Mapping[tuple[str, str], str]
    """(id, relation) -> the name that the article gives to the value."""
    by_name: Mapping[str, Entity]
    """Normalised name -> who bears it; no two share one."""
    by_id: Mapping[str, Entity]
    bearers: Mapping[tuple[str, str], Sequence[Entity]]
    """(relation, id) -> the subjects that have this value."""
    id: str
    """The same for equal articles only."""


def corpus(documents: int, world: int) -> Corpus:
    """Return the corpus of this size and seed, made once per process; threads may ask at once."""
    with _LOCK:
        return _make(documents, world)


@functools.lru_cache(maxsize=4)
def _make(documents: int, world: int) -> Corpus:
    entities = make_world(documents, seed=world)
    writer = _Writer(entities, Dice("search articles", documents, world))
    articles = tuple(Article(each.id, each.name, writer.text(each)) for each in entities)
    bearers: defaultdict[tuple[str, str], list[Entity]] = defaultdict(list)
    for entity in entities:
        for relation, value in entity.facts.items():
            if isinstance(value, Entity):
                bearers[relation, value.id].append(entity)
    return Corpus(
        entities=tuple(entities),
        articles=articles,
        mentions=writer.mentions,
        by_name={normalise(name): each for each in entities for name in each.names},
        by_id={each.id: each for each in entities},
        bearers=bearers,
        id=digest([[each.title, each.text] for each in articles]),
    )


class _Writer:
    """Writes one article after the other."""

    def __init__(self, entities: list[Entity], dice: Dice) -> None:
        self._dice = dice
        self._by_kind = {kind: [each for each in entities if each.kind == kind] for kind in PLURALS}
        self.mentions: dict[tuple[str, str], str] = {}

    def text(self, entity: Entity) -> str:
        """Say what it is, then the facts and some asides in random order."""
        article = "an" if entity.description[0] in "aeiou" else "a"
        alias = f", also known as {entity.alias}," if entity.alias else ""
        verb = "was" if entity.kind == "person" else "is"
        first = f"{entity.name}{alias} {verb} {article} {entity.description}."
        others = [*self._facts(entity), *self._asides(entity)]
        self._dice.shuffle(others)
        return " ".join(_capital(sentence) for sentence in (first, *others))

    def _facts(self, entity: Entity) -> Iterator[str]:
        for relation, value in entity.facts.items():
            told = str(value) if isinstance(value, int) else self._name(value)
            self.mentions[entity.id, relation] = told
            sentence = self._dice.pick(RELATIONS[relation].sentences)
            yield sentence.format(s=self._subject(entity), o=told)

    def _asides(self, entity: Entity) -> Iterator[str]:
        if self._dice.chance(_ASIDE_SHARE):
            aside = self._dice.pick(ASIDES[entity.kind])
            names = {str(kind): self._other(entity, kind) for kind in PLURALS}
            yield aside.format(s=self._subject(entity), **names)
        if self._dice.chance(_ASIDE_SHARE):
            aside = self._dice.pick(DATED_ASIDES[entity.kind])
            year = _begun(entity) + self._dice.between(2, 40)
            yield aside.format(s=self._subject(entity), year=year)

    def _subject(self, entity: Entity) -> str:
        """A name, or what it is: the novelist, the town."""
        noun = entity.description if entity.kind == "person" else entity.kind
        return self._dice.pick((entity.name, f"the {noun}", entity.alias or entity.name))

    def _name(self, entity: Entity) -> str:
        alias = entity.alias
        # "Ilvern" for "River Ilvern" would read as a town.
        other = alias and entity.kind != "river" and self._dice.chance(_ALIAS_SHARE)
        return alias if alias and other else entity.name

    def _other(self, entity: Entity, kind: str) -> str:
        """Name something that has nothing to do with it."""
        values = entity.facts.values()
        while True:
            other = self._dice.pick(self._by_kind[kind])  # type: ignore[index]
            if other is not entity and not any(other is value for value in values):
                return other.name


def _begun(entity: Entity) -> int:
    """Return the year of its birth, founding or publication."""
    years = (r for r in entity.facts if RELATIONS[r].value == "year")
    return next((number(entity, relation) for relation in years), _RIVERS_KNOWN)


def _capital(sentence: str) -> str:
    return sentence[0].upper() + sentence[1:]
