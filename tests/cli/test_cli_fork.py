"""Episodes of a training that go on from their turns in other ways."""

import json
import shutil
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from small_training import CONFIG
from trained_run import make_trained_run

from agentgym.cli.fork_lines import read_answer
from agentgym.cli.main import main
from agentgym.cli.person import Mistyped
from agentgym.engines import model
from agentgym.errors import StoreError
from agentgym.store.episodes import find_episode, read_episode, read_heads
from agentgym.store.run import Run
from agentgym.store.writer import ShardWriter
from agentgym.trainers.episodes import Recorded
from agentgym.trainers.pairs import result_of
from agentgym.types import Message, ToolCall, ToolSpec

pytestmark = pytest.mark.slow

EVAL = """\
[eval]
every = 2
episodes = 2
samples = 1
"""
EPISODE = "train-000001-000.0.0"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training of two steps in KeyDoor; it is only read."""
    folder = tmp_path_factory.mktemp("trained")
    (folder / "kd.toml").write_text(CONFIG + EVAL)
    assert main(["train", str(folder / "kd.toml"), f"out={folder / 'run'}"]) == 0
    return folder / "run"


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> str:
    shutil.copytree(trained, tmp_path / "run", symlinks=True)
    return "run"


@pytest.fixture
def scripted(agentgym) -> str:
    """Three episodes that nobody was trained for."""
    words = ("-m", "scripted:random", "-n", "3", "-o", "score")
    assert agentgym("run", "agentgym/KeyDoor-v0", *words).code == 0
    return "score"


def test_samples_of_a_checkpoint_are_children_in_a_group_of_their_own(agentgym, run, tmp_path):
    parent = read_episode(find_episode(tmp_path / run, EPISODE))
    done = agentgym("fork", run, EPISODE, "--turn", "2", "--samples", "3", "--json")
    assert done.code == 0, done.err
    report = done.json
    ids = [child["id"] for child in report["children"]]
    assert ids == [f"fork-00001.{member}.0" for member in range(3)]
    assert (report["group"], report["turn"], report["policy"]) == ("fork-00001", 2, "run@000002")
    assert report["parent"]["id"] == EPISODE
    for name in ids:
        child = read_episode(find_episode(tmp_path / run, name))
        assert (child.parent_id, child.fork_step) == (EPISODE, 2)
        assert child.steps[:2] == parent.steps[:2]
        assert {version for _, version in child.steps[2].completion.versions} == {2}
    assert agentgym("check", "run", run).code == 0
    assert agentgym("replay", run, "--verify", "--json").json["different"] == []


def training_goes_on(checkpoints: Path, monkeypatch: pytest.MonkeyPatch, *, times: int) -> None:
    """Let a newer checkpoint take the place of the newest one just before that is read."""
    load, left = model.load_model, [None] * times

    def load_late(config: Any, **how: Any) -> Any:
        if left:
            left.pop()
            last = sorted(checkpoints.glob("0*"))[-1]
            last.rename(checkpoints / f"{int(last.name) + 1:06d}")
        return load(config, **how)

    monkeypatch.setattr(model, "load_model", load_late)


def test_where_the_newest_checkpoint_was_replaced_the_next_one_goes_on(
    agentgym, run, tmp_path, monkeypatch
):
    training_goes_on(tmp_path / run / "checkpoints", monkeypatch, times=2)
    done = agentgym("fork", run, EPISODE, "--turn", "1", "--json")
    assert done.code == 0, done.err
    assert (done.json["policy"], done.json["group"]) == ("run@000004", "fork-00001")
    child = read_episode(find_episode(tmp_path / run, "fork-00001.0.0"))
    assert {version for _, version in child.steps[1].completion.versions} == {4}


def test_a_checkpoint_that_is_gone_for_good_is_told(agentgym, run, tmp_path, monkeypatch):
    training_goes_on(tmp_path / run / "checkpoints", monkeypatch, times=1)
    done = agentgym("fork", run, EPISODE, "--checkpoint", "2")
    assert (done.code, "has no checkpoint '2'" in done.err) == (2, True)
    training_goes_on(tmp_path / run / "checkpoints", monkeypatch, times=100)
    done = agentgym("fork", run, EPISODE)
    assert (done.code, "was removed before it was read" in done.err) == (2, True)
    assert "checkpoint.keep" in done.err
    assert not [head for head in read_heads(tmp_path / run) if head.fork_step is not None]


def test_the_same_seed_gives_the_same_and_none_gives_others(agentgym, run, tmp_path):
    def forked(*words: str) -> list[Any]:
        found = agentgym("fork", run, EPISODE, "--turn", "1", "-k", "2", "--json", *words).json
        children = [find_episode(tmp_path / run, each["id"]) for each in found["children"]]
        tokens = [read_episode(each).segments[0].token_ids for each in children]
        return [found["seed"], *tokens]

    first, second = forked(), forked()
    assert (first[0], second[0]) == (1, 2)
    assert first[1:] != second[1:]
    assert forked("--seed", "1")[1:] == first[1:]
    other = agentgym("fork", run, EPISODE, "--checkpoint", "1", "--json").json
    assert other["policy"] == "run@000001"


def test_scripts_and_people_go_on_too_and_children_have_children(agentgym, process, run, tmp_path):
    done = agentgym("fork", run, EPISODE, "--turn", "3", "-m", "scripted")
    assert "episode by scripted" in done.out
    assert f"agentgym show {run}#fork-00001.0.0" in done.out
    by_hand = process("fork", run, EPISODE, "--turn", "1", "--by-hand", input="up\n/quit\n")
    assert by_hand.code == 0, by_hand.err
    child = read_episode(find_episode(tmp_path / run, "fork-00002.0.0"))
    assert (child.policy, child.end, child.reason) == ("person", "truncated", "quit")
    assert [step.message.content for step in child.steps[1:]] == ["up"]
    assert agentgym("fork", run, "fork-00002.0.0", "--turn", "2").code == 0
    grandchild = read_episode(find_episode(tmp_path / run, "fork-00003.0.0"))
    (stream,) = grandchild.segments
    assert [owner for owner, *_ in stream.steps][:2] == [0, 2]
    assert agentgym("check", "run", run).code == 0


@pytest.mark.parametrize("key", ["ctrl-c", "ctrl-d"])
def test_who_leaves_in_the_middle_by_a_key_keeps_what_was_played(terminal, run, tmp_path, key):
    played = terminal("fork", run, EPISODE, "--turn", "1", "--by-hand")
    played.await_text("turn 1/7>")  # as in an address, and of the whole episode
    played.type("up\n")
    played.await_text("turn 2/7>")
    if key == "ctrl-c":
        assert played.press_ctrl_c() == 130
    else:
        played.type("\x04")
        assert played.wait() == 0
    child = read_episode(find_episode(tmp_path / run, "fork-00001.0.0"))
    assert (child.end, child.fork_step, len(child.steps)) == ("truncated", 1, 2)
    assert child.reason == {"ctrl-c": "interrupted", "ctrl-d": "quit"}[key]
    assert f"agentgym show {run}#fork-00001.0.0" in played.seen


def test_who_leaves_at_once_leaves_nothing(process, run, tmp_path):
    done = process("fork", run, EPISODE, "--turn", "1", "--by-hand", input="/quit\n")
    assert done.code == 1
    assert "error: nothing was said" in done.err
    assert not [head for head in read_heads(tmp_path / run) if head.fork_step is not None]


def test_results_and_trainings_leave_forks_out(agentgym, run, scripted, tmp_path):
    before = {each: result_of(Run.open(tmp_path / each)) for each in (run, scripted)}
    recredited = agentgym("recredit", run, "--credit", "grpo", "--json", "--no-notes").json
    rescored = agentgym("rescore", run, "--shaping", "outcome", "--json", "--no-notes").json
    assert agentgym("fork", run, EPISODE, "--turn", "1", "-k", "3").code == 0
    (first, *_) = read_heads(tmp_path / scripted)
    assert (
        agentgym("fork", scripted, first.id, "--turn", "1", "-k", "3", "-m", "scripted").code == 0
    )
    for name, result in before.items():
        assert result_of(Run.open(tmp_path / name)) == result
    same = ("steps", "decisions", "same")
    again = agentgym("recredit", run, "--credit", "grpo", "--json", "--no-notes").json
    assert [again[key] for key in same] == [recredited[key] for key in same]
    assert (
        agentgym("rescore", run, "--shaping", "outcome", "--json", "--no-notes").json["steps"]
        == rescored["steps"]
    )
    compared = agentgym("compare", scripted, scripted, "--json")
    assert compared.code == 0
    heads = list(read_heads(tmp_path / run))
    with_forks = Recorded(heads)
    without = Recorded(head for head in heads if head.fork_step is None)
    assert {slot for slot, _ in with_forks._complete.keys() - without._complete.keys()} == {
        ("fork-00001", member) for member in range(3)
    }


def test_a_resumed_training_is_the_same_with_forks(agentgym, run, tmp_path):
    shutil.copytree(tmp_path / run, tmp_path / "other", symlinks=True)
    assert agentgym("fork", run, EPISODE, "--turn", "1", "-k", "2").code == 0
    losses = []
    for each in (run, "other"):
        assert agentgym("resume", each, "train.steps=3").code == 0
        rows = [
            json.loads(line)
            for line in (tmp_path / each / "metrics.jsonl").read_text().splitlines()
        ]
        timed = ("second", "time", "_s", "gb", "memory", "rollout/", "overlap")
        losses.append(
            [
                {key: row[key] for key in row if not any(word in key for word in timed)}
                for row in rows
            ]
        )
    assert losses[0] == losses[1]


def test_what_cannot_be_forked_says_why_and_records_nothing(agentgym, run, scripted, tmp_path):
    def refused(*words: str) -> str:
        done = agentgym("fork", *words)
        assert done.code in (1, 2)
        return done.err

    assert "no episode 'nobody'" in refused(run, "nobody")
    turns = len(read_episode(find_episode(tmp_path / run, EPISODE)).steps)
    allowed = f"{run}#{EPISODE} can be forked at the turns 0 to {turns - 1}, not 99"
    assert allowed in refused(run, EPISODE, "--turn", "99")
    assert "no checkpoint '7'" in refused(run, EPISODE, "--checkpoint", "7")
    assert "has no checkpoint" in refused(scripted, "run-test-000.0.0")
    assert "--by-hand" in refused(scripted, "run-test-000.0.0")
    assert "choose one of" in refused(run, EPISODE, "--by-hand", "-m", "scripted")
    assert "one episode at a time" in refused(run, EPISODE, "--by-hand", "-k", "2")
    assert "has no scripted policy 'nobody'" in refused(run, EPISODE, "-m", "scripted:nobody")
    config = tmp_path / run / "config.toml"
    other = config.read_text().replace("agentgym/KeyDoor-v0", "agentgym/Calculator-v0")
    other = other.replace("rules = false", "").replace("max_turns = 8", "")
    config.write_text("\n".join(line for line in other.splitlines() if "null" not in line))
    refused(run, EPISODE, "-m", "scripted")
    config.write_text(config.read_text().replace("agentgym/Calculator-v0", "no.such:Config"))
    assert "no.such" in refused(run, EPISODE, "-m", "scripted")
    for each in (run, scripted):
        assert [head for head in read_heads(tmp_path / each) if head.fork_step is not None] == []


def test_an_imported_episode_has_nothing_to_go_on_in(agentgym, tmp_path):
    talk = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yes"}]
    (tmp_path / "t.jsonl").write_text(json.dumps({"messages": talk}) + "\n")
    assert agentgym("import", "t.jsonl", "talk").code == 0
    done = agentgym("fork", "talk", "line-1", "-m", "scripted")
    assert done.code == 2
    assert "was imported" in done.err


def test_an_environment_that_does_not_repeat_itself_is_told(agentgym, scripted, tmp_path):
    (first, *_) = read_heads(tmp_path / scripted)
    config = tmp_path / scripted / "config.toml"
    config.write_text(config.read_text().replace("rules = true", "rules = false"))
    done = agentgym("fork", scripted, first.id, "--turn", "1", "-m", "scripted")
    assert done.code == 1
    told = f"{scripted}#{first.id}/1: the reset of {first.id} went otherwise when it was played"
    assert told in done.err
    assert [head for head in read_heads(tmp_path / scripted) if head.fork_step is not None] == []
    config.write_text(config.read_text().replace("rules = false", "rules = true"))
    assert agentgym("check", "run", scripted).code == 0


def test_a_fault_is_tried_once_more_and_then_told(agentgym, tmp_path):
    make_trained_run(tmp_path / "made")
    done = agentgym("fork", "made", "train-000000-000.0.0", "-m", "scripted")
    assert done.code == 1
    assert "TaskError" in done.out
    children = [head for head in read_heads(tmp_path / "made") if head.fork_step is not None]
    assert [(head.attempt, head.end) for head in children] == [(0, "error"), (1, "error")]


@pytest.fixture
def spoken():
    """Start a fork that speaks with this program."""
    with ExitStack() as held:

        def start(run: Path, *words: str, overrides: tuple[str, ...] = ()) -> subprocess.Popen[str]:
            given = ["fork", "--lines", *words, "--", str(run), EPISODE, *overrides]
            process = held.enter_context(
                subprocess.Popen(
                    [sys.executable, "-m", "agentgym", *given],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    text=True,
                    bufsize=1,
                )
            )
            held.callback(process.kill)
            process.stdin.write('{"token": "mine"}\n')
            return process

        yield start


def say(process: subprocess.Popen[str], **line: Any) -> dict[str, Any]:
    process.stdin.write(json.dumps(line) + "\n")
    return heard(process)


def heard(process: subprocess.Popen[str]) -> dict[str, Any]:
    found = json.loads(process.stdout.readline())
    assert found.pop("token") == "mine"
    return found


def test_a_program_plays_by_lines_and_leaves(spoken, run, tmp_path):
    process = spoken(tmp_path / run, "--turn=1", "--by-hand")
    asked = heard(process)
    assert (asked["event"], asked["turn"], asked["tools"]) == ("asked", 1, [])
    parent = read_episode(find_episode(tmp_path / run, EPISODE))
    assert asked["messages"] == [each.to_openai() for each in parent.steps[0].replies]
    assert say(process, say='{"role": "user", "tool_calls": [3]}')["event"] == "refused"
    asked = say(process, say="nonsense")
    assert (asked["turn"], asked["messages"][0]["content"][:7]) == (2, "unknown")
    child = say(process, leave=True)
    assert (child["event"], child["reason"], child["turns"]) == ("child", "quit", 2)
    assert heard(process)["event"] == "done"
    assert process.wait(20) == 0


def test_the_end_of_the_input_keeps_what_a_person_played(spoken, run, tmp_path):
    process = spoken(tmp_path / run, "--turn=1", "--by-hand")
    heard(process)
    say(process, say="up")
    process.stdin.close()
    assert heard(process)["reason"] == "quit"
    assert process.wait(20) == 0


def test_errors_are_told_by_lines_too(spoken, run, tmp_path):
    process = spoken(tmp_path / run, "--turn=99")
    told = heard(process)
    assert (told["event"], told["hint"]) == ("failed", None)
    assert "not 99" in told["error"]
    assert process.wait(20) == 2


@pytest.mark.parametrize("ending", ["killed", "interrupted", "unread"])
def test_a_fork_that_ends_half_way_leaves_the_run_readable(spoken, run, tmp_path, ending, agentgym):
    words = ("--turn=0", "--samples=1000", "--model=scripted:random")  # more than a pipe holds
    process = spoken(tmp_path / run, *words, overrides=("rollout.concurrency=1",))
    for _ in range(3):
        assert heard(process)["event"] == "child"
    if ending == "unread":
        process.stdin.close()
    else:
        process.send_signal(signal.SIGKILL if ending == "killed" else signal.SIGINT)
    process.stdout.read()
    assert process.wait(30) != 0
    children = [head for head in read_heads(tmp_path / run) if head.fork_step is not None]
    assert 3 <= len(children) < 1000
    assert all(read_episode(head).parent_id == EPISODE for head in children)
    if ending != "killed":
        assert agentgym("check", "run", run).code == 0
        assert "recorded so far: agentgym show" in process.stderr.read()
    done = agentgym("fork", run, EPISODE, "--turn", "1", "--json")
    assert done.json["group"] == "fork-00002"


def test_two_forks_at_once_do_not_play_the_same(spoken, run, tmp_path):
    words = ("--turn=0", "--samples=4", "--model=scripted:random")
    both = [spoken(tmp_path / run, *words) for _ in range(2)]
    ends = [[heard(process) for _ in range(5)][-1] for process in both]
    assert {end["seed"] for end in ends} == {1, 2}
    said = {
        tuple(step.message.content for step in read_episode(head).steps)
        for head in read_heads(tmp_path / run)
        if head.fork_step is not None
    }
    assert len(said) > 4


def test_where_nothing_can_be_written_nobody_plays(agentgym, run, monkeypatch):
    def full(_: ShardWriter) -> int:
        raise StoreError("disk full")

    monkeypatch.setattr(ShardWriter, "_open", full)
    monkeypatch.setattr("agentgym.rollout.continuing.go_on", lambda *_, **__: pytest.fail("asked"))
    done = agentgym("fork", run, EPISODE, "-m", "scripted:random")
    assert (done.code, done.err) == (1, "error: disk full\n")


HANGING = """\
import time
from pathlib import Path

