import decimal
import json
import random
import sys
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from agentgym.check import check_env
from agentgym.check.checks import named
from agentgym.env import first_tasks
from agentgym.envs.bfcl import BFCLConfig
from agentgym.envs.bfcl.apis import check
from agentgym.envs.bfcl.data import entries, entry_of
from agentgym.errors import MissingError, TaskError
from agentgym.rollout.collect import RolloutConfig, collect, make_jobs
from agentgym.rollout.nonsense import nonsense
from agentgym.rollout.replay import Replay, replay
from agentgym.rollout.scripted import scripted_policies
from agentgym.types import Message, Task, ToolCall, Trajectory

pytestmark = pytest.mark.slow

pytest.importorskip("bfcl_eval")
mpmath = pytest.importorskip("mpmath")

TIERS = BFCLConfig.tiers
SERIALS = count()
UNSOLVABLE = {"multi_turn_miss_func_49"}  # its truth needs `tail` two turns before it comes in


async def played(policy: str, *, tier: Any = "base", number: int = 999) -> list[Trajectory]:
    config = BFCLConfig(tier=tier, whole=True)
    tasks = first_tasks(config, "test", number=number)
    jobs = make_jobs(tasks, group_size=1, run_seed=0, prefix="t", env=config.id)
    return await collect(jobs, config=config, make_policy=scripted_policies(policy))


def task(name: str) -> Task:
    tier = name.removeprefix("multi_turn_").rpartition("_")[0]
    config = BFCLConfig(tier=tier, whole=True)  # type: ignore[arg-type]
    return next(each for each in config.tasks("test") if each.id == name)


def opened(name: str) -> tuple[Any, Any]:
    env = BFCLConfig().build()
    return env, env.reset(task(name), seed=0)


def call(env: Any, name: str, **arguments: Any) -> Any:
    call = ToolCall(name, json.dumps(arguments), "call_0")
    return env.step(Message("assistant", tool_calls=(call,)))


def say(env: Any, text: str = "Done.") -> Any:
    return env.step(Message("assistant", text))


def directly(trajectory: Trajectory) -> list[list[str]]:
    """Let BFCL's own executor make the calls, and return what it says."""
    from bfcl_eval.eval_checker.multi_turn_eval.multi_turn_utils import execute_multi_turn_func_call

    entry, name = entry_of(trajectory.task), f"test_{next(SERIALS)}"
    said: list[list[str]] = []
    for step in trajectory.steps:
        given = [(each.name, json.loads(each.arguments)) for each in step.message.tool_calls]
        calls = [f"{f}({', '.join(f'{k}={v!r}' for k, v in a.items())})" for f, a in given]
        results, _ = execute_multi_turn_func_call(
            calls,
            entry.raw["initial_config"],
            entry.raw["involved_classes"],
            name,
            entry.id,
            long_context=entry.is_long,
        )
        said.append(results)
    return said


@pytest.mark.parametrize("tier", ["miss_func", "long_context"])
async def test_the_other_categories_keep_the_promises_of_an_environment(tier: str) -> None:
    words = ["tools", "shapes", "repeat", "isolation", "rewards", "malformed", "limits", "record"]
    report = await check_env(BFCLConfig, overrides={"tier": tier}, checks=named(words))
    assert report.ok, [result for result in report.results if result.status == "failed"]


@pytest.mark.parametrize("tier", TIERS)
async def test_the_truth_solves_every_task_and_silence_none(tier: str) -> None:
    solved = await played("scripted", tier=tier)
    assert len(solved) == 200
    assert {each.task.id for each in solved if each.outcome < 1} == (
        UNSOLVABLE if tier == "miss_func" else set()
    )
    assert all(each.end == "terminated" for each in solved)
    assert sum(each.outcome for each in await played("scripted:noop", tier=tier)) == 0


