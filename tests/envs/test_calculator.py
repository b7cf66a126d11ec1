import ast
from fractions import Fraction
from itertools import islice

import pytest
from hypothesis import given, settings, strategies as st

from agentgym.envs.calculator import Calculator, CalculatorConfig
from agentgym.envs.calculator.arithmetic import evaluate, is_number
from agentgym.tools import ToolError
from agentgym.types import Message, Task, ToolCall

TIERS = CalculatorConfig.tiers
TASK = Task("What is 7 * 6?", answer=42, payload={"expression": "7 * 6"})


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("2 * (3 + 4)", "14"),
        (" -2 ** 2 ", "-4"),
        ("7 // 2 + 7 % 2", "4"),
        ("1 / 3", "0.333333333333"),
        ("0.1 + 0.2", "0.3"),
        ("6 / 2", "3"),
        ("2 ** -1", "0.5"),
    ],
)
def test_expressions_are_evaluated_exactly(expression: str, value: str) -> None:
    assert evaluate(expression) == value


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ("", "not an arithmetic expression"),
        ("2 +", "not an arithmetic expression"),
        ("1\n2", "not an arithmetic expression"),
        ("...", "not an arithmetic expression"),
        ("1(2)", "not an arithmetic expression"),
        ("()", "not an arithmetic expression"),
        ("(" * 150, "not an arithmetic expression"),
        ("x", "only numbers"),
        ("__import__('os')", "only numbers"),
        ("2^3", "only numbers"),
        ("٣", "only numbers"),
        ("1 / 0", "division by zero"),
        ("0 ** -1", "division by zero"),
        ("9 ** 9 ** 9", "exponent"),
        ("2 ** 0.5", "exponent"),
        ("9999999999 * 9999999999", "beyond 1e+15"),
        ("(99 ** 7) ** 16", "beyond 1e+15"),
        ("1" * 201, "longer than 200"),
    ],
)
def test_what_cannot_be_evaluated_says_why(expression: str, reason: str) -> None:
    with pytest.raises(ToolError, match=reason.replace("+", r"\+")):
        evaluate(expression)


@settings(max_examples=300)
@given(st.text(alphabet="0123456789+-*/%(). \n", max_size=40) | st.text(max_size=20))
def test_no_text_does_more_than_fail(expression: str) -> None:
    try:
        value = evaluate(expression)
    except ToolError:
        return
    assert isinstance(ast.literal_eval(value), int | float)


@given(
    st.recursive(
        st.integers(0, 99).map(str),
        lambda inner: st.tuples(inner, st.sampled_from("+-*"), inner).map(
            lambda parts: f"({parts[0]} {parts[1]} {parts[2]})"
        ),
        max_leaves=6,
    )
)
def test_python_agrees(expression: str) -> None:
    expected = eval(expression)
    if abs(expected) <= 10**12:
        assert Fraction(evaluate(expression)) == expected


@pytest.mark.parametrize("text", ["42", " 42\n", "42.0", "+42", "042"])
def test_a_right_number_is_right_in_any_spelling(text: str) -> None:
    assert is_number(text, 42)


@pytest.mark.parametrize(
    "text", ["", "42.", "42 pens", "4 2", "42.0000001", "84/2", "4.2e1", "٤٢", "nan", "1" * 99]
)
def test_anything_else_is_wrong(text: str) -> None:
    assert not is_number(text, 42)


async def start(task: Task = TASK) -> Calculator:
    env = CalculatorConfig().build()
    await env.reset(task, seed=0)
    return env


async def test_the_tool_calculates_and_the_answer_is_scored() -> None:
    env = await start()
    call = ToolCall("calc", '{"expression": "7 * 6"}', "a")
    step = await env.step(Message("assistant", tool_calls=(call,)))
    assert step.messages == (Message("tool", "42", tool_call_id="a"),)
    assert step.reward == {"tool_valid": 1.0}
    step = await env.step(Message("assistant", "42"))
    assert (step.reward, step.terminated) == ({"outcome": 1.0}, True)


async def test_a_wrong_answer_ends_the_episode_with_nothing() -> None:
    env = await start()
    step = await env.step(Message("assistant", "43"))
    assert (step.reward, step.terminated) == ({"outcome": 0.0}, True)


async def test_an_expression_that_fails_is_an_observation() -> None:
    env = await start()
    call = ToolCall("calc", '{"expression": "1 / 0"}', "a")
    step = await env.step(Message("assistant", tool_calls=(call,)))
    assert step.messages[0].content == "division by zero"
    assert step.reward == {"tool_valid": 0.0}


@pytest.mark.parametrize("tier", TIERS)
async def test_the_expert_solves_every_problem(tier: str) -> None:
    config = CalculatorConfig(tier=tier)
    for task in islice(config.tasks("test"), 50):
        env = config.build()
        conversation = list((await env.reset(task, seed=0)).messages)
        expert = env.expert(task)
        for _ in range(2):
            conversation.append(expert(conversation))
            step = await env.step(conversation[-1])
            conversation += step.messages
        assert step.reward == {"outcome": 1.0}
        assert eval(task.payload["expression"]) == task.answer


@pytest.mark.parametrize("tier", TIERS)
def test_the_splits_are_disjoint_and_stable(tier: str) -> None:
    config = CalculatorConfig(tier=tier)
    held_out = {task.prompt for task in config.tasks("test")}
    train = list(islice(config.tasks("train"), 1000))
    assert len(held_out) == 256
    assert held_out.isdisjoint(task.prompt for task in train)
    assert len({task.id for task in train}) == 1000
    assert train == list(islice(config.tasks("train"), 1000))
