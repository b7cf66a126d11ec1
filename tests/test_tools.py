import asyncio
import gc
import json
import re
import time
import weakref
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from datetime import date
from enum import Enum
from functools import lru_cache, partial
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given, settings, strategies as st
from pydantic import BaseModel, Field
from typing_extensions import TypedDict

from agentgym.check.schemas import tool_problems
from agentgym.errors import ConfigError, EnvError, place_of
from agentgym.tools import Final, SchemaTool, ToolError, ToolResult, ToolSet, on_thread, tool
from agentgym.types import ToolCall, ToolSpec


def kind(value: object) -> str:
    """Name a case by its type: addresses differ from one process to the next."""
    return type(value).__name__


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


@pytest.mark.parametrize(
    "error", [KeyError("gone"), StopIteration(), TimeoutError(), SystemExit(2)]
)
@pytest.mark.parametrize("inline", [True, False])
async def test_what_a_tool_raises_is_a_fault_of_the_machinery(
    error: BaseException, inline: bool
) -> None:
    @tool(inline=inline)
    def broken() -> str:
        """Raise."""
        raise error

    with pytest.raises(EnvError, match="tool `broken` raised"):
        await ask([broken], "broken")


async def test_an_async_tool_cannot_end_the_program() -> None:
    @tool
    async def leave() -> str:
        """Leave."""
        raise SystemExit(2)

    with pytest.raises(
        EnvError, match=r"tool `leave` raised SystemExit: 2 \(.*test_tools\.py:\d+\)"
    ):
        await ask([leave], "leave")


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt, asyncio.CancelledError])
async def test_no_thread_can_end_the_program(kind: type[BaseException]) -> None:
    def leave() -> None:
        raise kind("now")

    with pytest.raises(RuntimeError, match=f"^{kind.__name__}: now$") as caught:
        await on_thread(leave)
    assert str(place_of(caught.value)).startswith(__file__)


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
        (opaque, "tool `opaque`: its parameters cannot be described as JSON: .*ToolSet"),
        (unknown, "tool `unknown`: its parameters cannot be .*Nowhere"),
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


@pytest.mark.parametrize("number", ["1e999", "-1e999", "1" + 400 * "0", 5000 * "1"], ids=len)
async def test_a_number_that_nothing_can_hold_is_refused_by_every_tool(number: str) -> None:
    class Weight(BaseModel):
        grams: float

    @tool(inline=True)
    def weigh(weight: Weight) -> str:
        """Weigh."""
        return str(weight.grams)

    for name, text in (
        ("weigh", f'{{"weight": {{"grams": {number}}}}}'),
        ("go", f'{{"from": "Bonn", "any": {number}}}'),
    ):
        result = await ask([weigh, schema_tool(dict)], name, text)
        assert not result.valid
        assert result.message.content.startswith(f"The arguments are not JSON: {number[:20]}")
        assert " is too large for a number" in result.message.content


async def test_json_lists_and_texts_become_tuples_and_literals():
    @tool
    def choose(pair: tuple[int, int], way: Literal["up", "down"], share: float) -> str:
        """Choose."""
        return f"{pair} {way} {share}"

    call = ToolCall("choose", '{"pair": [1, 2], "way": "up", "share": 1}')
    assert (await ToolSet.of([choose]).call(call)).message.content == "(1, 2) up 1.0"


class Level(Enum):
    LOW = "niedrig"
    HIGH = "größer"


@dataclass
class Size:
    width: int
    height: int = 1


class Where(TypedDict):
    city: str


@tool(inline=True)
def all_kinds(
    level: Level,
    size: Size,
    point: Point,
    where: Where,
    names: list[str],
    ages: dict[str, int],
    tags: set[str],
    day: date,
    note: str | None = None,
    limit: Annotated[int, Field(ge=0, lt=10)] = 3,
    code: Annotated[str, Field(pattern=r"^[a-z]+$")] = "abc",
) -> str:
    """Nimm alles — 全部.

    Args:
        level: Wie viel.
    """
    assert isinstance(level, Level)
    assert isinstance(size, Size)
    assert isinstance(point, Point)
    assert isinstance(tags, set)
    assert isinstance(day, date)
    return f"{level.value} {size.height} {point.y} {where['city']} {names} {ages} {note} {limit}"


GOOD = {
    "level": "größer",
    "size": {"width": 2},
    "point": {"x": 1},
    "where": {"city": "Köln"},
    "names": ["é"],
    "ages": {"Åsa": 3},
    "tags": ["a"],
    "day": "2020-02-29",
}


