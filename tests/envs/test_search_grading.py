import time

import pytest
from hypothesis import given, strategies as st

from agentgym.envs.search.corpus import corpus
from agentgym.envs.search.grading import citation_score, is_right, read_answer, recall

NAMES = sorted({each.name for each in corpus(2400, 0).entities})
names = st.sampled_from(NAMES)
ids = st.sets(st.sampled_from([f"d{number:04d}" for number in range(1, 13)]))
blank = st.text(alphabet=" \t", max_size=3)
labels = st.sampled_from(
    ["answer:", "Answer:", "ANSWER :", "**Answer:**", "- answer:", "Final answer:"]
)


def right(text: str, *accepted: str) -> bool:
    return is_right(read_answer(text), accepted)


@given(
    names, labels, blank, st.sampled_from(["{}", "**{}**", "`{}`", '"{}"', "{}.", "the {}"]), ids
)
def test_a_right_answer_is_right_in_any_dress(
    name: str, label: str, space: str, dress: str, cited: set[str]
) -> None:
    for shown in (name, name.upper(), name.casefold()):
        text = f"{label}{space} {dress.format(shown)}{space}" + "".join(f" [{id}]" for id in cited)
        assert right(text, name)
        assert right(f"I looked it up.\n\n{text}\n", name)
        assert read_answer(text).citations == cited


@given(names, names)
def test_another_name_beside_the_right_one_is_wrong(name: str, other: str) -> None:
    if name == other:
        return
    for text in (
        f"answer: {name} {other}",
        f"answer: {name} or {other}",
        f"answer: {name}, {other} [d0001]",
        f"answer: {other}",
        f"answer: not {name}",
        f"answer: {name}\nanswer: {other}",
        f"answer: {other}\nanswer: {name}",
        f"{name}\n{other}",
    ):
        assert not right(text, name)


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("Norvale", "norvale"),
        ("Norvale [d0001]", "norvale"),
        ("answer: [Norvale]", ""),
        ("answer:", ""),
        ("answer: the", ""),
        ("answer: 1874 [d0001, d0002]", "1874"),
        ("answer: in 1874", "in 1874"),
        ("answer: Norvale\nSources: [d0001]", "norvale"),
        ("answer: Norvale\nAnswer: *norvale*", "norvale"),
        ("Two lines\nwithout a label", ""),
        ("The answer: Norvale", "answer norvale"),
        ("answer: " + "x" * 201, ""),
        ("", ""),
        ("\0\x1b\ud800", ""),
        ("answer: Norvale \u202e\0", "norvale"),
    ],
)
def test_what_is_read_as_the_answer(text: str, answer: str) -> None:
    assert read_answer(text).text == answer


@given(st.text() | st.text(alphabet="[]answer: d0,\n*", max_size=200))
def test_no_text_does_more_than_be_wrong(text: str) -> None:
    answer = read_answer(text)
    assert all(id and id == id.casefold() for id in answer.citations)
    assert not is_right(answer, ["\uffffno such name", ""])


@pytest.mark.parametrize(
    "text",
    ["[" * 500_000, "answer" * 100_000, "*" * 500_000, "[d]" * 200_000, "answer:\n" * 100_000],
    ids=["brackets", "labels", "stars", "citations", "lines"],
)
def test_a_huge_text_is_read_in_time_that_grows_with_its_length(text: str) -> None:
    started = time.process_time()
    assert not right(text, "Norvale")
    assert time.process_time() - started < 2  # quadratic would take minutes


@given(ids, ids, ids)
def test_citations_are_f1_of_what_was_opened(
    cited: set[str], opened: set[str], gold: set[str]
) -> None:
    score = citation_score(cited, opened=opened, gold=gold)
    assert 0 <= score <= 1
    assert (score == 1) == (bool(gold) and cited == gold and gold <= opened)
    assert (score == 0) == (not cited & opened & gold)


@given(ids, ids)
def test_a_wrong_citation_never_pays_and_a_right_one_always_does(
    cited: set[str], gold: set[str]
) -> None:
    everything = {f"d{number:04d}" for number in range(1, 13)}
    score = citation_score(cited, opened=everything, gold=gold)
    for id in everything - cited:
        more = citation_score({*cited, id}, opened=everything, gold=gold)
        assert more > score if id in gold else more <= score


def test_citing_everything_hardly_pays() -> None:
    everything = {f"d{number:04d}" for number in range(1, 41)}
    assert citation_score(everything, opened=everything, gold={"d0001"}) < 0.05


@given(ids, ids)
def test_evidence_is_the_share_of_gold_that_was_opened(opened: set[str], gold: set[str]) -> None:
    share = recall(opened, gold)
    assert share == (len(opened & gold) / len(gold) if gold else 0)
