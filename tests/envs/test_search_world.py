import hashlib
import os
import re
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import pytest

from agentgym.envs.search.corpus import corpus
from agentgym.envs.search.dice import Dice
from agentgym.envs.search.index import index_of
from agentgym.envs.search.relations import ASIDES, DATED_ASIDES, RELATIONS
from agentgym.envs.search.text import citable, normalise, words
from agentgym.envs.search.world import Entity, number

WORLD = corpus(2400, 0)
DIGEST = "afadc3787eb4c32a"
"""Of the 2,400 articles of world 0. Where it changes, scores of earlier runs mean something else:
give the environment another version."""

_LEAD = re.compile(r"(?P<name>.+?)(?:, also known as (?P<alias>.+),)? (?:is|was) an? (?P<what>.+)")


@cache
def readings() -> list[tuple[str, re.Pattern[str]]]:
    """Every sentence that tells a fact, as a pattern."""
    return [
        (name, re.compile(_pattern(sentence.removesuffix("."))))
        for name, relation in RELATIONS.items()
        for sentence in relation.sentences
    ]


def _pattern(sentence: str) -> str:
    return re.escape(sentence).replace(r"\{s\}", "(?P<s>.+)").replace(r"\{o\}", "(?P<o>.+)")


def read(title: str, text: str) -> tuple[set[str], list[tuple[str, str]]]:
    """Read an article without knowing the world: its subject's names, and (relation, value)."""
    first, *rest = text.removesuffix(".").split(". ")
    lead = _LEAD.fullmatch(first)
    assert lead is not None
    assert lead["name"] == title
    names = {name for name in (lead["name"], lead["alias"]) if name}
    subjects = names | {f"the {lead['what']}"} | {f"the {kind}" for kind in ASIDES}
    lowered = {subject.lower() for subject in subjects}
    facts = [
        (relation, normalise(match["o"]))
        for sentence in rest
        for relation, pattern in readings()
        if (match := pattern.fullmatch(sentence)) and match["s"].lower() in lowered
    ]
    return names, facts


def told(entity: Entity) -> list[tuple[str, str]]:
    return [(each, normalise(WORLD.mentions[entity.id, each])) for each in entity.facts]


def test_the_corpus_is_the_one_that_scores_were_measured_on() -> None:
    assert WORLD.id == DIGEST


def test_another_process_with_other_hashes_has_the_same_articles_and_results() -> None:
    code = (
        "from agentgym.envs.search.corpus import corpus\n"
        "from agentgym.envs.search.index import index_of\n"
        "found = [[hit.article.id for hit in index_of(2400, 0).search(each.title, 10)]\n"
        "         for each in corpus(2400, 0).articles[:200]]\n"
        "import hashlib\n"
        "print(corpus(2400, 0).id, hashlib.sha256(repr(found).encode()).hexdigest())"
    )
    run = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONHASHSEED": "7"},
        capture_output=True,
        text=True,
        check=True,
    )
    found = [
        [hit.article.id for hit in index_of(2400, 0).search(each.title, 10)]
        for each in WORLD.articles[:200]
    ]
    here = hashlib.sha256(repr(found).encode()).hexdigest()
    assert run.stdout.split() == [WORLD.id, here]


@pytest.mark.parametrize("documents", [2000, 2400, 9999])
def test_a_corpus_has_as_many_articles_as_asked_for(documents: int) -> None:
    facts = corpus(documents, 0)
    assert len(facts.articles) == documents
    assert len({article.id for article in facts.articles}) == documents
    assert len({article.title for article in facts.articles}) == documents


def test_another_seed_gives_another_world() -> None:
    other = corpus(2400, 1)
    assert other.id != WORLD.id
    shared = {each.title for each in other.articles} & {each.title for each in WORLD.articles}
    assert len(shared) < 0.1 * len(WORLD.articles)


def test_threads_that_ask_at_once_get_one_corpus_and_one_index() -> None:
    with ThreadPoolExecutor(8) as pool:
        corpora = list(pool.map(lambda _: corpus(2001, 3), range(8)))
        indexes = list(pool.map(lambda _: index_of(2001, 3), range(8)))
    assert len(set(map(id, corpora))) == len(set(map(id, indexes))) == 1


def test_no_two_names_are_the_same_after_normalisation() -> None:
    names = Counter(normalise(name) for each in WORLD.entities for name in each.names)
    assert max(names.values()) == 1
    assert len(names) == len(WORLD.by_name)
    assert "" not in names


