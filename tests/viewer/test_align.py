import time
from dataclasses import replace

import pytest
from hypothesis import given, strategies as st
from strategies import make_group, make_step

from agentgym.viewer.align import align, decision

Walks = st.lists(
    st.lists(st.tuples(st.sampled_from(["a", "b", "c", None]), st.sampled_from("xy")), max_size=9),
    min_size=1,
    max_size=6,
)


def walk(steps):
    return [make_step(state=state, action=action) for state, action in steps]


def members(*walks):
    return make_group(*map(walk, walks)).trajectories


def actions(*words):
    return members(*([(None, letter) for letter in word] for word in words))


def cells(*words):
    return [row.cells for row in align(actions(*words)).rows]


def common(a, b):
    """The length of the longest common subsequence, by the textbook."""
    table = [[0] * (len(b) + 1) for _ in range(len(a) + 1)]
    for i, one in enumerate(a):
        for j, other in enumerate(b):
            table[i + 1][j + 1] = (
                table[i][j] + 1 if one == other else max(table[i][j + 1], table[i + 1][j])
            )
    return table[-1][-1]


@given(Walks)
def test_every_step_of_every_member_stands_in_one_row_in_order(walks):
    found = align(members(*walks))
    for number, steps in enumerate(walks):
        column = [row.cells[number] for row in found.rows if row.cells[number] is not None]
        assert column == list(range(len(steps)))
    assert all(any(cell is not None for cell in row.cells) for row in found.rows)


@given(Walks, st.randoms())
def test_the_order_of_members_changes_nothing_but_the_order_of_cells(walks, random):
    order = list(range(len(walks)))
    random.shuffle(order)
    before, after = align(members(*walks)), align(members(*[walks[index] for index in order]))
    for one, other in zip(before.rows, after.rows, strict=True):
        assert other.cells == tuple(one.cells[index] for index in order)
        assert (other.same, other.folded, other.rejoins) == (one.same, one.folded, one.rejoins)
    assert (before.diverge, before.reconverge) == (after.diverge, after.reconverge)


@given(Walks.filter(lambda walks: len(walks) > 1))
def test_two_members_share_as_many_rows_as_can_be(walks):
    pair = members(*walks[:2])
    a, b = ([decision(step) for step in member.steps] for member in pair)
    shared = [row for row in align(pair).rows if row.same == "all"]
    assert len(shared) == common(a, b)
    assert all(a[row.cells[0]] == b[row.cells[1]] for row in shared)


@given(Walks, st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from("xy")), max_size=5))
def test_a_shared_beginning_stands_in_one_row_each_and_is_folded(walks, beginning):
    found = align(members(*[beginning + steps for steps in walks]))
    rows = found.rows[: len(beginning)]
    assert [row.cells for row in rows] == [(i,) * len(walks) for i in range(len(beginning))]
    assert all(row.same == "all" for row in rows)
    assert found.diverge is None or found.diverge >= len(beginning)
    last = len(found.rows) if found.diverge is None else found.diverge
    assert [row.folded for row in found.rows] == [i < last - 1 for i in range(len(found.rows))]


@given(Walks)
def test_equal_members_have_equal_cells(walks):
    found = align(members(*walks, *walks))
    assert all(row.cells[: len(walks)] == row.cells[len(walks) :] for row in found.rows)


def test_a_detour_is_left_and_the_way_found_again():
    found = align(actions("abcde", "abxyzde"))
    assert [row.cells for row in found.rows] == [
        (0, 0),
        (1, 1),
        (2, 2),
        (None, 3),
        (None, 4),
        (3, 5),
        (4, 6),
    ]
    assert (found.diverge, found.reconverge) == (2, 5)
    assert [row.rejoins for row in found.rows] == [False] * 5 + [True, False]
    assert [row.folded for row in found.rows] == [True] + [False] * 6


@pytest.mark.parametrize(
    ("broken", "diverge"), [("", None), ("ab", None), ("abcd", None), ("abx", 2), ("xabcd", 0)]
)
def test_a_fault_is_no_parting_but_what_was_done_before_it_is(broken, diverge):
    first, second, fault = actions("abcd", "abzd", broken)
    fault = replace(fault, end="error")
    assert align([first, fault]).diverge == align([fault, first, first]).diverge == diverge
    assert align([first, second, fault]).diverge == (0 if diverge == 0 else 2)
    assert align([first, fault]).rows[-1].same == "all"
    assert align([fault, replace(first, end="error")]).diverge == diverge


def test_some_may_go_on_together():
    found = align(actions("ab", "ab", "ac"))
    assert [row.same for row in found.rows] == ["all", "some"]
    assert align(actions("ab", "ac", "ad")).rows[1].same == "none"


def test_one_state_with_other_actions_stands_in_one_row():
    found = align(members([("s", "x"), ("t", "y")], [("u", "z"), ("t", "w"), ("v", "q")]))
    assert [row.cells for row in found.rows] == [(0, 0), (1, 1), (None, 2)]
    shifted = align(members([("t", "y")], [("u", "z"), ("t", "w")]))
    assert [row.cells for row in shifted.rows] == [(None, 0), (0, 1)]


def test_equal_actions_in_other_states_are_other_decisions():
    (row,) = align(members([("s", "x")], [("t", "x")])).rows
    assert row.same == "none"
    assert align(members([(None, "x")], [("t", "x")])).rows[0].same == "none"


def test_members_may_be_empty_or_one():
    assert cells("", "ab") == [(None, 0), (None, 1)]
    assert align(actions("ab")).diverge is None
    assert align(actions("")).rows == ()
    assert align([]).to_json() == {"rows": [], "diverge": None, "reconverge": None}


def test_json_has_what_is_shown():
    assert align(actions("a", "a")).to_json() == {
        "rows": [{"cells": [0, 0], "same": "all", "folded": False, "rejoins": False}],
        "diverge": None,
        "reconverge": None,
    }


@pytest.mark.parametrize("text", ["<script>alert(1)</script>", "\ud800", "\0", "a" * 100_000])
def test_hostile_keys_are_keys(text):
    found = align(members([(text, text)], [(text, text), (text, "")]))
    assert found.rows[0].same == "all"


def test_sixteen_of_fifty_steps_are_aligned_at_once():
    walks = [[(f"s{(i * 7 + k) % 12}", f"a{(i * k) % 4}") for k in range(50)] for i in range(16)]
    group = members(*walks)
    seconds = []
    for _ in range(5):
        began = time.perf_counter()
        align(group)
        seconds.append(time.perf_counter() - began)
    assert min(seconds) < 0.05


def test_two_long_episodes_are_aligned_soon():
    """Hashing whole episodes for each of their steps would take many times as long."""
    pair = members(*([(f"s{number}{end}", "a") for number in range(10_000)] for end in "xy"))
    began = time.perf_counter()
    found = align(pair)
    assert time.perf_counter() - began < 4
    assert len(found.rows) == 10_000
