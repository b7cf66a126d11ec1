import numpy as np
from hypothesis import given, strategies as st

from agentgym.trainers.agreement import ranks


@given(st.lists(st.integers(0, 4), min_size=1, max_size=12))
def test_ranks_are_the_mean_of_places_that_equal_values_may_have(values: list[int]) -> None:
    places = sorted(range(len(values)), key=values.__getitem__)
    expected = [
        float(np.mean([rank for rank, place in enumerate(places) if values[place] == value]))
        for value in values
    ]
    assert ranks(np.array(values, dtype=np.float64)).tolist() == expected
