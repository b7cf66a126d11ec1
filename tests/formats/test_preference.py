from hypothesis import given, strategies as st

from agentgym.formats.preference import pair


@given(st.integers(0, 30), st.integers(0, 30))
def test_every_one_is_in_a_pair_and_no_pair_stands_twice(chosen: int, rejected: int) -> None:
    pairs = list(pair(list(range(chosen)), list(range(rejected))))
    if not (chosen and rejected):
        assert pairs == []
        return
    assert len(pairs) == max(chosen, rejected)
    assert {a for a, _ in pairs} == set(range(chosen))
    assert {b for _, b in pairs} == set(range(rejected))
    assert len(set(pairs)) == len(pairs)
