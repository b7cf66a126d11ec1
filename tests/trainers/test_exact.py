from dataclasses import replace

import pytest

from agentgym.errors import AgentGymError
from agentgym.trainers.exact import check_exact
from agentgym.types import Completion, Message, Segment, Step, Task, Trajectory


def episode() -> Trajectory:
    """Two steps of two tokens in one segment, and another of one in an edited one."""
    spans = [(7, 8), (9, 4), (5,)]
    steps = [
        Step(
            message=Message("assistant", "x"),
            completion=Completion(token_ids=ids, logprobs=(-0.5,) * len(ids), finish_reason="stop"),
        )
        for ids in spans
    ]
    first = Segment(
        token_ids=[1, 7, 8, 2, 9, 4, 3],
        sampled=[False, True, True, False, True, True, False],
        logprobs=[0.0, -0.5, -0.5, 0.0, -0.5, -0.5, 0.0],
        steps=[(0, 1, 3), (1, 4, 6)],
    )
    second = Segment(
        token_ids=[1, 7, 2, 5],
        sampled=[False, False, False, True],
        logprobs=[0.0, 0.0, 0.0, -0.5],
        steps=[(2, 3, 4)],
        parent=0,
        reason="edit",
    )
    return Trajectory(id="e-7", task=Task("t"), group_id="g", steps=steps, segments=[first, second])


def test_tokens_as_they_were_sampled_pass() -> None:
    check_exact([episode(), episode()])


def drift(t: Trajectory) -> None:
    t.segments[0].token_ids[2] += 1


def other_logprob(t: Trajectory) -> None:
    t.segments[0].logprobs[1] = -0.25


def unmarked(t: Trajectory) -> None:
    t.segments[0].sampled[1] = False


def marked(t: Trajectory) -> None:
    t.segments[1].sampled[1] = True


def overlap(t: Trajectory) -> None:
    t.segments[0].steps[1] = (1, 2, 4)


def out_of_range(t: Trajectory) -> None:
    t.segments[1].steps[0] = (2, 3, 5)


def backwards(t: Trajectory) -> None:
    t.segments[0].steps.reverse()


def twice(t: Trajectory) -> None:
    t.segments[1].steps = [(1, 3, 4)]


def shrunk(t: Trajectory) -> None:
    t.segments[0].sampled.pop()


def orphan(t: Trajectory) -> None:
    t.segments[1].parent = 1


def unsampled(t: Trajectory) -> None:
    t.steps[0] = replace(t.steps[0], completion=None)


@pytest.mark.parametrize(
    "break_it",
    [drift, other_logprob, unmarked, marked, overlap, out_of_range, backwards, twice, shrunk,
     orphan, unsampled],
)  # fmt: skip
def test_anything_else_is_an_error_that_names_the_episode(break_it) -> None:
    broken = episode()
    break_it(broken)
    with pytest.raises(AgentGymError, match=r"episode e-7 .*segment") as raised:
        check_exact([episode(), broken])
    assert raised.value.hint
