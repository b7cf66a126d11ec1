import json
from itertools import islice, pairwise

import pytest
from hypothesis import given, strategies as st

from agentgym.envs.code.experts import expert, teacher
from agentgym.envs.code.tasks import (
    NUM_OPERATIONS,
    OPERATIONS,
    REDUCTIONS,
    evaluate,
    held_out,
    program,
    tasks,
)
from agentgym.types import Message, Task

TIERS = ["easy", "medium", "hard"]


def train(tier, count=1500):
    return list(islice(tasks(tier, "train"), count))


def composition(task: Task) -> tuple[str, ...]:
    return (*(kind for kind, _ in task.payload["operations"]), task.payload["reduction"])


chains = st.lists(
    st.sampled_from(sorted(OPERATIONS)).flatmap(
        lambda kind: st.tuples(st.just(kind), st.sampled_from(OPERATIONS[kind].constants))
    ),
    min_size=1,
    max_size=3,
)


@pytest.mark.parametrize("tier", TIERS)
def test_test_tasks_are_compositions_that_train_never_has(tier):
    trained = {composition(task) for task in train(tier)}
    tested = {composition(task) for task in tasks(tier, "test")}
    assert not trained & tested
    assert len(tested) >= 8


def test_the_tiers_agree_on_what_is_held_out():
    trained = {composition(task) for task in train("hard")}
    assert not any(held_out(kinds, reduction) for *kinds, reduction in trained)
    assert all(held_out(kinds, r) for *kinds, r in map(composition, tasks("easy", "test")))


@pytest.mark.parametrize("tier", TIERS)
def test_every_operation_reduction_and_constant_occurs_in_train(tier):
    some = train(tier)
    pairs = {tuple(pair) for task in some for pair in task.payload["operations"]}
    assert pairs == {(kind, k) for kind, one in OPERATIONS.items() for k in one.constants}
    assert {task.payload["reduction"] for task in some} == set(REDUCTIONS)


@pytest.mark.parametrize("tier", TIERS)
def test_test_has_512_distinct_tasks_in_a_fixed_order(tier):
    ids = [task.id for task in tasks(tier, "test")]
    assert len(set(ids)) == len(ids) == 512
    assert ids == [task.id for task in tasks(tier, "test")]


@pytest.mark.parametrize("tier", TIERS)
def test_train_comes_in_a_fixed_order_and_hardly_repeats(tier):
    ids = [task.id for task in train(tier)]
    assert ids == [task.id for task in train(tier)]
    assert len(set(ids)) > 0.99 * len(ids)


@pytest.mark.parametrize("tier", TIERS)
def test_a_tier_has_its_numbers_of_operations(tier):
    sizes = [len(task.payload["operations"]) for task in train(tier, 30)]
    assert sizes == [NUM_OPERATIONS[tier][i % len(NUM_OPERATIONS[tier])] for i in range(30)]


def test_a_task_is_json_with_three_public_and_six_hidden_examples():
    for task in train("hard", 100):
        payload = json.loads(json.dumps(task.payload))
        assert payload == task.payload
        assert len(payload["public"]) == 3
        assert len(payload["hidden"]) == 6
        assert payload["hidden"][-1][0] == []


def test_public_examples_refute_constants_and_programs_that_leave_an_operation_out():
    for task in train("hard", 300):
        chain, reduction = task.payload["operations"], task.payload["reduction"]
        wants = [want for _, want in task.payload["public"]]
        assert any(a != b for a, b in pairwise(wants))
        for i in range(len(chain)):
            rest = chain[:i] + chain[i + 1 :]
            assert wants != [evaluate(rest, reduction, x) for x, _ in task.payload["public"]]


def test_no_mistake_is_the_right_code_of_another_kind():
    right = {one.code.replace("{k}", str(k)) for one in OPERATIONS.values() for k in one.constants}
    wrong = {
        text.replace("{k}", str(k))
        for one in OPERATIONS.values()
        for k in one.constants
        for text in one.wrong
    }
    assert not right & wrong


def test_no_wording_is_shared_by_two_kinds():
    wordings = [text for one in OPERATIONS.values() for text in one.wordings]
    wordings += [text for one in REDUCTIONS.values() for text in one.wordings]
    assert len(set(wordings)) == len(wordings)


def test_a_prompt_names_every_constant_and_is_short():
    for task in train("hard", 300):
        assert len(task.prompt.split()) <= 30
        for _, constant in task.payload["operations"]:
            assert str(constant or "") in task.prompt


@given(chain=chains, reduction=st.sampled_from(sorted(REDUCTIONS)), x=st.lists(st.integers()))
def test_every_composition_has_a_value_for_every_list_and_leaves_the_list_alone(
    chain, reduction, x
):
    before = list(x)
    value = evaluate(chain, reduction, x)
    assert x == before
    if reduction == "list":
        assert type(value) is list
        assert all(type(v) is int for v in value)
    else:
        assert type(value) is int


def test_evaluation_of_cases_done_by_hand():
    x = [3, -2, 4, 4, 0]
    assert evaluate([("even", 0), ("square", 0)], "list", x) == [4, 16, 16, 0]
    assert evaluate([("unique", 0), ("drop", 1)], "sum", x) == 2
    assert evaluate([("sort", 0), ("take", 2)], "list", x) == [-2, 0]
    assert evaluate([("above", 5)], "max", x) == 0
    assert evaluate([("multiple", 3), ("add", 2)], "list", x) == [5, 2]
    assert evaluate([("cap", 1), ("reverse", 0)], "list", x) == [0, 1, 1, -2, 1]
    assert evaluate([("absolute", 0), ("scale", 3)], "len", x) == 5


def test_a_program_has_one_statement_for_each_operation():
    code = program([("add", 3), ("reverse", 0)], "max")
    assert code == "def f(x): x = [v + 3 for v in x]; x = x[::-1]; return max(x, default=0)"


def conversation(script, task, answers):
    """Give fixed answers up to the end of the episode; return the calls made."""
    messages = [Message("user", task.prompt)]
    calls = []
    for answer in answers:
        message = script(messages)
        calls.append((message.tool_calls[0].name, json.loads(message.tool_calls[0].arguments)))
        messages += [message, Message("tool", answer)]
        if calls[-1][0] == "submit":
            break
    return calls


def test_the_expert_tests_the_right_program_and_submits():
    task = train("hard", 1)[0]
    calls = conversation(expert(task), task, ["pass", "right"])
    assert calls == [("run_tests", {"code": task.answer}), ("submit", {})]


def test_the_teacher_submits_what_passed_and_never_repeats_itself():
    for seed, task in enumerate(train("hard", 200)):
        script = teacher(task, seed)
        calls = conversation(script, task, ["input"] * 4)
        tested = [arguments["code"] for name, arguments in calls if name == "run_tests"]
        assert 1 <= len(tested) <= 3
        assert len(set(tested)) == len(tested)
        assert len(calls) == len(tested) + 1
        assert conversation(teacher(task, seed), task, ["pass", "right"])[1] == ("submit", {})


def test_the_teacher_depends_on_its_seed_only():
    task = train("hard", 3)[2]
    first = [conversation(teacher(task, seed), task, ["input"]) for seed in range(20)]
    again = [conversation(teacher(task, seed), task, ["input"]) for seed in range(20)]
    assert first == again
    assert len({call[0][1]["code"] for call in first}) > 3
