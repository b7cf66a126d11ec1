"""A person plays with the tools, limits and rewards of a model, and is recorded like one."""

import json
import os
import signal
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from agentgym.cli.person import Mistyped, to_arguments
from agentgym.errors import StoreError

pytestmark = pytest.mark.slow

CALC = "agentgym/Calculator-v0"


def play(process, *lines: str, arguments: tuple[str, ...] = ()):
    return process("play", CALC, "-o", "run", *arguments, input="\n".join(lines) + "\n")


def test_an_episode_by_hand_is_recorded_scored_and_replayed(process) -> None:
    done = play(process, "/hint", "/calc 5 * 70 + 10", "360")
    assert done.code == 0, done.err
    assert "What is 5 * 70 + 10?" in done.out
    assert "the expert would say" in done.out
    assert "outcome  1" in done.out
    shown = process("show", "run", "play", "--json").json
    assert shown["policy"] == "person"
    assert [step["message"]["content"] for step in shown["steps"]] == ["", "360"]
    assert shown["steps"][0]["replies"][0]["content"] == "360"
    replayed = process("replay", "run", "--verify", "--json")
    assert replayed.code == 0
    assert replayed.json["equal"] == 1


def test_mistakes_are_explained_and_cost_no_turn(process) -> None:
    done = play(process, "/clac 1", "/help", "/tools", "/quit")
    assert done.code == 0
    assert "there is no tool 'clac'" in done.out
    assert "/hint" in done.out
    assert "truncated  quit" in done.out
    assert process("show", "run", "play", "--json").json["steps"] == []


def test_the_end_of_the_input_ends_the_episode_and_keeps_it(process) -> None:
    done = play(process, "/calc 1+1")
    assert done.code == 0
    assert "truncated  quit" in done.out
    assert len(process("show", "run", "play", "--json").json["steps"]) == 1


def test_the_last_answer_is_shown_once(process) -> None:
    quitting = play(process, "/calc 20+3", "/quit")
    ending = play(process, "/calc 20+3", "23", arguments=("--clean", "env.max_turns=1"))
    assert quitting.out.count("\n  23\n") == ending.out.count("\n  23\n") == 1


def test_a_closed_input_ends_the_episode(process) -> None:
    done = process("play", CALC, "-o", "run", preexec_fn=lambda: os.close(0))
    assert done.code == 0, done.err
    assert "truncated  quit" in done.out


def test_a_fault_is_told_and_not_played_again(process, env_file) -> None:
    file = env_file(step="raise RuntimeError('at step')")
    done = process("play", file, "-o", "run", input="hello\nhello\n")
    assert done.code == 1
    assert done.out.count("hi\n") == 1
    assert "error  EnvError" in done.out
    assert len(process("show", "run", "--json").json["episodes"]) == 1


def test_what_cannot_be_played_leaves_nothing(process, env_file, tmp_path: Path) -> None:
    raising = "import agentgym.errors; raise agentgym.errors.ConfigError('no')"
    done = process("play", env_file(reset=raising), "-o", "run", input="")
    assert (done.code, done.err) == (2, "error: no\n")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("error", "code", "status", "told"),
    [
        (StoreError("disk full"), 1, "failed", "the episode is not recorded\nerror: disk full"),
        (KeyboardInterrupt(), 130, "interrupted", "the episode is not recorded"),
    ],
)
def test_only_ctrl_c_is_called_an_interruption(
    agentgym, monkeypatch, error: BaseException, code: int, status: str, told: str
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr("agentgym.cli.person._ask", lambda prompt: "/quit")
    monkeypatch.setattr("agentgym.store.episodes.EpisodeWriter.append", fail)
    done = agentgym("play", CALC, "-o", "run")
    assert done.code == code
    assert told in done.err
    assert agentgym("show", "run", "--json").json["status"] == status


def test_many_lines_several_calls_and_a_leading_slash(process) -> None:
    play(process, "/calc 1+1 ; /calc 2+2", '/"', "first", "second", '/"')
    steps = process("show", "run", "play", "--json").json["steps"]
    assert [reply["content"] for reply in steps[0]["replies"]] == ["2", "4"]
    assert steps[1]["message"]["content"] == "first\nsecond"
    play(process, "//etc", arguments=("--clean",))
    assert process("show", "run", "play", "--json").json["steps"][0]["message"]["content"] == "/etc"


def test_max_turns_counts_for_people_too(process) -> None:
    done = play(process, "/calc 1", "/calc 2", "3", arguments=("env.max_turns=2",))
    assert "truncated  max_turns" in done.out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--task", "no-such"), "there is no task 'no-such' in 'train'"),
        (("--split", "dev"), "there is no split 'dev'"),
    ],
)
def test_a_task_or_split_that_is_not_there_is_named(process, arguments, words: str) -> None:
    done = play(process, arguments=arguments)
    assert done.code == 2
    assert words in done.err
    assert "hint:" in done.err


