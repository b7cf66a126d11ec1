"""The invented world: who and what there is, and the facts, which never contradict each other.

Nobody writes a book before being born, nothing is published by a company that does not exist
yet. Years rise from towns over people to what they make.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field

from agentgym.envs.search.dice import Dice
from agentgym.envs.search.names import Names
from agentgym.envs.search.relations import DESCRIPTIONS, ROLES, Kind

_SHARES: dict[Kind, float] = {
    "town": 0.13,
    "river": 0.05,
    "company": 0.13,
    "book": 0.16,
    "band": 0.08,
    "invention": 0.09,
    "school": 0.03,
}  # the others are people
_BIRTHS = (1780, 1965)
_PATRONS = (1780, 1860)  # born early, so that there are schools for most people


@dataclass(slots=True)
class Entity:
    """Something with an article of its own."""

    kind: Kind
    name: str
    description: str
    alias: str | None = None
    role: str = ""
    id: str = ""
    facts: dict[str, "Entity | int"] = field(default_factory=dict)
    """Relation -> value; a relation that is missing is not told."""

    @property
    def names(self) -> tuple[str, ...]:
        """Every name it answers to."""
        return (self.name, self.alias) if self.alias else (self.name,)


def make_world(documents: int, *, seed: int) -> list[Entity]:
    """Make as many entities, in the order of their ids: d0001, d0002 and so on.

    The order is random, so that an id tells nothing about what it stands for.
    """
    dice = Dice("search world", documents, seed)
    entities = _World(documents, dice).entities
    dice.shuffle(entities)
    for place, entity in enumerate(entities, start=1):
        entity.id = f"d{place:04d}"
    return entities


def number(entity: Entity, relation: str) -> int:
    """Return a fact that is a number."""
    value = entity.facts[relation]
    assert isinstance(value, int)
    return value


class _World:
    """Makes kind after kind; each relates to those before it."""

    def __init__(self, documents: int, dice: Dice) -> None:
        self.dice = dice
        self._names = Names(dice)
        numbers = {kind: int(share * documents) for kind, share in _SHARES.items()}
        self._rivers = [self._river() for _ in range(numbers["river"])]
        self._towns: list[Entity] = []
        for _ in range(numbers["town"]):
            self._towns.append(self._town())
        people = [self._person() for _ in range(documents - sum(numbers.values()))]
        self._people = _Timeline(people, "person.born")
        self._playing = {
            role: _Timeline([each for each in people if each.role == role], "person.born")
            for role in ROLES
        }
        schools = [self._school() for _ in range(numbers["school"])]
        self._schools = _Timeline(schools, "school.opened")
        companies = [self._company() for _ in range(numbers["company"])]
        self._companies = _Timeline(companies, "company.founded")
        books = [self._book() for _ in range(numbers["book"])]
        self._books = _Timeline(books, "book.published")
        bands = [self._band() for _ in range(numbers["band"])]
        inventions = [self._invention() for _ in range(numbers["invention"])]
        self._relate(companies)
        self.entities = [
            *(*self._rivers, *self._towns, *people),
            *(*schools, *companies, *books, *bands, *inventions),
        ]

    def _river(self) -> Entity:
        word = self._names.river()
        river = self._entity("river", f"River {word}", alias=word)
        river.facts["river.length"] = self.dice.between(21, 399)
        return river

    def _town(self) -> Entity:
        town = self._entity("town", self._names.town([each.name for each in self._towns]))
        if self.dice.chance(0.2):
            town.alias = self._names.coined_town()
        town.facts["town.founded"] = self.dice.between(1100, 1740)
        town.facts["town.river"] = self.dice.pick(self._rivers)
        return town

    def _person(self) -> Entity:
        role = self.dice.pick(tuple(ROLES))
        person = self._entity("person", self._names.person(), descriptions=ROLES[role])
        person.role = role
        if self.dice.chance(0.25):
            person.alias = self._names.nickname()
        person.facts["person.born"] = self.dice.between(*_BIRTHS)
        person.facts["person.birthplace"] = self.dice.pick(self._towns)
        return person

    def _school(self) -> Entity:
        school = self._entity("school", self._names.school())
        patrons = self._playing["other"].between(*_PATRONS)
        year = self._made(school, "school.patron", patrons, ages=(30, 55))
        school.facts["school.opened"] = year
        school.facts["school.seat"] = self.dice.pick(self._towns)
        return school

    def _company(self) -> Entity:
        company = self._entity("company", self._names.company())
        if self.dice.chance(0.3):
            company.alias = self._names.brand()
        year = self._made(company, "company.founder", self._playing["founds"].all, ages=(22, 50))
        company.facts["company.founded"] = year
        company.facts["company.seat"] = self.dice.pick(self._towns)
        return company

    def _book(self) -> Entity:
        book = self._entity("book", self._names.book())
        year = self._made(book, "book.author", self._playing["writes"].all, ages=(22, 50))
        book.facts["book.published"] = year
        book.facts["book.setting"] = self.dice.pick(self._towns)
        self._relate_to(book, "book.publisher", self._companies.between(0, year))
        return book

    def _band(self) -> Entity:
        band = self._entity("band", self._names.band())
        year = self._made(band, "band.singer", self._playing["sings"].all, ages=(18, 45))
        band.facts["band.formed"] = year
        self._relate_to(band, "band.label", self._companies.between(0, year))
        self._relate_to(band, "band.namesake", self._books.between(0, year))
        return band

    def _invention(self) -> Entity:
        invention = self._entity("invention", self._names.invention())
        inventors = self._playing["invents"].all
        year = self._made(invention, "invention.inventor", inventors, ages=(22, 50))
        invention.facts["invention.patented"] = year
        invention.facts["invention.shown"] = self.dice.pick(self._towns)
        self._relate_to(invention, "invention.maker", self._companies.between(0, year))
        return invention

    def _relate(self, companies: Sequence[Entity]) -> None:
        """Add what relates things of one kind, and people to what was there before them."""
        mouths = self.dice.some(self._towns, len(self._rivers))
        for river, mouth in zip(self._rivers, mouths, strict=True):
            river.facts["river.mouth"] = mouth
            mouth.facts["town.river"] = river
            river.facts["river.mapper"] = self.dice.pick(self._people.all)
        for town in self._towns:
            if self.dice.chance(0.8):
                town.facts["town.statue"] = self.dice.pick(self._people.all)
        for company in companies:
            buyer = self.dice.pick(companies)
            if buyer is not company and buyer.facts.get("company.buyer") is not company:
                company.facts["company.buyer"] = buyer
        for person in self._people.all:
            born = number(person, "person.born")
            if self.dice.chance(0.7):
                self._relate_to(
                    person, "person.teacher", self._people.between(born - 50, born - 18)
                )
            if self.dice.chance(0.7):
                self._relate_to(person, "person.school", self._schools.between(0, born + 18))

    def _made(
        self, entity: Entity, relation: str, makers: Sequence[Entity], *, ages: tuple[int, int]
    ) -> int:
        """Choose who made it, and return the year."""
        maker = self.dice.pick(makers)
        entity.facts[relation] = maker
        return number(maker, "person.born") + self.dice.between(*ages)

    def _relate_to(self, entity: Entity, relation: str, others: Sequence[Entity]) -> None:
        if others:
            entity.facts[relation] = self.dice.pick(others)

    def _entity(
        self,
        kind: Kind,
        name: str,
        *,
        alias: str | None = None,
        descriptions: Sequence[str] = (),
    ) -> Entity:
        described = self.dice.pick(descriptions or DESCRIPTIONS[kind])
        return Entity(kind, name, described, alias)


class _Timeline:
    """Entities in the order of a year."""

    def __init__(self, entities: Sequence[Entity], relation: str) -> None:
        self.all = sorted(entities, key=lambda entity: number(entity, relation))
        self._years = [number(entity, relation) for entity in self.all]

    def between(self, first: int, last: int) -> Sequence[Entity]:
        """Return those of these years, both included."""
        return self.all[bisect_left(self._years, first) : bisect_right(self._years, last)]