async def test_arguments_of_every_kind_arrive_as_what_is_annotated() -> None:
    result = await ask([all_kinds], "all_kinds", GOOD)
    assert result.message.content == "größer 1 0 Köln ['é'] {'Åsa': 3} None 3"


def test_a_schema_of_every_kind_is_json_and_keeps_its_texts() -> None:
    (spec,) = ToolSet.of([all_kinds]).specs
    assert json.loads(json.dumps(spec.parameters)) == spec.parameters
    assert spec.description == "Nimm alles — 全部."
    assert spec.parameters["$defs"]["Level"]["enum"] == ["niedrig", "größer"]
    assert spec.parameters["required"] == list(GOOD)
    assert list(tool_problems(spec)) == [
        f"parameter `{name}` has no description"
        for name in spec.parameters["properties"]
        if name != "level"
    ]


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"level": "low"}, "`level`: Input should be 'niedrig' or 'größer'."),
        ({"size": {}}, "`size.width`: Field required."),
        ({"point": {"x": "1"}}, "`point.x`: Input should be a valid integer."),
        ({"where": {}}, "`where.city`: Field required."),
        ({"names": "é"}, "`names`: Input should be a valid array."),
        ({"ages": {"a": True}}, "`ages.a`: Input should be a valid integer."),
        ({"day": "2021-02-29"}, "`day`: "),
        ({"limit": 10}, "`limit`: Input should be less than 10."),
        ({"code": "ABC"}, "`code`: String should match pattern"),
        ({"note": 3}, "`note`: Input should be a valid string."),
    ],
    ids=lambda each: next(iter(each)) if isinstance(each, dict) else "",
)
async def test_a_wrong_argument_of_every_kind_is_an_observation(
    change: dict[str, Any], text: str
) -> None:
    result = await ask([all_kinds], "all_kinds", GOOD | change)
    assert not result.valid
    assert result.message.content.startswith(text)


async def test_a_default_that_can_change_is_not_shared_between_calls() -> None:
    @tool(inline=True)
    def collect(item: str, into: list[str] = []) -> list[str]:  # noqa: B006  the point of it
        """Collect."""
        into.append(item)
        return into

    for _ in range(2):
        assert (await ask([collect], "collect", {"item": "a"})).message.content == '["a"]'


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Size(2), '{"width": 2, "height": 1}'),
        ([Point(x=1)], '[{"x": 1, "y": 0}]'),
        ("Grüße", "Grüße"),
        ({"a": "全"}, '{"a": "全"}'),
        (None, "null"),
        ("half \ud800", "half ?"),
    ],
    ids=str,
)
async def test_what_a_tool_returns_becomes_text(value: Any, text: str) -> None:
    @tool(inline=True)
    def give() -> Any:
        """Give."""
        return value

    assert (await ask([give], "give")).message.content == text


@pytest.mark.parametrize("value", [{1, 2}, object(), b"x", [1j], {(1, 2): 3}], ids=kind)
async def test_a_result_that_is_no_json_is_a_fault_with_file_and_line(value: Any) -> None:
    @tool(inline=True)
    def give() -> Any:
        """Give."""
        return value

    with pytest.raises(EnvError, match=r"test_tools.py:\d+: tool `give` returned ") as caught:
        await ask([give], "give")
    assert "sorted" in str(caught.value.hint)


