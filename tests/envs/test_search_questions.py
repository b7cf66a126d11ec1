import json
import re
from collections import Counter
from collections.abc import Collection, Iterator
from functools import cache
from itertools import islice

import pytest

from agentgym.envs.search import SearchConfig
from agentgym.envs.search.corpus import Article, corpus
from agentgym.envs.search.dice import Dice
from agentgym.envs.search.plan import Plan, Step, ask, solve
from agentgym.envs.search.questions import TIERS, held_out_name, held_out_steps
from agentgym.envs.search.relations import PLURALS, RELATIONS
from agentgym.envs.search.text import normalise, words
from agentgym.types import Task

pytestmark = pytest.mark.slow

WORLD = corpus(2400, 0)


@cache
def tasks(tier: str, split: str, number: int = 600) -> tuple[Task, ...]:
    return tuple(islice(SearchConfig(tier=tier).tasks(split), number))


class Reader:
    """Understands a question by its words alone, and knows only what some articles say."""

    def __init__(self, articles: Collection[Article], names: Collection[str] = ()) -> None:
        self._name = {normalise(name): name for name in names}
        self._facts: dict[tuple[str, str], str] = {}
        self._subjects: dict[tuple[str, str], list[str]] = {}
        told = []
        for article in articles:
            alias = re.match(rf"{re.escape(article.title)}, also known as (.+?), ", article.text)
            for name in [article.title, *([alias[1]] if alias else [])]:
                self._name[normalise(name)] = article.title
            told.append((article.title, alias and alias[1], article.text))
        for title, alias, text in told:
            for relation, value in _told(title, alias, text):
                value = self._name.get(normalise(value), value)
                self._facts[relation, title] = value
                self._subjects.setdefault((relation, value), []).append(title)

    def answers(self, question: str) -> set[str]:
        """Every answer to every way to read the question."""
        match = re.fullmatch(r"(?:Who|What) is (.+)\?", question)
        assert match is not None
        return set(self._values(match[1]))

    def _values(self, phrase: str) -> Iterator[str]:
        if normalise(phrase) in self._name:
            yield self._name[normalise(phrase)]
        for relation, pattern in _phrases():
            if match := pattern.fullmatch(phrase):
                for subject in self._values(match[1]):
                    if (relation, subject) in self._facts:
                        yield self._facts[relation, subject]
        for relation, pattern in _inverses(plural=False):
            if match := pattern.fullmatch(phrase):
                for value in self._values(match[1]):
                    yield from self._subjects.get((relation, value), ())
        for relation, is_least, pattern in _extremes():
            if match := pattern.fullmatch(phrase):
                for several in self._several(match[1], RELATIONS[relation].subject):
                    told = [each for each in several if (relation, each) in self._facts]
                    numbers = [int(self._facts[relation, each]) for each in told]
                    best = (min if is_least else max)(numbers, default=0)
                    if len(told) == len(several) > 1 and numbers.count(best) == 1:
                        yield told[numbers.index(best)]

    def _several(self, phrase: str, kind: str) -> Iterator[list[str]]:
        listed = phrase.removeprefix(f"the {PLURALS[kind]} ").replace(" and ", ", ").split(", ")
        if len(listed) > 1:
            yield [self._name.get(normalise(each), each) for each in listed]
        for relation, pattern in _inverses(plural=True):
            if match := pattern.fullmatch(phrase):
                for value in self._values(match[1]):
                    yield self._subjects.get((relation, value), [])


def _told(title: str, alias: str | None, text: str) -> Iterator[tuple[str, str]]:
    for sentence in text.removesuffix(".").split(". ")[1:]:
        for relation, pattern in _sentences():
            match = pattern.fullmatch(sentence)
            if match and (match["s"] in (title, alias) or match["s"].lower().startswith("the ")):
                yield relation, match["o"]


@cache
def _sentences() -> list[tuple[str, re.Pattern[str]]]:
    return [
        (
            name,
            re.compile(
                re.escape(each.removesuffix("."))
                .replace(r"\{s\}", "(?P<s>.+)")
                .replace(r"\{o\}", "(?P<o>.+)"),
            ),
        )
        for name, relation in RELATIONS.items()
        for each in relation.sentences
    ]


@cache
def _phrases() -> list[tuple[str, re.Pattern[str]]]:
    return [
        (name, re.compile(re.escape(each).replace(r"\{s\}", "(.+)")))
        for name, relation in RELATIONS.items()
        for each in relation.phrases
    ]


