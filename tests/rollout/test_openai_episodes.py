import time
from collections.abc import Iterator
from typing import Any

import pytest
from chat_server import Answer, Asked, ChatServer, call, refuses, says

from agentgym.env import EnvConfig, first_tasks
from agentgym.envs.calculator.env import CalculatorConfig
from agentgym.envs.tool_env import ToolEnv
from agentgym.errors import BudgetError, ConfigError
from agentgym.rollout.collect import RolloutConfig, collect, make_jobs
from agentgym.rollout.episode import DeadlineConfig
from agentgym.rollout.openai.client import Client
from agentgym.rollout.openai.policy import openai_policies
from agentgym.rollout.openai.settings import OpenAIConfig
from agentgym.rollout.replay import replay
from agentgym.tools import tool
from agentgym.types import Task, Trajectory


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


async def play(
    server: ChatServer,
    *,
    episodes: int = 1,
    env: EnvConfig | None = None,
    deadlines: DeadlineConfig | None = None,
    found: list[Trajectory] | None = None,
    **settings: Any,
) -> list[Trajectory]:
    env = env or CalculatorConfig()
    tasks = first_tasks(env, "test", number=episodes)
    given = {"max_attempts": 1, **settings}
    async with Client(OpenAIConfig(model="m", url=server.url, **given)) as client:
        return await collect(
            make_jobs(tasks, group_size=1, run_seed=0, prefix="g", env=env.id),
            config=env,
            make_policy=openai_policies(client),
            rollout=RolloutConfig(deadlines=deadlines or DeadlineConfig()),
            on_episode=None if found is None else found.append,
        )


def calls_then(last: Answer) -> Any:
    """Call the calculator, and answer the second turn with something."""

    def answers(asked: Asked, number: int) -> Answer:
        if asked.messages[-1]["role"] == "tool":
            return last
        return says(None, calls=[call("calc", '{"expression": "1 + 1"}', None)])

    return answers


async def test_an_episode_is_recorded_with_what_it_took_and_replays_equally() -> None:
    with ChatServer(calls_then(says("2"))) as server:
        (trajectory,) = await play(server, prompt_price=1_000_000)
    assert (trajectory.end, trajectory.reason) == ("terminated", "env")
    assert [step.usage["cost"] for step in trajectory.steps] == [7, 7]
    first = trajectory.steps[0]
    assert first.replies[0].tool_call_id == first.message.tool_calls[0].id != ""
    assert (await replay(trajectory, CalculatorConfig())).differences == ()


async def test_waiting_for_a_server_is_not_the_time_of_an_episode() -> None:
    slow = calls_then(says("2"))

    def answers(asked: Asked, number: int) -> Answer:
        answer = slow(asked, number)
        answer.after_s = 0.6
        return answer

    deadlines = DeadlineConfig(episode_s=1.0, generation_s=0.2)
    with ChatServer(answers) as server:
        (trajectory,) = await play(server, deadlines=deadlines)
    assert (trajectory.end, trajectory.reason) == ("terminated", "env")
    assert trajectory.seconds > 1.2


class Sleeper(ToolEnv):
    """Has a tool that takes a while."""

    @tool(inline=True)
    def nap(self) -> str:
        """Sleep."""
        time.sleep(0.5)
        return "slept"

    def score(self, text: str) -> dict[str, float]:
        return {"outcome": 1.0}


class SleeperConfig(EnvConfig):
    id = "test/Sleeper-v0"

    def tasks(self, split: str) -> Iterator[Task]:
        yield Task("sleep")

    def build(self, sandboxes: Any = None) -> Sleeper:
        return Sleeper()


async def test_the_time_of_the_environment_is_still_limited() -> None:
    with ChatServer([says(None, calls=[call("nap", id=None)])]) as server:
        (trajectory,) = await play(
            server, env=SleeperConfig(), deadlines=DeadlineConfig(episode_s=0.8)
        )
    assert (trajectory.end, trajectory.reason) == ("truncated", "episode_deadline")


