"""Pages start forks: what may be asked, what the process is told, and what comes back."""

import json
import os
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from agentgym.cli.main import main
from agentgym.errors import ConfigError
from agentgym.store.episodes import find_episode, read_episode, read_heads
from agentgym.viewer.app import make_app
from agentgym.viewer.forking import Tokens
from agentgym.viewer.forks import MOST_SAMPLES, ForkProcess, Forks, Wish
from agentgym.viewer.guard import LARGEST_BODY, Door
from agentgym.viewer.routes import RefusedError

HOME = {"origin": "http://127.0.0.1:7777"}
DOOR = Door("127.0.0.1", 7777)
OWN = {"authorization": f"Bearer {DOOR.token}"}
EPISODE = "run-test-000.0.0"


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three episodes of KeyDoor, played at random; they are only read."""
    root = tmp_path_factory.mktemp("played") / "run"
    words = ["-m", "scripted:random", "-n", "3", "-o", str(root), "env.max_turns=8"]
    assert main(["run", "agentgym/KeyDoor-v0", *words]) == 0
    return root


@pytest.fixture
def root(played: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(played, tmp_path / "run"))


@pytest.fixture
def forks() -> Iterator[Forks]:
    forks = Forks()
    yield forks
    forks.close()


@pytest.fixture
def client(open_runs, root, forks) -> TestClient:
    app = make_app(open_runs(root), DOOR, forks=forks)
    return TestClient(app, base_url="http://127.0.0.1:7777", headers=OWN)


def offer(client: TestClient, episode: str = EPISODE) -> dict[str, Any]:
    answer = client.get("/api/runs/run/fork", params={"episode": episode})
    assert answer.status_code == 200
    return answer.json()


def start(client: TestClient, **wish: Any) -> Any:
    wish = {"episode": EPISODE, "turn": 1, "how": "samples", "policy": "scripted"} | wish
    wish = {"token": offer(client)["token"]} | wish if "token" not in wish else wish
    return client.post("/api/runs/run/fork", json=wish, headers=HOME)


def wait(client: TestClient, until: Any = lambda fork: fork["status"] != "running") -> Any:
    stop = time.monotonic() + 60
    while time.monotonic() < stop:
        (*_, fork) = client.get("/api/runs/run/forks").json()
        if until(fork):
            return fork
        time.sleep(0.05)
    raise AssertionError(fork)


def test_samples_come_back_as_children_that_can_be_opened(client, root) -> None:
    assert offer(client) | {"token": ""} == {
        "episode": EPISODE,
        "why_not": None,
        "last": 7,
        "checkpoints": [],
        "policies": ["scripted", "scripted:random"],
        "most_samples": MOST_SAMPLES,
        "token": "",
    }
    answer = start(client, samples=3)
    assert answer.status_code == 201
    assert answer.json()["status"] == "running"
    found = wait(client)
    assert (found["status"], found["error"], found["group"]) == ("finished", None, "fork-00001")
    ids = [f"fork-00001.{member}.0" for member in range(3)]
    assert sorted(child["id"] for child in found["children"]) == ids
    child = client.get(f"/api/runs/run/episodes/{ids[0]}").json()
    assert (child["parent"], child["fork_step"]) == (EPISODE, 1)
    group = client.get("/api/runs/run/groups/fork-00001").json()
    assert (group["forked"], group["of"]) == ({"parent": EPISODE, "turn": 1}, 3)
    lone = client.get("/api/runs/run/groups/run-test-000").json()
    assert (lone["forked"], [each["is_parent"] for each in lone["members"]]) == (None, [False])
    # The parent stands beside them in all rows before the turn, but is no rollout of the group.
    members = [(each["id"], each["is_parent"]) for each in group["members"]]
    assert members == [(EPISODE, True), *((name, False) for name in ids)]
    assert [each["actions"][0] for each in group["members"]] == [
        lone["members"][0]["actions"][0]
    ] * 4
    assert (group["rows"][0]["cells"], group["rows"][0]["same"]) == ([0] * 4, "all")
    played = [row["cells"][0] for row in group["rows"] if row["cells"][0] is not None]
    assert played == list(range(lone["members"][0]["steps"]))
    states = client.get("/api/runs/run/groups/fork-00001/states").json()
    assert [each["id"] for each in states["members"]] == ids
    where = {"where": f'parent="{EPISODE}"', "sort": "fork_step"}
    rows = client.get("/api/runs/run/episodes", params=where).json()["rows"]
    assert [(row["id"], row["fork_step"]) for row in rows] == [(name, 1) for name in ids]
    assert client.get("/api/compare?a=run&b=run").json()["a"]["episodes"] == 3
    assert client.get("/api/runs/run/tokens").status_code == 200


def test_a_person_plays_turn_by_turn_and_what_was_played_is_kept(client, root) -> None:
    name = start(client, how="message").json()["fork"]
    address = f"/api/runs/run/forks/{name}"

    def say(**line: Any) -> Any:
        return client.post(address, json=line, headers=HOME)

    asked = wait(client, lambda fork: fork["asked"])["asked"]
    parent = read_episode(find_episode(root, EPISODE))
    assert asked["messages"] == [each.to_openai() for each in parent.steps[0].replies]
    assert say(say='{"tool_calls": 3}').status_code == 200
    refused = wait(client, lambda fork: fork["asked"])
    assert (refused["asked"], refused["talk"]) == (asked, [])
    assert "OpenAI" in refused["refused"]
    say(say="nonsense")
    after = wait(client, lambda fork: fork["asked"])
    assert (after["asked"]["turn"], after["refused"]) == (2, None)
    assert [each["said"] for each in after["talk"]] == ["nonsense"]
    assert say(what="x").status_code == 400
    say(leave=True)
    found = wait(client)
    (child,) = found["children"]
    assert (child["end"], child["reason"], child["turns"]) == ("truncated", "quit", 2)
    assert say(say="up").status_code == 400


def test_an_error_of_the_process_comes_back_with_its_hint(client, root) -> None:
    config = root / "config.toml"
    config.write_text(config.read_text().replace("rules = true", "rules = false"))
    start(client)
    found = wait(client)
    assert found["status"] == "failed"
    assert "went otherwise when it was played again" in found["error"]
    assert "agentgym check" in found["hint"]


def test_a_token_is_good_for_one_fork_of_one_episode(client, root) -> None:
    token = offer(client)["token"]
    other = offer(client, "run-test-001.0.0")["token"]
    for wrong in ("", "x" * 32, None, 3, ["x"], other):
        assert start(client, token=wrong).status_code == 403
    assert start(client, token=other, episode="run-test-001.0.0").status_code == 403  # used up
    assert start(client, token=token, how="nonsense").status_code == 400
    assert start(client, token=token).status_code == 403
    assert client.get("/api/runs/run/forks").json() == []
    for headers in ({"origin": "http://evil.example"}, {"origin": "null"}):
        sent = {"episode": EPISODE, "turn": 1, "how": "message", "token": offer(client)["token"]}
        answer = client.post("/api/runs/run/fork", json=sent, headers=headers)
        assert answer.status_code == 403
    assert not list((root / "episodes").glob("fork-*"))


def test_other_people_of_the_machine_fork_nothing(client, root) -> None:
    token = offer(client)["token"]
    fork = start(client, how="message").json()["fork"]
    del client.headers["authorization"]
    found = offer(client)
    assert found["token"] is None
    assert "address that agentgym view printed" in found["why_not"]
    assert start(client, token=token).status_code == 401
    for line in ({"say": "Hi"}, {"leave": True}):
        speak = client.post(f"/api/runs/run/forks/{fork}", json=line, headers=HOME)
        assert speak.status_code == 401
    assert [each["fork"] for each in client.get("/api/runs/run/forks").json()] == [fork]


def test_old_tokens_and_too_many_are_forgotten() -> None:
    now = [0.0]
    tokens = Tokens(clock=lambda: now[0])
    many = [tokens.make("run", "a") for _ in range(300)]
    with pytest.raises(RefusedError):
        tokens.use(many[0], "run", "a")
    now[0] = 3601.0
    with pytest.raises(RefusedError):
        tokens.use(many[-1], "run", "a")
    good = tokens.make("run", "a")
    tokens.use(good, "run", "a")


@pytest.mark.parametrize(
    "wish",
    [
        {"turn": 8}, {"turn": -1}, {"turn": "1"}, {"turn": True}, {"turn": None}, {"turn": 1.0},
        {"samples": 0}, {"samples": MOST_SAMPLES + 1}, {"samples": "3 --model=openai:x"},
        {"policy": "openai:x@http://evil.example"}, {"policy": "latest"}, {"policy": "/etc"},
        {"policy": "scripted --by-hand"}, {"policy": ["scripted"]}, {"policy": "--help"},
        {"how": "message --model=scripted"}, {"how": None}, {"episode": 3},
    ],
)  # fmt: skip
def test_what_is_not_offered_is_refused_and_nothing_is_started(client, wish) -> None:
    answer = start(client, **wish)
    assert answer.status_code == 400
    assert client.get("/api/runs/run/forks").json() == []


@pytest.mark.parametrize(("first", "flags"), [("", []), ("{cwd}", []), ("/usr/bin", ["-P"])])
def test_a_fork_imports_from_where_the_server_does(monkeypatch, tmp_path, first, flags) -> None:
    monkeypatch.chdir(tmp_path)
    here = str(tmp_path)
    monkeypatch.setattr("sys.path", [first.format(cwd=here), *sys.path, here])
    wish = Wish(root=tmp_path, run="run", episode=EPISODE, turn=0, how="message")
    assert wish.command()[1:-2] == [
        *flags, "-m", "agentgym", "fork", "--lines", "--turn=0", "--by-hand", "--",
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["--policy", "../run", "a/b", "nobody", "", "\0", "\ud800"])
def test_an_episode_is_looked_up_and_never_a_path(client, name) -> None:
    sent = {"episode": name, "turn": 0, "how": "message", "token": "x"}
    body = json.dumps(sent).encode()
    answer = client.post("/api/runs/run/fork", content=body, headers=HOME)
    assert answer.status_code == 403
    if name.isprintable():
        assert client.get("/api/runs/run/fork", params={"episode": name}).status_code == 404


@pytest.mark.parametrize("name", ["--model=scripted", "-k", "--", "a b; touch x", "$(touch x)"])
def test_names_of_episodes_are_words_and_no_options(name, tmp_path) -> None:
    wish = Wish(root=tmp_path, run="run", episode=name, turn=3, how="samples", policy="7")
    words = wish.command()
    assert words[-3:] == ["--", str(tmp_path), name]
    assert words[words.index("agentgym") + 1 : -3] == [
        "fork",
        "--lines",
        "--turn=3",
        "--samples=1",
        "--checkpoint=7",
    ]


@pytest.mark.parametrize("name", ["a\0b", "a\ud800"])
def test_names_that_no_command_line_holds_are_refused(name, tmp_path) -> None:
    with pytest.raises(ConfigError, match="command line"):
        Wish(root=tmp_path, run="run", episode=name, turn=0, how="message").command()


def test_a_huge_message_is_refused_and_a_large_one_arrives(client) -> None:
    address = f"/api/runs/run/forks/{start(client, how='message').json()['fork']}"
    wait(client, lambda fork: fork["asked"])
    huge = {"say": "x" * LARGEST_BODY}
    assert client.post(address, json=huge, headers=HOME).status_code == 413
    client.post(address, json={"say": "x" * 60_000}, headers=HOME)
    assert wait(client, lambda fork: fork["asked"])["asked"]["turn"] == 2


def until_asked(fork: ForkProcess, turn: int) -> None:
    stop = time.monotonic() + 20
    while not (asked := fork.to_json()["asked"]) or asked["turn"] != turn:
        assert time.monotonic() < stop
        time.sleep(0.05)


def test_two_run_at_once_and_all_end_with_the_server(client, root, forks) -> None:
    for _ in range(2):
        assert start(client, how="message").status_code == 201
    refused = start(client, how="message")
    assert (refused.status_code, "2 forks are running" in refused.text) == (400, True)
    first, _ = forks.of("run")
    until_asked(first, 1)
    client.post(f"/api/runs/run/forks/{first.id}", json={"say": "up"}, headers=HOME)
    until_asked(first, 2)
    running = [each._process.pid for each in forks.of("run")]
    forks.close()
    assert not any(Path(f"/proc/{pid}").exists() for pid in running)
    kept = [read_episode(head) for head in read_heads(root) if head.fork_step is not None]
    assert "up" in [step.message.content for child in kept for step in child.steps]


def test_only_lines_with_the_token_are_believed(root, monkeypatch, tmp_path) -> None:
    code = (
        "import json, sys; token = json.loads(input())['token']\n"
        "for line in ('no json', '[3]', json.dumps({'event': 'done', 'token': 'wrong'}),"
        " json.dumps({'event': 'child', 'token': token, 'id': 'a'})): print(line)\n"
        "sys.stderr.write('error: it broke\\n'); sys.exit(3)"
    )
    import sys

    monkeypatch.setattr(Wish, "command", lambda self: [sys.executable, "-c", code])
    fork = ForkProcess(Wish(root=root, run="run", episode="a", turn=0, how="samples"))
    fork.end(20)
    told = fork.to_json()
    assert (told["status"], told["error"]) == ("failed", "it broke")
    assert told["children"] == [{"id": "a"}]


def test_a_process_that_does_not_leave_is_ended(root, monkeypatch) -> None:
    import sys

    code = "import signal, time; signal.signal(15, signal.SIG_IGN); print(1, flush=True); time.sleep(99)"
    monkeypatch.setattr(Wish, "command", lambda self: [sys.executable, "-c", code])
    fork = ForkProcess(Wish(root=root, run="run", episode="a", turn=0, how="samples"))
    fork.leave()
    fork.end(0.3)
    assert fork._process.returncode == -9
    assert fork.to_json()["status"] == "failed"


@pytest.mark.parametrize("why", ["this viewer was started with --no-fork"])
def test_a_server_that_forks_nothing_says_why(open_runs, root, why) -> None:
    app = make_app(open_runs(root), DOOR, why_no_fork=why)
    client = TestClient(app, base_url="http://127.0.0.1:7777", headers=OWN)
    assert (offer(client)["why_not"], offer(client)["token"]) == (why, None)
    answer = start(client, token="x")
    assert (answer.status_code, answer.json()["error"]) == (403, why)


def test_imported_episodes_and_unknown_runs_are_not_forked(browse, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    talk = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yes"}]
    (tmp_path / "t.jsonl").write_text(json.dumps({"messages": talk}) + "\n")
    assert main(["import", "t.jsonl", "run"]) == 0
    client = browse(tmp_path / "run")
    found = offer(client, "line-1")
    assert "imported" in found["why_not"]
    assert found["token"] is None
    assert client.get("/api/runs/other/forks").status_code == 404
    assert client.post("/api/runs/run/forks/x", json={}, headers=HOME).status_code == 404


def test_checkpoints_with_weights_are_offered(client, root) -> None:
    for step, files in (
        ("000002", ("config.json", "model.safetensors")),
        ("000003", ("config.json",)),
    ):
        folder = root / "checkpoints" / step
        folder.mkdir(parents=True)
        for name in files:
            (folder / name).touch()
    os.symlink("000002", root / "checkpoints" / "latest")
    assert offer(client)["checkpoints"] == [2]
