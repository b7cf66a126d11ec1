"""What TRL is shown of an environment: methods, of which transformers makes the tools again."""

from typing import Any, Literal

import pytest
from outward.notes_env import NotesConfig, events
from transformers.utils import get_json_schema

import agentgym as ag
from agentgym.envs.calculator import CalculatorConfig
from agentgym.envs.code import CodeConfig
from agentgym.envs.keydoor import KeyDoorConfig
from agentgym.errors import ConfigError, EnvError
from agentgym.outward.trl import Environment, environment_factory, outcome, rows


def tools_of(factory: type[Environment]) -> dict[str, dict[str, Any]]:
    """As GRPOTrainer finds them."""
    import inspect

    named = inspect.getmembers(factory, predicate=inspect.isfunction)
    instance = factory()
    tools = [
        getattr(instance, name) for name, _ in named if name != "reset" and not name.startswith("_")
    ]
    return {tool.__name__: get_json_schema(tool)["function"] for tool in tools}


def told(text: str) -> list[dict[str, str]]:
    return [{"role": "assistant", "content": text}]


@pytest.mark.parametrize("config", [CalculatorConfig(), NotesConfig()], ids=lambda each: each.id)
def test_the_tools_that_trl_sees_are_those_of_the_environment(config: ag.EnvConfig) -> None:
    factory = environment_factory(config)
    seen = tools_of(factory)
    assert set(seen) == {spec.name for spec in factory._tools}
    for spec in factory._tools:
        mine, theirs = spec.parameters, seen[spec.name]["parameters"]
        assert seen[spec.name]["description"] == spec.description
        assert set(theirs.get("required", ())) == set(mine.get("required", ()))
        assert set(theirs["properties"]) == set(mine["properties"])
        for name, schema in mine["properties"].items():
            assert theirs["properties"][name]["type"] == schema["type"]
            assert theirs["properties"][name]["description"] == schema["description"]


def test_types_survive() -> None:
    class Typed(ag.ToolEnv):
        @ag.tool(inline=True)
        def do(
            self,
            which: Literal["a", "b"],
            many: list[int],
            maybe: int | None = None,
            anything: dict[str, float] | None = None,
        ) -> str:
            """Do it."""
            return f"{which} {many} {maybe} {anything}"

    class TypedConfig(NotesConfig):
        def build(self, sandboxes: object = None) -> ag.Env:
            return Typed()

    factory = environment_factory(TypedConfig())
    properties = tools_of(factory)["do"]["parameters"]["properties"]
    assert properties["which"] == {
        "type": "string",
        "enum": ["a", "b"],
        "description": "The which.",
    }
    assert properties["many"]["items"] == {"type": "integer"}
    assert (properties["maybe"]["type"], properties["maybe"]["nullable"]) == ("integer", True)
    instance: Any = factory()
    instance.reset(index=0)
    assert instance.do(which="a", many=[1]) == "a [1] None None"


def test_an_episode_is_paid_by_its_environment(tmp_path: Any) -> None:
    log = tmp_path / "log"
    factory = environment_factory(NotesConfig(log=str(log)))
    assert events(log) == ["start", "close"]  # it looked at the tools
    one, other, third = [factory() for _ in range(3)]
    for each in (one, other, third):
        assert each.reset(prompt=[], task_id="train-3") == "Obey.\n\nSay 3."
    assert one.note(text="a") == "1 notes"  # type: ignore[attr-defined]
    assert "Field required" in one.note(txt="a")  # type: ignore[attr-defined]
    assert third.hand_in(number=3) == "Thanks."  # type: ignore[attr-defined]
    metrics: dict[str, float] = {}
    calling = [{"role": "assistant", "content": "", "tool_calls": [{}]}]
    paid = outcome(
        [told("3"), told("4"), calling], [one, other, third], log_metric=metrics.__setitem__
    )
    assert paid == [1.0, 0.0, 1.0]
    assert metrics["env/outcome"] == pytest.approx(2 / 3)
    assert metrics["env/tool_valid"] == pytest.approx(2 / 3)
    assert events(log).count("start") == events(log).count("close") == 4


def test_an_episode_that_was_cut_is_paid_for_what_it_reached() -> None:
    instance = environment_factory(NotesConfig())()
    instance.reset(index=1)
    cut = [{"role": "assistant", "content": "", "tool_calls": [{}]}]
    assert outcome([cut], [instance]) == [0.0]
    assert instance._episode is not None
    assert instance._episode.end == "truncated"


def test_an_environment_without_tools_is_talked_to_by_one() -> None:
    config = KeyDoorConfig()
    factory = environment_factory(config, split="test")
    assert list(tools_of(factory)) == ["say"]
    instance: Any = factory()
    (row,) = rows(config, number=1, split="test")
    instance.reset(**row)
    task = next(iter(config.tasks("test")))
    script, said = instance._episode._env.expert(task), []
    messages = list(instance._episode.start.messages)
    for _ in range(task.payload["optimal_steps"]):
        message = script(messages)
        answer = instance.say(text=message.content)
        messages += [message, ag.Message("user", answer)]
        said.append(message.content)
    assert outcome([told("")], [instance]) == [1.0], said


def test_rows_name_tasks_and_a_row_that_names_none_is_refused() -> None:
    listed = rows(NotesConfig(), number=3)
    assert [row["index"] for row in listed] == [0, 1, 2]
    assert len(rows(NotesConfig(), number=99)) == 8
    factory = environment_factory(NotesConfig())
    for row in listed:
        assert factory().reset(**row).endswith(f"Say {row['index']}.")
    with pytest.raises(ConfigError, match="a row names no task"):
        factory().reset(prompt=[])


def test_a_fault_is_no_reward() -> None:
    instance: Any = environment_factory(NotesConfig())()
    instance.reset(index=0)
    with pytest.raises(EnvError):  # TRL shows it to the model
        instance.fail()
    with pytest.raises(EnvError, match=r"an episode broke off: .* the disk is on fire"):
        outcome([told("0")], [instance])


@pytest.mark.parametrize(
    ("name", "parameter", "error"),
    [
        ("get_reward", "text", "TRL takes no method `get_reward` for a tool"),
        ("look", "from", "parameter `from` is no name of Python"),
    ],
)
def test_a_tool_that_cannot_be_a_method_is_named(name: str, parameter: str, error: str) -> None:
    spec = ag.ToolSpec(name, "Look.", {"type": "object", "properties": {parameter: {}}})

    class Odd(ag.Env):
        def reset(self, task: ag.Task, *, seed: int) -> ag.Reset:
            return ag.Reset((ag.Message("user", "x"),), (spec,))

        def step(self, message: ag.Message) -> ag.EnvStep:
            return ag.EnvStep((), {}, terminated=True)

    class OddConfig(NotesConfig):
        def build(self, sandboxes: object = None) -> ag.Env:
            return Odd()

    with pytest.raises(ConfigError, match=error):
        environment_factory(OddConfig())


@pytest.mark.sandbox
def test_an_environment_with_sandboxes_runs() -> None:
    instance: Any = environment_factory(CodeConfig(tier="easy"))()
    instance.reset(index=0)
    assert "42" in instance.run_code(code="print(6 * 7)")
    assert outcome([told("no")], [instance]) == [0.0]