@cache
def _inverses(*, plural: bool) -> list[tuple[str, re.Pattern[str]]]:
    return [
        (
            name,
            re.compile(
                f"the {PLURALS[each.subject] if plural else each.subject} "
                + re.escape(each.inverse).replace(r"\{o\}", "(.+)")
            ),
        )
        for name, each in RELATIONS.items()
        if each.inverse
    ]


@cache
def _extremes() -> list[tuple[str, bool, re.Pattern[str]]]:
    return [
        (
            name,
            is_least,
            re.compile(f"the (?:{'|'.join(found)}) of (the {PLURALS[each.subject]} .+)"),
        )
        for name, each in RELATIONS.items()
        if each.order
        for is_least, found in ((True, each.order.least), (False, each.order.most))
    ]


@pytest.mark.parametrize("tier", TIERS)
def test_the_words_of_a_question_have_one_answer_in_the_corpus(tier: str) -> None:
    reader = Reader(WORLD.articles)
    for task in [*tasks(tier, "test"), *tasks(tier, "train", 150)]:
        assert reader.answers(task.prompt) == {task.answer}, task.prompt


@pytest.mark.parametrize("tier", TIERS)
def test_the_gold_articles_alone_are_enough(tier: str) -> None:
    by_id = {article.id: article for article in WORLD.articles}
    for task in tasks(tier, "test"):
        reader = Reader([by_id[id] for id in task.payload["documents"]], task.payload["names"])
        found = {normalise(each) for each in reader.answers(task.prompt)}
        assert found, task.prompt
        assert found <= {normalise(each) for each in task.payload["accepted"]}


@pytest.mark.parametrize("tier", TIERS)
def test_no_gold_article_of_a_chain_can_be_left_out(tier: str) -> None:
    by_id = {article.id: article for article in WORLD.articles}
    for task in tasks(tier, "test"):
        if not task.payload["kind"].endswith("-hop"):
            continue
        gold = task.payload["documents"]
        for left_out in gold:
            reader = Reader([by_id[id] for id in gold if id != left_out], task.payload["names"])
            assert not reader.answers(task.prompt), task.prompt


@pytest.mark.parametrize("tier", TIERS)
def test_splits_share_no_name_and_no_composition(tier: str) -> None:
    trained = [Plan.from_payload(task.payload) for task in tasks(tier, "train", 2000)]
    tested = [Plan.from_payload(task.payload) for task in tasks(tier, "test")]
    named = [
        {WORLD.by_name[normalise(n)].id for plan in plans for n in plan.names}
        for plans in (trained, tested)
    ]
    assert named[0].isdisjoint(named[1])
    composed = [{p.composition for p in plans if len(p.steps) > 1} for plans in (trained, tested)]
    assert composed[0].isdisjoint(composed[1])
    assert len(composed[1]) >= 10


def test_the_tiers_agree_on_what_is_held_out() -> None:
    for tier in TIERS:
        for split in ("train", "test"):
            for task in tasks(tier, split):
                plan = Plan.from_payload(task.payload)
                named = [WORLD.by_name[normalise(name)] for name in plan.names]
                assert {held_out_name(each) for each in named} == {split == "test"}
                assert len(plan.steps) == 1 or held_out_steps(plan.steps) == (split == "test")


def test_every_relation_is_asked_about_in_training() -> None:
    asked = {
        step.relation
        for tier in TIERS
        for task in tasks(tier, "train", 2000)
        for step in Plan.from_payload(task.payload).steps
    }
    assert asked == set(RELATIONS)


@pytest.mark.parametrize("tier", TIERS)
def test_test_has_256_distinct_questions_in_a_fixed_order(tier: str) -> None:
    first, again = ([task.id for task in SearchConfig(tier=tier).tasks("test")] for _ in range(2))
    assert first == again
    assert len(set(first)) == 256


@pytest.mark.parametrize("tier", TIERS)
def test_train_comes_in_a_fixed_order_under_unique_ids_and_hardly_repeats(tier: str) -> None:
    some = tasks(tier, "train", 2000)
    assert some == tuple(islice(SearchConfig(tier=tier).tasks("train"), 2000))
    assert len({task.id for task in some}) == 2000
    assert len({task.prompt for task in some}) > 0.9 * 2000