def _bad_functions() -> Iterator[tuple[Any, str]]:
    def résumé(a: int) -> None:
        """Do it."""

    def accent(größe: int) -> None:
        """Do it."""

    def default(a: int = "x") -> None:  # type: ignore[assignment]
        """Do it."""

    def optional(a: int = None) -> None:  # type: ignore[assignment]  # noqa: RUF013
        """Do it."""

    def bound(a: Annotated[int, Field(ge=1)] = 0) -> None:
        """Do it."""

    def opaque(a: Any = object()) -> None:  # noqa: B008
        """Do it."""

    def infinite(a: float = float("inf")) -> None:
        """Do it."""

    def field(a: int = Field(3, ge=1)) -> None:
        """Do it."""

    def pattern(a: Annotated[str, Field(pattern="[")]) -> None:
        """Do it."""

    def constraint(a: Annotated[ToolSet, Field(ge=1)]) -> None:
        """Do it."""

    def called(a: Callable[[int], int]) -> None:
        """Do it."""

    def yields(a: int) -> Iterator[int]:
        """Do it."""
        yield a

    async def ayields(a: int) -> AsyncIterator[int]:
        """Do it."""
        yield a

    def positional(a: int, /) -> None:
        """Do it."""

    def options(**kwargs: int) -> None:
        """Do it."""

    def untyped(a) -> None:  # type: ignore[no-untyped-def]
        """Do it."""

    def unfinished(a: "list[") -> None:  # type: ignore[valid-type]  # noqa: F722
        """Do it."""

    yield unfinished, "its parameters cannot be described as JSON: "
    yield résumé, "tool `résumé` of .* is called what models may not be offered"
    yield accent, "parameter `größe` is called what models may not be offered"
    yield default, "parameter `a` does not allow its own default 'x': Input should be a valid int"
    yield optional, "parameter `a` does not allow its own default None"
    yield bound, "parameter `a` does not allow its own default 0: .* greater than or equal to 1"
    yield opaque, "its parameters cannot be described as JSON: .*not JSON serializable"
    yield infinite, "its parameters cannot be described as JSON: Out of range float"
    yield field, "the default of parameter `a` is a Field"
    yield pattern, "its parameters cannot be described as JSON: "
    yield constraint, "its parameters cannot be described as JSON: "
    yield called, "its parameters cannot be described as JSON: "
    yield yields, "tool `yields`: it yields"
    yield ayields, "tool `ayields`: it yields"
    yield positional, "parameter `a: int` cannot be passed by name"
    yield options, r"parameter `\*\*kwargs: int` cannot be passed by name"
    yield untyped, "parameter `a` has no annotation"
    yield Shop.add, "it is a method without an object: parameter `self`"


@pytest.mark.parametrize(("function", "text"), list(_bad_functions()))
def test_every_bad_tool_is_refused_with_file_line_and_mend(function: Any, text: str) -> None:
    with pytest.raises(ConfigError, match=text) as caught:
        ToolSet.of([function])
    assert re.search(r"test_tools\.py:\d+", str(caught.value))
    assert caught.value.hint


@pytest.mark.parametrize("thing", ["calc", 3, Shop, partial(echo, "a"), {}, None], ids=kind)
def test_what_is_no_function_is_refused(thing: Any) -> None:
    with pytest.raises(ConfigError, match="a tool must be a function, not ") as caught:
        ToolSet.of([thing])
    assert "SchemaTool" in str(caught.value.hint)


def test_functions_of_c_are_refused_without_a_place() -> None:
    for function in (len, max):
        with pytest.raises(ConfigError, match=f"^tool `{function.__name__}`: "):
            ToolSet.of([function])


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"timeout": 3}, "@tool does not know `timeout`"),
        ({"timeout_s": 0}, "timeout_s=0"),
        ({"max_output_chars": -1}, "max_output_chars=-1"),
        ({"max_output_chars": 1e2}, "max_output_chars=100.0"),
        ({"max_output_chars": True}, "max_output_chars=True"),
        ({"timeout_s": "3"}, "timeout_s='3'"),
        ({"timeout_s": True}, "timeout_s=True"),
    ],
    ids=str,
)
def test_a_wrong_option_is_refused_with_file_and_line(options: dict[str, Any], text: str) -> None:
    def f() -> None:
        """Do it."""

    with pytest.raises(ConfigError, match=rf"test_tools.py:\d+: tool `f`: {text}"):
        tool(**options)(f)


async def test_static_and_class_methods_are_tools_too() -> None:
    class Kit:
        size = 3

        @tool(inline=True)
        @staticmethod
        def double(n: int) -> int:
            """Double."""
            return 2 * n

        @tool(inline=True)
        @classmethod
        def measure(cls, n: int) -> int:
            """Measure."""
            return n * cls.size

    tools = ToolSet.of(Kit())
    for name, answer in (("double", "4"), ("measure", "6")):
        assert (await tools.call(ToolCall(name, '{"n": 2}'))).message.content == answer


def test_a_tool_goes_with_what_made_it() -> None:
    def made() -> Callable[[], str]:
        def speak() -> str:
            """Speak."""
            return "hello"

        return speak

    speak = made()
    ToolSet.of([speak])
    gone = weakref.ref(speak)
    del speak
    gc.collect()
    assert gone() is None


def test_a_tool_is_looked_at_once() -> None:
    first, second = (ToolSet.of([echo]).specs[0] for _ in range(2))
    assert first is second


async def test_a_decorated_function_is_a_tool() -> None:
    @tool(inline=True)
    @lru_cache
    def square(n: int) -> int:
        """Square."""
        return n * n

    assert (await ask([square], "square", {"n": 3})).message.content == "9"


