import re
from pathlib import Path

import numpy as np
import pytest

from agentgym.errors import StoreError
from agentgym.store.episodes import EpisodeWriter, read_episodes
from agentgym.store.notes import NoteWriter
from agentgym.store.run import Run
from agentgym.types import Message, Step, Task, ToolCall, Trajectory

KEYDOOR = "agentgym/KeyDoor-v0"

RAISING_TASKS = """
def raise_at_tasks(self, split):
    raise RuntimeError("at tasks")


BrokenConfig.tasks = raise_at_tasks
"""


def test_run_scores_records_and_says_where(agentgym, tmp_path: Path) -> None:
    done = agentgym("run", KEYDOOR, "-n", "20", "-o", "r")
    assert done.code == 0
    assert "success  1.000  [0.839, 1.000]  n 20" in done.out
    assert "ends     terminated/env 20" in done.out
    assert "recorded in r" in done.out
    assert len(list(read_episodes(tmp_path / "r"))) == 20
    assert 'id = "agentgym/KeyDoor-v0"' in (tmp_path / "r" / "config.toml").read_text()


def test_run_takes_keys_seed_split_and_samples(agentgym) -> None:
    words = ("-m", "scripted:random", "-n", "3", "--samples", "2", "--split", "train")
    done = agentgym("run", KEYDOOR, *words, "env.max_turns=4", "--seed", "7", "--json")
    assert done.code == 0
    report = done.json
    assert report["success"]["n"] == 6
    assert report["split"] == "train"
    assert sum(report["ends"].values()) == 6
    assert report["turns"] <= 4
    assert set(report["pass_at"]) == {"1", "2"}
    again = agentgym("run", KEYDOOR, *words, "env.max_turns=4", "--seed", "7", "--json").json
    same = ("success", "reward_terms", "ends", "turns")
    assert [again[key] for key in same] == [report[key] for key in same]
    assert again["run"] != report["run"]


def test_run_names_runs_by_environment_and_time(agentgym, tmp_path: Path) -> None:
    agentgym("run", KEYDOOR, "-n", "1")
    (path,) = (tmp_path / "runs").iterdir()
    assert re.fullmatch(r"keydoor-\d{8}-\d{6}", path.name)


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (["agentgym/KeyDor-v0"], 2, "unknown environment 'agentgym/KeyDor-v0'"),
        ([KEYDOOR, "-m", "gpt"], 2, "unknown model 'gpt'"),
        ([KEYDOOR, "-m", "."], 2, "no model"),
        ([KEYDOOR, "-m", "scripted:wizard"], 2, "has no scripted policy 'wizard'"),
        ([KEYDOOR, "-m", "scripted:randon"], 2, "hint: did you mean scripted:random?"),
        ([KEYDOOR, "--split", "dev"], 2, "command line: `eval.split`: agentgym/KeyDoor-v0 has"),
        ([KEYDOOR, "env.tier=5"], 2, "command line: `env.tier` should be 'easy', 'medium' or"),
        ([KEYDOOR, "env.teir=easy"], 2, "did you mean `env.tier`?"),
        ([KEYDOOR, "-n", "0"], 2, "invalid value for '-n'"),
        (["nowhere.py"], 2, "cannot read nowhere.py"),
    ],
)
def test_what_is_wrong_is_said_with_a_hint(
    agentgym, words: list[str], code: int, text: str
) -> None:
    done = agentgym("run", *words)
    assert done.code == code
    assert text in done.err
    assert "hint: " in done.err
    assert done.out == ""


def test_what_cannot_be_played_leaves_its_name_free(agentgym, tmp_path: Path) -> None:
    assert agentgym("run", KEYDOOR, "-m", "scripted:wizard", "-o", "r").code == 2
    assert agentgym("run", KEYDOOR, "-n", "1", "-o", "r").code == 0
    assert [each.name for each in tmp_path.iterdir()] == ["r"]


def test_what_is_missing_on_this_machine_has_an_exit_code_of_its_own(agentgym, env_file) -> None:
    raising = "import agentgym.errors; raise agentgym.errors.MissingError('no such package')"
    done = agentgym("run", env_file(reset=raising), "-m", "scripted:noop", "-o", "r")
    assert done.code == 3
    assert done.err == "error: no such package\n"


def test_an_existing_run_is_never_overwritten(agentgym) -> None:
    assert agentgym("run", KEYDOOR, "-n", "1", "-o", "r").code == 0
    done = agentgym("run", KEYDOOR, "-n", "2", "-o", "r")
    assert done.code == 2
    assert "the run directory r exists already" in done.err
    assert agentgym("run", KEYDOOR, "-n", "2", "-o", "r", "--clean").code == 0


