"""Plain data: exact on its way, exact when compared, harmless whoever sent it."""

import contextlib
import math
import time

import pytest
from hypothesis import given, settings, strategies as st

from agentgym.grading.inside.plain import Malformed, NotPlain, decode, encode
from agentgym.grading.values import Container, Tolerance, frozen, parse, same, show

MOST = 1 << 20

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(min_value=-(2**300), max_value=2**300),
    st.floats(),
    st.complex_numbers(),
    st.text(st.characters(exclude_categories=())),
    st.binary(),
    st.binary().map(bytearray),
)
hashable = st.recursive(
    scalars.filter(lambda value: type(value) is not bytearray),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4).map(tuple), st.frozensets(inner, max_size=4)
    ),
    max_leaves=8,
)
values = st.recursive(
    scalars | hashable,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=4).map(tuple),
        st.sets(hashable, max_size=4),
        st.dictionaries(hashable, inner, max_size=4),
    ),
    max_leaves=12,
)


def described(value):
    """Return a text that differs wherever type or value differ; the slow and obvious way."""
    kind = type(value)
    if kind in (list, tuple):
        return f"{kind.__name__}({[described(each) for each in value]})"
    if kind in (set, frozenset):
        return f"{kind.__name__}({sorted(described(each) for each in value)})"
    if kind is dict:
        return f"dict({sorted((described(k), described(v)) for k, v in value.items())})"
    if kind is complex:
        return f"complex({described(value.real)}, {described(value.imag)})"
    return f"{kind.__name__}:{value!r}"


@given(values)
def test_a_value_comes_back_as_it_was(value):
    back = decode(encode(value, most_bytes=MOST))
    assert described(back) == described(value)
    if type(value) is dict:
        assert [described(key) for key in back] == [described(key) for key in value]


@given(values, values)
def test_values_are_the_same_when_type_and_value_are(a, b):
    assert same(frozen(a), frozen(a))
    assert same(frozen(a), frozen(b)) == (described(a) == described(b))


CLOSE = [
    None,
    False,
    True,
    0,
    1,
    -1,
    0.0,
    -0.0,
    1.0,
    1j,
    0j,
    math.nan,
    math.inf,
    "",
    "1",
    b"",
    b"1",
]
CLOSE += [bytearray(b"1"), [], (), {}, set(), frozenset(), [1], [True], [1.0], (1,), {1}, {1: 1}]
CLOSE += [
    {True},
    {1.0},
    frozenset({1}),
    {True: 1},
    {1: True},
    {1: 1.0},
    {"a": 1, "b": 2},
    [[1], [2]],
]


@pytest.mark.parametrize("a", range(len(CLOSE)))
def test_what_python_holds_equal_is_told_apart(a):
    assert [b for b in range(len(CLOSE)) if same(frozen(CLOSE[a]), frozen(CLOSE[b]))] == [a]


def test_sets_and_dicts_have_no_order():
    assert same(frozen({"a": 1, "b": 2}), frozen({"b": 2, "a": 1}))
    assert same(frozen({"ab", "c", (1, 2)}), frozen({(1, 2), "c", "ab"}))
    assert not same(frozen([1, 2]), frozen([2, 1]))


def test_tolerance_is_for_floats_and_neither_for_keys_nor_for_what_is_not_finite():
    near = Tolerance(relative=0.1)
    assert same(frozen([1.0, {"a": 2.0}]), frozen([1.05, {"a": 2.1}]), near)
    assert same(frozen(1 + 1j), frozen(1.05 + 1j), near)
    assert same(frozen(0.0), frozen(-0.0), near)
    for want, got in [(1.0, 1.2), (1.0, 1), (10, 11), (math.inf, 1e308), (math.nan, 0.0)]:
        assert not same(frozen(want), frozen(got), near), (want, got)
    assert same(frozen(math.inf), frozen(math.inf), near)
    assert not same(frozen({1.0: 1}), frozen({1.05: 1}), near)
    assert not same(frozen({1.0}), frozen({1.05}), near)
    for wrong in [
        {"relative": -1},
        {"relative": 1},
        {"absolute": math.inf},
        {"absolute": math.nan},
    ]:
        with pytest.raises(ValueError, match="allows anything"):
            Tolerance(**wrong)