def schema_tool(function: Any, **options: Any) -> SchemaTool:
    parameters = {
        "type": "object",
        "additionalProperties": False,
        "required": ["from"],
        "properties": {
            "from": {"type": "string", "enum": ["Köln", "Bonn"]},
            "n": {"type": ["integer", "null"]},
            "any": {"anyOf": [{"type": "string"}, {"type": "integer"}]},
            "more": {"type": "array", "items": {"type": "integer"}},
        },
    }
    return SchemaTool(spec=ToolSpec("go", "Go.", parameters), function=function, **options)


@pytest.mark.parametrize("is_async", [True, False])
async def test_a_schema_tool_gets_its_arguments_as_one_dictionary(is_async: bool) -> None:
    async def later(given: dict[str, Any]) -> dict[str, Any]:
        return given

    def now(given: dict[str, Any]) -> dict[str, Any]:
        return given

    given = {"from": "Köln", "n": None, "any": [1], "more": [1]}
    result = await ask([schema_tool(later if is_async else now)], "go", given)
    assert json.loads(result.message.content) == given


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({}, "`from` is missing. Expected go(from: string, "),
        ({"from": "Ulm"}, "`from` should be one of 'Köln', 'Bonn'. "),
        ({"from": "Bonn", "n": "1"}, "`n` should be integer or null. "),
        ({"from": "Bonn", "n": True}, "`n` should be integer or null. "),
        ({"from": "Bonn", "n": 1.5}, "`n` should be integer or null. "),
        ({"from": "Bonn", "more": {}}, "`more` should be array. "),
        ({"from": "Bonn", "x": 1}, "`x` is no argument. "),
        ("[1]", "The arguments must be a JSON object. "),
    ],
    ids=str,
)
async def test_what_a_schema_forbids_is_an_observation(given: Any, text: str) -> None:
    result = await ask([schema_tool(dict)], "go", given)
    assert not result.valid
    assert result.message.content.startswith(text)


@pytest.mark.parametrize(
    ("schema", "text"),
    [
        ({"required": None}, "`required` is None, expected a list of names"),
        ({"required": "a"}, "`required` is 'a'"),
        ({"required": [1]}, r"`required` is \[1\]"),
        ({"properties": None}, "`properties` is None, expected an object"),
        ({"properties": {"a": {"enum": None}}}, "`enum` of `a` is None, expected a list"),
        ({"properties": {"a": {"type": None}}}, "`type` of `a` is None, expected a name or a list"),
        ({"properties": {"a": {"type": [{}]}}}, r"`type` of `a` is \[{}\]"),
    ],
    ids=str,
)
def test_a_broken_schema_is_refused(schema: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigError, match=f"tool `go` of mine has a broken schema: {text}"):
        SchemaTool(spec=ToolSpec("go", "Go.", schema), function=dict, origin="mine")


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"max_output_chars": 1e2}, "max_output_chars=100.0, expected a whole number above 0"),
        ({"timeout_s": 0}, "timeout_s=0, expected a number above 0"),
    ],
    ids=str,
)
def test_a_wrong_limit_of_a_schema_tool_is_refused(options: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigError, match=f"tool `go` of a SchemaTool: {text}"):
        schema_tool(dict, **options)


@pytest.mark.parametrize(("value", "valid"), [(1, True), (1.0, True), (True, False), (3, False)])
async def test_an_enum_tells_true_from_one(value: Any, valid: bool) -> None:
    spec = ToolSpec("pick", "Pick.", {"properties": {"n": {"enum": [1, 2]}}})
    result = await ask([SchemaTool(spec=spec, function=dict)], "pick", {"n": value})
    assert result.valid is valid


async def test_a_schema_tool_has_limits_too() -> None:
    async def sleepy(given: Any) -> str:
        await asyncio.sleep(9)
        return ""

    result = await ask([schema_tool(sleepy, timeout_s=0.05)], "go", {"from": "Bonn"})
    assert result.timed_out
    long = schema_tool(lambda given: "x" * 99, max_output_chars=4)
    content = (await ask([long], "go", {"from": "Bonn"})).message.content
    assert content == "xx\n... 95 characters left out ...\nxx"


def test_two_tools_of_one_name_are_both_named() -> None:
    def go() -> None:
        """Go."""

    with pytest.raises(ConfigError, match=r"of .*test_tools.py:\d+, and of a SchemaTool") as caught:
        ToolSet.of([go, schema_tool(dict)])
    assert "rename one" in str(caught.value.hint)
