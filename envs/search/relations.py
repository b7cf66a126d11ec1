"""What can be true in the invented world, and how it is said in articles and in questions.

`{s}` is the subject, `{o}` the value. No sentence and no phrase fits two relations: a fact that
can be read can be read in one way only.
"""

from dataclasses import dataclass
from typing import Literal

Kind = Literal["person", "town", "river", "company", "book", "band", "invention", "school"]
Measure = Literal["year", "length"]


@dataclass(frozen=True, slots=True)
class Order:
    """Words for the extremes of a relation whose value is a number."""

    least: tuple[str, str]
    """Of two, and of more."""
    most: tuple[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Relation:
    """A fact that an article of its subject tells; each subject has one value at most."""

    subject: Kind
    value: Kind | Measure
    sentences: tuple[str, ...]
    """Ways to tell it."""
    phrases: tuple[str, ...]
    """Ways to name the value in a question."""
    inverse: str = ""
    """Names the subjects by the value, after `the company`; empty: never asked this way round."""
    order: Order | None = None


_AGE = Order(("older", "oldest"), ("younger", "youngest"))
_TIME = Order(("earlier", "earliest"), ("later", "latest"))

RELATIONS: dict[str, Relation] = {
    "person.birthplace": Relation(
        subject="person",
        value="town",
        sentences=(
            "{s} was born in {o}.",
            "{s} came from {o}.",
            "{o} was the home of {s} as a child.",
        ),
        phrases=("the birthplace of {s}", "the home town of {s}"),
    ),
    "person.born": Relation(
        subject="person",
        value="year",
        sentences=("The year {o} saw the birth of {s}.", "{s} came into the world in {o}."),
        phrases=("the birth year of {s}", "the year of birth of {s}"),
        order=_AGE,
    ),
    "person.teacher": Relation(
        subject="person",
        value="person",
        sentences=("{s} was a pupil of {o}.", "{s} learned the craft from {o}."),
        phrases=("the teacher of {s}", "the person who taught {s}"),
    ),
    "person.school": Relation(
        subject="person",
        value="school",
        sentences=("{s} studied at {o}.", "{s} took a degree at {o}."),
        phrases=("the school of {s}", "the school attended by {s}"),
    ),
    "town.river": Relation(
        subject="town",
        value="river",
        sentences=("{s} stands on {o}.", "{o} runs through {s}."),
        phrases=("the river of {s}", "the river that runs through {s}"),
    ),
    "town.founded": Relation(
        subject="town",
        value="year",
        sentences=("{s} received its charter in {o}.", "The charter of {s} dates from {o}."),
        phrases=("the charter year of {s}", "the year of the charter of {s}"),
        order=_AGE,
    ),
    "town.statue": Relation(
        subject="town",
        value="person",
        sentences=("A statue of {o} stands in the square of {s}.", "{s} put up a statue of {o}."),
        phrases=("the person with a statue in {s}", "the person whose statue stands in {s}"),
        inverse="with a statue of {o}",
    ),
    "river.mouth": Relation(
        subject="river",
        value="town",
        sentences=("{s} reaches the sea at {o}.", "The mouth of {s} is at {o}."),
        phrases=("the town at the mouth of {s}", "the mouth of {s}"),
    ),
    "river.length": Relation(
        subject="river",
        value="length",
        sentences=("{s} is {o} miles long.", "The course of {s} measures {o} miles."),
        phrases=("the length in miles of {s}", "the number of miles of {s}"),
        order=Order(("shorter", "shortest"), ("longer", "longest")),
    ),
    "river.mapper": Relation(
        subject="river",
        value="person",
        sentences=("{o} drew the first map of {s}.", "{s} was first mapped by {o}."),
        phrases=("the mapper of {s}", "the person who first mapped {s}"),
        inverse="first mapped by {o}",
    ),
    "company.founder": Relation(
        subject="company",
        value="person",
        sentences=("{s} was founded by {o}.", "The founder of {s} was {o}."),
        phrases=("the founder of {s}", "the person who founded {s}"),
        inverse="founded by {o}",
    ),
    "company.founded": Relation(
        subject="company",
        value="year",
        sentences=("{s} opened its doors in {o}.", "The first year of {s} was {o}."),
        phrases=("the opening year of {s}", "the first year of {s}"),
        order=_AGE,
    ),
    "company.seat": Relation(
        subject="company",
        value="town",
        sentences=("{s} has its seat in {o}.", "The offices of {s} are in {o}."),
        phrases=("the seat of {s}", "the home of the offices of {s}"),
    ),
    "company.buyer": Relation(
        subject="company",
        value="company",
        sentences=("{s} was later bought by {o}.", "{o} took over {s}."),
        phrases=("the buyer of {s}", "the company that took over {s}"),
        inverse="bought by {o}",
    ),
    "book.author": Relation(
        subject="book",
        value="person",
        sentences=("{s} was written by {o}.", "The author of {s} is {o}."),
        phrases=("the author of {s}", "the writer of {s}"),
        inverse="written by {o}",
    ),
    "book.published": Relation(
        subject="book",
        value="year",
        sentences=("{s} appeared in {o}.", "{s} came out in {o}."),
        phrases=("the publication year of {s}", "the year of publication of {s}"),
        order=_TIME,
    ),
    "book.publisher": Relation(
        subject="book",
        value="company",
        sentences=("{s} was published by {o}.", "The publisher of {s} was {o}."),
        phrases=("the publisher of {s}", "the company that published {s}"),
    ),
    "book.setting": Relation(
        subject="book",
        value="town",
        sentences=("{s} is set in {o}.", "The story of {s} takes place in {o}."),
        phrases=("the setting of {s}", "the scene of {s}"),
        inverse="set in {o}",
    ),
    "band.singer": Relation(
        subject="band",
        value="person",
        sentences=("The singer of {s} was {o}.", "{o} sang for {s}."),
        phrases=("the singer of {s}", "the voice of {s}"),
        inverse="with the singer {o}",
    ),
    "band.formed": Relation(
        subject="band",
        value="year",
        sentences=("{s} first played together in {o}.", "{s} was formed in {o}."),
        phrases=("the starting year of {s}", "the year of the start of {s}"),
        order=_AGE,
    ),
    "band.label": Relation(
        subject="band",
        value="company",
        sentences=("{s} recorded for {o}.", "The records of {s} were made by {o}."),
        phrases=("the label of {s}", "the record company of {s}"),
    ),
    "band.namesake": Relation(
        subject="band",
        value="book",
        sentences=("{s} took its name from {o}.", "The name of {s} comes from {o}."),
        phrases=("the book behind the name of {s}", "the namesake of {s}"),
        inverse="named after {o}",
    ),
    "invention.inventor": Relation(
        subject="invention",
        value="person",
        sentences=("{s} was invented by {o}.", "The inventor of {s} was {o}."),
        phrases=("the inventor of {s}", "the person who invented {s}"),
        inverse="invented by {o}",
    ),
    "invention.patented": Relation(
        subject="invention",
        value="year",
        sentences=("{s} was patented in {o}.", "The patent of {s} was granted in {o}."),
        phrases=("the patent year of {s}", "the year of the patent of {s}"),
        order=_TIME,
    ),
    "invention.maker": Relation(
        subject="invention",
        value="company",
        sentences=("{s} was first built by {o}.", "The first maker of {s} was {o}."),
        phrases=("the maker of {s}", "the company that first built {s}"),
    ),
    "invention.shown": Relation(
        subject="invention",
        value="town",
        sentences=("{s} was first shown in {o}.", "The public first saw {s} in {o}."),
        phrases=("the place of the first show of {s}", "the town that first saw {s}"),
    ),
    "school.seat": Relation(
        subject="school",
        value="town",
        sentences=("{s} is in {o}.", "The halls of {s} are in {o}."),
        phrases=("the location of {s}", "the place of the halls of {s}"),
    ),
    "school.opened": Relation(
        subject="school",
        value="year",
        sentences=("{s} took its first students in {o}.", "Lessons at {s} began in {o}."),
        phrases=("the first school year of {s}", "the year of the first lessons at {s}"),
        order=_AGE,
    ),
    "school.patron": Relation(
        subject="school",
        value="person",
        sentences=("{o} paid for the building of {s}.", "The patron of {s} was {o}."),
        phrases=("the patron of {s}", "the person who paid for {s}"),
        inverse="paid for by {o}",
    ),
}

PLURALS: dict[Kind, str] = {
    "person": "people",
    "town": "towns",
    "river": "rivers",
    "company": "companies",
    "book": "books",
    "band": "bands",
    "invention": "inventions",
    "school": "schools",
}

DESCRIPTIONS: dict[Kind, tuple[str, ...]] = {
    "person": ("teacher", "surveyor", "painter", "doctor", "gardener"),
    "town": ("market town", "mill town", "harbour town", "hill town"),
    "river": ("slow river", "mountain river", "winding river"),
    "company": ("company", "family firm", "trading house"),
    "book": ("novel", "travel book", "book of stories"),
    "band": ("folk band", "brass band", "dance band"),
    "invention": ("machine", "device", "apparatus"),
    "school": ("school", "school of engineering", "school of music"),
}
"""What the first sentence calls it. People with a part to play have others: see `ROLES`."""

ROLES: dict[str, tuple[str, ...]] = {
    "writes": ("novelist", "poet", "journalist"),
    "founds": ("merchant", "banker", "engineer"),
    "sings": ("singer", "actor"),
    "invents": ("clockmaker", "chemist", "mechanic"),
    "other": DESCRIPTIONS["person"],
}

ASIDES: dict[Kind, tuple[str, ...]] = {
    "person": ("{s} wrote many letters to {person}.", "{s} spent a winter in {town}."),
    "town": ("{person} spent a summer in {s}.", "{s} holds a yearly fair with {town}."),
    "river": ("{person} liked to fish in {s}.", "Boats of {company} work on {s}."),
    "company": ("{s} supplied {company}.", "{person} worked at {s} for a year."),
    "book": ("{person} praised {s}.", "{s} is often compared with {book}."),
    "band": ("{s} toured with {band}.", "{s} once filled a hall in {town}."),
    "invention": ("{company} made copies of {s}.", "{person} owned an early model of {s}."),
    "school": ("{person} gave a lecture at {s}.", "Teachers from {town} visit {s}."),
}
"""Sentences beside the point that name somebody else; nothing is ever asked about them."""

DATED_ASIDES: dict[Kind, tuple[str, ...]] = {
    "person": ("{s} fell ill in {year}.",),
    "town": ("A fire damaged {s} in {year}.",),
    "river": ("{s} burst its banks in {year}.",),
    "company": ("{s} moved to larger halls in {year}.",),
    "book": ("{s} was reprinted in {year}.",),
    "band": ("{s} went on a long tour in {year}.",),
    "invention": ("{s} was improved in {year}.",),
    "school": ("{s} got a new roof in {year}.",),
}