@pytest.mark.parametrize("policy", ["scripted", "scripted:random"])
@pytest.mark.parametrize("tier", ["base", "long_context"])
async def test_what_the_apis_say_is_what_bfcls_own_executor_says(tier: str, policy: str) -> None:
    for trajectory in (await played(policy, tier=tier))[::3]:
        said = [
            [reply.content for reply in step.replies]
            for step in trajectory.steps
            if step.message.tool_calls
        ]
        assert said == [each for each in directly(trajectory) if each], trajectory.task.id


def test_a_call_left_out_or_made_twice_is_judged_as_bfcl_judges_it() -> None:
    """Drop each turn of the truth, and repeat each, and ask the checker with its own names."""
    from bfcl_eval.eval_checker.multi_turn_eval.multi_turn_checker import multi_turn_checker

    verdicts = []
    for number, entry in enumerate(list(entries("base").values())[::10]):
        truth: list[list[list[str]]] = [[calls] for calls in entry.truth]
        for turn in range(len(truth)):
            for instead in ([], [entry.truth[turn], entry.truth[turn]]):
                tried = [*truth[:turn], instead, *truth[turn + 1 :]]
                name = f"direct{number}{turn}{len(instead)}"
                report = multi_turn_checker(tried, entry.truth, entry.raw, "", name)
                verdict = check(entry, tried)
                assert verdict.is_valid == report["valid"]
                assert verdict.is_valid or verdict.turns >= turn
                verdicts.append(verdict.is_valid)
    assert {True, False} <= set(verdicts)


def test_the_verdict_counts_the_turns_before_the_first_wrong_one() -> None:
    entry = entries("base")["multi_turn_base_0"]
    truth = [[calls] for calls in entry.truth]
    assert check(entry, truth) == (True, 4)
    for turn in range(4):  # nothing is called; a state differs; an answer is missing
        assert check(entry, [*truth[:turn], [], *truth[turn + 1 :]]) == (False, turn)
        assert check(entry, [*truth[:turn], [["pwd()"]], *truth[turn + 1 :]]) == (False, turn)


async def test_many_episodes_at_once_are_as_each_alone() -> None:
    """Twitter's tags are a default that all its instances share; two tasks write into it."""
    config = BFCLConfig(whole=True)
    tasks = [each for each in config.tasks("test") if "post_tweet" in json.dumps(each.answer)][:12]
    jobs = make_jobs(tasks, group_size=4, run_seed=0, prefix="t", env=config.id)
    for policy in ("scripted", "scripted:random"):
        ways = [
            await collect(
                jobs,
                config=config,
                make_policy=scripted_policies(policy),
                rollout=RolloutConfig(concurrency=concurrency),
            )
            for concurrency in (48, 1)
        ]
        assert [each.steps[-1].reward_terms for each in ways[0]] == [
            each.steps[-1].reward_terms for each in ways[1]
        ]
        for trajectory in ways[0][::4]:
            assert await replay(trajectory, config) == Replay()


def test_a_default_that_an_api_writes_into_is_not_seen_by_the_next_episode() -> None:
    for _ in range(2):
        env, _ = opened("multi_turn_base_0")
        call(env, "authenticate_twitter", username="analyst_pro", password="Kj8#mP9$vL2")
        tweet = json.loads((call(env, "post_tweet", content="hello")).messages[0].content)
        assert tweet["mentions"] == []
        call(env, "mention", tweet_id=tweet["id"], mentioned_usernames=["@you"])
    from bfcl_eval.eval_checker.multi_turn_eval.func_source_code.posting_api import TwitterAPI

    assert TwitterAPI.post_tweet.__defaults__ == ([], [])


async def test_the_process_is_as_it_was() -> None:
    from bfcl_eval.eval_checker.multi_turn_eval import multi_turn_utils

    before = len(vars(multi_turn_utils)), mpmath.mp.dps, decimal.getcontext().prec
    env, _ = opened("multi_turn_base_49")
    call(env, "logarithm", value=20, base=10, precision=3)
    call(env, "square_root", number=2, precision=70)
    assert await played("scripted", number=50)
    assert (len(vars(multi_turn_utils)), mpmath.mp.dps, decimal.getcontext().prec) == before


