import asyncio
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import gymnasium
import psutil
import pytest
from gymnasium.utils.env_checker import check_env

import agentgym.gym
from agentgym.env import Env, EnvConfig, EnvStep, Reset
from agentgym.envs import ENVS
from agentgym.envs.keydoor import KeyDoorConfig
from agentgym.envs.tool_env import ToolEnv
from agentgym.errors import AgentGymError, ConfigError, EnvError
from agentgym.gym import TextEnv, registry
from agentgym.loading import Plugin, load_env
from agentgym.tools import tool
from agentgym.types import Message, Task


def _param(name: str) -> Any:
    marks = [pytest.mark.sandbox] if load_env(name, ENVS).needs_sandbox else []
    return pytest.param(name, marks=marks)


class EchoConfig(EnvConfig):
    """Three tasks; says back what it hears, and knows who called what."""

    id: ClassVar[str] = "test/Echo-v0"
    splits: ClassVar[tuple[str, ...]] = ("few", "none", "long")
    max_turns: int = 3
    letter: str = "é"

    def tasks(self, split: str) -> Iterator[Task]:
        if split == "few":
            yield from (Task(f"{self.letter}{number}") for number in range(3))
        if split == "long":
            yield from (Task("日" * 100, id=str(number)) for number in range(2000))

    def build(self, sandboxes: object = None) -> "Echo":
        return Echo()


class Echo(Env):
    closed: ClassVar[int] = 0

    async def reset(self, task: Task, *, seed: int) -> Reset:
        await asyncio.sleep(0)
        return Reset((Message("system", "rules"), Message("user", task.prompt)))

    async def step(self, message: Message) -> EnvStep:
        await asyncio.sleep(0)
        if message.content == "raise":
            raise ValueError("broken")
        if message.content == "exit":
            raise SystemExit(3)
        answer = () if message.content == "silence" else (Message("user", message.content),)
        return EnvStep(answer, {"outcome": 0.25, "other": 1.0}, message.content == "end")

    async def truncate(self) -> dict[str, float]:
        return {"outcome": 0.75}

    async def close(self) -> None:
        Echo.closed += 1


class Talk(ToolEnv):
    @tool
    def shout(self, text: str) -> str:
        """Say it louder.

        Args:
            text: What to say.
        """
        return text.upper()

    def score(self, text: str) -> dict[str, float]:
        return {"outcome": float(text == "done")}


class TalkConfig(EchoConfig):
    id: ClassVar[str] = "test/Talk-v0"
    splits: ClassVar[tuple[str, ...]] = ("few",)

    def build(self, sandboxes: object = None) -> Talk:
        return Talk()


def make(config_class: type[EnvConfig] = EchoConfig, **settings: Any) -> Any:
    return gymnasium.make("agentgym/Any-v0", config_class=config_class, **settings)


@pytest.mark.parametrize("name", [_param(name) for name in ENVS])
def test_every_environment_passes_gymnasiums_own_check(name: str) -> None:
    for package in load_env(name, ENVS).packages:
        pytest.importorskip(package)
    env = gymnasium.make(name, render_mode="ansi")
    check_env(env.unwrapped)
    env.close()


@pytest.mark.sandbox
def test_a_sandbox_serves_the_expert_and_nothing_of_it_is_left() -> None:
    script = """
import gymnasium, psutil
env = gymnasium.make("agentgym.gym:agentgym/Code-v0", tier="easy", render_mode="ansi")
observation, info = env.reset(seed=1)
expert = env.unwrapped.expert()
messages, total, over = info["messages"], 0.0, False
while not over:
    action = expert(messages)
    observation, reward, over, _, info = env.step(action)
    messages = info["messages"]
    total += reward
print(total)
env.close()
left = [child.name() for child in psutil.Process().children(recursive=True)]
print(left)
"""
    assert _run(script) == "1.0\n[]\n"


@pytest.mark.sandbox
def test_a_process_that_forgets_to_close_ends_quietly_and_takes_its_sandboxes_along() -> None:
    script = """
import gymnasium
env = gymnasium.make("agentgym.gym:agentgym/Code-v0")
env.reset(seed=1)
print(env.step('{"name": "run_code", "arguments": {"code": "print(6 * 7)"}}')[0])
import psutil
print(*(child.pid for child in psutil.Process().children(recursive=True)))
"""
    answer, pids = _run(script, "-W", "ignore::ResourceWarning").splitlines()
    left = [psutil.Process(int(pid)) for pid in pids.split() if psutil.pid_exists(int(pid))]
    assert (answer, psutil.wait_procs(left, timeout=10)[1]) == ("42", [])