async def test_a_provider_that_stops_an_episode_is_not_a_fault_and_replays_equally() -> None:
    filtered = refuses(400, "filtered", code="content_filter")
    with ChatServer(calls_then(filtered)) as server:
        (trajectory,) = await play(server)
    assert (trajectory.end, trajectory.reason) == ("truncated", "content_filter")
    assert len(trajectory.steps) == 1
    assert (await replay(trajectory, CalculatorConfig())).differences == ()


async def test_a_full_context_ends_the_episode_with_what_it_has() -> None:
    full = refuses(400, "too long", code="context_length_exceeded")
    with ChatServer(calls_then(full)) as server:
        (trajectory,) = await play(server)
    assert (trajectory.end, trajectory.reason) == ("truncated", "context")
    assert (await replay(trajectory, CalculatorConfig())).differences == ()


async def test_a_server_that_gives_up_is_a_fault_and_never_a_reward() -> None:
    found: list[Trajectory] = []
    with ChatServer(calls_then(refuses(500, "on fire"))) as server:
        (trajectory,) = await play(server, found=found)
    assert trajectory.end == "error"
    assert trajectory.reason.startswith("PolicyError: m at http://127.0.0.1")
    assert "status 500: on fire" in trajectory.reason
    assert trajectory.outcome == 0.0
    assert [each.attempt for each in found] == [0, 1]


@pytest.mark.parametrize("status", [401, 404])
async def test_what_is_wrong_with_the_whole_run_is_said_once(status: int) -> None:
    found: list[Trajectory] = []
    with ChatServer([refuses(status)]) as server, pytest.raises(ConfigError):
        await play(server, episodes=50, concurrency=4, found=found)
    assert found == []
    assert len(server.asked) <= 10  # those under way, and some that began meanwhile


@pytest.mark.parametrize("concurrency", [1, 4])
async def test_a_spent_budget_ends_the_run_and_keeps_every_answer(concurrency: int) -> None:
    found: list[Trajectory] = []
    with (
        ChatServer(calls_then(says("2"))) as server,
        pytest.raises(BudgetError, match=r"openai\.max_cost is 100") as raised,
    ):
        await play(
            server,
            episodes=40,
            found=found,
            concurrency=concurrency,
            prompt_price=1_000_000,
            max_cost=100,
        )
    asked = len(server.asked)
    assert 15 <= asked < 15 + concurrency  # of 7 each: the first 14 cost 98
    assert sum(len(each.steps) for each in found) == asked
    cut = [each for each in found if each.end != "terminated"]
    assert all(each.end == "error" for each in cut)
    assert all(each.reason.startswith("BudgetError: the run stopped") for each in cut)
    assert len(cut) >= 1
    assert f"; episodes cut off by that: {len(cut)}, recorded" in str(raised.value)
    assert len({each.id for each in found}) == len(found)


async def test_a_server_that_wants_to_be_paid_is_not_asked_again() -> None:
    found: list[Trajectory] = []

    def answers(asked: Asked, number: int) -> Answer:
        if number < 3:
            return says(None, calls=[call("calc", '{"expression": "1 + 1"}', None)])
        return refuses(402, "no money")

    with ChatServer(answers) as server, pytest.raises(BudgetError, match="wants to be paid"):
        await play(server, episodes=40, found=found, concurrency=1)
    assert len(server.asked) == 4
    assert [len(each.steps) for each in found] == [1, 1, 1]


async def test_a_spent_budget_is_not_waited_for_at_the_pace_of_requests() -> None:
    began = time.monotonic()
    with ChatServer([says(usage=(100, 0))]) as server, pytest.raises(BudgetError):
        await play(
            server,
            episodes=40,
            requests_per_minute=60,
            prompt_price=1_000_000,
            max_cost=50,
        )
    assert len(server.asked) == 1
    assert time.monotonic() - began < 20
