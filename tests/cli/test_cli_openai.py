import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from chat_server import Answer, Asked, ChatServer, as_expert, refuses, says

from agentgym.envs.calculator.env import CalculatorConfig
from agentgym.store.episodes import read_episodes

CALCULATOR = "agentgym/Calculator-v0"
KEY = "sk-0123456789abcdefghij"


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)


def files_of(run: Path) -> bytes:
    return b"".join(path.read_bytes() for path in run.rglob("*") if path.is_file())


def test_a_model_behind_a_url_is_scored_recorded_and_replayed(agentgym, tmp_path: Path) -> None:
    prices = ("openai.prompt_price=1", "openai.completion_price=10")
    with ChatServer(as_expert(CalculatorConfig())) as server:
        model = f"openai:expert@{server.url}"
        done = agentgym("run", CALCULATOR, "-m", model, "-n", "25", "-o", "r", *prices, "--json")
    assert done.code == 0
    report = done.json
    assert report["policy"] == model
    assert (report["success"]["mean"], report["success"]["n"]) == (1.0, 25)
    assert report["ends"] == {"terminated/env": 25}
    cost = pytest.approx(50 * (7 + 30) / 1e6)
    counts = {"requests": 50, "retries": 0, "prompt_tokens": 350, "completion_tokens": 150}
    assert report["usage"] == {**counts, "cut": 0, "cost": cost}
    assert {asked.headers["Authorization"] for asked in server.asked} == {f"Bearer {KEY}"}
    info = json.loads((tmp_path / "r" / "run.json").read_text())
    assert (info["policy"], info["status"]) == (model, "finished")
    assert f'url = "{server.url}"' in (tmp_path / "r" / "config.toml").read_text()
    assert KEY.encode() not in files_of(tmp_path / "r")
    episodes = list(read_episodes(tmp_path / "r"))
    assert sum(step.usage["cost"] for each in episodes for step in each.steps) == cost
    assert agentgym("replay", "r", "--verify").out.startswith("25 episodes: 25 equal, 0 different")
    assert agentgym("show", "r").code == 0


def test_what_answers_took_is_printed(agentgym) -> None:
    expert = as_expert(CalculatorConfig())

    def answers(asked: Asked, number: int) -> Answer:
        return refuses(503, Retry_After="0") if number == 1 else expert(asked, number)

    with ChatServer(answers) as server:
        words = ("-m", f"openai:expert@{server.url}", "-n", "3", "openai.prompt_price=1000")
        done = agentgym("run", CALCULATOR, *words)
    assert done.code == 0
    line = "asked    7 requests  42 prompt and 18 completion tokens  1 retries  cost 0.042\n"
    assert line in done.out
    assert "success  1.000" in done.out
    scripted = agentgym("run", CALCULATOR, "-n", "1", "--json").json
    assert scripted["usage"] is None


def test_answers_that_were_cut_are_told(agentgym) -> None:
    with ChatServer([says("12", finish="length", usage=None)]) as server:
        done = agentgym("run", CALCULATOR, "-m", f"openai:m@{server.url}", "-n", "3")
    assert "cut      3 answers at their limit on tokens; see openai.max_tokens" in done.out
    assert "asked    3 requests  0 prompt and 0 completion tokens\n" in done.out


def test_the_url_may_come_from_the_environment(agentgym, monkeypatch) -> None:
    with ChatServer(as_expert(CalculatorConfig())) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", f"{server.url}/")
        done = agentgym("run", CALCULATOR, "-m", "openai:expert", "-n", "2", "--json")
    assert done.json["policy"] == f"openai:expert@{server.url}"


def test_keys_of_the_section_reach_the_server(agentgym) -> None:
    keys = ("openai.temperature=0", "openai.extra.top_k=5", 'openai.extra.stop=["a", "b"]')
    with ChatServer(as_expert(CalculatorConfig())) as server:
        words = ("-m", f"openai:expert@{server.url}", "-n", "1", "-o", "r")
        done = agentgym("run", CALCULATOR, *words, *keys)
    assert done.code == 0
    body = server.asked[0].body
    assert (body["temperature"], body["top_k"], body["stop"]) == (0, 5, ["a", "b"])
    assert agentgym("replay", "r", "--verify").code == 0
    assert "0 is greedy" in agentgym("config", "explain", "openai.temperature").out


@pytest.mark.parametrize(
    ("refusal", "code", "text"),
    [
        (refuses(401, f"bad {KEY}"), 2, "with the key in OPENAI_API_KEY: status 401: bad ***"),
        (refuses(404, "no"), 2, "has no model 'm', or is no such API"),
        (refuses(400, "what?"), 2, "refuses a request for 'm': status 400: what?"),
        (refuses(402, "pay"), 1, "wants to be paid: status 402: pay"),
        (refuses(500, "oops"), 1, "no episode came to an end: PolicyError: m at http"),
    ],
)
def test_what_is_wrong_is_one_error(agentgym, tmp_path, refusal, code: int, text: str) -> None:
    with ChatServer([refusal], models=["a", "b"]) as server:
        words = ("-m", f"openai:m@{server.url}", "-n", "9", "-o", "r", "openai.max_attempts=1")
        done = agentgym("run", CALCULATOR, *words)
    assert done.code == code
    assert text in done.err
    assert done.err.count("error: ") == 1
    assert "hint: " in done.err
    assert "Traceback" not in done.err
    assert KEY not in done.err
    assert KEY.encode() not in files_of(tmp_path / "r")