def _run(script: str, *options: str) -> str:
    command = [sys.executable, "-W", "error", *options, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.stderr == ""
    return done.stdout


def test_a_module_prefix_registers_without_an_import_and_agentgym_alone_imports_nothing() -> None:
    script = """
import sys
import agentgym
assert not {"numpy", "gymnasium"} & set(sys.modules)
import gymnasium
env = gymnasium.make("agentgym.gym:agentgym/KeyDoor-v0", tier="hard")
assert not [name for name in sys.modules if name.startswith("agentgym.envs.calc")]
print(env.reset(seed=0)[0].count("lava") >= 6)
"""
    assert _run(script) == "True\n"


def test_settings_are_those_of_the_configuration() -> None:
    env = gymnasium.make("agentgym/KeyDoor-v0", size=7, rules=False, max_turns=2)
    assert env.unwrapped.config == KeyDoorConfig(size=7, rules=False, max_turns=2)


@pytest.mark.parametrize(
    ("settings", "message", "hint"),
    [
        ({"siez": 5}, "no setting `siez`", "did you mean `size`?"),
        ({"size": 99}, "`size`: Input should be less than", None),
        ({"split": "tset"}, "unknown split 'tset'", "did you mean 'test'?"),
    ],
)
def test_a_wrong_setting_is_named(settings: dict[str, Any], message: str, hint: str | None) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        gymnasium.make("agentgym/KeyDoor-v0", **settings)
    assert hint is None or (caught.value.hint or "").startswith(hint)


def test_any_needs_to_be_told_which() -> None:
    with pytest.raises(ConfigError, match="named by ref"):
        gymnasium.make("agentgym/Any-v0")
    with pytest.raises(ConfigError, match="expected a subclass of EnvConfig"):
        gymnasium.make("agentgym/Any-v0", config_class=int)


def test_a_file_is_an_environment(tmp_path: Path) -> None:
    (tmp_path / "sums.py").write_text(
        "import agentgym as ag\n"
        "@ag.env('me/Sums-v0')\n"
        "def tasks():\n"
        "    yield ag.Task('1 + 1', answer='2')\n"
        "@tasks.reward\n"
        "def correct(transcript, task):\n"
        "    return float(transcript.final_text == task.answer)\n"
    )
    env = gymnasium.make("agentgym/Any-v0", ref=str(tmp_path / "sums.py"))
    check_env(env.unwrapped)
    env.reset()
    assert env.step("2")[1:3] == (1.0, True)


def test_reset_without_a_seed_goes_through_the_split_in_order_and_round() -> None:
    env = make()
    assert [env.reset()[0].split()[-1] for _ in range(4)] == ["é0", "é1", "é2", "é0"]


def test_a_seed_draws_a_task_and_repeats_what_follows() -> None:
    env = gymnasium.make("agentgym/KeyDoor-v0")
    drawn = [[env.reset(seed=seed)[0], env.reset()[0]] for seed in (0, 1, 2, 0)]
    assert drawn[0] == drawn[3]
    assert len({observation for pair in drawn for observation in pair}) == 6


def test_options_name_the_task() -> None:
    env = make(split="long")
    assert env.reset(options={"task_id": "17"})[1]["task_id"] == "17"
    assert env.reset()[1]["task_id"] == "18"
    assert env.reset(options={"index": 1500})[1]["task_id"] == "1500"
    assert env.reset(options={"index": 1400})[1]["task_id"] == "1400"
    assert env.reset(options={"index": 3})[1]["task_id"] == "3"
    own = env.reset(options={"task": Task("mine", id="own")})
    assert (own[0], own[1]["task_id"]) == ("rules\n\nmine", "own")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"task_id": "1x"}, "no task '1x'"),
        ({"index": 2000}, "'long' has 2000 tasks"),
        ({"index": -1}, "the option index is -1"),
        ({"indx": 1}, "unknown option 'indx'"),
        ({"index": 1, "task_id": "1"}, "are given"),
        ({"task": "text"}, "expected an agentgym Task"),
    ],
)
def test_options_that_name_no_task_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make(split="long").reset(options=options)


def test_a_split_without_tasks_says_so() -> None:
    with pytest.raises(EnvError, match=r"'none' of test/Echo-v0 has no tasks"):
        make(split="none").reset()


def test_the_reward_is_the_outcome_and_every_term_is_in_info() -> None:
    env = make()
    env.reset()
    observation, reward, terminated, truncated, info = env.step("hörst du?")
    assert (observation, reward, terminated, truncated) == ("hörst du?", 0.25, False, False)
    assert info["messages"] == [{"role": "user", "content": "hörst du?"}]
    assert info["reward_terms"] == {"outcome": 0.25, "other": 1.0}
    assert info["state_key"] is not None
    assert env.step("silence")[4]["state_key"] is None


