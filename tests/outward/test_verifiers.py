"""Environments of ours inside verifiers' own loop: its agent, its client, its scoring."""

import asyncio
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from chat_server import Answer, Asked, ChatServer
from documents import File, steps
from outward.notes_env import events

import agentgym as ag
from agentgym.config.run import EnvSection
from agentgym.env import first_tasks
from agentgym.envs.code import CodeConfig
from agentgym.rollout.collect import collect, make_jobs
from agentgym.rollout.policy import Policy, Reply
from agentgym.rollout.scripted import scripted_policies
from agentgym.sandboxes.local import LocalSandboxConfig
from agentgym.types import Message, ToolCall, Trajectory

pytestmark = [
    pytest.mark.soak,
    pytest.mark.outward,
    pytest.mark.filterwarnings("default"),  # the warnings of others are not ours to mend
]
vf = pytest.importorskip("verifiers.v1", reason="run by the python of .venv-outward")
PAGE = Path(__file__).parents[2] / "docs" / "outward.md"
NOTES = f"{Path(__file__).with_name('notes_env.py')}:NotesConfig"
MODULE = """
from agentgym.outward.verifiers import AgentGymEnv, AgentGymTaskset

__all__ = ["AgentGymEnv", "AgentGymTaskset"]
"""


@pytest.fixture(autouse=True)
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The module of a user, and uv where verifiers looks for it."""
    (tmp_path / "ours.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "ours", raising=False)
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=":")
    monkeypatch.setenv("FAKE_KEY", "x")


def says(message: Message) -> Answer:
    """Stream a message as OpenAI does."""
    calls = [
        {
            "index": number,
            "id": f"c{number}",
            "type": "function",
            "function": {"name": call.name, "arguments": call.arguments},
        }
        for number, call in enumerate(message.tool_calls)
    ]
    delta = {"role": "assistant", "content": message.content} | (
        {"tool_calls": calls} if calls else {}
    )
    frame = {"id": "x", "object": "chat.completion.chunk", "created": 0, "model": "m"}
    usage = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
    ends = "tool_calls" if calls else "stop"
    frames = [
        {**frame, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]},
        {**frame, "choices": [{"index": 0, "delta": {}, "finish_reason": ends}]},
        {**frame, "choices": [], "usage": usage},
    ]
    body = "".join(f"data: {json.dumps(each)}\n\n" for each in frames) + "data: [DONE]\n\n"
    return Answer(200, body.encode(), {"Content-Type": "text/event-stream"})


Plans = dict[str, Sequence[Message]]


def as_planned(plans: Plans) -> Callable[[Asked, int], Answer]:
    """Say what the plan has next for the task that a conversation begins with."""

    def answer(asked: Asked, _: int) -> Answer:
        said = [each for each in asked.messages if each["role"] == "assistant"]
        first = next(each["content"] for each in asked.messages if each["role"] == "user")
        plan = plans[first if isinstance(first, str) else first[0]["text"]]
        return says(plan[len(said)])

    return answer


class Planned(Policy):
    """The same plans in our own loop."""

    def __init__(self, plan: Sequence[Message]) -> None:
        self._plan = iter(plan)

    async def act(self, messages: Any, tools: Any, *, seed: int) -> Reply:
        return Reply(next(self._plan))


async def played(
    ref: str, plans: Plans, *, number: int, split: str = "test", **settings: Any
) -> list[Any]:
    """Run verifiers' loop over the first tasks of an environment; return its episodes."""
    with ChatServer(as_planned(plans)) as server:
        taskset = {"id": "ours", "env": ref, "split": split, "settings": settings}
        env = vf.load_environment(vf.resolve_env_config({"taskset": taskset}))
        client = vf.EvalClientConfig(base_url=server.url, api_key_var="FAKE_KEY")
        context = vf.ModelContext(client=client, model="m", sampling=vf.SamplingConfig())
        async with env.serving():
            slots = [slot for task in env.taskset.take(number) for slot in env.slots(task)]
            return [await env.run_slot(slot, context) for slot in slots]


async def ours(
    config: ag.EnvConfig, *, number: int, make: Any, split: str = "test"
) -> list[Trajectory]:
    tasks = first_tasks(config, split, number=number)
    jobs = make_jobs(tasks, group_size=1, run_seed=0, prefix="t", env=config.id)
    return await collect(jobs, config=config, make_policy=make)


def plans_of(trajectories: Sequence[Trajectory]) -> Plans:
    return {
        next(each.content for each in found.prompt if each.role == "user"): [
            step.message for step in found.steps
        ]
        for found in trajectories
    }


