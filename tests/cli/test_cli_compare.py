import json
import random
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from agentgym.config.overlay import render_toml
from agentgym.config.run import resolve_words
from agentgym.store.episodes import EpisodeWriter
from agentgym.store.run import Run
from agentgym.trainers.evaluate import wilson
from agentgym.types import Message, Step, Task, Trajectory

KEYDOOR = "agentgym/KeyDoor-v0"
Record = Callable[..., str]


@pytest.fixture
def record(tmp_path: Path) -> Record:
    """Make a run of outcomes, one task each."""

    def record(
        name: str,
        outcomes: Sequence[float | None],
        *,
        env: str = KEYDOOR,
        kind: str = "score",
        status: str = "finished",
        split: str = "test",
        first: int = 0,
        prefix: str = "run-test-",
        keys: Sequence[str] = (),
        curve: Sequence[float] = (),
        members: int = 1,
        term: str = "style",
    ) -> str:
        text = render_toml(resolve_words([f"env.id={KEYDOOR}", *keys]))
        with Run.create(tmp_path / name, config_text=text, command=["x"], seed=0, env=env) as run:
            run.update(kind=kind, status=status)
            if "eval" in prefix:
                run.event("eval", step=9, mode="sampled")
        with EpisodeWriter(tmp_path / name) as writer:
            for number, outcome in enumerate(outcomes):
                task = f"t{first + number // members}"
                writer.append(
                    Trajectory(
                        id=f"{name}{number}",
                        task=Task("Go.", id=task, env=env, split=split),
                        group_id=f"{prefix}{number // members:03d}",
                        member=number % members,
                        prompt=(Message("user", "Go."),),
                        steps=[
                            Step(
                                message=Message("assistant", "up"),
                                reward_terms={"outcome": outcome or 0.0, term: number / 100},
                            )
                        ],
                        end="error" if outcome is None else "terminated",
                    )
                )
        lines = [{"step": step, "success": value} for step, value in enumerate(curve)]
        if lines:
            text = "".join(json.dumps(line) + "\n" for line in lines)
            (tmp_path / name / "metrics.jsonl").write_text(text)
        return name

    return record


def test_the_same_tasks_are_compared_pair_by_pair(agentgym, record: Record) -> None:
    record("a", [0] * 12 + [1] * 8)
    record("b", [1] * 9 + [0] * 3 + [1] * 7 + [0])
    done = agentgym("compare", "a", "b", "--json")
    assert done.code == 0
    found = done.json
    assert (found["paired"], found["pairs"], found["tasks"]) == (True, 20, [20, 20])
    assert (found["wins"], found["ties"], found["losses"]) == (9, 10, 1)
    assert found["p"] == pytest.approx(0.021484375)
    success = found["differences"]["success"]
    assert success["a"] == 0.4
    assert success["difference"] == pytest.approx(0.4)
    assert 0 < success["low"] < 0.4 < success["high"] < 0.7
    assert found["rates"]["a"]["n"] == 20
    assert found["warnings"] == []
    told = agentgym("compare", "a", "b").out
    assert "success  0.400 [0.219, 0.613]" in told
    assert "by outcome B is above A in 9, equal in 10, below in 1" in told
    assert "p 0.0215 (McNemar, exact)" in told
    assert agentgym("compare", "a", "b", "--json").out == done.out


def test_exchanging_the_runs_turns_the_differences_round(agentgym, record: Record) -> None:
    chance = random.Random(0)
    record("a", [chance.random() for _ in range(30)])
    record("b", [chance.random() for _ in range(30)])
    one, other = (agentgym("compare", *runs, "--json").json for runs in ("ab", "ba"))
    assert (one["wins"], one["losses"]) == (other["losses"], other["wins"])
    for name in ("outcome", "turns"):
        first, second = one["differences"][name], other["differences"][name]
        assert first["difference"] == pytest.approx(-second["difference"])
        assert first["low"] == pytest.approx(-second["high"], abs=0.02)


def test_faults_and_episodes_without_a_partner_are_left_out_and_told(
    agentgym, record: Record
) -> None:
    record("a", [1, None, 0, 1, 1, 0])
    record("b", [1, 1, 1, 1], first=2)
    done = agentgym("compare", "a", "b", "--json")
    assert done.json["pairs"] == 4
    assert done.json["warnings"] == [
        "1 episodes of A ended by a fault and are left out",
        "without a partner, and left out: 1 of A, 0 of B",
    ]
    assert "warning: without a partner" in done.err


def test_a_reward_term_is_compared_by_its_name(agentgym, record: Record) -> None:
    record("a", [1] * 10)
    record("b", [1] * 12)
    found = agentgym("compare", "a", "b", "--by", "style", "--json").json
    assert found["terms"]["style"]["a"] == pytest.approx(0.045)
    assert (found["wins"], found["ties"]) == (0, 10)
    done = agentgym("compare", "a", "b", "--by", "stile")
    assert done.code == 2
    assert "no episode of a has the reward term 'stile'" in done.err
    assert "did you mean 'style'? known: outcome, style" in done.err