@pytest.mark.parametrize(
    ("where", "text"),
    [
        ({"top": "raise RuntimeError('at import')"}, "mine.py:"),
        ({"reset": "raise RuntimeError('at reset')"}, "RuntimeError: at reset"),
        ({"step": "raise RuntimeError('at step')"}, "RuntimeError: at step"),
        (
            {"top": RAISING_TASKS},
            "making the tasks of test/Broken-v0 raised RuntimeError: at tasks",
        ),
    ],
    ids=["import", "reset", "step", "tasks"],
)
def test_an_environment_that_raises_is_one_clear_error(agentgym, env_file, where, text) -> None:
    done = agentgym("run", env_file(**where), "-m", "scripted:noop", "-o", "r")
    assert done.code == 1
    assert text in done.err
    assert "hint: " in done.err
    assert "this is a bug" not in done.err
    assert "Traceback" not in done.err


def test_an_environment_with_turns_of_its_own_still_needs_one(agentgym, env_file) -> None:
    file = env_file(top="class LongConfig(BrokenConfig):\n    max_turns: int = 50")
    done = agentgym("run", f"{file}:LongConfig", "-m", "scripted:noop", "env.max_turns=0")
    assert done.code == 2
    assert "`env.max_turns`: should be at least 1" in done.err


def test_an_environment_in_a_file_runs_and_replays_from_anywhere(
    agentgym, env_file, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    done = agentgym("run", env_file(), "-m", "scripted:noop", "-o", "r", "--json")
    assert (done.code, done.json["success"]["n"]) == (0, 3)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert agentgym("replay", "../r", "--verify").code == 0
    (tmp_path / "mine.py").rename(tmp_path / "theirs.py")
    done = agentgym("replay", "../r", "--verify")
    assert done.code == 2
    assert f"cannot read {tmp_path}/mine.py: No such file" in done.err
    assert "hint: put it there, or a link to where it is now" in done.err
    assert agentgym("show", "../r").code == 0


def test_show_lists_the_last_episodes_and_opens_one(agentgym) -> None:
    agentgym("run", KEYDOOR, "-n", "5", "-o", "r")
    done = agentgym("show", "r", "-n", "2")
    assert done.code == 0
    assert "r  finished" in done.out
    names = [each.id for each in read_episodes(Path("r"))]
    assert [name in done.out for name in names] == [False] * 3 + [True] * 2
    listed = agentgym("show", "r", "--json").json
    assert len(listed["episodes"]) == 5
    assert listed["ends"] == {"terminated": 5}
    done = agentgym("show", "r", "run-test-002")
    assert "assistant  turn 0" in done.out
    assert "outcome +1" in done.out
    record = agentgym("show", "r", "run-test-002", "--json").json
    assert record["end"] == "terminated"
    assert record["noted"] is None


def test_show_refuses_an_end_that_no_episode_has(agentgym) -> None:
    agentgym("run", KEYDOOR, "-n", "3", "-o", "r")
    assert agentgym("show", "r", "--end", "error", "--json").json["episodes"] == []
    done = agentgym("show", "r", "--end", "trunctated")
    assert done.code == 2
    assert "'terminated', 'truncated', 'error'" in done.err


def test_show_names_the_nearest_run_and_episode(agentgym) -> None:
    agentgym("run", KEYDOOR, "-n", "2", "-o", "keydoor")
    done = agentgym("show", "keydor")
    assert done.code == 2
    assert "did you mean 'keydoor'?" in done.err
    done = agentgym("show", "keydoor", "run-tst-001.0.0")
    assert done.code == 1
    assert "did you mean 'run-test-001.0.0'?" in done.err


def test_show_prints_tool_calls_advantages_and_no_control_characters(agentgym, tmp_path) -> None:
    agentgym("run", KEYDOOR, "-n", "1", "-o", "r")
    call = ToolCall("run", '{"code": "a = 1\\nb\\u001b[2J", "n": 3}')
    step = Step(
        message=Message("assistant", "hm\x1b[31m", tool_calls=(call,)),
        replies=(Message("tool", "ok\x07"),),
        reward_terms={"outcome": 1.0, "cost": -0.25},
    )
    trajectory = Trajectory(
        id="t.0.0", task=Task("p"), group_id="t", steps=[step, step], end="terminated"
    )
    with EpisodeWriter(tmp_path / "r", writer="more") as writer:
        writer.append(trajectory)
    columns = {
        "step_start": np.array([0, 1, 3]),
        "token_start": np.array([0, 2, 4, 8]),
        "rewards": np.array([9.0, 0.5, 0.25]),
    }
    payload = {"step": 12, "trajectories": ["other", "t.0.0"]}
    with NoteWriter(tmp_path / "r", producer="trainer") as notes:
        notes.append("update", payload, columns | {"advantages": np.array([9.0, 1.5, -2.0])})
    done = agentgym("show", "r", "t.0.0")
    assert "\x1b" not in done.out
    assert "\x07" not in done.out
    assert "hm\\x1b[31m" in done.out
    assert "    code:\n      a = 1\n      b\\x1b[2J n=3" in done.out
    assert "trained on in step 13" in done.out
    assert "cost -0.25  reward +0.5  advantage +1.5" in done.out
    with NoteWriter(tmp_path / "r", producer="trainer") as notes:
        per_token = np.array([9.0, 9.0, 1.0, 3.0, 0.0, 0.0, 0.0, -4.0])
        notes.append("update", payload, columns | {"advantages": per_token})
    noted = agentgym("show", "r", "t.0.0", "--json").json["noted"]
    assert noted["advantages"] == [2.0, -1.0]
    assert noted["rewards"] == [0.5, 0.25]


def test_replay_verifies_every_episode(agentgym) -> None:
    agentgym("run", KEYDOOR, "-m", "scripted:random", "-n", "6", "-o", "r", "env.max_turns=6")
    done = agentgym("replay", "r", "--verify")
    assert done == (0, "6 episodes: 6 equal, 0 different, 0 unverifiable\n", "")


def test_replay_fails_on_a_difference(agentgym, tmp_path: Path) -> None:
    agentgym("run", KEYDOOR, "-n", "2", "-o", "r")
    first, second = read_episodes(tmp_path / "r")
    first.id, second.id = "changed", "late"
    first.steps[0].reward_terms["outcome"] += 0.5
    first.steps[1].replies = (Message("user", "another\x1b"),)
    second.steps[0].timed_out = True
    with EpisodeWriter(tmp_path / "r", writer="more") as writer:
        writer.append(first)
        writer.append(second)
    done = agentgym("replay", "r", "--verify")
    assert done.code == 1
    assert "changed differs\n  turn 0: reward_terms\n" in done.out
    assert "turn 1: replies" in done.out
    assert "late unverifiable: a time limit fired in the episode" in done.out
    assert "4 episodes: 2 equal, 1 different, 1 unverifiable" in done.out
    assert "\x1b" not in done.out
    report = agentgym("replay", "r", "--verify", "--json").json
    assert [each["id"] for each in report["different"]] == ["changed"]
    assert [each["what"] for each in report["different"][0]["differences"]] == [
        "reward_terms",
        "replies",
    ]


def test_replay_without_verify_says_what_to_do(agentgym) -> None:
    agentgym("run", KEYDOOR, "-n", "1", "-o", "r")
    done = agentgym("replay", "r")
    assert done.code == 2
    assert "agentgym replay r --verify" in done.err


@pytest.mark.sandbox
def test_code_runs_and_replays_in_the_sandbox(agentgym) -> None:
    done = agentgym("run", "agentgym/Code-v0", "-m", "scripted:teacher", "-n", "3", "-o", "r")
    assert done.code == 0
    assert agentgym("replay", "r", "--verify").code == 0


@pytest.mark.parametrize("out", [".", "../link"])
def test_a_folder_that_was_there_stays_and_hides_no_error(
    agentgym, tmp_path: Path, monkeypatch, out: str
) -> None:
    folder = tmp_path / "here"
    folder.mkdir()
    (tmp_path / "link").symlink_to(folder)
    monkeypatch.chdir(folder)
    done = agentgym("run", KEYDOOR, "-m", "scripted:nosuch", "-o", out)
    assert done.code == 2
    assert "nosuch" in done.err
    assert "cannot delete" not in done.err
    assert list(folder.iterdir()) == []


def test_what_cannot_be_deleted_hides_no_error(agentgym, monkeypatch) -> None:
    def refuse(run: Run) -> None:
        raise StoreError("cannot delete it")

    monkeypatch.setattr(Run, "discard", refuse)
    done = agentgym("run", KEYDOOR, "-m", "scripted:nosuch", "-o", "run")
    assert done.code == 2
    assert "warning: cannot delete it\nerror: " in done.err


def test_show_tells_what_the_answers_of_a_server_took(agentgym, tmp_path: Path) -> None:
    Run.create(tmp_path / "r", config_text="", command=[], seed=0).close()
    took = [{"prompt_tokens": 1200.0, "completion_tokens": 30.0, "cost": 0.0015}, {}]
    steps = [Step(message=Message("assistant", "up"), usage=usage) for usage in took]
    with EpisodeWriter(tmp_path / "r") as writer:
        writer.append(Trajectory(id="t.0.0", task=Task("Go."), group_id="t", steps=steps))
    record = agentgym("show", "r", "t", "--json").json
    assert [step["usage"] for step in record["steps"]] == took
    told = agentgym("show", "r", "t").out
    assert "turn 0  1,200 prompt tokens  30 completion tokens  cost 0.0015\n" in told
    assert "turn 1\n" in told