def test_the_user_goes_on_when_the_policy_calls_nothing() -> None:
    env, reset = opened("multi_turn_base_0")
    assert reset.messages == (Message("user", task("multi_turn_base_0").prompt),)
    step = call(env, "cd", folder="document")
    assert step.messages[0].content == '{"current_working_directory": "document"}'
    assert step.reward == {"tool_valid": 1.0}
    key = env.state_key()
    step = say(env)
    assert step.messages[0].role == "user"
    assert "grep" in step.messages[0].content
    assert env.state_key() != key
    for _ in range(2):
        assert not (say(env)).terminated
    step = say(env)
    assert step.terminated
    assert step.reward == {"outcome": 0.0, "turns": 0.0}


def test_equal_states_have_equal_keys() -> None:
    env, _ = opened("multi_turn_base_0")
    keys = [env.state_key()]
    for folder in ("document", ".."):
        call(env, "cd", folder=folder)
        keys.append(env.state_key())
    assert keys[0] == keys[2] != keys[1]


def test_too_many_steps_in_a_turn_fail_the_task() -> None:
    env, _ = opened("multi_turn_base_0")
    steps = [call(env, "pwd") for _ in range(21)]
    assert [step.truncated for step in steps] == [False] * 20 + [True]
    assert steps[-1].reward == {"tool_valid": 1.0, "outcome": 0.0}


def test_a_function_held_out_comes_in_with_the_message_that_tells_of_it() -> None:
    env, reset = opened("multi_turn_miss_func_0")
    assert "sort" not in {tool.name for tool in reset.tools}
    assert "There is no tool `sort`" in ((call(env, "sort", file_name="a")).messages[0].content)
    for _ in range(3):
        told = (say(env)).messages[0].content
    assert '"name": "sort"' in told
    assert told.endswith("I have updated some more functions you can choose from. What about now?")
    assert (call(env, "sort", file_name="a")).reward == {"tool_valid": 1.0}
    assert (call(env, "pwd")).reward == {"tool_valid": 1.0}


def test_an_excluded_function_is_not_there() -> None:
    env, reset = opened("multi_turn_base_0")
    assert {"mv", "post_tweet"} <= {tool.name for tool in reset.tools}
    assert "cp" not in {tool.name for tool in reset.tools}
    assert (call(env, "cp", source="a", destination="b")).reward == {"tool_valid": 0.0}


def test_schemas_are_json_schemas() -> None:
    known = {"object", "number", "array", "string", "integer", "boolean"}

    def types(schema: Any) -> set[str]:
        parts = [*schema.get("properties", {}).values()]
        parts += [schema["items"]] if "items" in schema else []
        return {schema["type"]}.union(*map(types, parts))

    found: set[str] = set()
    for entry in entries("base").values():
        for spec in entry.offered[0]:
            found |= types(spec.parameters)
            assert '"None"' not in json.dumps(spec.parameters)
    assert found == known


@pytest.mark.parametrize(
    ("name", "arguments", "told"),
    [
        ("cd", {}, "Error during execution: GorillaFileSystem.cd() missing 1 required"),
        ("cd", {"folder": 1}, "Error during execution: 'int' object has no attribute 'rstrip'"),
        ("cd", {"to": "a"}, "got an unexpected keyword argument 'to'"),
        ("logarithm", {"value": 2, "base": 10, "precision": 10**9}, "At most 1000 digits"),
        ("logarithm", {"value": 2, "base": 10, "precision": 1e9}, "At most 1000 digits"),
        ("logarithm", {"value": "1e9999999999", "base": 10, "precision": 3}, "takes numbers"),
        ("square_root", {"number": 2, "precision": 10**9}, "At most 1000 digits"),
        ("round_number", {"number": 10**300, "decimal_places": -(10**9)}, "At most 1000 digits"),
        ("power", {"base": 10**300, "exponent": 10**300}, "too large to be computed"),
    ],
)
def test_bad_arguments_are_answered(name: str, arguments: Any, told: str) -> None:
    env, _ = opened("multi_turn_base_49")
    step = call(env, name, **arguments)
    assert told in step.messages[0].content
    assert step.reward == {"tool_valid": 0.0}


