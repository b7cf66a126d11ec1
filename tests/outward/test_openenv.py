"""An environment behind OpenEnv's own server, asked by OpenEnv's own client."""

import asyncio
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from documents import File, steps
from outward.notes_env import events

pytestmark = [pytest.mark.soak, pytest.mark.outward]
openenv = pytest.importorskip("openenv.core", reason="run by the python of .venv-outward")

PAGE = Path(__file__).parents[2] / "docs" / "outward.md"
NOTES = f"{Path(__file__).with_name('notes_env.py')}:NotesConfig"


def started(*words: str) -> tuple[subprocess.Popen[str], str]:
    process = subprocess.Popen(
        [sys.executable, "-m", "agentgym", "expose", "openenv", *words, "--port", "0"],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    with process.stdout:
        line = process.stdout.readline()
    return process, line.rsplit(maxsplit=1)[1]


def stopped(process: subprocess.Popen[str], how: signal.Signals = signal.SIGTERM) -> int:
    process.send_signal(how)
    return process.wait(20)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    log = tmp_path_factory.mktemp("openenv") / "log"
    process, url = started(NOTES, f"env.log={log}", "--sessions", "2")
    yield url, log
    assert stopped(process) == 0


@pytest.fixture
def url(server: tuple[str, Path]) -> str:
    return server[0]


@pytest.fixture
def log(server: tuple[str, Path]) -> Path:
    """The log of the server, empty: what the tests before this one played has ended."""
    log = server[1]
    end = time.monotonic() + 10
    while events(log).count("start") != events(log).count("close"):
        assert time.monotonic() < end
        time.sleep(0.02)
    log.unlink(missing_ok=True)
    return log


def client(url: str) -> Any:
    return openenv.GenericEnvClient(base_url=url)


def call(name: str, **arguments: Any) -> dict[str, Any]:
    return {"tool_calls": [{"name": name, "arguments": arguments}]}


async def test_an_episode_is_played_by_their_client(url: str, log: Path) -> None:
    async with client(url) as env:
        start = await env.reset(index=3, episode_id="mine")
        assert start.observation["text"] == "Obey.\n\nSay 3."
        assert [tool["function"]["name"] for tool in start.observation["tools"]] == [
            "note",
            "hand_in",
            "hang",
            "fail",
        ]
        noted = await env.step(call("note", text="a"))
        assert (noted.observation["text"], noted.reward, noted.done) == ("1 notes", 0.0, False)
        assert noted.observation["terms"] == {"tool_valid": 1.0}
        said = await env.step({"content": "3"})
        assert (said.reward, said.done, said.observation["end"]) == (1.0, True, "terminated")
        state = await env.state()
        assert (state["episode_id"], state["step_count"], state["reward"]) == ("mine", 2, 1.0)
        over = await env.step(call("note", text="a"))
        assert (over.observation["text"], over.done) == ("The episode is over.", True)
    await until(lambda: events(log) == ["start", "close"])


async def test_several_calls_of_one_message_are_one_step(url: str) -> None:
    async with client(url) as env:
        await env.reset()
        both = {"tool_calls": [*call("note", text="a")["tool_calls"]] * 2}
        result = await env.step(both)
        assert result.observation["text"] == "1 notes\n\n2 notes"
        assert (await env.state())["step_count"] == 1


async def test_what_a_model_did_wrong_is_an_observation(url: str) -> None:
    async with client(url) as env:
        await env.reset()
        assert "There is no tool `x`." in (await env.step(call("x"))).observation["text"]
        bad = await env.step(call("note", txt=1))
        assert "`text`: Field required." in bad.observation["text"]
        broken = await env.step({"tool_calls": [{"name": "note", "arguments": "{"}]})
        assert "The arguments are not JSON" in broken.observation["text"]
        assert not broken.done


async def test_what_a_program_did_wrong_is_an_error_and_the_session_goes_on(url: str) -> None:
    async with client(url) as env:
        with pytest.raises(RuntimeError, match="send reset first"):
            await env.step({"content": "3"})
        with pytest.raises(RuntimeError, match="no task 99: 'train' has 8 tasks"):
            await env.reset(index=99)
        await env.reset(index=3)
        with pytest.raises(RuntimeError, match="no task 99"):
            await env.reset(index=99)
        assert (await env.step({"content": "3"})).reward == 1.0  # the episode before goes on
        with pytest.raises(RuntimeError, match="VALIDATION_ERROR"):
            await env.step({"contents": "3"})
        assert (await env.reset(seed=1)).observation["task_id"].startswith("train-")


async def test_the_same_seed_is_the_same_episode(url: str) -> None:
    async with client(url) as env:
        first, second = [(await env.reset(seed=7)).observation for _ in range(2)]
        assert first == second


async def test_a_fault_is_an_error_and_no_reward(url: str, log: Path) -> None:
    async with client(url) as env:
        await env.reset()
        with pytest.raises(RuntimeError, match="the disk is on fire"):
            await env.step(call("fail"))
        assert events(log) == ["start", "close"]
        assert (await env.state())["end"] == "error"
        assert (await env.reset(index=2)).observation["text"].endswith("Say 2.")


async def test_sessions_are_apart_and_no_more_than_allowed(url: str) -> None:
    async with client(url) as one, client(url) as other:
        for each, times in ((one, 3), (other, 1)):
            await each.reset()
            await each.step(call("note", text="a", times=times))
        assert (await one.step(call("note", text="a"))).observation["text"] == "4 notes"
        assert (await other.step(call("note", text="a"))).observation["text"] == "2 notes"
        with pytest.raises(Exception, match=r"CAPACITY_REACHED|received 1000"):
            async with client(url) as third:
                await third.reset()


async def test_a_client_that_vanishes_ends_its_episode(url: str, log: Path) -> None:
    env = client(url)
    await env.connect()
    await env.reset()
    env._ws.transport.abort()  # as if the cable was pulled: no word of leave
    await until(lambda: events(log) == ["start", "close"])


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
async def test_the_end_of_the_server_ends_what_is_open(
    tmp_path: Path, stop: signal.Signals
) -> None:
    log = tmp_path / "log"
    process, url = started(NOTES, f"env.log={log}")
    async with client(url) as env:
        await env.reset()
        code = await asyncio.to_thread(stopped, process, stop)
    assert code == (0 if stop is signal.SIGTERM else 130)
    assert events(log) == ["start", "close"]


async def test_a_step_that_hangs_holds_no_server_up(tmp_path: Path) -> None:
    log = tmp_path / "log"
    process, url = started(NOTES, f"env.log={log}")
    async with client(url) as env:
        await env.reset()
        hanging = asyncio.create_task(env.step(call("hang")))
        await until(lambda: "hang" in events(log))
        began = time.monotonic()
        assert await asyncio.to_thread(stopped, process) == 0
        assert time.monotonic() - began < 8  # the step takes 20
        with pytest.raises(RuntimeError, match="was broken off: the episode was closed"):
            await hanging
    assert events(log) == ["start", "hang", "close"]


def test_the_client_of_the_page_plays_an_episode(tmp_path: Path) -> None:
    files = {each.name: each.text for each in steps(PAGE) if isinstance(each, File)}
    process, url = started("agentgym/Calculator-v0")
    try:
        script = tmp_path / "client.py"
        script.write_text(files["openenv_client.py"].replace("http://127.0.0.1:8200", url))
        ran = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=60)
    finally:
        assert stopped(process) == 0
    assert ran.returncode == 0, ran.stderr
    first, *_, last = ran.stdout.splitlines()
    assert first.startswith("Use the calculator.")
    assert last == "0.0 True {'outcome': 0.0}"