def test_a_server_that_is_not_there_is_missing_and_no_run_is_made(agentgym, tmp_path) -> None:
    with ChatServer([says()]) as server:
        pass
    done = agentgym("run", CALCULATOR, "-m", f"openai:m@{server.url}", "-o", "r")
    assert done.code == 3
    assert f"error: no server at {server.url}: ConnectError" in done.err
    assert not (tmp_path / "r").exists()


def test_a_key_that_is_not_set_is_missing_and_nothing_is_asked(agentgym, tmp_path, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY")
    done = agentgym("run", CALCULATOR, "-m", "openai:m", "-o", "r")
    assert done.code == 3
    assert "https://api.openai.com/v1 wants a key, and OPENAI_API_KEY is not set" in done.err
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["-m", "openai:"], "`-m openai` names no model"),
        (["-m", "openai:m@localhost:8000/v1"], "should begin with http:// or https://"),
        (["-m", "openai:m@ftp://a.b/v1"], "`openai.url`: should be a URL such as"),
        (["-m", "openai:m@https://me:hunter2@a.b/v1"], "should hold no user name"),
        (["-m", "openai:m", "openai.url=https://me:hunter2@a.b/v1"], "should hold no user name"),
        (["-m", "openai:m", "openai.temprature=1"], "did you mean `openai.temperature`?"),
        (["-m", "openai:m", "rollout.sampling.temperature=0"], "hint: use openai.temperature"),
        (["-m", "openai:m", "openai.extra.stream=true"], "is not for `extra` to set"),
    ],
)
def test_what_is_written_wrongly_is_refused_before_a_run_is_made(
    agentgym, tmp_path, words: list[str], text: str
) -> None:
    done = agentgym("run", CALCULATOR, *words, "-o", "r")
    assert done.code == 2
    assert text in done.err
    assert "hint: " in done.err
    assert "hunter2" not in done.err
    assert not (tmp_path / "r").exists()


def test_a_budget_stops_the_run_and_keeps_what_ended(agentgym, tmp_path) -> None:
    keys = ("openai.prompt_price=1000000", "openai.max_cost=100", "openai.concurrency=1")
    with ChatServer(as_expert(CalculatorConfig())) as server:
        words = ("-m", f"openai:m@{server.url}", "-n", "40", "-o", "r", "rollout.concurrency=2")
        done = agentgym("run", CALCULATOR, *words, *keys)
    assert done.code == 1
    assert "the run stopped: 105 is spent and openai.max_cost is 100" in done.err
    assert "recorded so far: agentgym show r" in done.err
    assert len(server.asked) == 15
    assert "episodes cut off by that: 1, recorded as errors and in no score" in done.err
    episodes = list(read_episodes(tmp_path / "r"))
    assert Counter(each.end for each in episodes) == {"terminated": 7, "error": 1}
    assert sum(len(each.steps) for each in episodes) == 15
    assert json.loads((tmp_path / "r" / "run.json").read_text())["status"] == "failed"


def test_eval_says_that_it_is_for_checkpoints(agentgym) -> None:
    done = agentgym("eval", "openai:m@http://localhost:8000/v1")
    assert done.code == 2
    assert "eval scores checkpoints of a training" in done.err
    assert "hint: agentgym run ENV -m openai:m@http://localhost:8000/v1" in done.err


def test_ctrl_c_during_a_slow_request_ends_at_once_and_keeps_what_ended(tmp_path: Path) -> None:
    expert = as_expert(CalculatorConfig())

    def answers(asked: Asked, number: int) -> Answer:
        answer = expert(asked, number)
        answer.after_s = 0.0 if number < 10 else 60.0
        return answer

    words = ("run", CALCULATOR, "-n", "40", "-o", "r", "rollout.concurrency=1")
    with ChatServer(answers) as server:
        process = subprocess.Popen(
            [sys.executable, "-m", "agentgym", *words, "-m", f"openai:m@{server.url}"],
            cwd=tmp_path,
            stderr=subprocess.PIPE,
            env=os.environ | {"NO_PROXY": "*"},
            text=True,
        )
        deadline = time.monotonic() + 60
        while len(server.asked) < 11 and time.monotonic() < deadline:
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        began = time.monotonic()
        _, err = process.communicate(timeout=30)
    assert time.monotonic() - began < 20
    assert process.returncode == 130
    assert "recorded so far: agentgym show r" in err
    assert "Traceback" not in err
    episodes = list(read_episodes(tmp_path / "r"))
    assert [each.outcome for each in episodes] == [1.0] * 5
    assert json.loads((tmp_path / "r" / "run.json").read_text())["status"] == "interrupted"


def test_a_model_behind_a_url_goes_on_from_a_turn(agentgym, tmp_path: Path) -> None:
    assert agentgym("run", CALCULATOR, "-m", "scripted", "-n", "1", "-o", "r").code == 0
    with ChatServer(lambda asked, number: says("360")) as server:
        model = f"openai:expert@{server.url}"
        done = agentgym(
            "fork", "r", "run-test-000", "--turn", "1", "-m", model, "-k", "2", "--json"
        )
        first = server.asked[-1]
    assert done.code == 0, done.err
    assert done.json["policy"] == model
    assert [message["role"] for message in first.messages][-2:] == ["assistant", "tool"]
    children = [each for each in read_episodes(tmp_path / "r") if each.fork_step == 1]
    assert [child.steps[1].message.content for child in children] == ["360", "360"]
    assert children[0].steps[0].usage == {}
    assert children[0].steps[1].usage["completion_tokens"] == 3
    refused = agentgym("fork", "r", "run-test-000", "-m", f"openai:expert@{server.url}")
    assert refused.code in (2, 3)
    assert len(list((tmp_path / "r" / "episodes").glob("fork-*"))) == 1