import agentgym as ag


class Config(ag.EnvConfig):
    id = "Hanging-v0"
    max_turns: int = 2

    def build(self, sandboxes=None):
        return Hanging()

    def tasks(self, split):
        return (ag.Task("0", env=self.id, split=split),)


class Hanging(ag.Env):
    async def reset(self, task, *, seed):
        return ag.Reset((ag.Message("user", "go"),))

    async def step(self, message):
        if Path(__file__).with_name("hang").exists():
            time.sleep(1000)
        return ag.EnvStep((ag.Message("user", "on"),), {})
"""


def test_what_hangs_ends_though_nobody_is_left(agentgym, tmp_path):
    (tmp_path / "hanging.py").write_text(HANGING)
    done = agentgym("run", "hanging.py", "-m", "scripted:random", "-n", "1", "-o", "run")
    assert done.code == 0, done.err
    (tmp_path / "hang").touch()
    (head,) = read_heads(tmp_path / "run")
    words = ["fork", "--lines", "--by-hand", "run", head.id]
    hurried = f"import agentgym.cli.fork_lines as f; f.LINGERS_S = 0.5; f.main({words})"
    hurried = hurried.replace("f.main", "__import__('agentgym.cli.main').cli.main.main")
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "bufsize": 1}
    with subprocess.Popen([sys.executable, "-c", hurried], **pipes) as process:
        process.stdin.write('{"token": "mine"}\n')
        assert heard(process)["event"] == "asked"
        process.stdin.write('{"say": "on"}\n')
        time.sleep(0.5)
        process.stdin.close()
        assert process.wait(20) == 1


def test_two_forks_at_once_have_groups_of_their_own(spoken, run, tmp_path):
    both = [spoken(tmp_path / run, "--turn=0", "--by-hand") for _ in range(2)]
    for process in both:
        heard(process)
    groups = {say(process, say="up") and say(process, leave=1)["id"] for process in both}
    assert groups == {"fork-00001.0.0", "fork-00002.0.0"}
    assert [process.wait(20) for process in both] == [0, 0]


TOOLS = (ToolSpec("add", "", {"type": "object", "properties": {"a": {"type": "integer"}}}),)


@pytest.mark.parametrize(
    "said",
    [
        '<tool_call>{"name": "add", "arguments": {"a": 1}}</tool_call>',
        "<function=add><parameter=a>1</parameter></function>",
        '{"tool_calls": [{"id": "call_0", "function": {"name": "add", "arguments": "{\\"a\\": 1}"}}]}',
    ],
)
def test_a_call_is_written_as_models_write_it_or_as_json(said):
    expected = Message("assistant", tool_calls=(ToolCall("add", '{"a": 1}', "call_0"),))
    assert read_answer({"say": said}, TOOLS) == expected


@pytest.mark.parametrize(
    "line",
    [
        {}, {"say": 3}, {"say": '{"role": "assistant", "content": 3}'}, {"say": '{"tool_calls": 3}'},
        {"say": '<tool_call>{"name": "sub", "arguments": {}}</tool_call>'},
        {"say": '<tool_call>{"name": "add", "arguments": {</tool_call>'},
        {"say": '{"tool_calls": [{"function": {"name": ["add"], "arguments": {}}}]}'},
    ],
)  # fmt: skip
def test_a_slip_is_refused_and_no_turn_is_lost(line):
    with pytest.raises(Mistyped):
        read_answer(line, TOOLS)


def test_json_that_is_no_message_is_text():
    assert read_answer({"say": '{"answer": 3}'}, ()).content == '{"answer": 3}'
