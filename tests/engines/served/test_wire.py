"""What goes over the wire comes back as it was; what cannot be is refused."""

import json
import math

import numpy as np
import pytest
from hypothesis import given, strategies as st

from agentgym.engines.served.wire import (
    Asked,
    Generate,
    Malformed,
    completion_body,
    read_body,
    read_completion,
)
from agentgym.types import Completion

Ids = st.lists(st.integers(0, 99), min_size=1, max_size=20)
Logprob = st.floats(-1e3, 0, width=32)


@st.composite
def completions(draw: st.DrawFn) -> tuple[Completion, Asked]:
    ids = draw(Ids)
    firsts = sorted({0, *draw(st.lists(st.integers(0, len(ids) - 1), max_size=3))})
    versions = tuple((first, number + 3) for number, first in enumerate(firsts))
    is_stopped = draw(st.booleans()) and ids[-1] not in ids[:-1]
    completion = Completion(
        token_ids=tuple(ids),
        logprobs=tuple(draw(st.lists(Logprob, min_size=len(ids), max_size=len(ids)))),
        finish_reason="stop" if is_stopped else "length",
        versions=versions,
    )
    stop = frozenset([ids[-1]] if is_stopped else [])
    limit = len(ids) + (draw(st.integers(0, 5)) if is_stopped else 0)
    return completion, Asked(limit, stop, 100, version=versions[-1][1])


@given(completions())
def test_a_completion_comes_back_bit_for_bit(drawn: tuple[Completion, Asked]) -> None:
    completion, asked = drawn
    body = json.dumps(completion_body(completion)).encode()
    assert read_completion(body, asked) == completion
    as_float32 = [float(np.float32(each)) for each in completion.logprobs]
    assert list(read_completion(body, asked).logprobs) == as_float32


@given(completions(), st.data())
def test_no_change_of_one_field_is_believed_that_breaks_the_answer(
    drawn: tuple[Completion, Asked], data: st.DataObject
) -> None:
    completion, asked = drawn
    told = completion_body(completion)
    field = data.draw(st.sampled_from(["token_ids", "logprobs", "versions", "finish_reason"]))
    told[field] = data.draw(
        {
            "token_ids": st.sampled_from([[], [*completion.token_ids, 5], [100], None, "5", [[5]]]),
            "logprobs": st.sampled_from([[], [*completion.logprobs, -1.0], [math.nan], {}, None]),
            "versions": st.sampled_from([[], [[1, 9]], [[0, 1]], [[0]], None, [[0, -1]]]),
            "finish_reason": st.sampled_from(["abort", None, "", 1]),
        }[field]
    )
    with pytest.raises(Malformed) as error:
        read_completion(json.dumps(told).encode(), asked)
    assert len(str(error.value)) <= 300


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    for model in (Generate,):
        with pytest.raises(Malformed):
            read_body(model, body)
    with pytest.raises(Malformed):
        read_completion(body, Asked(5, frozenset(), 100, 0))


def test_a_number_is_refused_where_it_is_no_log_probability_of_anything() -> None:
    asked = Asked(1, frozenset(), 100, 0)
    for text in ("NaN", "Infinity", "-Infinity", "0.5", "null", '"-1"', "true", "1e400"):
        body = (
            f'{{"token_ids":[1],"logprobs":[{text}],"finish_reason":"length","versions":[[0,0]]}}'
        )
        with pytest.raises(Malformed, match=r"logprobs\[0\]"):
            read_completion(body.encode(), asked)
