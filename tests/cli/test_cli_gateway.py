"""`agentgym gateway`, and training with a program from outside, as a user has them."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from outside_programs import write_program

from agentgym.env import first_tasks
from agentgym.envs.calculator import CalculatorConfig
from agentgym.store.episodes import read_episodes
from agentgym.store.run import Run
from agentgym.trainers.exact import check_exact

CALCULATOR = "agentgym/Calculator-v0"
SOLVES = """
messages = [{"role": "user", "content": task}]
call = ask(messages)["tool_calls"][0]["function"]
status, result = send("/tools/" + call["name"], call["arguments"].encode())
messages += [{"role": "assistant", "content": None, "tool_calls": [{"function": call}]},
             {"role": "tool", "content": result.strip()}]
ask(messages)
"""
ENV = '''
import agentgym as ag

class WordsConfig(ag.EnvConfig):
    id = "test/Words-v0"

    def tasks(self, split):
        for number in range(10_000):
            yield ag.Task(f"Say {number}")

    def build(self, sandboxes=None):
        return Words()

class Words(ag.Env):
    """Pays for an even number of characters."""
    inline = True

    def reset(self, task, *, seed):
        return ag.Reset((ag.Message("user", task.prompt),))

    def step(self, message):
        return ag.EnvStep((), {"outcome": float(len(message.content) % 2 == 0)}, True)
'''
SLOW = """
import asyncio
from pathlib import Path

import agentgym as ag

class SlowConfig(ag.EnvConfig):
    id = "test/Slow-v0"

    def tasks(self, split):
        yield ag.Task("Go.")

    def build(self, sandboxes=None):
        return Slow()

class Slow(ag.Env):
    async def reset(self, task, *, seed):
        return ag.Reset((ag.Message("user", task.prompt),))

    async def step(self, message):
        Path("stepped").touch()
        await asyncio.sleep(60)
"""
TALKS = """
messages = [{"role": "user", "content": open(os.environ["AGENTGYM_TASK_FILE"]).read()[:8]}]
first = ask(messages)
second = ask([*messages, first, {"role": "user", "content": "and then?"}])
ask([messages[0], second, {"role": "user", "content": "last"}])
"""
TRAINING = """\
seed = 1
out = "r"
[env]
id = "words.py"
[agent]
command = '''COMMAND'''
[model]
device = "cpu"
[model.tiny]
layers = 1
width = 16
heads = 2
[rollout]
groups = 2
group_size = 3
concurrency = 3
[rollout.sampling]
max_tokens = 3
[train]
steps = 2
"""


def test_programs_are_run_scored_and_recorded(agentgym, tmp_path: Path) -> None:
    words = ("gateway", CALCULATOR, "-n", "3", "-o", "r")
    done = agentgym(*words, "--agent", write_program(tmp_path, SOLVES))
    assert done.code == 0, done.err
    assert "success  1.000  [0.439, 1.000]  n 3" in done.out
    assert "ends     terminated/env 3" in done.out
    shown = agentgym("show", "r", "run-test-000.0.0").out
    assert "calc expression=" in shown
    first = next(read_episodes(tmp_path / "r"))
    assert "$ calc" in first.steps[0].panels[-1].text
    assert "not in the record" in agentgym("replay", "r", "--verify").out
    refused = agentgym("fork", "r", "run-test-000.0.0", "--turn", "0")
    assert refused.code == 2
    assert "a program from outside" in refused.err


def test_a_program_is_named_from_where_the_user_is(agentgym, tmp_path: Path) -> None:
    (tmp_path / "agent.sh").write_text(f"#!/bin/sh\nexec {sys.executable} $1\n")
    (tmp_path / "agent.sh").chmod(0o755)
    write_program(tmp_path, SOLVES)
    words = ("gateway", CALCULATOR, "-n", "1", "-o", "r", "--json")
    done = agentgym(*words, "--agent", "./agent.sh program.py")
    assert done.json["success"]["mean"] == 1.0
    command = f'command = "{tmp_path}/agent.sh {tmp_path}/program.py"'
    assert command in (tmp_path / "r" / "config.toml").read_text()


def test_one_task_is_named_and_a_program_that_fails_is_told(agentgym, tmp_path: Path) -> None:
    words = ("gateway", CALCULATOR, "--task", "2", "-o", "r")
    program = write_program(tmp_path, "sys.exit('no idea')")
    done = agentgym(*words, "--agent", f"{program} {{promt}}")
    assert done.code == 1
    assert "warning: {promt} is handed on as it stands; did you mean {prompt}?" in done.err
    assert "no episode came to an end: PolicyError: the agent program exited with 1" in done.err
    assert "no idea" in done.err
    (second,) = {each.task.id for each in read_episodes(tmp_path / "r")}
    assert second == first_tasks(CalculatorConfig(), "test", number=3)[2].id


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["gateway", CALCULATOR, "--agent", "no-such-program"], "cannot be started"),
        (["gateway", CALCULATOR, "--agent", "'"], "agent.command"),
        (["gateway", CALCULATOR, "--task", "nine"], "no task 'nine'"),
        (["gateway", CALCULATOR, "--agent", "true", "--port", "1"], "--port has no effect"),
        (["gateway", CALCULATOR, "--concurrency", "2"], "--concurrency has no effect"),
        (["gateway", CALCULATOR, "agent.command=sh"], "--agent COMMAND"),
        (["train", f"env.id={CALCULATOR}", "agent.command=x", "warm_start.steps=3"], "warm_start"),
    ],
)
def test_what_cannot_be_played_is_a_usage_error(agentgym, tmp_path: Path, words, said) -> None:
    done = agentgym(*words)
    assert done.code == 2
    assert said in done.err
    assert not list(tmp_path.glob("runs/*"))


def test_without_a_program_endpoints_are_told_and_ctrl_c_scores(tmp_path: Path) -> None:
    process = start(tmp_path, "gateway", CALCULATOR, "--port", "0", "-o", "r")
    url, key = told(process)
    chat = {"messages": [{"role": "user", "content": "a"}]}
    call = post(f"{url}/v1/chat/completions", key, chat)["choices"][0]["message"]["tool_calls"][0]
    result = post(f"{url}/tools/calc", key, json.loads(call["function"]["arguments"]))
    post(f"{url}/answer", key, result["content"])
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert process.returncode == 0, err
    assert "success  1.000" in out


def test_ctrl_c_before_a_program_asked_is_no_fault_of_one(tmp_path: Path) -> None:
    process = start(tmp_path, "gateway", CALCULATOR, "--port", "0", "-o", "r")
    told(process)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert process.returncode == 130, err
    assert out == ""
    assert err.splitlines()[-2:] == ["recorded so far: agentgym show r", "interrupted"]
    assert Run.open(str(tmp_path / "r")).status == "interrupted"
    assert not list(read_episodes(tmp_path / "r"))


def test_ctrl_c_in_the_middle_of_a_request_scores_nothing(tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text(SLOW)
    process = start(tmp_path, "gateway", "slow.py", "--port", "0", "-o", "r", "-m", "scripted:noop")
    url, key = told(process)
    post(f"{url}/v1/chat/completions", key, {"messages": [{"role": "user", "content": "a"}]})
    with ThreadPoolExecutor() as threads:
        answering = threads.submit(post, f"{url}/answer", key, "Go.")
        while not (tmp_path / "stepped").exists():
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
        assert isinstance(answering.exception(), OSError)
    assert (process.returncode, out) == (130, ""), err
    assert not list(read_episodes(tmp_path / "r"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_leaves_no_process_and_no_port(tmp_path: Path, number: signal.Signals) -> None:
    stays = f"""