def test_a_reward_term_named_success_takes_no_place_of_the_rates(agentgym, record: Record) -> None:
    record("a", [1] * 10, term="success")
    record("b", [0] * 10, term="success")
    found = agentgym("compare", "a", "b", "--by", "success", "--json").json
    assert found["differences"]["success"]["difference"] == -1
    assert found["terms"]["success"]["a"] == pytest.approx(0.045)
    assert found["ties"] == 10
    told = agentgym("compare", "a", "b", "--by", "success").out
    assert "\nsuccess           1.000 " in told
    assert "\nsuccess (reward)  0.045 " in told


def test_other_tasks_are_compared_unpaired_and_it_is_said(agentgym, record: Record) -> None:
    record("a", [0] * 20 + [1] * 10)
    record("b", [1] * 25 + [0] * 5, first=29)
    found = agentgym("compare", "a", "b", "--json").json
    assert found["paired"] is False
    assert (found["wins"], found["p"]) == (None, None)
    assert found["warnings"] == ["unpaired: only 1 episodes are of the same tasks"]
    success = found["differences"]["success"]
    assert success["difference"] == pytest.approx(0.5)
    assert 0.2 < success["low"] < 0.5 < success["high"] < 0.75
    assert "30 and 30 tasks, unpaired" in agentgym("compare", "a", "b").out


def test_several_episodes_of_a_task_count_as_one_task(agentgym, record: Record) -> None:
    record("a", [0] * 40, members=4)
    record("b", [1] * 4 + [0] * 36, members=4)
    found = agentgym("compare", "a", "b", "--json").json
    assert (found["pairs"], found["tasks"]) == (40, [10, 10])
    assert found["p"] == 1.0  # one task of ten went another way: that is chance
    assert found["differences"]["success"]["low"] < 0
    rate, apart = found["rates"]["b"], wilson([True] + [False] * 9)
    assert (rate["mean"], rate["n"]) == (0.1, 40)
    assert (rate["low"], rate["high"]) == pytest.approx((apart.low, apart.high), abs=0.04)
    told = agentgym("compare", "a", "b").out
    assert "p 1 (exact, by task)" in told


def test_runs_of_different_environments_are_refused(agentgym, record: Record) -> None:
    record("a", [1])
    record("b", [1], env="agentgym/KeyDoor-v1")
    done = agentgym("compare", "a", "b")
    assert (done.code, done.out) == (2, "")
    assert "a is of agentgym/KeyDoor-v0, b of agentgym/KeyDoor-v1" in done.err


def test_other_settings_splits_and_ends_are_warned_of(agentgym, record: Record) -> None:
    record("a", [1, 0, 1], status="running")
    record("b", [1, 1, 1], split="train", keys=["env.tier=hard"])
    info = json.loads(Path("b/run.json").read_text())
    info["versions"]["agentgym"] = "9.9"
    Path("b/run.json").write_text(json.dumps(info))
    assert agentgym("compare", "a", "b", "--json").json["warnings"] == [
        "a did not finish (interrupted); what it recorded is used",
        "env.tier differs: 'easy' in A, 'hard' in B",
        "splits differ: test in A, train in B",
        f"agentgym differs: {json.loads(Path('a/run.json').read_text())['versions']['agentgym']}"
        " in A, 9.9 in B",
        "unpaired: only 0 episodes are of the same tasks",
    ]
    assert "A and B are the same run" in agentgym("compare", "a", "./a").err


def test_a_run_that_is_being_written_is_compared_as_far_as_it_is(
    agentgym, record, tmp_path
) -> None:
    record("a", [1, 0, 1, 0])
    record("b", [1, 1], status="interrupted")
    with Run.resume(tmp_path / "b"):
        done = agentgym("compare", "a", "b", "--json")
    assert done.code == 0
    assert "b is being written; only what is there now is used" in done.err
    assert done.json["pairs"] == 2


def test_without_the_environment_success_is_an_outcome_of_one(agentgym, record: Record) -> None:
    for name in ("a", "b"):
        record(name, [1.0, 0.9])
        config = Path(name, "config.toml")
        config.write_text(config.read_text().replace(KEYDOOR, "me/Gone-v0"))
    done = agentgym("compare", "a", "b", "--json")
    assert done.json["differences"]["success"]["a"] == 0.5
    assert "success is taken to be an outcome of 1" in done.err


