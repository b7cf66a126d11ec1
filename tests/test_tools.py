import asyncio
import json
import time
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given, settings, strategies as st
from pydantic import BaseModel, Field

from agentgym.errors import ConfigError, EnvError
from agentgym.tools import Final, ToolError, ToolResult, ToolSet, tool
from agentgym.types import ToolCall


class Point(BaseModel):
    x: int
    y: int = 0


@tool(inline=True)
def echo(
    text: str,
    times: Annotated[int, Field(ge=1, le=9)] = 1,
    mode: Literal["plain", "loud"] = "plain",
) -> str:
    """Repeat a text.

    Longer explanation.

    Args:
        text: What to say.
        times: How often.
    """
    return " ".join([text.upper() if mode == "loud" else text] * times)


@tool(inline=True)
def awkward(json: Any = None, copy: list[float] | None = None, schema: Point | None = None) -> Any:
    """Take parameters named like attributes of pydantic models."""
    return {"json": json, "copy": copy, "point": schema and schema.x}


class Shop:
    def __init__(self) -> None:
        self.cart: list[str] = []

    @tool(inline=True)
    def add(self, item: str) -> list[str]:
        """Put an item in the cart."""
        self.cart.append(item)
        return self.cart

    @tool
    async def pay(self, amount: float) -> Final:
        """Pay and leave."""
        if amount < 0:
            raise ToolError("a price is not negative")
        return Final("thanks", {"outcome": 1.0})

    def not_a_tool(self) -> None:
        raise AssertionError


class BetterShop(Shop):
    @tool(inline=True)
    def add(self, item: str) -> str:
        """Put an item in the better cart."""
        return f"better {item}"

    @tool(inline=True)
    def leave(self) -> None:
        """Leave."""


async def ask(source: object, name: str, arguments: Any = None) -> ToolResult:
    text = arguments if isinstance(arguments, str) else json.dumps(arguments or {})
    return await ToolSet.of(source).call(ToolCall(name, text, "c1"))


def test_the_schema_says_what_signature_and_docstring_say() -> None:
    (spec,) = ToolSet.of([echo]).specs
    assert spec.name == "echo"
    assert spec.description == "Repeat a text.\n\nLonger explanation."
    assert spec.parameters == {
        "type": "object",
        "additionalProperties": False,
        "required": ["text"],
        "properties": {
            "text": {"type": "string", "description": "What to say."},
            "times": {
                "type": "integer",
                "minimum": 1,
                "maximum": 9,
                "default": 1,
                "description": "How often.",
            },
            "mode": {"type": "string", "enum": ["plain", "loud"], "default": "plain"},
        },
    }


def test_a_description_in_the_annotation_wins_over_the_docstring() -> None:
    @tool
    def f(a: Annotated[int, Field(description="from the annotation")]) -> None:
        """Do it.

        Args:
            a: from the docstring
        """

    (spec,) = ToolSet.of([f]).specs
    assert spec.parameters["properties"]["a"]["description"] == "from the annotation"


def test_marked_methods_are_collected_in_order_and_self_is_hidden() -> None:
    specs = ToolSet.of(BetterShop()).specs
    assert [spec.name for spec in specs] == ["add", "pay", "leave"]
    assert specs[0].description == "Put an item in the better cart."
    assert all("self" not in spec.parameters["properties"] for spec in specs)


def test_a_marked_function_can_still_be_called() -> None:
    assert echo("a", times=2) == "a a"


async def test_a_call_answers_with_a_tool_message_of_the_same_id() -> None:
    result = await ask([echo], "echo", {"text": "hi", "times": 2, "mode": "loud"})
    assert result.message.content == "HI HI"
    assert (result.message.role, result.message.tool_call_id) == ("tool", "c1")
    assert result.valid
    assert result.final is None


async def test_methods_use_the_state_of_their_instance() -> None:
    shop = Shop()
    tools = ToolSet.of(shop)
    await tools.call(ToolCall("add", '{"item": "tea"}'))
    result = await tools.call(ToolCall("add", '{"item": "é"}'))
    assert result.message.content == '["tea", "é"]'


async def test_final_ends_the_episode_with_its_reward() -> None:
    result = await ask(Shop(), "pay", {"amount": 1})
    assert result.final == Final("thanks", {"outcome": 1.0})
    assert result.message.content == "thanks"


async def test_parameters_may_be_named_like_attributes_of_a_model() -> None:
    result = await ask([awkward], "awkward", {"json": [1], "copy": [2], "schema": {"x": 3}})
    assert json.loads(result.message.content) == {"json": [1], "copy": [2.0], "point": 3}


@pytest.mark.parametrize(
    ("name", "arguments", "text"),
    [
        ("ecco", "{}", "There is no tool `ecco`. Did you mean `echo`? Tools: echo."),
        ("zzz", "{}", "There is no tool `zzz`. Tools: echo."),
        ("echo", "{", "The arguments are not JSON: "),
        ("echo", '{"text": NaN}', "The arguments are not JSON: NaN is not allowed. "),
        ("echo", "[" * 100_000, "The arguments are nested too deeply. "),
        ("echo", "[1]", "The arguments must be a JSON object. Expected echo(text: string, "),
        ("echo", "", "`text`: Field required. Expected echo(text: string, "),
        ("echo", '{"text": 1}', "`text`: Input should be a valid string. "),
        ("echo", '{"text": "a", "times": 0}', "`times`: Input should be greater than or equal"),
        ("echo", '{"text": "a", "tims": 1}', "`tims`: Extra inputs are not permitted. "),
        ("echo", '{"text": "a", "mode": "x"}', "`mode`: Input should be 'plain' or 'loud'. "),
    ],
)
async def test_what_the_model_did_wrong_is_a_short_observation(
    name: str, arguments: str, text: str
) -> None:
    result = await ask([echo], name, arguments)
    assert result.message.content.startswith(text)
    assert "http" not in result.message.content
    assert len(result.message.content) < 300
    assert not result.valid


