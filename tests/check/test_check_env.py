"""Every check catches the environment that breaks its promise, and only that check does."""

import json
import linecache
import random
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar, Literal

import pytest
from pydantic import field_serializer

from agentgym.check import Status, check_env
from agentgym.check.checks import CHECKS
from agentgym.env import Env, EnvConfig, EnvStep, Reset
from agentgym.envs.calculator import CalculatorConfig
from agentgym.envs.code import CodeConfig
from agentgym.envs.keydoor import KeyDoorConfig
from agentgym.envs.tool_env import ToolEnv
from agentgym.errors import ConfigError
from agentgym.loading import load_env
from agentgym.sandboxes.local import LocalSandboxConfig
from agentgym.tools import Final, tool
from agentgym.types import Message, Task, ToolSpec

PLAIN = {2, 3, 4, 5, 6, 7, 8, 10, 12}
WITHOUT_IMPORT = tuple(check for check in CHECKS if check.number in PLAIN)


class Count(ToolEnv):
    """Count to the answer."""

    def start(self, task: Task, *, seed: int) -> None:
        self.random = random.Random(seed)
        self.count = 0

    @tool(inline=True)
    def add(self, number: int) -> str | Final:
        """Add to the counter.

        Args:
            number: What to add.
        """
        self.count += number
        if self.count > self.task.answer:
            return Final("over", {"outcome": self.verdict()})
        return self.observation()

    def observation(self) -> str:
        return "less"

    def verdict(self) -> float:
        return 1.0


class CountConfig(EnvConfig):
    id: ClassVar[str] = "test/Count-v0"
    env: ClassVar[type[Env]] = Count

    def tasks(self, split: str) -> Iterator[Task]:
        for number in range(3):
            yield Task(f"Count to {number} ({split}).", answer=100 + number, split=split)

    def build(self, sandboxes: object = None) -> Env:
        return self.env()


def with_env(env: type[Env], **attributes: Any) -> type[EnvConfig]:
    attributes.setdefault("__module__", __name__)
    return type("Config", (CountConfig,), {"env": env, **attributes})


def with_tasks(make: Callable[[str], Iterator[Task]]) -> type[EnvConfig]:
    return with_env(Count, tasks=lambda self, split: make(split))


# --- 2 identity, 3 config -----------------------------------------------------------------


class NeedsSetting(CountConfig):
    level: int


class Forgetful(CountConfig):
    level: int = 1

    @field_serializer("level")
    def _write(self, level: int) -> int:
        return level + 1


class Lax(CountConfig, extra="allow"):
    pass


class Tiers(CountConfig):
    tiers: ClassVar[tuple[str, ...]] = ("easy", "hard")
    tier: Literal["easy", "medium"] = "easy"


# --- 4 tools ------------------------------------------------------------------------------


class Undocumented(Count):
    @tool(inline=True)
    def add(self, number: int) -> str | Final:
        """Add to the counter."""
        return super().add(number)


class HandMade(Count):
    schema: ClassVar[dict[str, Any]] = {}

    async def reset(self, task: Task, *, seed: int) -> Reset:
        reset = await super().reset(task, seed=seed)
        return reset._replace(tools=(ToolSpec("add", "Add.", self.schema),))


class WrongSchema(HandMade):
    schema: ClassVar[dict[str, Any]] = {
        "type": "object",
        "properties": {"number": {"type": "int", "description": "What to add."}},
        "required": ["nummer"],
    }


class NoAnnotation(Count):
    @tool(inline=True)
    def take(self, number) -> str:  # type: ignore[no-untyped-def]
        """Take from the counter."""
        return str(number)


# --- 5 tasks ------------------------------------------------------------------------------


def no_tasks(split: str) -> Iterator[Task]:
    return iter(())


def same_tasks(split: str) -> Iterator[Task]:
    yield Task("Count to 3.", answer=3, split=split)


def unstable_tasks(split: str) -> Iterator[Task]:
    yield Task(f"Count to 3 ({split}).", answer=random.random(), id=split, split=split)


def tuple_tasks(split: str) -> Iterator[Task]:
    yield Task(f"Count to 3 ({split}).", answer=3, payload=(1, 2), split=split)


# --- 6 shapes -----------------------------------------------------------------------------


class RaisesInStep(Count):
    async def step(self, message: Message) -> EnvStep:
        return {}["gone"]  # the line that is named


class RaisesInReset(Count):
    def start(self, task: Task, *, seed: int) -> None:
        raise OSError("no such file")


class ReturnsTuple(Count):
    async def step(self, message: Message) -> Any:
        return tuple(await super().step(message))


class Altered(Count):
    """Changes one thing of every answer."""

    changes: ClassVar[dict[str, Any]] = {}

    async def step(self, message: Message) -> EnvStep:
        return (await super().step(message))._replace(**self.changes)