def test_trainings_are_compared_by_their_last_evaluation_and_their_curves(
    agentgym, record: Record
) -> None:
    words = {"kind": "train", "prefix": "eval-sampled-000009-"}
    record("a", [0, 0, 1, 1], curve=[0.0, 0.5, 0.5], **words)
    record("b", [1, 1, 1, 1], curve=[0.0, 1.0, 1.0, 1.0], **words)
    found = agentgym("compare", "a", "b", "--json").json
    assert found["a"]["which"] == "the evaluation after step 9"
    assert found["differences"]["success"]["difference"] == 0.5
    curve = found["curves"]["success"]
    assert curve["steps"] == [0, 1, 2]
    assert curve["area"] == {"a": 0.375, "b": 0.75, "difference": 0.375}
    told = agentgym("compare", "a", "b").out
    assert "success by step" in told
    assert "B - A +0.375 over steps 0 to 2" in told
    record("c", [0, 1, 0, 1])
    assert agentgym("compare", "a", "c", "--json").json["pairs"] == 4


def test_trainings_without_an_evaluation_have_curves_only(agentgym, record: Record) -> None:
    for name in ("a", "b"):
        record(name, [1], kind="train", curve=[0.0, 1.0])
    found = agentgym("compare", "a", "b", "--json").json
    assert found["differences"] == {}
    assert found["curves"]["success"]["area"]["difference"] == 0.0
    assert "no evaluation" in agentgym("compare", "a", "b").out
    record("c", [1])
    done = agentgym("compare", "c", "b")
    assert done.code == 2
    assert "the training b was never evaluated\nhint: agentgym eval b" in done.err


@pytest.mark.parametrize(
    ("words", "code", "error"),
    [
        (["a"], 2, "missing argument 'RUN'"),
        (["a", "gone"], 2, "no run at gone"),
        (["a", "empty"], 1, "empty has no whole episode"),
        (["a", "a", "--plot", "x.gif"], 2, "a plot is a .png, .svg or .pdf"),
        (["a", "a", "--plot", "no/x.png"], 2, "there is no folder 'no'"),
        (["a", "a", "--bye", "x"], 2, "did you mean --by?"),
    ],
)
def test_wrong_usage_says_what_is_wrong(
    agentgym, record: Record, words: list[str], code: int, error: str
) -> None:
    record("a", [1])
    record("empty", [])
    done = agentgym("compare", *words)
    assert (done.code, done.out) == (code, "")
    assert error in done.err


def test_a_cut_off_record_is_compared_as_far_as_it_is_whole(agentgym, record, tmp_path) -> None:
    record("a", [1, 0, 1])
    record("b", [1, 1, 1])
    (shard,) = (tmp_path / "b" / "episodes").iterdir()
    shard.write_bytes(shard.read_bytes()[:-9])
    done = agentgym("compare", "a", "b", "--json")
    assert done.code == 0
    assert done.json["pairs"] == 2


def test_one_pair_has_no_interval(agentgym, record: Record) -> None:
    record("a", [0])
    record("b", [0.5])
    found = agentgym("compare", "a", "b", "--json").json["differences"]["outcome"]
    assert (found["difference"], found["low"], found["high"]) == (0.5, None, None)
    assert "one task says nothing of others" in agentgym("compare", "a", "b").out


@pytest.mark.slow
def test_a_plot_is_drawn_of_curves_and_differences(agentgym, record: Record, tmp_path) -> None:
    pytest.importorskip("matplotlib")
    words = {"kind": "train", "prefix": "eval-sampled-000009-"}
    record("a", [0, 0, 1, 1], curve=[0.0, 0.5], **words)
    record("b", [1, 1, 1, 1], curve=[0.0, 1.0], **words)
    done = agentgym("compare", "a", "b", "--plot", "p.png")
    assert done.code == 0
    assert "drawn in p.png" in done.out
    assert (tmp_path / "p.png").read_bytes().startswith(b"\x89PNG")
    again = agentgym("compare", "a", "b", "--plot", "p.png", "--by", "style", "--force")
    assert again.code == 0
    assert agentgym("compare", "a", "b", "--plot", "p.svg", "--json").code == 0
    assert "<svg" in (tmp_path / "p.svg").read_text()


def test_a_plot_overwrites_nothing(agentgym, record: Record, tmp_path) -> None:
    record("a", [1])
    (tmp_path / "p.png").write_text("of somebody")
    done = agentgym("compare", "a", "a", "--plot", "p.png")
    assert (done.code, done.out) == (2, "")
    assert "p.png exists already\nhint: choose another name, or give --force" in done.err
    assert (tmp_path / "p.png").read_text() == "of somebody"


def test_a_plot_without_matplotlib_says_what_to_install(process, record: Record) -> None:
    record("a", [1])
    block = "import sys\nsys.modules['matplotlib'] = None"
    done = process("compare", "a", "a", "--plot", "p.png", prefix=block)
    assert done.code == 3
    assert "hint: pip install 'agentgym-framework[plot]'" in done.err
