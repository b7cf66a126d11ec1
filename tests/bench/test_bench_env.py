import sys
from pathlib import Path

import pytest

from agentgym.bench import CASES, Case, bench_env
from agentgym.bench.measure import Side, steps_per_second
from agentgym.env import first_tasks
from agentgym.envs import ENVS
from agentgym.errors import EnvError, MissingError
from agentgym.loading import load_env

COUNTING = """
from collections import Counter
from typing import ClassVar
from agentgym import Env, EnvConfig, EnvStep, Message, Reset, Task

COUNTS = Counter()

class Counting(Env):
    inline = True

    def reset(self, task, *, seed):
        return Reset((Message("user", "Go."),))

    def step(self, message):
        return EnvStep((), {"outcome": 1.0}, True)

    def close(self):
        COUNTS["closed"] += 1

class CountingConfig(EnvConfig):
    id: ClassVar[str] = "me/Counting-v0"

    def tasks(self, split):
        yield Task("Go.")

    def build(self, sandboxes=None):
        COUNTS["built"] += 1
        return Counting()
"""


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_side_of_every_case_plays_the_same_steps(case: Case) -> None:
    for package in (*load_env(case.env, ENVS).packages, *case.packages):
        pytest.importorskip(package)
    rows = bench_env(case, seconds=0, concurrency=[2])
    frameworks = [row.framework for row in rows]
    assert frameworks[0] == "agentgym"
    assert frameworks[-1] == "agentgym.rollout"
    assert len(frameworks) == (3 if case.native else 2)
    assert all(row.steps_per_second > 0 for row in rows)
    assert {row.env for row in rows} == {case.name}


def test_an_environment_without_a_framework_of_its_own_is_measured_alone(tmp_path: Path) -> None:
    file = tmp_path / "tiny.py"
    file.write_text(
        "import agentgym as ag\n@ag.env('me/Yes-v0')\ndef tasks():\n    yield ag.Task('Say yes.')\n"
        "@tasks.reward\ndef polite(transcript, task):\n    return 1.0\n"
    )
    rows = bench_env(Case(str(file)), seconds=0, concurrency=[1, 3])
    assert [(row.framework, row.concurrency) for row in rows] == [
        ("agentgym", 1),
        ("agentgym.rollout", 1),
        ("agentgym.rollout", 3),
    ]


def test_every_environment_that_is_built_is_closed(tmp_path: Path) -> None:
    file = tmp_path / "counting.py"
    file.write_text(COUNTING)
    config = load_env(str(file), {})
    bench_env(Case(str(file)), seconds=0, concurrency=[1])
    counts = sys.modules[config.__module__].COUNTS
    assert counts["built"] == counts["closed"] > 0


@pytest.mark.sandbox
def test_an_environment_with_a_sandbox_is_measured_in_one() -> None:
    case = Case("agentgym/Code-v0", {"max_turns": 2})
    assert [row.framework for row in bench_env(case, seconds=0, concurrency=[])] == ["agentgym"]


def test_a_side_that_plays_something_else_is_refused() -> None:
    def side(framework: str, steps: int) -> Side:
        return Side(framework, 1, lambda: steps)

    with pytest.raises(EnvError, match="lazy took 2 steps where agentgym took 3"):
        steps_per_second([side("agentgym", 3), side("lazy", 2)], seconds=0)


def test_sides_take_turns_and_each_begins_as_often() -> None:
    played: list[str] = []

    def side(name: str) -> Side:
        def play() -> int:
            played.append(name)
            return 1

        return Side(name, 1, play)

    steps_per_second([side("a"), side("b")], seconds=0)
    assert "".join(played) == "ab" + "ba" + "ab" + "ba"


def test_a_missing_package_is_named() -> None:
    with pytest.raises(MissingError, match="KeyDoor-v0 needs the package no_such_package"):
        bench_env(
            Case("agentgym/KeyDoor-v0", packages=("no_such_package",)), seconds=0, concurrency=[]
        )


def test_an_environment_that_fails_is_no_figure(tmp_path: Path) -> None:
    file = tmp_path / "broken.py"
    file.write_text(
        "import agentgym as ag\n"
        "@ag.env('me/Broken-v0')\n"
        "def tasks():\n"
        "    yield ag.Task('x')\n"
        "@tasks.reward\n"
        "def bad(transcript, task):\n"
        "    return 1 / 0\n"
    )
    with pytest.raises(EnvError, match=r"me/Broken-v0 cannot be measured: .*division by zero"):
        bench_env(Case(str(file)), seconds=0, concurrency=[])


def test_the_moves_of_a_game_of_textarena_are_found_by_a_game_that_is_closed(monkeypatch) -> None:
    pytest.importorskip("textarena")
    from agentgym.bench.natives.textarena import _moves
    from agentgym.envs.textarena import TextArenaConfig
    from agentgym.envs.textarena.env import TextArenaEnv

    closed: list[TextArenaEnv] = []
    monkeypatch.setattr(TextArenaEnv, "close", lambda self: closed.append(self))
    config = TextArenaConfig()
    (task,) = first_tasks(config, "test", number=1)
    assert _moves(config, task, [])[0] in (1, 2)
    assert len(closed) == 1
