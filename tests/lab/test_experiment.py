"""The lab on KeyDoor, where the truth is known twice: calculated and played."""

import asyncio
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from agentgym.env import Env, EnvStep, Reset, first_tasks
from agentgym.envs.keydoor.env import KeyDoorConfig
from agentgym.envs.search.env import SearchConfig
from agentgym.errors import AgentGymError, ConfigError, EnvError
from agentgym.lab import Experiment, LabSettings, Report
from agentgym.lab.estimators import VARIANTS, compared
from agentgym.lab.exact import ExactKeyDoor
from agentgym.lab.policies import mixed_policies
from agentgym.lab.probes import choose_probes
from agentgym.rollout.continuing import go_on
from agentgym.rollout.episode import Job, run_episode
from agentgym.rollout.forks import take_fork
from agentgym.types import Message, Trajectory

pytestmark = pytest.mark.slow

CONFIG = KeyDoorConfig(max_turns=10)
EPSILON = 0.5
SMALL: dict[str, Any] = {"tasks": 3, "steps": 12, "draws": 3, "sizes": (2, 4)}
MAKE = mixed_policies("scripted", EPSILON)


def examine(*, exact: bool = True, **settings: Any) -> Experiment:
    chosen = LabSettings(**(SMALL | settings))
    solved = ExactKeyDoor(CONFIG, epsilon=EPSILON, gamma=chosen.gamma) if exact else None
    experiment = Experiment(CONFIG, chosen, exact=solved)
    asyncio.run(experiment.play(MAKE))
    return experiment


def played(config: KeyDoorConfig = CONFIG, seed: int = 0) -> Trajectory:
    (task,) = first_tasks(config, "train", number=1)
    job = Job(task=task, group_id="g", run_seed=seed)
    return asyncio.run(run_episode(job, config=config, make_policy=MAKE))


def test_every_estimator_is_judged_at_every_size() -> None:
    report = examine().report({"env": "x"})
    estimators, left_out = compared()
    assert set(report.qualities) == {(name, size) for name in estimators for size in (2, 4)}
    assert {"gigpo", "salt", "td_state", "discounted_grpo", *VARIANTS} <= set(report.names)
    assert left_out["empg"] == ("entropy",)
    assert left_out["ui_s1"] == ("match",)
    assert "ui_s1" in compared(("match", "outcome"))[0]
    said = report.to_json()
    assert said["truth"]["method"] == "dynamic programming"
    assert len(said["estimators"]) == len(report.qualities)
    assert said["estimators"][0]["over"]["grpo"]["value"] == 0


def test_the_same_seed_gives_the_same_report() -> None:
    assert _figures(examine().report({})) == _figures(examine().report({}))
    assert _figures(examine().report({})) != _figures(examine(seed=1).report({}))


@pytest.mark.slow
def test_continuations_find_what_is_calculated() -> None:
    sampled = examine(exact=False, steps=40, continuations=200)
    exact = ExactKeyDoor(CONFIG, epsilon=EPSILON, gamma=1.0)
    far = []
    for probe in sampled.done:
        advantage, squared_error = probe.estimated(1.0)
        truth = exact.worths(probe.trajectory)[probe.step].advantage
        far.append((advantage - truth) / np.sqrt(squared_error + 1 / 200**2))
    assert len(far) == 40
    assert float(np.mean(np.square(far))) < 2
    assert max(map(abs, far)) < 4.5


def test_calculated_values_are_checked_by_what_is_played() -> None:
    check = examine(steps=40, draws=16).report({}).truth["check"]
    assert check["difference"] < 2 * check["by_chance"]


def test_equal_places_share_their_values() -> None:
    """All episodes of a task begin at the same place."""
    probes = choose_probes([[played(seed=n) for n in range(6)]], 12, seed=0, uses_seed=False)
    starts = {id(probe.before) for probe in probes if probe.step == 0}
    assert len(starts) == 1
    own = choose_probes([[played(seed=n) for n in range(6)]], 12, seed=0, uses_seed=True)
    assert len({id(probe.before) for probe in own if probe.step == 0}) > 1


def test_probes_are_taken_from_all_groups_in_turns() -> None:
    groups = [[played(seed=n)] for n in range(3)]
    probes = choose_probes(groups, 3, seed=0, uses_seed=False)
    assert {id(probe.trajectory) for probe in probes} == {id(group[0]) for group in groups}
    everything = choose_probes(groups, 10_000, seed=0, uses_seed=False)
    assert len(everything) == sum(len(group[0].steps) for group in groups)