class Silent(Altered):
    changes: ClassVar[dict[str, Any]] = {"messages": (), "terminated": False}


class BareReward(Altered):
    changes: ClassVar[dict[str, Any]] = {"reward": 1.0}


class BoolReward(Altered):
    changes: ClassVar[dict[str, Any]] = {"reward": {"outcome": True}}


class ListOfMessages(Altered):
    changes: ClassVar[dict[str, Any]] = {"messages": [Message("user", "x")]}


class Surrogate(Altered):
    changes: ClassVar[dict[str, Any]] = {"messages": (Message("user", "\ud800"),)}


class AnswersAsUser(Altered):
    changes: ClassVar[dict[str, Any]] = {"messages": (Message("user", "ok"),), "terminated": False}


class NumberedStates(Count):
    def state_key(self) -> Any:
        return self.count


# --- 7 repeat, 8 seeds --------------------------------------------------------------------


class Unseeded(Count):
    def observation(self) -> str:
        return str(random.random())


class UnseededState(Count):
    def state_key(self) -> str:
        return str(time.perf_counter())


class Seeded(Count):
    def start(self, task: Task, *, seed: int) -> str:  # type: ignore[override]
        super().start(task, seed=seed)
        return f"{task.prompt} Your number is {self.random.randint(0, 10**9)}."


# --- 10 rewards ---------------------------------------------------------------------------


class Infinite(Count):
    def verdict(self) -> float:
        return float("inf")


class TooGenerous(Count):
    def score(self, text: str) -> dict[str, float]:
        return {"outcome": 2.0}


class NoOutcome(Count):
    def score(self, text: str) -> dict[str, float]:
        return {"bonus": 1.0}


# --- 12 malformed -------------------------------------------------------------------------


class TrustsText(Count):
    """Is sound as long as nobody says anything strange."""

    def score(self, text: str) -> dict[str, float]:
        if "\0" in text:
            raise ValueError("embedded null byte")
        return super().score(text)


class Echo(Count):
    async def step(self, message: Message) -> EnvStep:
        step = await super().step(message)
        if message.tool_calls:
            return step
        return EnvStep((Message("user", message.content),), {"outcome": 0.0})


class TrustsArguments(Count):
    @tool(inline=True)
    def add(self, number: int) -> str | Final:
        """Add to the counter.

        Args:
            number: What to add.
        """
        if number == -1:
            raise IndexError("negative")
        return super().add(number)


BROKEN = [
    (2, with_env(Count, id="Count"), "the id is 'Count'"),
    (2, with_env(Count, splits=()), r"splits = \(\)"),
    (2, with_env(Count, reward_range=(1.0, 0.0)), "reward_range|outside of 1 to 0"),
    (2, with_env(Count, success=2.0), "success = 2.0 lies outside"),
    (2, Tiers, "tiers are .* but the field `tier` takes"),
    (3, NeedsSetting, "cannot be made without settings: `level`"),
    (3, Forgetful, "not equal after a round trip"),
    (3, Lax, "extra='allow'"),
    (4, with_env(Undocumented), "parameter `number` has no description"),
    (4, with_env(WrongSchema), "requires `nummer`, which is no property; .* unknown type 'int'"),
    (4, with_env(NoAnnotation), "`take`: parameter `number` has no annotation"),
    (5, with_tasks(no_tasks), "the split 'train' has no tasks"),
    (5, with_tasks(same_tasks), "is in 'train' and in 'test'"),
    (5, with_tasks(unstable_tasks), "not the same when they are made again"),
    (5, with_tasks(tuple_tasks), "the payload of a task is no JSON value"),
    (6, with_env(RaisesInStep), "raised KeyError: 'gone'"),
    (6, with_env(RaisesInReset), "raised OSError: no such file"),
    (6, with_env(ReturnsTuple), "step returned tuple, expected EnvStep"),
    (6, with_env(Silent), "step went on without a message"),
    (6, with_env(BareReward), "reward=1.0, expected a dict"),
    (6, with_env(BoolReward), "'outcome' is True of type bool"),
    (6, with_env(ListOfMessages), "messages of type list, expected a tuple"),
    (6, with_env(Surrogate), "UTF-8 cannot hold"),
    (6, with_env(AnswersAsUser), "were answered by tool messages for"),
    (6, with_env(NumberedStates), "state_key.. returned 0, expected a str"),
    (7, with_env(Unseeded), "the second time differs in step .*: messages"),
    (7, with_env(UnseededState), "the second time differs in step 0: state_key"),
    (8, with_env(Seeded), "another seed changes the episode, but uses_seed is False: reset"),
    (8, with_env(Count, uses_seed=True), "uses_seed is True, but 4 seeds give equal"),
    (10, with_env(Infinite), "gave 'outcome' = inf"),
    (10, with_env(TooGenerous), "the outcome 2 lies outside of 0 to 1"),
    (10, with_env(NoOutcome), "ended the episode without the term 'outcome'"),
    (12, with_env(TrustsText), r"embedded null byte \(answering Unicode and NUL\)"),
    (12, with_env(Echo), "a huge text was answered by 1,000,000 characters"),
    (12, with_env(TrustsArguments), "answering a call of add with a negative number"),
]


