"""An environment in one short file: found by its path, played, replayed; mistakes are named."""

import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

import agentgym as ag
from agentgym.env import EnvConfig, first_tasks
from agentgym.errors import AgentGymError, ConfigError
from agentgym.loading import load_env
from agentgym.rollout.collect import collect, make_jobs
from agentgym.rollout.replay import replay
from agentgym.rollout.scripted import scripted_policies

SHORT = '''
import agentgym as ag


@ag.tool
def add(a: int, b: int) -> int:
    """Add two numbers.

    Args:
        a: The first.
        b: The second.
    """
    return a + b


@ag.env("me/Sum-v0", tools=[add], max_turns=4)
def tasks():
    for n in range(3):
        yield ag.Task(f"What is {n} + 17?", answer=str(n + 17))


@tasks.reward
def correct(ep, task) -> float:
    return float(task.answer in ep.final_text)
'''

WITH_EXPERT = (
    SHORT.replace("max_turns=4", 'max_turns=4, splits=("train", "test"), system="Add."').replace(
        "tasks():\n    for n in range(3)",
        'tasks(split):\n    for n in range(3) if split == "train" else range(3, 5)',
    )
    + """
@tasks.expert
def expert(task):
    def act(conversation):
        if len(conversation) == 2:
            return ag.Message("assistant", tool_calls=(ag.ToolCall("add", '{"a": 1, "b": 1}', "c"),))
        return ag.Message("assistant", task.answer)

    return act
"""
)


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str], str]:
    def write(source: str) -> str:
        path = tmp_path / "mine.py"
        path.write_text(textwrap.dedent(source))
        return str(path)

    return write


async def play(config: EnvConfig, policy: str, split: str = "train") -> list[ag.Message]:
    jobs = make_jobs(
        first_tasks(config, split, number=3), group_size=1, run_seed=0, prefix="t", env=config.id
    )
    return await collect(jobs, config=config, make_policy=scripted_policies(policy))


async def test_the_shortest_file_is_sixteen_lines_and_an_environment(write):
    assert len([line for line in SHORT.splitlines() if line.strip()]) <= 18
    config = load_env(write(SHORT), {})()
    assert (config.id, config.max_turns, config.splits) == ("me/Sum-v0", 4, ("train",))
    found = await play(config, "scripted:random")
    assert [trajectory.end for trajectory in found] == ["truncated"] * 3
    assert found[0].steps[-1].reward_terms == {"tool_valid": 1.0, "correct": 0.0, "outcome": 0.0}


async def test_tasks_are_told_their_split_and_environment(write):
    config = load_env(write(SHORT), {})()
    assert {(task.split, task.env) for task in first_tasks(config, "train", number=9)} == {
        ("train", "me/Sum-v0")
    }


async def test_an_expert_a_system_message_and_splits_can_be_declared(write):
    config = load_env(write(WITH_EXPERT), {})()
    found = await play(config, "scripted", split="test")
    assert [trajectory.outcome for trajectory in found] == [1.0, 1.0]
    assert found[0].prompt[0] == ag.Message("system", "Add.")
    for trajectory in found:
        assert not (await replay(trajectory, config)).differences


async def test_without_an_expert_the_scripted_policy_says_what_there_is(write):
    config = load_env(write(SHORT), {})()
    with pytest.raises(ConfigError, match="no scripted policy 'expert'"):
        await play(config, "scripted")


def test_max_turns_is_a_key_of_the_configuration(write):
    assert load_env(write(SHORT), {})(max_turns=9).max_turns == 9


def test_the_generator_stays_callable(write):
    from agentgym.loading import load_file

    tasks = load_file(write(SHORT) + ":tasks")
    assert [task.answer for task in tasks()] == ["17", "18", "19"]


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("a: int, b", "a, b", r"mine\.py:5.*`add`.*`a` has no annotation"),
        ("tools=[add]", "tools=[add, add]", r"mine\.py:\d+.*two tools are called `add`"),
        ("max_turns=4", "max_turn=4", r"mine\.py:\d+.*does not know `max_turn`"),
        ("def correct", "def outcome", r"mine\.py:\d+.*`outcome`: the name is reserved"),
        ('@ag.env("me/Sum-v0",', "@ag.env(", r"mine\.py:\d+.*missing 1 required"),
        (
            '@ag.env("me/Sum-v0", tools=[add], max_turns=4)',
            "@ag.env",
            r"mine\.py:\d+.*`@ag\.env` names no id",
        ),
        ("yield ag.Task(f", "yield (f", r"mine\.py:\d+"),
        ("yield ag", "ag", r"mine\.py:16: `tasks` returned None"),
    ],
    ids=["untyped", "duplicate", "option", "reserved", "id", "bare", "no task", "no generator"],
)
def test_a_mistake_names_the_file_and_the_line(write, old: str, new: str, words: str):
    assert old in SHORT
    with pytest.raises(AgentGymError, match=words):
        first_tasks(load_env(write(SHORT.replace(old, new)), {})(), "train", number=9)


@pytest.mark.parametrize("name", ["splits", "tiers", "packages"])
def test_a_text_in_place_of_several_is_refused(name: str):
    with pytest.raises(ConfigError, match=f"`{name}` of @ag.env is the text 'test'") as error:
        ag.env("me/Sum-v0", **{name: "test"})
    assert error.value.hint == f"write {name}=('test',)"


def test_the_name_of_the_decorator_survives_imports_of_the_submodule_of_that_name():
    import agentgym.env

    assert callable(agentgym.env)
    assert agentgym.env is ag.env