async def test_a_page_of_another_site_drives_no_episode(url: str) -> None:
    import websockets

    with pytest.raises(websockets.InvalidStatus, match="403"):
        async with websockets.connect(f"{url.replace('http', 'ws')}/ws", origin="http://evil.com"):
            pass


async def test_a_step_without_a_websocket_is_told_what_it_needs(url: str) -> None:
    async with httpx.AsyncClient(base_url=url) as http:
        answer = await http.post("/step", json={"action": {"content": "3"}})
    assert (answer.status_code, "same WebSocket" in answer.json()["error"]) == (400, True)


async def test_an_environment_with_sandboxes_is_served_and_leaves_none() -> None:
    process, url = started("agentgym/Code-v0", "env.tier=easy", "sandbox.spares=0")
    async with client(url) as env:
        await env.reset(seed=1)
        ran = await env.step(call("run_code", code="print(6 * 7)"))
        assert "42" in ran.observation["text"]
        inside = psutil.Process(process.pid).children(recursive=True)
        assert inside
    assert await asyncio.to_thread(stopped, process) == 0
    _, alive = psutil.wait_procs(inside, timeout=10)
    assert not alive


async def test_the_server_is_theirs(url: str) -> None:
    async with httpx.AsyncClient(base_url=url) as http:
        assert (await http.get("/health")).json() == {"status": "healthy"}
        schema = (await http.get("/schema")).json()
        assert set(schema["action"]["properties"]) == {"content", "tool_calls", "metadata"}
        assert (await http.get("/metadata")).json()["name"] == "me/Notes-v0"


async def until(is_so: Any, *, limit_s: float = 10) -> None:
    end = time.monotonic() + limit_s
    while not is_so():
        assert time.monotonic() < end
        await asyncio.sleep(0.02)