def test_nothing_that_a_model_writes_is_evaluated(tmp_path: Path) -> None:
    spoilt = tmp_path / "spoilt"
    code = f"open({str(spoilt)!r}, 'w')"
    env, _ = opened("multi_turn_base_49")
    for name in (f"a={code}, b", code, "x)\n#", "*", "", "é b", "'"):
        assert (call(env, "pwd", **{name: 1})).reward == {"tool_valid": 0.0}
    texts = (code, f"' + {code} + '", f'" + {code} + "', f"\\' + {code} #", "pwd()", "{pwd()}")
    for text in texts:
        step = call(env, "echo", content=text)
        assert json.loads(step.messages[0].content) == {"terminal_output": text}
        call(env, "echo", content={text: [text]})
    for _ in env._entry.users:
        step = say(env)
    assert step.terminated
    assert not spoilt.exists()


@pytest.mark.parametrize("tier", TIERS)
def test_nonsense_beside_the_truth_is_judged_and_raises_nothing(tier: Any) -> None:
    chance = random.Random(tier)
    outcomes = []
    for each in list(BFCLConfig(tier=tier, whole=True).tasks("test"))[::8]:
        env = BFCLConfig().build()
        reset = env.reset(each, seed=0)
        expert = env.expert(each)
        strange = [message for _, message in nonsense(reset.tools[:3]) if message.tool_calls]
        step = None
        while step is None or not (step.terminated or step.truncated):
            right = expert(())
            if right.tool_calls:
                step = env.step(chance.choice(strange))
            step = env.step(right)
        outcomes.append(step.reward["outcome"])
    assert {0.0, 1.0} >= set(outcomes)
    assert 1.0 in outcomes


def test_a_directory_that_holds_itself_ends_the_episode() -> None:
    env, _ = opened("multi_turn_base_49")
    for name, arguments in (
        ("mkdir", {"dir_name": "a"}),
        ("cd", {"folder": "a"}),
        ("mkdir", {"dir_name": "b"}),
        ("cd", {"folder": ".."}),
        ("cp", {"source": "a", "destination": "c"}),  # a and c share the directory b
        ("mv", {"source": "a", "destination": "c"}),
        ("cd", {"folder": "c"}),
    ):
        assert not (call(env, name, **arguments)).terminated
    step = call(env, "mv", source="a", destination="b")
    assert step.terminated
    assert step.reward == {"tool_valid": 1.0, "outcome": 0.0}
    assert env.state_key()


def test_train_and_test_are_different_stories_in_all_categories() -> None:
    numbers: dict[str, set[str]] = {"train": set(), "test": set()}
    for tier in TIERS:
        config = BFCLConfig(tier=tier)  # type: ignore[arg-type]
        for split, found in numbers.items():
            tasks = list(config.tasks(split))
            assert len(tasks) == {"train": 160, "test": 40}[split]
            found |= {each.id.rpartition("_")[2] for each in tasks}
    assert numbers["train"].isdisjoint(numbers["test"])
    assert len(list(BFCLConfig(whole=True).tasks("test"))) == 200
    assert not list(BFCLConfig(whole=True).tasks("train"))


@pytest.mark.parametrize("payload", [None, {"id": "multi_turn_base_999"}, {"id": "x"}, {"id": 3}])
def test_a_task_of_another_environment_is_refused(payload: Any) -> None:
    with pytest.raises(TaskError, match="no id of BFCL"):
        BFCLConfig().build().reset(Task("2 + 2", payload=payload), seed=0)


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    entries.cache_clear()
    monkeypatch.setattr(sys, "path", [])
    monkeypatch.setattr(sys, "path_importer_cache", {})
    for name in [each for each in sys.modules if each.partition(".")[0] == "bfcl_eval"]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(MissingError, match="needs the package bfcl_eval") as error:
        list(BFCLConfig().tasks("test"))
    assert "--no-deps bfcl-eval" in str(error.value.hint)