@pytest.mark.parametrize(
    ("ref", "settings"),
    [
        ("agentgym/Calculator-v0", {}),
        ("agentgym/KeyDoor-v0", {"size": 4, "lava": 0, "max_turns": 9}),
    ],
    ids=["tools", "texts"],
)
async def test_rewards_are_those_of_our_own_loop(ref: str, settings: dict[str, Any]) -> None:
    """The expert plays one task, and gives up on the other."""
    config = EnvSection.of(ref, **settings).config
    found = await ours(config, number=2, make=scripted_policies("scripted"))
    plans = plans_of(found)
    plans[list(plans)[1]] = [Message("assistant", "I give up.")] * config.max_turns
    remade = iter(plans.values())
    expected = await ours(config, number=2, make=lambda *_: Planned(next(remade)))
    assert [each.outcome for each in expected] == [1.0, 0.0]
    episodes = await played(ref, plans, number=2, **settings)
    for episode, trajectory in zip(episodes, expected, strict=True):
        (trace,) = episode.traces
        assert episode.ok, episode.errors
        assert trace.reward == trajectory.outcome
        others = {name for step in trajectory.steps for name in step.reward_terms} - {"outcome"}
        for name in others:
            total = sum(step.reward_terms.get(name, 0.0) for step in trajectory.steps)
            assert trace.metrics[name] == total


async def test_the_page_plays(tmp_path: Path) -> None:
    config = EnvSection.of("agentgym/Calculator-v0").config
    plans = plans_of(await ours(config, number=2, make=scripted_policies("scripted")))
    for file in steps(PAGE):
        if isinstance(file, File) and file.name in ("ours.py", "evaluate.py"):
            (tmp_path / file.name).write_text(file.text)
    with ChatServer(as_planned(plans)) as server:
        ran = await asyncio.create_subprocess_exec(
            sys.executable,
            "evaluate.py",
            server.url,
            cwd=tmp_path,
            env=os.environ | {"MODEL_KEY": "x"},
            stdout=asyncio.subprocess.PIPE,
        )
        printed, _ = await ran.communicate()
    assert printed.decode().splitlines() == ["1.0 {'tool_valid': 1.0}"] * 2


def calling(name: str, **arguments: Any) -> Message:
    return Message("assistant", tool_calls=(ToolCall(name, json.dumps(arguments), "c"),))


async def test_a_tool_that_ends_the_episode_ends_the_rollout(tmp_path: Path) -> None:
    log = tmp_path / "log"
    plans = {"Say 0.": [calling("note", text="a"), calling("hand_in", number=0)]}
    (episode,) = await played(NOTES, plans, number=1, log=str(log))
    (trace,) = episode.traces
    assert episode.ok, episode.errors
    assert (trace.reward, trace.stop_condition) == (1.0, "episode_over")
    assert trace.metrics["tool_valid"] == 2.0
    assert events(log) == ["start", "close"]


async def test_what_a_model_did_wrong_is_an_observation(tmp_path: Path) -> None:
    plans = {"Say 0.": [calling("note", txt="a"), calling("nope"), Message("assistant", "0")]}
    (episode,) = await played(NOTES, plans, number=1)
    (trace,) = episode.traces
    assert trace.reward == 1.0
    told = [str(each.content) for each in trace.branches[-1].messages if each.role == "tool"]
    assert "`text`: Field required." in told[0]
    assert "unknown tool" in told[1]  # as their program says it, which knows the tools


async def test_max_turns_end_the_episode(tmp_path: Path) -> None:
    log = tmp_path / "log"
    plans = {"Say 0.": [calling("note", text="a")] * 9}
    (episode,) = await played(NOTES, plans, number=1, log=str(log), max_turns=2)
    (trace,) = episode.traces
    assert (trace.reward, trace.metrics["tool_valid"]) == (0.0, 2.0)
    assert events(log) == ["start", "close"]


async def test_a_fault_is_a_fault_there_too_and_no_reward(tmp_path: Path) -> None:
    log = tmp_path / "log"
    plans = {"Say 0.": [calling("fail"), Message("assistant", "0")]}
    (episode,) = await played(NOTES, plans, number=1, log=str(log))
    assert not episode.ok
    assert "the disk is on fire" in str(episode.errors)
    assert events(log) == ["start", "close"]


async def test_an_environment_with_sandboxes_is_played() -> None:
    config = CodeConfig(tier="easy")
    async with LocalSandboxConfig(spares=0).build() as sandboxes:
        tasks = first_tasks(config, "test", number=1)
        jobs = make_jobs(tasks, group_size=1, run_seed=0, prefix="t", env=config.id)
        (found,) = await collect(
            jobs, config=config, make_policy=scripted_policies("scripted"), sandboxes=sandboxes
        )
    (episode,) = await played("agentgym/Code-v0", plans_of([found]), number=1, tier="easy")
    assert episode.ok, episode.errors
    assert episode.traces[0].reward == found.outcome == 1.0


def test_a_split_without_end_wants_a_limit() -> None:
    config = vf.resolve_env_config(
        {"taskset": {"id": "ours", "env": "agentgym/KeyDoor-v0", "split": "train"}}
    )
    taskset = vf.load_environment(config).taskset
    assert not taskset.bounded
    assert len(list(taskset.take(3))) == 3