@pytest.mark.parametrize("tier", TIERS)
def test_the_kinds_of_a_tier_take_turns(tier: str) -> None:
    labels = [label for label, _ in TIERS[tier]]
    kinds = [task.payload["kind"] for task in tasks(tier, "train", 60)]
    assert kinds == [labels[number % len(labels)] for number in range(60)]


@pytest.mark.parametrize("tier", TIERS)
def test_a_task_is_json_and_names_articles_that_exist(tier: str) -> None:
    for task in tasks(tier, "train", 200):
        assert json.loads(json.dumps(task.payload)) == task.payload
        assert task.answer in task.payload["accepted"]
        gold = task.payload["documents"]
        assert 1 <= len(set(gold)) == len(gold) <= 6
        assert set(gold) <= WORLD.by_id.keys()


@pytest.mark.parametrize("tier", TIERS)
def test_no_question_holds_its_answer(tier: str) -> None:
    for task in [*tasks(tier, "train"), *tasks(tier, "test")]:
        asked = f" {' '.join(words(task.prompt))} "
        assert not any(f" {' '.join(words(each))} " in asked for each in task.payload["accepted"])


@pytest.mark.parametrize("tier", TIERS)
def test_no_answer_is_common(tier: str) -> None:
    for split in ("train", "test"):
        answers = Counter(task.answer for task in tasks(tier, split))
        assert max(answers.values()) <= 0.02 * sum(answers.values())


def test_hard_questions_use_other_names() -> None:
    named = [name for task in tasks("hard", "train") for name in task.payload["names"]]
    other = [name for name in named if WORLD.by_name[normalise(name)].name != name]
    assert 0.1 < len(other) / len(named) < 0.5
    easy = [name for task in tasks("easy", "train") for name in task.payload["names"]]
    assert all(WORLD.by_name[normalise(name)].name == name for name in easy)


def _entity(kind: str, relation: str) -> str:
    return next(
        each.name for each in WORLD.entities if each.kind == kind and relation in each.facts
    )


@pytest.mark.parametrize(
    ("steps", "kind", "question"),
    [
        (
            [("get", "company.founder")],
            "company",
            r"Who is the (founder of|person who founded) X\?",
        ),
        ([("find", "book.author")], "person", r"What is the book written by X\?"),
        (
            [("find", "book.author"), ("least", "book.published"), ("get", "book.setting")],
            "person",
            r"What is the (setting|scene) of the earliest of the books written by X\?",
        ),
    ],
    ids=["get", "find", "choose"],
)
def test_a_plan_is_put_in_words(steps: list[tuple[str, str]], kind: str, question: str) -> None:
    plan = Plan(("X",), tuple(Step(*step) for step in steps))  # type: ignore[arg-type]
    assert re.fullmatch(question, ask(plan, kind, Dice("words")))  # type: ignore[arg-type]


def test_several_names_are_listed() -> None:
    steps = (Step("most", "river.length"), Step("get", "river.mouth"))
    text = ask(Plan(("A", "B", "C"), steps), "river", Dice("words"))
    assert text.endswith("of the longest of the rivers A, B and C?")
    assert ask(Plan(("A", "B"), steps), "river", Dice("words")).endswith(
        "of the longer of the rivers A and B?"
    )


def test_what_has_no_single_answer_has_no_solution() -> None:
    tie = [each for each in WORLD.entities if each.kind == "town"]
    years: dict[object, str] = {}
    pair = next(
        (years[year], each.name)
        for each in tie
        if (year := each.facts["town.founded"]) in years
        or years.setdefault(year, each.name) is None
    )
    assert solve(Plan(pair, (Step("least", "town.founded"),)), WORLD) is None
    person = next(
        e for e in WORLD.entities if "person.teacher" not in e.facts and e.kind == "person"
    )
    assert solve(Plan((person.name,), (Step("get", "person.teacher"),)), WORLD) is None
    prolific = Counter(
        id
        for (relation, id), found in WORLD.bearers.items()
        if relation == "book.author"
        for _ in found
    )
    author = WORLD.by_id[prolific.most_common(1)[0][0]]
    assert solve(Plan((author.name,), (Step("find", "book.author"),)), WORLD) is None


def test_a_plan_survives_its_payload() -> None:
    for task in tasks("hard", "train", 60):
        plan = Plan.from_payload(task.payload)
        assert Plan.from_payload(plan.payload()) == plan
        solution = solve(plan, WORLD)
        assert solution is not None
        assert [solution.answer, list(solution.documents)] == [
            task.answer,
            task.payload["documents"],
        ]