@pytest.mark.parametrize(
    ("number", "config", "text"), BROKEN, ids=[f"{n}: {text}" for n, _, text in BROKEN]
)
async def test_a_broken_promise_is_caught_by_its_check(
    number: int, config: type[EnvConfig], text: str
) -> None:
    report = await check_env(config, checks=WITHOUT_IMPORT)
    failed = [result for result in report.results if result.status is Status.FAILED]
    assert not report.ok
    assert number in [result.number for result in failed]
    for result in failed:  # a check may fail for another's reason, but then it names that reason
        assert re.search(text, result.message), result
        assert result.where is not None


async def test_a_sound_environment_passes() -> None:
    report = await check_env(CountConfig, checks=[CHECKS[0], *WITHOUT_IMPORT])
    assert [(result.number, result.status) for result in report.results] == [
        (number, Status.PASSED) for number in (1, 2, 3, 4, 5, 6, 7, 8, 10, 12)
    ]


async def test_an_environment_that_declares_its_seed_passes() -> None:
    report = await check_env(with_env(Seeded, uses_seed=True), checks=WITHOUT_IMPORT)
    assert report.ok


@pytest.mark.parametrize("config", [KeyDoorConfig, CalculatorConfig])
@pytest.mark.parametrize("tier", ["easy", "medium", "hard"])
async def test_our_environments_pass(config: type[EnvConfig], tier: str) -> None:
    report = await check_env(config, overrides={"tier": tier}, checks=WITHOUT_IMPORT)
    assert {result.status for result in report.results} == {Status.PASSED}
    assert "scripted 1.00" in report.results[-2].message


async def test_what_raised_is_named_by_file_and_line() -> None:
    report = await check_env(with_env(RaisesInStep), checks=WITHOUT_IMPORT)
    where = next(result.where for result in report.results if result.status is Status.FAILED)
    file, line = str(where).rsplit(":", 1)
    assert "the line that is named" in linecache.getline(file, int(line))


async def test_settings_reach_the_environment_and_wrong_ones_are_refused() -> None:
    await check_env(KeyDoorConfig, overrides={"size": 7}, checks=CHECKS[1:3])
    with pytest.raises(ConfigError, match="do not fit KeyDoorConfig"):
        await check_env(KeyDoorConfig, overrides={"sise": 7})


async def test_without_a_sandbox_only_part_of_it_is_checked() -> None:
    report = await check_env(with_env(Count, needs_sandbox=True), checks=WITHOUT_IMPORT)
    statuses = {result.number: result.status for result in report.results}
    assert report.ok
    assert {n for n, status in statuses.items() if status is Status.NOT_CHECKED} == {
        4,
        6,
        7,
        8,
        10,
        12,
    }


async def test_what_follows_from_a_failure_is_not_checked() -> None:
    report = await check_env(NeedsSetting, checks=WITHOUT_IMPORT)
    assert report.count(Status.FAILED) == 1
    assert report.results[-1].message == "the configuration cannot be made: see check 3"


async def test_a_report_is_json() -> None:
    report = await check_env(with_env(NoOutcome), checks=WITHOUT_IMPORT)
    told = json.loads(json.dumps(report.to_json()))
    assert (told["env"], told["ok"], told["failed"], told["passed"]) == (
        "test/Count-v0",
        False,
        1,
        8,
    )
    (failed,) = [check for check in told["checks"] if check["status"] == "failed"]
    assert set(failed) == {"number", "name", "promise", "status", "message", "where", "hint"}


async def test_the_example_of_the_readme_passes(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    readme = (request.config.rootpath / "README.md").read_text()
    (source,) = re.findall(r"```python\n(# calc\.py\n.*?)```", readme, re.DOTALL)
    (tmp_path / "calc.py").write_text(source)
    report = await check_env(load_env(str(tmp_path / "calc.py"), {}))
    undeclared = [each.name for each in report.results if each.status is not Status.PASSED]
    assert report.ok, report
    assert undeclared == ["gold", "splits"]


@pytest.mark.sandbox
async def test_the_code_environment_passes_in_its_sandbox() -> None:
    async with LocalSandboxConfig().build() as sandboxes:
        report = await check_env(CodeConfig, sandboxes=sandboxes, checks=WITHOUT_IMPORT)
    assert [result for result in report.results if result.status is not Status.PASSED] == []
