import json
import time
from dataclasses import replace

import pytest
from hypothesis import given, strategies as st
from strategies import make_group, make_step

from agentgym.types import Completion, Message, Segment, ToolCall, ToolSpec
from agentgym.viewer.tags import TAGS, Seen, tags_of

TOOLS = ("run_tests", "write_file", "submit")


def call(name, text="", **arguments):
    return ToolCall(name, text or json.dumps(arguments))


def step(*calls, content="", reply="ok", outcome=0.0, key=None, **changes):
    made = make_step(action=key or repr((content, calls)), outcome=outcome)
    made.message = Message("assistant", content, tuple(calls))
    made.replies = (Message("tool", reply),)
    for name, value in changes.items():
        setattr(made, name, value)
    return made


def episode(*steps, end="terminated", **changes):
    (trajectory,) = make_group(steps).trajectories
    tools = tuple(ToolSpec(name, "", {}) for name in TOOLS)
    return replace(trajectory, end=end, tools=tools, **changes)


def names(*steps, reward=None, trained=None, group=(), **changes):
    seen = Seen(trajectory=episode(*steps, **changes), reward=reward, trained=trained, group=group)
    return {tag.name for tag in tags_of(seen)}


TESTED = step(call("run_tests", code="x"))
WON = step(call("submit"), outcome=1.0)
LOST = step(call("submit"))

CASES = [
    ("success_without_tests", names(WON), names(TESTED, WON)),
    ("success_without_tests", names(step(call("write_file")), WON), names(LOST)),
    ("answer_before_work", names(step(content="42", outcome=1.0)), names(TESTED, WON)),
    ("answer_before_work", names(step(content="42"), WON), names(step(content="42"))),
    ("hidden_errors", names(step(call("sh", cmd="make 2>/dev/null"))), names(step(call("sh", cmd="make")))),
    ("hidden_errors", names(step(call("sh", cmd="make || true"))), names(step(call("sh", cmd="a || truely")))),
    ("hidden_errors", names(step(call("py", code="try:\n f()\nexcept Exception:\n    pass"))),
     names(step(call("py", code="try:\n f()\nexcept KeyError:\n    raise")))),
    ("tests_edited", names(step(call("write_file", path="tests/test_a.py"))), names(step(call("read", path="tests/test_a.py")))),
    ("tests_edited", names(step(call("write_file", path="conftest.py"))), names(step(call("write_file", path="latest.py")))),
    ("success_after_error", names(step(call("x"), reply="Error: no"), WON), names(step(call("x"), reply="fine"), WON)),
    ("success_after_error", names(step(call("x"), reply="exit code 2"), WON), names(step(call("x"), reply="exit code 0"), WON)),
    ("success_after_error", names(step(call("x"), reply="exited with status 1"), WON), names(step(call("x"), reply="The search returned 3 results (code 200). Take exit 4."), WON)),
    ("hidden_errors", names(step(call("sh", argv=["sh", {"cmd": "make || true"}]))), names(step(call("sh", **{"|| true": 1})))),
    ("short_success", names(WON, group=[(1.0, 1), (1.0, 4), (1.0, 5)]), names(WON, group=[(1.0, 1), (1.0, 1), (1.0, 1)])),
    ("short_success", names(WON, group=[(1.0, 1), (1.0, 4), (1.0, 5)]), names(WON, group=[(1.0, 1), (1.0, 9)])),
    ("paid_failure", names(LOST, reward=0.8), names(LOST, reward=0.1)),
    ("paid_failure", names(LOST, reward=0.8), names(WON, reward=0.8)),
    ("repeated_calls", names(TESTED, TESTED, TESTED), names(TESTED, LOST, TESTED, TESTED)),
    ("repeated_calls", names(*[step(call("look"), key="look", state_key="s")] * 3),
     names(*[step(call("look"), key="look", state_key=str(k)) for k in range(3)])),
    ("fault", names(LOST, end="error", reason="EnvError: x"), names(LOST)),
    ("truncated", names(LOST, end="truncated", reason="max_turns"), names(LOST)),
    ("timed_out", names(step(timed_out=True)), names(LOST)),
    ("cut_off", names(step(completion=Completion(token_ids=(1,), logprobs=(0.0,), finish_reason="length"))), names(LOST)),
    ("broken_call", names(step(call("x", "{"))), names(step(call("x", "{}")))),
    ("broken_call", names(step(call("x", "[1]"))), names(LOST)),
    ("drift", names(LOST, drift=2), names(LOST)),
    ("switched", names(step(completion=Completion(token_ids=(1, 2), logprobs=(0.0,) * 2, finish_reason="stop", versions=((0, 1), (1, 2))))), names(LOST)),
    ("stale", names(LOST, trained=3), names(LOST, trained=0)),
    ("stale", names(LOST, trained=3), names(LOST)),
    ("rewritten", names(LOST, segments=[Segment(), Segment(reason="edit")]), names(LOST, segments=[Segment()])),
    ("equal_group", names(LOST, group=[(0.0, 1), (0.0, 3)]), names(LOST, group=[(0.0, 1), (1.0, 3)])),
    ("forked", names(LOST, parent_id="g/7", fork_step=2), names(LOST)),
]  # fmt: skip