async def test_a_tool_error_is_an_observation() -> None:
    result = await ask(Shop(), "pay", {"amount": -1})
    assert result.message.content == "a price is not negative"
    assert not result.valid


@pytest.mark.parametrize("error", [KeyError("gone"), StopIteration(), TimeoutError()])
@pytest.mark.parametrize("inline", [True, False])
async def test_what_a_tool_raises_is_a_fault_of_the_machinery(
    error: Exception, inline: bool
) -> None:
    @tool(inline=inline)
    def broken() -> str:
        """Raise."""
        raise error

    with pytest.raises(EnvError, match="tool `broken` raised"):
        await ask([broken], "broken")


async def test_a_tool_that_takes_too_long_is_an_observation() -> None:
    @tool(timeout_s=0.05)
    async def sleepy() -> str:
        """Sleep."""
        await asyncio.sleep(10)
        return "done"

    @tool(timeout_s=0.05)
    def threaded() -> str:
        """Sleep on a thread."""
        time.sleep(0.3)
        return "done"

    for function in (sleepy, threaded):
        name = function.__name__
        result = await ask([function], name)
        assert result.timed_out
        assert result.valid
        assert result.message.content == f"`{name}` took longer than 0.05 seconds."


async def test_plain_tools_do_not_hold_up_the_loop() -> None:
    @tool
    def slow() -> str:
        """Sleep on a thread."""
        time.sleep(0.1)
        return "done"

    started = time.perf_counter()
    await asyncio.gather(*(ask([slow], "slow") for _ in range(20)))
    assert time.perf_counter() - started < 1.0


async def test_a_long_result_keeps_head_and_tail() -> None:
    @tool(max_output_chars=10)
    def long() -> str:
        """Say a lot."""
        return "a" * 50 + "z" * 50

    result = await ask([long], "long")
    assert result.message.content == "aaaaa\n... 90 characters left out ...\nzzzzz"


async def test_a_lone_surrogate_is_refused_not_replaced() -> None:
    result = await ask([echo], "echo", '{"text": "a\\ud800b"}')
    assert not result.valid
    assert "half a character" in result.message.content


def test_a_function_that_cannot_be_a_tool_is_refused_by_name() -> None:
    def no_docstring(a: int) -> None:
        pass

    def no_annotation(a, b: int) -> None:  # type: ignore[no-untyped-def]
        """Do it."""

    def star(*args: int) -> None:
        """Do it."""

    def opaque(a: ToolSet) -> None:
        """Do it."""

    def unknown(a: "Nowhere") -> None:  # type: ignore[name-defined]  # noqa: F821
        """Do it."""

    for function, text in (
        (no_docstring, r"test_tools.py:\d+: tool `no_docstring`: it has no docstring"),
        (no_annotation, "tool `no_annotation`: parameter `a` has no annotation"),
        (star, r"tool `star`: parameter `\*args: int` cannot be passed by name"),
        (opaque, "tool `opaque`: an annotation cannot be described as JSON: .*ToolSet"),
        (unknown, "tool `unknown`: an annotation cannot be .*Nowhere"),
    ):
        with pytest.raises(ConfigError, match=text):
            ToolSet.of([function])


def test_two_tools_of_one_name_are_refused() -> None:
    with pytest.raises(ConfigError, match="two tools are called `echo`"):
        ToolSet.of([echo, echo])


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
NAMES = st.sampled_from(["text", "times", "mode", "json", "copy", "schema", "field_0", "x"])


@settings(max_examples=150, deadline=None)
@given(
    name=st.sampled_from(["echo", "awkward"]) | st.text(max_size=8),
    arguments=st.text(max_size=20)
    | JSON.map(json.dumps)
    | st.dictionaries(NAMES, JSON, max_size=4).map(json.dumps),
)
def test_no_arguments_make_a_call_raise(name: str, arguments: str) -> None:
    async def twice() -> tuple[ToolResult, ToolResult]:
        tools = ToolSet.of([echo, awkward])
        return await tools.call(ToolCall(name, arguments)), await tools.call(
            ToolCall(name, arguments)
        )

    first, second = asyncio.run(twice())
    assert first == second
    assert first.message.role == "tool"
    first.message.content.encode()


@pytest.mark.parametrize(
    "arguments", ['{"a": true, "b": 2}', '{"a": "1", "b": 2}', '{"a": 1.5, "b": 2}']
)
async def test_a_value_of_another_type_is_refused(arguments):
    @tool
    def add(a: int, b: int) -> int:
        """Add."""
        return a + b

    result = await ToolSet.of([add]).call(ToolCall("add", arguments))
    assert not result.valid
    assert "`a`" in result.message.content


async def test_json_lists_and_texts_become_tuples_and_literals():
    @tool
    def choose(pair: tuple[int, int], way: Literal["up", "down"], share: float) -> str:
        """Choose."""
        return f"{pair} {way} {share}"

    call = ToolCall("choose", '{"pair": [1, 2], "way": "up", "share": 1}')
    assert (await ToolSet.of([choose]).call(call)).message.content == "(1, 2) up 1.0"
