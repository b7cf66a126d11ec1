import asyncio
import time
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import pytest

from agentgym.env import Env, EnvConfig, EnvStep, Reset, Script
from agentgym.errors import AgentGymError, ConfigError, SandboxDied
from agentgym.rollout.collect import FaultLimit, RolloutConfig, collect, make_jobs, to_groups
from agentgym.rollout.episode import DeadlineConfig, Job, run_episode
from agentgym.rollout.policy import ContextFull, Policy, Reply
from agentgym.rollout.scripted import scripted_policies
from agentgym.types import Message, Task, Trajectory


class Counter(Env):
    """Ends when the agent says the number of its turn three times; does what the text tells it."""

    closed: ClassVar[list[str]] = []

    def reset(self, task: Task, *, seed: int) -> Reset:
        self.task, self.turn, self.seed = task, 0, seed
        return Reset((Message("user", task.prompt),))

    async def step(self, message: Message) -> EnvStep:
        self.turn += 1
        match message.content:
            case "raise":
                raise ValueError("broken")
            case "die":
                raise SandboxDied("gone")
            case "sleep":
                await asyncio.sleep(30)
            case "nan":
                return EnvStep((Message("user", "?"),), {"outcome": float("nan")})
            case "tuple":
                return ((), {}, False, False, {})  # type: ignore[return-value]
        finished = self.turn == 3
        return EnvStep(
            (Message("user", f"turn {self.turn}"),), {"outcome": float(finished)}, finished
        )

    async def close(self) -> None:
        self.closed.append(self.task.id)

    def actions(self) -> Sequence[str]:
        return ("go", "on")


class BlockingCounter(Counter):
    def step(self, message: Message) -> EnvStep:  # type: ignore[override]
        time.sleep(0.2)
        return EnvStep((), {"outcome": 1.0}, True)


class KeylessState(Counter):
    def state_key(self) -> str | None:
        raise KeyError("state")


class KeylessAction(Counter):
    def action_key(self, message: Message) -> str:
        raise KeyError("action")


class SetAction(Counter):
    def action_key(self, message: Message) -> str:
        return {message.content}  # type: ignore[return-value]


class Tally(Counter):
    """Pays for every step, and once more where a limit ends the episode."""

    async def step(self, message: Message) -> EnvStep:
        return EnvStep((Message("user", "on"),), {"outcome": 0.25, "steps": 1.0})

    def truncate(self) -> dict[str, float]:
        return {"outcome": 0.5, "cut": 1.0}


class Flat(Counter):
    def reset(self, task: Task, *, seed: int) -> Reset:
        self.task = task
        return Reset(7)  # type: ignore[arg-type]


class NoScript(Counter):
    def expert(self, task: Task, *, seed: int = 0, level: str = "expert") -> Script:
        raise KeyError("script")


class CounterConfig(EnvConfig):
    id = "test/Counter-v0"
    kind: type[Env] = Counter

    def tasks(self, split: str) -> Iterator[Task]:
        for n in range(100):
            yield Task(f"task {n}", id=f"{split}-{n}")

    def build(self, sandboxes: Any = None) -> Env:
        return self.kind()


class Saying(Policy):
    def __init__(self, texts: Sequence[str]) -> None:
        self.texts = list(texts)

    async def act(self, messages: Any, tools: Any, *, seed: int) -> Reply:
        if not self.texts:
            raise ContextFull
        text = self.texts.pop(0)
        if text == "think":
            await asyncio.sleep(30)
        if text == "crash":
            raise ZeroDivisionError("policy bug")
        return Reply(Message("assistant", text))


def job(**fields: Any) -> Job:
    return Job(task=Task("do it", id="t", env="test/Counter-v0"), group_id="g", **fields)


async def play(*texts: str, **fields: Any) -> Trajectory:
    deadlines = fields.pop("deadlines", DeadlineConfig(episode_s=5, generation_s=2, step_s=2))
    config = CounterConfig(**fields)
    return await run_episode(
        job(), config=config, make_policy=lambda *_: Saying(texts), deadlines=deadlines
    )


async def test_an_episode_records_messages_rewards_and_keys() -> None:
    trajectory = await play("a", "b", "c")
    assert trajectory.end == "terminated"
    assert trajectory.outcome == 1.0
    assert [m.content for m in trajectory.messages] == [
        "do it", "a", "turn 1", "b", "turn 2", "c", "turn 3",
    ]  # fmt: skip
    keys = [(s.state_key, s.next_state_key) for s in trajectory.steps]
    assert keys[0][1] == keys[1][0]
    assert keys[1][1] == keys[2][0]
    assert keys[2][1] is not None
    assert [s.action_key for s in trajectory.steps] == ["a", "b", "c"]


async def test_max_turns_truncates() -> None:
    trajectory = await play("a", "b", "c", max_turns=2)
    assert (trajectory.end, trajectory.reason, len(trajectory.steps)) == (
        "truncated",
        "max_turns",
        2,
    )