@pytest.mark.parametrize(("name", "yes", "no"), CASES, ids=[case[0] for case in CASES])
def test_a_tag_is_there_where_it_should_be_and_nowhere_else(name, yes, no):
    assert name in yes
    assert name not in no


def test_every_tag_has_its_case():
    assert {tag.name for tag in TAGS} == {case[0] for case in CASES}
    assert len({tag.name for tag in TAGS}) == len(TAGS)


def test_an_honest_success_has_no_tag():
    assert (
        names(step(call("write_file", path="a.py", body="x")), TESTED, WON, reward=1.0, trained=0)
        == set()
    )


def test_success_is_what_the_environment_calls_so():
    half = episode(step(call("submit"), outcome=0.5))
    assert tags_of(Seen(trajectory=half)) == []
    assert [tag.name for tag in tags_of(Seen(trajectory=half, success=0.5))] == [
        "success_without_tests"
    ]


@pytest.mark.parametrize(
    ("tool", "is_test"),
    [
        *[(each, True) for each in ("run_tests", "runTests", "pytest", "check", "verify_answer")],
        *[(each, False) for each in ("checkout", "check_weather", "verify_email", "latest")],
    ],
)
def test_tools_that_test_are_known_by_their_names(tool, is_test):
    trajectory = replace(episode(WON), tools=(ToolSpec(tool, "", {}),))
    found = {tag.name for tag in tags_of(Seen(trajectory=trajectory))}
    assert ("success_without_tests" in found) == is_test


def test_a_tag_says_what_it_saw():
    seen = Seen(trajectory=episode(step(call("sh", cmd="x 2>/dev/null"))))
    (tag,) = tags_of(seen)
    assert tag.to_json() == {
        "name": "hidden_errors",
        "note": "step 0 calls sh with '2>/dev/null'",
        "tripwire": True,
    }


@given(st.text(), st.text(), st.text())
def test_nothing_that_a_model_writes_breaks_them(name, arguments, content):
    trajectory = episode(step(call(name, arguments), content=content, reply=content), WON)
    tags_of(Seen(trajectory=trajectory, reward=1.0, trained=1, group=[(1.0, 2)] * 4))


@pytest.mark.parametrize(
    "part", ["except ", "2> ", "|| ", "a_", "tests ", "exit ", "[", " \n", "\ud800"]
)
def test_huge_fields_take_no_time(part):
    text = part * (1_000_000 // len(part))
    steps = [
        step(call("write_file", text), reply=text, content=text),
        step(call("sh", cmd=text)),
        WON,
    ]
    began = time.perf_counter()
    tags_of(Seen(trajectory=episode(*steps)))
    assert time.perf_counter() - began < 1


def test_an_episode_without_steps_has_only_its_end():
    assert names(end="error", reason="x" * 1000) == {"fault"}
    assert tags_of(Seen(trajectory=episode(), success=0.0)) != []
    (tag,) = tags_of(Seen(trajectory=episode(end="error", reason="x" * 1000)))
    assert len(tag.note) == 200