def test_max_turns_truncate_and_the_last_terms_count() -> None:
    env = make()
    env.reset()
    steps = [env.step("on") for _ in range(3)]
    assert [step[3] for step in steps] == [False, False, True]
    assert steps[-1][1] == 1.0
    assert steps[-1][4]["reward_terms"] == {"outcome": 1.0, "other": 1.0}


def test_every_episode_is_closed_once() -> None:
    before = Echo.closed
    env = make()
    for last in ("end", "on"):
        env.reset()
        env.step(last)
    env.close()
    env.close()
    assert Echo.closed == before + 2


def test_stepping_without_an_episode_is_an_error() -> None:
    env = make().unwrapped
    with pytest.raises(gymnasium.error.ResetNeeded):
        env.step("x")
    env.reset()
    env.step("end")
    with pytest.raises(gymnasium.error.ResetNeeded):
        env.step("x")


def test_a_fault_of_the_environment_is_an_error_that_names_it() -> None:
    env = make()
    env.reset()
    before = Echo.closed
    with pytest.raises(EnvError, match="step of test/Echo-v0 raised ValueError: broken"):
        env.step("raise")
    assert Echo.closed == before + 1
    with pytest.raises(gymnasium.error.ResetNeeded):
        env.step("again")


class Wrong(Echo):
    """Gives what it was made with."""

    def __init__(self, method: str, given: Any) -> None:
        self._method, self._given = method, given

    async def reset(self, task: Task, *, seed: int) -> Any:
        return self._given if self._method == "reset" else await super().reset(task, seed=seed)

    async def step(self, message: Message) -> Any:
        return self._given if self._method == "step" else await super().step(message)

    async def truncate(self) -> Any:
        return self._given if self._method == "truncate" else {}

    def state_key(self) -> str:
        if self._method == "state_key" and self._given is None:
            raise ValueError("no key")
        return self._given if self._method == "state_key" else "key"


@pytest.mark.parametrize(
    ("method", "given", "told"),
    [
        ("reset", None, "reset of test/Echo-v0 returned NoneType, expected Reset"),
        ("reset", Reset(None), "gave the messages None, expected a tuple of Message"),
        ("reset", Reset("text"), "gave the messages 'text', expected a tuple"),
        ("reset", Reset(("text",)), "gave the message 'text', expected Message"),
        ("step", ((), 1.0), "step of test/Echo-v0 returned tuple, expected EnvStep"),
        ("step", EnvStep((), 1.0), "gave the reward 1.0, expected a dict of terms"),
        ("step", EnvStep((), {"outcome": float("nan")}), "'outcome' = nan, expected a finite"),
        ("step", EnvStep((), {"outcome": "1"}), "'outcome' = '1', expected a finite number"),
        ("step", EnvStep(("text",), {}), "gave the message 'text', expected Message"),
        ("step", EnvStep((Message("user", {"a"}),), {}), "with the content {'a'}, expected a text"),
        ("step", EnvStep((), {1: 1.0}), "gave a reward term the name 1, expected a text"),
        ("truncate", None, "truncate of test/Echo-v0 gave the reward None"),
        ("truncate", {"outcome": float("inf")}, "'outcome' = inf, expected a finite number"),
        ("state_key", None, "reset of test/Echo-v0 raised ValueError: no key"),
        ("state_key", {3}, "state_key of Wrong gave {3}, expected a text"),
    ],
)
def test_what_an_environment_must_not_give_is_its_fault_and_ends_the_episode(
    method: str, given: Any, told: str
) -> None:
    class WrongConfig(EchoConfig):
        max_turns: int = 1

        def build(self, sandboxes: object = None) -> Wrong:
            return Wrong(method, given)

    env = TextEnv(config_class=WrongConfig)
    before = Echo.closed
    with pytest.raises(EnvError, match=re.escape(told)):
        env.step(env.reset()[0])
    assert Echo.closed == before + 1
    with pytest.raises(gymnasium.error.ResetNeeded):
        env.step("again")


def test_tasks_that_raise_once_are_made_again() -> None:
    faults = [OSError("busy")]

    class FlakyConfig(EchoConfig):
        def tasks(self, split: str) -> Iterator[Task]:
            for number in range(4):
                if number == 2 and faults:
                    raise faults.pop()
                yield Task(str(number), id=str(number))

    env = make(FlakyConfig, split="few")
    assert [env.reset()[1]["task_id"] for _ in range(2)] == ["0", "1"]
    with pytest.raises(EnvError, match="OSError: busy"):
        env.reset()
    assert [env.reset()[1]["task_id"] for _ in range(3)] == ["2", "3", "0"]