async def test_a_full_context_truncates() -> None:
    trajectory = await play("a")
    assert (trajectory.end, trajectory.reason) == ("truncated", "context")


@pytest.mark.parametrize("max_turns", [2, 9])
async def test_the_terms_of_a_truncation_are_added_to_those_of_the_last_step(
    max_turns: int,
) -> None:
    trajectory = await play("a", "b", kind=Tally, max_turns=max_turns)
    terms = [step.reward_terms for step in trajectory.steps]
    assert terms == [
        {"outcome": 0.25, "steps": 1.0},
        {"outcome": 0.75, "steps": 1.0, "cut": 1.0},
    ]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("raise", "EnvError: step of Counter raised ValueError: broken"),
        ("die", "SandboxDied: gone"),
        ("nan", "EnvError: step of Counter gave the reward term 'outcome' = nan"),
        ("tuple", "EnvError: step of Counter returned tuple, expected EnvStep"),
        ("crash", "PolicyError: the policy raised ZeroDivisionError: policy bug"),
    ],
)
async def test_a_fault_ends_the_episode_and_says_why(text: str, reason: str) -> None:
    Counter.closed.clear()
    trajectory = await play("a", text)
    assert trajectory.end == "error"
    assert trajectory.reason.startswith(reason)
    assert trajectory.outcome == 0.0
    assert Counter.closed == ["t"]


async def test_messages_that_are_none_are_a_fault_that_says_what_came() -> None:
    trajectory = await play("a", kind=Flat)
    assert trajectory.end == "error"
    told = "EnvError: reset of test/Counter-v0 gave the messages 7, expected a tuple of Message"
    assert trajectory.reason == told


@pytest.mark.parametrize("kind", [KeylessState, KeylessAction, NoScript])
async def test_whatever_an_environment_raises_is_a_fault_of_its_episode(kind: type[Env]) -> None:
    Counter.closed.clear()
    policies = scripted_policies("scripted") if kind is NoScript else lambda *_: Saying(["a"])
    trajectory = await run_episode(job(), config=CounterConfig(kind=kind), make_policy=policies)
    assert trajectory.end == "error"
    assert trajectory.reason.startswith("EnvError: an episode of test/Counter-v0 raised ")
    assert Counter.closed == ["t"]


async def test_a_key_that_is_no_text_is_a_fault_and_never_recorded() -> None:
    trajectory = await play("go", kind=SetAction)
    assert trajectory.end == "error"
    assert trajectory.reason == "EnvError: action_key of SetAction gave {'go'}, expected a text"
    assert not trajectory.steps


async def test_a_policy_that_cannot_close_leaves_no_environment_open() -> None:
    class Stuck(Saying):
        async def close(self) -> None:
            raise OSError("no")

    Counter.closed.clear()
    trajectory = await run_episode(
        job(), config=CounterConfig(), make_policy=lambda *_: Stuck(["a", "b", "c"])
    )
    assert trajectory.end == "terminated"
    assert Counter.closed == ["t"]


class Exits(Counter):
    def close(self) -> None:  # type: ignore[override]
        raise SystemExit(1)


async def test_what_exits_ends_its_episode_and_not_the_run() -> None:
    class Leaves(Saying):
        async def act(self, messages: Any, tools: Any, *, seed: int) -> Reply:
            raise SystemExit(3)

    closes = await run_episode(
        job(), config=CounterConfig(kind=Exits), make_policy=lambda *_: Saying(["a", "b", "c"])
    )
    assert closes.end == "terminated"
    acts = await run_episode(job(), config=CounterConfig(), make_policy=lambda *_: Leaves(["a"]))
    assert acts.end == "error"
    assert acts.reason.startswith("PolicyError: the policy raised SystemExit: 3 (")


async def test_a_slow_generation_is_a_fault() -> None:
    trajectory = await play("think", deadlines=DeadlineConfig(generation_s=0.05))
    assert trajectory.end == "error"
    assert trajectory.reason == "DeadlineError: the policy took longer than 0.05 s"


async def test_a_slow_step_is_a_fault() -> None:
    trajectory = await play("sleep", deadlines=DeadlineConfig(step_s=0.05))
    assert trajectory.reason == "DeadlineError: step of Counter took longer than 0.05 s"


async def test_the_episode_deadline_truncates_and_keeps_what_there_is() -> None:
    trajectory = await play("a", "sleep", deadlines=DeadlineConfig(episode_s=0.1))
    assert (trajectory.end, trajectory.reason) == ("truncated", "episode_deadline")
    assert len(trajectory.steps) == 2
    assert trajectory.timed_out
    assert trajectory.steps[1].timed_out