def test_a_task_is_chosen_by_number_or_id(process) -> None:
    first = play(process, "/quit", arguments=("--task", "3", "--clean"))
    task = process("show", "run", "play", "--json").json["task"]
    again = play(process, "/quit", arguments=("--task", task["id"], "--clean"))
    assert first.code == again.code == 0
    assert process("show", "run", "play", "--json").json["task"] == task


def test_ctrl_c_while_asked_leaves_with_130_and_keeps_what_was_played(terminal, process) -> None:
    played = terminal("play", CALC, "-o", "run")
    played.await_text("turn 0/15>")
    played.type("/calc 1+1\n")
    played.await_text("turn 1/15>")
    assert played.press_ctrl_c() == 130
    assert "truncated  interrupted" in played.seen
    shown = process("show", "run", "play", "--json").json
    assert (shown["end"], shown["reason"]) == ("truncated", "interrupted")
    assert [step["replies"][0]["content"] for step in shown["steps"]] == ["2"]
    assert process("show", "run", "--json").json["status"] == "interrupted"


SLOW_STEP = "import time; print('WORKING', flush=True); time.sleep(2)"
GOES_ON = "return EnvStep((Message('user', 'on'),), {})"


def test_ctrl_c_during_a_turn_leaves_after_it(terminal, process, env_file) -> None:
    played = terminal("play", env_file(step=f"{SLOW_STEP}; {GOES_ON}"), "-o", "run")
    played.await_text("turn 0/")
    played.type("one\n")
    played.await_text("turn 1/")
    played.type("two\n")
    played.await_text("WORKING")
    played.ctrl_c()
    assert played.wait() == 130
    assert "leaving after this turn" in played.seen
    shown = process("show", "run", "play", "--json").json
    assert (shown["reason"], len(shown["steps"])) == ("interrupted", 2)


def test_ctrl_c_twice_during_a_turn_drops_the_episode(terminal, process, env_file) -> None:
    step = SLOW_STEP.replace("sleep(2)", "sleep(4)")
    played = terminal("play", env_file(step=f"{step}; {GOES_ON}"), "-o", "run")
    played.await_text("turn 0/")
    played.type("one\n")
    played.await_text("WORKING")
    played.ctrl_c()
    played.await_text("leaving after this turn")
    played.ctrl_c()
    assert played.wait() == 130
    assert "the episode is not recorded" in played.seen
    assert process("show", "run", "--json").json["episodes"] == []


def test_where_ctrl_c_is_ignored_it_stays_ignored(terminal) -> None:
    played = terminal("play", CALC, "-o", "run", sigint=signal.SIG_IGN)
    played.await_text("turn 0/15>")
    played.ctrl_c()
    played.type("\x04")  # the end of the input
    assert played.wait() == 0
    assert "interrupted" not in played.seen


SCHEMA = {
    "properties": {
        "text": {"type": "string"},
        "count": {"type": "integer"},
        "on": {"type": "boolean"},
    }
}


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("text=two words count=3", {"text": "two words", "count": 3}),
        ("count=3 text=a=b", {"count": 3, "text": "a=b"}),
        ("on=true", {"on": True}),
        ("count=many", {"count": "many"}),
        ("", {}),
        ('{"count": 1}', {"count": 1}),
    ],
)
def test_arguments_are_typed_as_json_or_as_words(typed: str, meant: dict[str, object]) -> None:
    assert json.loads(to_arguments(typed, SCHEMA)) == meant


@given(st.text())
def test_whatever_is_typed_becomes_arguments_or_is_explained(typed: str) -> None:
    with suppress(Mistyped):
        assert isinstance(to_arguments(typed, SCHEMA), str)
