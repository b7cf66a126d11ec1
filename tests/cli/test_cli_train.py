import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import small_training
from trained_run import make_trained_run

from agentgym.config.run import recorded
from agentgym.store.run import Run

CONFIG = small_training.CONFIG.replace("seed = 1\n", 'seed = 1\nout = "r"\n')


@pytest.fixture
def config(tmp_path: Path) -> str:
    (tmp_path / "kd.toml").write_text(CONFIG)
    return "kd.toml"


def test_a_dry_run_checks_everything_and_writes_nothing(agentgym, config: str, tmp_path) -> None:
    done = agentgym("train", config, "--dry-run", "train.steps=5")
    assert done.code == 0
    assert "agentgym/KeyDoor-v0: the first prompt of training" in done.out
    assert "5 steps, 20 episodes" in done.out
    assert "would write  r" in done.out
    assert agentgym("train", config, "--dry-run", "--json").json["episodes"] == 8
    assert [path.name for path in tmp_path.iterdir()] == ["kd.toml"]


def test_a_dry_run_refuses_what_training_would_refuse(agentgym, config: str) -> None:
    done = agentgym("train", config, "--dry-run", "model.path=.")
    assert done.code == 2
    assert "is no model" in done.err
    words = ("warm_start.steps=1", "warm_start.policy=scripted:nobody")
    done = agentgym("train", config, "--dry-run", *words)
    assert done.code == 2
    assert "no scripted policy 'nobody'" in done.err


@pytest.mark.parametrize("dry", [["--dry-run"], []])
def test_what_nothing_can_train_is_refused_before_anything_is_made(
    agentgym, config: str, tmp_path: Path, dry: list[str]
) -> None:
    for word, told in (
        ("credit.name=turn_gae", "turn_gae needs the column 'value'"),
        ("rollout.sampling.temperature=0", "never varies"),
    ):
        done = agentgym("train", config, word, *dry)
        assert done.code == 2
        assert told in done.err
    assert not (tmp_path / "r").exists()


def test_a_dry_run_tells_what_is_doubtful(agentgym, config: str) -> None:
    level = 'shaping.terms=[{term="a",scope="step",form={name="potential"}}]'
    done = agentgym("train", config, "--dry-run", "--json", "shaping.name=terms", level)
    assert done.code == 0
    assert "warning: the potential 'a' has gamma 1, and gigpo compares" in done.err
    assert len(done.json["warnings"]) == 1


@pytest.mark.parametrize("follows", [True, False])
def test_a_longer_training_tells_that_its_schedules_jump(
    agentgym, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, follows: bool
) -> None:
    words = ["shaping.name=datarus", "shaping.structure=valid"] if follows else []
    make_trained_run(tmp_path / "r", *words, "train.steps=3")
    monkeypatch.setattr("agentgym.cli.training.run_training", lambda *args, json: None)
    done = agentgym("resume", "r", "train.steps=6")
    assert done.code == 0, done.err
    told = "warning: train.steps goes from 3 to 6, so the progress that shaping follows jumps"
    assert (told in done.err) == follows
    assert ("jumps from 1.00 to 0.50" in done.err) == follows


def test_a_wrong_key_is_refused_before_anything_is_made(agentgym, config: str, tmp_path) -> None:
    (tmp_path / "bad.toml").write_text("[optim]\n\n\nlrr = 1\n")
    done = agentgym("train", config, "bad.toml")
    assert done == (
        2,
        "",
        "error: bad.toml:4: unknown key `optim.lrr`\nhint: did you mean `optim.lr`?\n",
    )
    assert not (tmp_path / "r").exists()


@pytest.mark.slow
def test_train_resume_eval_show_and_replay(agentgym, config: str, tmp_path: Path) -> None:
    done = agentgym("train", config)
    assert done.code == 0, done.err
    assert "step 1/2  success " in done.out
    assert "finished at step 2 of 2" in done.out
    assert (tmp_path / "r" / "checkpoints" / "latest").is_dir()

    done = agentgym("train", config)
    assert done.code == 2
    assert "agentgym resume r" in done.err

    done = agentgym("resume", "r")
    assert done.code == 0
    assert "all 2 steps are done" in done.err

    done = agentgym("resume", "r", "optim.lr=0.1", "train.steps=3")
    assert done.code == 2
    assert "\n  optim.lr: 1e-05 -> 0.1\n" in done.err
    assert "train.steps: " not in done.err

    done = agentgym("resume", "r", "train.steps=3", "--json")
    assert done.code == 0, done.err
    assert done.json["step"] == 3
    assert len(done.json["success"]) == 3
    assert "step 3/3" in done.err
    after = recorded(tmp_path / "r" / "config.toml")
    assert after.config.train.steps == 3
    assert after.provenance["train.steps"] == "command line"
    assert after.provenance["seed"] == "kd.toml:1"

    done = agentgym("eval", "r", "-n", "3", "--greedy", "--json")
    assert done.code == 0, done.err
    assert done.json["success"]["n"] == 3
    assert done.json["policy"] == "r@000003 greedy"
    done = agentgym("eval", "r/checkpoints/000002", "-n", "2")
    assert done.code == 0, done.err
    assert "r@000002" in done.out
    done = agentgym("run", "agentgym/KeyDoor-v0", "-m", "r", "-n", "2", "env.rules=false")
    assert done.code == 0, done.err

    shown = agentgym("show", "r", "--json").json
    used = next(each["id"] for each in shown["episodes"] if each["id"].startswith("train-"))
    assert agentgym("show", "r", used, "--json").json["noted"]["advantages"]
    assert "advantage " in agentgym("show", "r", used).out
    assert agentgym("replay", "r", "--verify").code == 0


@pytest.mark.slow
def test_ctrl_c_saves_and_says_how_to_go_on(agentgym, config: str, tmp_path: Path) -> None:
    words = [sys.executable, "-m", "agentgym", "train", config, "train.steps=100000"]
    with subprocess.Popen(
        words, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline()  # a step, or a sign of life
        time.sleep(0.2)
        os.kill(child.pid, signal.SIGINT)
        _, err = child.communicate(timeout=60)
    assert child.returncode == 130
    assert "continue with: agentgym resume r" in err
    assert "Traceback" not in err, err
    assert Run.open(tmp_path / "r").status == "interrupted"
    assert list((tmp_path / "r" / "checkpoints").iterdir())


def test_a_spent_budget_says_how_to_go_on_and_more_is_allowed(agentgym, config: str) -> None:
    words = ("train.max_staleness=1", "loss.correction.name=tis", "rollout.budget.tokens=60")
    done = agentgym("train", config, *words)
    assert done.code == 1
    assert "rollout.budget.tokens = 60" in done.err
    assert "continue with: agentgym resume r\n" in done.err
    assert Run.open("r").status == "interrupted"
    done = agentgym("resume", "r", "rollout.budget.tokens=100000")
    assert done.code == 0, done.err
    assert Run.open("r").status == "finished"


def test_only_trainings_are_resumed(agentgym) -> None:
    agentgym("run", "agentgym/KeyDoor-v0", "-n", "1", "-o", "r")
    done = agentgym("resume", "r")
    assert done.code == 2
    assert "r is not a training" in done.err
    done = agentgym("eval", "r")
    assert done.code == 2
    assert "the run r has no checkpoint" in done.err
    done = agentgym("eval", ".")
    assert done.code == 2
    assert "agentgym run ENV -m ." in done.err