def test_many_names_are_nearly_equal() -> None:
    shared = Counter(word for each in WORLD.entities for word in set(words(each.name)))
    doubled = [each for each in WORLD.entities if any(shared[w] > 1 for w in words(each.name))]
    assert len(doubled) > 0.5 * len(WORLD.entities)


def test_an_article_tells_every_fact_of_its_subject_once_and_no_other() -> None:
    for entity, article in zip(WORLD.entities, WORLD.articles, strict=True):
        names, facts = read(article.title, article.text)
        assert names == set(entity.names)
        assert sorted(facts) == sorted(told(entity)), article


def test_a_value_is_called_by_one_of_its_names() -> None:
    for entity in WORLD.entities:
        for relation, value in entity.facts.items():
            mention = WORLD.mentions[entity.id, relation]
            assert mention in (value.names if isinstance(value, Entity) else {str(value)})


def test_facts_are_of_the_kind_that_their_relation_says() -> None:
    for entity in WORLD.entities:
        for name, value in entity.facts.items():
            relation = RELATIONS[name]
            assert relation.subject == entity.kind
            assert isinstance(value, int) or relation.value == value.kind
            assert isinstance(value, Entity) or relation.value in ("year", "length")


def test_the_world_does_not_contradict_itself() -> None:
    for entity in WORLD.entities:
        facts = {name: value for name, value in entity.facts.items() if isinstance(value, Entity)}
        match entity.kind:
            case "person":
                born = number(entity, "person.born")
                assert number(facts["person.birthplace"], "town.founded") < born
                if "person.teacher" in facts:
                    assert number(facts["person.teacher"], "person.born") <= born - 18
                if "person.school" in facts:
                    assert number(facts["person.school"], "school.opened") <= born + 18
            case "company" if "company.buyer" in facts:
                assert facts["company.buyer"] is not entity
                assert facts["company.buyer"].facts.get("company.buyer") is not entity
            case "book":
                year = number(entity, "book.published")
                assert year - number(facts["book.author"], "person.born") >= 18
                if "book.publisher" in facts:
                    assert number(facts["book.publisher"], "company.founded") <= year
            case "band" if "band.namesake" in facts:
                year = number(entity, "band.formed")
                assert number(facts["band.namesake"], "book.published") <= year
            case "river":
                assert facts["river.mouth"].facts["town.river"] is entity


def test_no_sentence_and_no_phrase_fits_two_relations() -> None:
    sentences = [each for relation in RELATIONS.values() for each in relation.sentences]
    sentences += [
        each for group in (ASIDES, DATED_ASIDES) for texts in group.values() for each in texts
    ]
    phrases = [each for relation in RELATIONS.values() for each in relation.phrases]
    inverses = [(r.subject, r.inverse) for r in RELATIONS.values() if r.inverse]
    for texts in (sentences, phrases, inverses):
        assert len(set(texts)) == len(texts)


def test_every_article_is_found_by_its_names() -> None:
    index = index_of(2400, 0)
    for entity in WORLD.entities:
        for name in entity.names:
            assert entity.id in [hit.article.id for hit in index.search(name, 5)]


def test_first_sentences_hold_no_facts() -> None:
    for article in WORLD.articles:
        first = article.text.split(". ", 1)[0]
        assert not any(pattern.fullmatch(first) for _, pattern in readings())


def test_dice_draw_what_they_always_drew() -> None:
    dice = Dice("test", 1)
    items = list(range(6))
    dice.shuffle(items)
    drawn = (
        dice.between(1, 6),
        dice.pick("abcdef"),
        dice.some(range(9), 3),
        dice.chance(0.5),
        items,
    )
    assert drawn == (4, "d", [6, 5, 8], True, [4, 1, 5, 2, 0, 3])


def test_a_draw_of_all_is_a_permutation() -> None:
    assert sorted(Dice("all").some(range(20), 20)) == list(range(20))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The Åskel-river, 12 km", ["the", "askel", "river", "12", "km"]),
        ("\uff26\uff55\uff4c\uff4c\u3000\uff57", ["full", "w"]),
        ("Straße ﬁn", ["strasse", "fin"]),
        ("a_b\0c\x1bd", ["a", "b", "c", "d"]),
        ("\ud800 \U0001f9ea", []),
        ("中文 слово", ["中文", "слово"]),
        ("", []),
    ],
)
def test_words_are_those_of_any_script(text: str, expected: list[str]) -> None:
    assert words(text) == expected


def test_what_is_citable_is_one_word_without_brackets() -> None:
    assert citable("A [b], c;\n") == "a--b---c--"