async def test_blocking_steps_run_side_by_side() -> None:
    config = CounterConfig(kind=BlockingCounter)
    started = time.perf_counter()
    jobs = make_jobs([Task("x")], group_size=4, run_seed=0, prefix="p", env="e")
    await collect(jobs, config=config, make_policy=lambda *_: Saying(["a"]))
    assert time.perf_counter() - started < 0.6  # 4 x 0.2 s one after the other is 0.8


def test_a_step_that_hangs_holds_up_neither_its_deadline_nor_the_exit() -> None:
    class Hanging(Counter):
        def step(self, message: Message) -> EnvStep:  # type: ignore[override]
            time.sleep(3)
            raise AssertionError

    async def play_many() -> list[Trajectory]:
        jobs = make_jobs([Task("x")], group_size=12, run_seed=0, prefix="p", env="e")
        return await collect(
            jobs,
            config=CounterConfig(kind=Hanging),
            make_policy=lambda *_: Saying(["a"]),
            rollout=RolloutConfig(deadlines=DeadlineConfig(step_s=0.1), max_fault_rate=1),
        )

    started = time.perf_counter()
    assert {each.end for each in asyncio.run(play_many())} == {"error"}
    assert time.perf_counter() - started < 2


async def test_a_fault_is_retried_once_with_another_seed() -> None:
    seen: list[Trajectory] = []
    texts = iter([["raise"], ["a", "b", "c"]])
    result = await collect(
        [job()],
        config=CounterConfig(),
        make_policy=lambda *_: Saying(next(texts)),
        on_episode=seen.append,
    )
    assert [t.end for t in seen] == ["error", "terminated"]
    assert [t.id for t in seen] == ["g.0.0", "g.0.1"]
    assert seen[0].seed != seen[1].seed
    assert [t.id for t in result] == ["g.0.1"]


async def test_a_second_fault_stays_an_error_and_siblings_go_on() -> None:
    jobs = make_jobs([Task("x"), Task("y")], group_size=1, run_seed=0, prefix="p", env="e")
    result = await collect(
        jobs,
        config=CounterConfig(),
        make_policy=lambda env, task, seed: Saying(
            ["raise"] if task.prompt == "x" else ["a", "b", "c"]
        ),
    )
    assert [t.end for t in result] == ["error", "terminated"]


async def test_too_many_faults_stop_the_run() -> None:
    jobs = make_jobs([Task("x")], group_size=40, run_seed=0, prefix="p", env="e")
    with pytest.raises(AgentGymError, match=r"ended by a fault.*the last, runs/r#p-000\.\d+\.\d: "):
        await collect(
            jobs,
            config=CounterConfig(),
            make_policy=lambda *_: Saying(["raise"]),
            rollout=RolloutConfig(concurrency=4),
            faults=FaultLimit(0.1, run="runs/r"),
        )


async def test_what_the_listener_raises_stops_the_run() -> None:
    def full_disk(_: Trajectory) -> None:
        raise AgentGymError("no space left")

    with pytest.raises(AgentGymError, match="no space left"):
        await collect(
            [job()],
            config=CounterConfig(),
            make_policy=lambda *_: Saying(["a"]),
            on_episode=full_disk,
        )


async def test_cancelling_closes_the_environment() -> None:
    Counter.closed.clear()
    running = asyncio.ensure_future(play("sleep", deadlines=DeadlineConfig()))
    await asyncio.sleep(0.05)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert Counter.closed == ["t"]


def test_seeds_depend_on_run_task_member_and_attempt_only() -> None:
    one = Job(task=Task("do it", id="t"), group_id="a")
    same = Job(task=Task("other words", id="t"), group_id="b")
    assert one.seed == same.seed
    seeds = {one.seed, job(member=1).seed, job(attempt=1).seed, job(run_seed=1).seed}
    assert len(seeds) == 4


async def test_random_draws_admissible_texts_and_noop_says_nothing() -> None:
    for name, allowed in (("scripted:random", {"go", "on"}), ("scripted:noop", {""})):
        trajectory = await run_episode(
            job(), config=CounterConfig(), make_policy=scripted_policies(name)
        )
        assert {s.message.content for s in trajectory.steps} <= allowed


async def test_a_missing_script_is_a_configuration_error() -> None:
    with pytest.raises(ConfigError, match="no scripted policy 'expert'"):
        await run_episode(job(), config=CounterConfig(), make_policy=scripted_policies("scripted"))


async def test_groups_gather_by_group_id() -> None:
    jobs = make_jobs([Task("x"), Task("y")], group_size=3, run_seed=0, prefix="p", env="e")
    result = await collect(jobs, config=CounterConfig(), make_policy=lambda *_: Saying("abc"))
    groups = to_groups(result)
    assert [[t.member for t in group.trajectories] for group in groups] == [[0, 1, 2], [0, 1, 2]]
    assert [t.group_id for t in groups[1].trajectories] == ["p-001"] * 3