import subprocess
ask([{{"role": "user", "content": task}}])
child = subprocess.Popen(["sleep", "600"], start_new_session=True)
with open({str(tmp_path / "new")!r}, "w") as file:
    file.write(f"{{os.getpid()}} {{child.pid}} {{os.environ['AGENTGYM_URL']}} {{os.getcwd()}}")
os.rename({str(tmp_path / "new")!r}, {str(tmp_path / "seen")!r})
time.sleep(600)
"""
    command = write_program(tmp_path, stays)
    process = start(tmp_path, "gateway", CALCULATOR, "-n", "1", "-o", "r", "--agent", command)
    deadline = time.monotonic() + 30
    while not (tmp_path / "seen").exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    *pids, url, folder = (tmp_path / "seen").read_text().split()
    process.send_signal(number)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 130, err
    assert Run.open(str(tmp_path / "r")).status == "interrupted"
    assert not Path(folder).exists()
    for pid in map(int, pids):
        assert is_gone(pid)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", urlsplit(url).port or 0), timeout=1)


@pytest.mark.slow
def test_a_program_is_trained_with_exact_tokens(agentgym, tmp_path: Path) -> None:
    """It rewrites its history, so that every episode has two segments."""
    pytest.importorskip("torch")
    (tmp_path / "words.py").write_text(ENV)
    command = write_program(tmp_path, TALKS)
    (tmp_path / "t.toml").write_text(TRAINING.replace("COMMAND", command))
    done = agentgym("train", "t.toml")
    assert done.code == 0, done.err
    episodes = [each for each in read_episodes(tmp_path / "r") if each.id.startswith("train")]
    assert len(episodes) == 12
    check_exact(episodes)
    assert {len(each.steps) for each in episodes} == {3}
    assert {len(each.segments) for each in episodes} == {2}
    assert {each.end for each in episodes} == {"terminated"}
    assert {version for each in episodes for step in each.steps
            for _, version in step.completion.versions} == {0, 1}  # fmt: skip
    assert len({each.outcome for each in episodes}) == 2
    lines = (tmp_path / "r" / "metrics.jsonl").read_text().splitlines()
    metrics = list(map(json.loads, lines))
    (last,) = [each for each in metrics if each.get("step") == 2 and "drift" in each][-1:]
    assert last["drift"] == 0
    assert last["rewritten"] == 6
    checked = agentgym("check", "run", "r")
    assert checked.code == 0, checked.out


def start(folder: Path, *words: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-m", "agentgym", *words],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def told(process: "subprocess.Popen[str]") -> tuple[str, str]:
    """Return the address of a session and its key, as they are printed for a shell."""
    assert process.stderr is not None
    for line in process.stderr:
        if found := re.search(r"OPENAI_API_KEY=(\S+) AGENTGYM_URL=(\S+)", line):
            return found[2], found[1]
    raise AssertionError("no endpoint was told")


def post(url: str, key: str, body: object) -> dict:
    data = body.encode() if isinstance(body, str) else json.dumps(body).encode()
    headers = {"Authorization": f"Bearer {key}", "Accept": "application/json"}
    with urllib.request.urlopen(urllib.request.Request(url, data, headers), timeout=20) as answer:
        return json.loads(answer.read())


def is_gone(pid: int) -> bool:
    """Whether a process has ended, though nobody may have asked how."""
    try:
        os.kill(pid, 0)
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return True
    return stat.rpartition(")")[2].split()[0] == "Z"