class Number(int):
    pass


class Text(str):
    __slots__ = ()


class Items(list):
    pass


@pytest.mark.parametrize(
    "value", [Number(1), Text("a"), Items(), object(), len, int, iter([]), ...]
)
def test_a_subclass_is_no_plain_data_wherever_it_is(value):
    for holder in (value, [value], (1, value), {"a": value}):
        with pytest.raises(NotPlain):
            encode(holder, most_bytes=MOST)


def test_what_is_endless_deep_or_large_is_no_plain_data():
    endless: list[object] = []
    endless.append(endless)
    for value in (endless, "x" * MOST, [0] * MOST):
        with pytest.raises(NotPlain):
            encode(value, most_bytes=MOST)


@given(st.binary(max_size=200))
def test_any_bytes_are_data_or_malformed(data):
    for read in (parse, decode):
        with contextlib.suppress(Malformed):
            read(data)


@settings(max_examples=300)
@given(values, st.data())
def test_damaged_bytes_are_data_or_malformed(value, draw):
    data = bytearray(encode(value, most_bytes=MOST))
    for _ in range(draw.draw(st.integers(1, 3))):
        at = draw.draw(st.integers(0, len(data) - 1))
        data[at : at + draw.draw(st.integers(0, 2))] = draw.draw(st.binary(max_size=3))
        if not data:
            break
    for read in (parse, decode):
        with contextlib.suppress(Malformed):
            show(parse(bytes(data)))
            read(bytes(data))


@pytest.mark.parametrize(
    "data",
    [
        b"l\xff\xff\xff\xff",
        b"s\xff\xff\xff\xffabc",
        b"l\0\0\0\1" * 100_000,
        b"d\0\0\0\1" + b"0\0\0\0\1N",
        b"S\0\0\0\1l\0\0\0\0",
        b"0\0\0\0\1X",
        b"0\0\0\0\0",
        b"f\0\0\0\1a",
        b"c\0\0\0\1a",
        b"s\0\0\0\1\xff",
        b"o\0\0\0\0010\0\0\0\1N",
        b"x\0\0\0\0",
        b"0\0\0\0\1N ",
        b"",
    ],
)
def test_hostile_bytes_are_malformed_at_once(data):
    start = time.perf_counter()
    with pytest.raises(Malformed):
        decode(data)
    assert time.perf_counter() - start < 0.5


def test_numbers_chosen_to_collide_cost_nothing_here():
    """All of them have one hash: as a set of Python's they would take minutes."""
    numbers = [1 + at * (2**61 - 1) for at in range(40_000)]
    data = b"S" + encode(numbers, most_bytes=MOST)[1:]
    start = time.perf_counter()
    assert not same(parse(data), frozen({1}))
    assert same(parse(data), parse(b"S" + encode(numbers[::-1], most_bytes=MOST)[1:]))
    assert time.perf_counter() - start < 5


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (
            [1, (2,), {"a": b"c"}, set(), frozenset({3})],
            "[1, (2,), {'a': b'c'}, set(), frozenset({3})]",
        ),
        pytest.param(10**5000, "an integer of 16610 bits", id="large"),
        ("é\x1b", "'\\xe9\\x1b'"),
        ("x" * 300, "'" + "x" * 199 + " ..."),
    ],
)
def test_values_are_shown_as_python_shows_them_and_cut(value, shown):
    assert show(frozen(value)) == shown


def test_a_long_value_is_not_written_out_to_be_cut():
    assert len(show(Container("l", [Container("l", [0] * 1000)] * 1000))) < 300