def test_an_environment_that_exits_does_not_take_the_loop_along() -> None:
    env = make()
    env.reset()
    with pytest.raises(EnvError, match="raised SystemExit"):
        env.step("exit")
    env.reset()
    assert env.step("on")[0] == "on"


def test_a_long_observation_is_cut_and_its_messages_are_not() -> None:
    env = make(split="long", max_chars=20)
    observation, info = env.reset()
    assert observation == "rules\n\n" + "日" * 13
    assert observation in env.observation_space
    assert info["messages"][1]["content"] == "日" * 100


def test_tool_calls_are_json_and_other_text_is_an_answer() -> None:
    env = make(TalkConfig, render_mode="ansi")
    _, info = env.reset()
    assert info["tools"][0]["function"]["name"] == "shout"
    call = '{"name": "shout", "arguments": {"text": "grüße"}}'
    assert env.step(call)[0] == "GRÜSSE"
    assert env.render() == f"assistant: {call}\ntool: GRÜSSE"
    assert env.step('{"tool_calls": [{"name": "nothing", "arguments": {}}]}')[0].startswith(
        "There is no tool `nothing`."
    )
    assert env.step("done")[1:3] == (1.0, True)


def test_what_a_caller_does_to_an_info_stays_there() -> None:
    env = make(TalkConfig)
    env.reset()[1]["tools"][0]["function"]["parameters"].clear()
    assert "properties" in env.reset()[1]["tools"][0]["function"]["parameters"]


async def test_it_works_inside_a_running_event_loop() -> None:
    env = make()
    env.reset()
    assert env.step("hello")[0] == "hello"
    env.close()


def test_its_loop_refuses_to_wait_for_itself() -> None:
    inner = make()

    class Nested(Echo):
        async def step(self, message: Message) -> EnvStep:
            inner.reset()
            return EnvStep((), {"outcome": 0.0}, True)

    class NestedConfig(EchoConfig):
        def build(self, sandboxes: object = None) -> Nested:
            return Nested()

    env = make(NestedConfig)
    env.reset()
    with pytest.raises(AgentGymError, match="on the loop that runs it"):
        env.step("x")


FORKS = pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")  # of Python 3.12


@FORKS
@pytest.mark.parametrize("mode", ["sync", "async"])
@pytest.mark.parametrize("name", ["agentgym/KeyDoor-v0", "agentgym/Calculator-v0"])
def test_vector_environments_answer_as_single_ones_do(name: str, mode: str) -> None:
    actions = ["down", '{"name": "calc", "arguments": {"expression": "6 * 7"}}', "héllo"]
    several = gymnasium.make_vec(name, num_envs=2, vectorization_mode=mode)
    singles = [gymnasium.make(name) for _ in range(2)]
    expected = [env.reset(seed=5 + number)[0] for number, env in enumerate(singles)]
    assert several.reset(seed=5)[0] == tuple(expected)
    assert several.observation_space.contains(tuple(expected))
    for action in actions:
        steps = [env.step(action) for env in singles]
        observations, rewards, terminated, _, infos = several.step((action, action))
        assert observations == tuple(step[0] for step in steps)
        assert list(rewards) == [step[1] for step in steps]
        assert list(terminated) == [step[2] for step in steps]
        assert list(infos["state_key"]) == [step[4]["state_key"] for step in steps]
        if any(terminated):
            break
    several.close()


@FORKS
def test_a_forked_child_has_a_loop_of_its_own() -> None:
    env = make()
    env.reset()  # starts the loop of this process
    several = gymnasium.make_vec("agentgym/Calculator-v0", num_envs=2, vectorization_mode="async")
    observations, _ = several.reset(seed=0)
    assert all("What is" in each for each in observations)
    several.close()
    assert env.step("on")[0] == "on"


def test_registering_again_changes_nothing_and_a_refused_plugin_breaks_no_other(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    plugins = [
        _plugin("no good id"),
        _plugin("somebody/Good-v3"),
        _plugin("somebody/Bad-v0", problem="another package offers the same id"),
    ]
    monkeypatch.setattr(registry, "installed_envs", lambda table: plugins)
    before = dict(gymnasium.registry)
    agentgym.gym.register_all()
    added = {name for name in gymnasium.registry if name not in before}
    gymnasium.registry.pop("somebody/Good-v3")
    assert added == {"somebody/Good-v3"}
    assert "no good id of some-package" in caplog.text


def _plugin(name: str, problem: str | None = None) -> Any:
    return Plugin(name, "some.module:Config", "some-package", problem)


def test_without_gymnasium_the_extra_is_named() -> None:
    script = """
import sys
sys.modules["gymnasium"] = None
try:
    import agentgym.gym
except Exception as error:
    print(type(error).__name__, error.hint)
"""
    assert _run(script) == "MissingError pip install 'agentgym-framework[gym]'\n"