def test_an_episode_goes_on_from_its_middle() -> None:
    episode = played()
    middle = len(episode.steps) // 2
    others = [
        asyncio.run(go_on(episode, middle, config=CONFIG, make_policy=MAKE, seed=seed))
        for seed in range(8)
    ]
    for other in others:
        assert [s.message for s in other.steps[:middle]] == [
            s.message for s in episode.steps[:middle]
        ]
        assert len(other.steps) <= CONFIG.max_turns
    assert len({tuple(step.action_key for step in other.steps) for other in others}) > 1
    again = asyncio.run(go_on(episode, middle, config=CONFIG, make_policy=MAKE, seed=0))
    assert again.steps[-1].state_key == others[0].steps[-1].state_key


def test_a_snapshot_leads_on_as_the_messages_do() -> None:
    config = SearchConfig(max_turns=6)
    make = mixed_policies("scripted:random", 1.0)
    (task,) = first_tasks(config, "train", number=1)
    job = Job(task=task, group_id="g")
    episode = asyncio.run(run_episode(job, config=config, make_policy=make))
    fork = asyncio.run(take_fork(episode, 3, config, None))
    assert fork is not None
    again, restored = (
        asyncio.run(go_on(episode, 3, config=config, make_policy=make, seed=7, fork=each))
        for each in (None, fork)
    )
    assert _facts(restored) == _facts(again)
    assert restored.prompt == episode.prompt
    assert asyncio.run(take_fork(played(), 1, CONFIG, None)) is None


def test_snapshots_and_messages_give_the_same_truth(monkeypatch: pytest.MonkeyPatch) -> None:
    def values() -> list[list[Any]]:
        experiment = Experiment(
            SearchConfig(max_turns=4), LabSettings(**SMALL, continuations=3, concurrency=1)
        )
        asyncio.run(experiment.play(mixed_policies("scripted:random", 1.0)))
        assert len(experiment.done) == SMALL["steps"]
        return [[_facts(draw) for draw in probe.draws] for probe in experiment.done]

    with_snapshots = values()
    monkeypatch.setattr("agentgym.lab.player.take_fork", _no_fork)
    assert values() == with_snapshots


class _Restless(KeyDoorConfig):
    """Another environment each time it is built."""

    def build(self, sandboxes: object = None) -> Any:
        return _Counting()


class _Counting(Env):
    inline = True
    built = 0

    def __init__(self) -> None:
        _Counting.built += 1
        self._number = _Counting.built

    def reset(self, task: object, *, seed: int) -> Reset:
        return Reset((Message("user", "go"),))

    def step(self, message: Message) -> EnvStep:
        return EnvStep((Message("user", f"{self._number}"),), {"outcome": float(self._number)})

    def actions(self) -> Sequence[str]:
        return ("go",)


def test_an_environment_that_does_not_repeat_itself_is_refused() -> None:
    config, make = _Restless(max_turns=3), mixed_policies("scripted:random", 1.0)
    (task,) = first_tasks(config, "train", number=1)
    job = Job(task=task, group_id="g")
    episode = asyncio.run(run_episode(job, config=config, make_policy=make))
    with pytest.raises(EnvError, match="went otherwise when it was played again"):
        asyncio.run(go_on(episode, 2, config=config, make_policy=make, seed=0))


def test_without_time_too_few_steps_are_done() -> None:
    experiment = examine(minutes=1e-9)
    assert not experiment.is_enough
    with pytest.raises(AgentGymError, match="0 steps are done") as caught:
        experiment.report({})
    assert "--minutes" in str(caught.value.hint)


def test_a_split_that_is_not_there_is_named() -> None:
    with pytest.raises(ConfigError, match="has no split 'dev'"):
        examine(split="dev")


async def _no_fork(*_: object) -> None:
    return None


def _facts(trajectory: Trajectory) -> Any:
    steps = [
        (s.message, s.replies, s.reward_terms, s.state_key, s.next_state_key)
        for s in trajectory.steps
    ]
    return steps, trajectory.end, trajectory.reason


def _figures(report: Report) -> list[Any]:
    return [(key, quality.rank, quality.scale) for key, quality in report.qualities.items()]
