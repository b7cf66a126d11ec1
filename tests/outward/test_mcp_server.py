"""An environment as an MCP server: asked by the official client, and by an environment of ours."""

import asyncio
import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import mcp
import psutil
import pytest
from outward.notes_env import NotesConfig, events

import agentgym as ag
from agentgym.cli.main import main
from agentgym.envs.calculator import CalculatorConfig
from agentgym.errors import MissingError
from agentgym.outward import mcp as served
from agentgym.outward.sessions import Sessions
from agentgym.outward.stage import Stage
from agentgym.rollout.collect import collect, make_jobs
from agentgym.rollout.scripted import scripted_policies
from agentgym.types import Trajectory

pytestmark = pytest.mark.slow

NOTES = f"{Path(__file__).with_name('notes_env.py')}:NotesConfig"

HELLO = {
    "id": 1,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-06-18",
        "capabilities": {},
        "clientInfo": {"name": "x", "version": "0"},
    },
}


PRINTS = """
import agentgym as ag

print("imported")

class PrintsConfig(ag.EnvConfig):
    id = "me/Prints-v0"

    def tasks(self, split):
        yield ag.Task("Go.")

    def build(self, sandboxes=None):
        print("built")
        return Prints()

class Prints(ag.Env):
    inline = True

    def reset(self, task, *, seed):
        print("reset")
        return ag.Reset((ag.Message("user", task.prompt),))

    def step(self, message):
        print("stepped")
        return ag.EnvStep((), {})

    async def close(self):
        print("closed")
"""


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "agentgym", "expose", "mcp", *words]


@asynccontextmanager
async def listening(sessions: Sessions) -> AsyncIterator[str]:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen(16)
        async with served.serving_http(sessions, taken, host="127.0.0.1"):
            yield f"http://127.0.0.1:{taken.getsockname()[1]}/mcp"


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "log"


@pytest.fixture
async def url(log: Path) -> AsyncIterator[str]:
    async with listening(Sessions(Stage(NotesConfig(log=str(log))))) as url:
        yield url


def told(result: Any) -> str:
    return "".join(block.text for block in result.content)


def step(result: Any) -> dict[str, Any]:
    return dict(result.meta[served.META])


async def test_tools_are_those_of_the_environment_and_two_more(url: str) -> None:
    async with mcp.Client(url, mode="legacy") as client:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        specs = (await Stage(NotesConfig()).open()).start.tools
        assert list(tools) == [*(spec.name for spec in specs), "reset", "say"]
        for spec in specs:
            assert tools[spec.name].input_schema == spec.parameters
            assert tools[spec.name].description == spec.description


async def test_a_session_is_an_episode_and_pays_where_no_model_looks(url: str, log: Path) -> None:
    async with mcp.Client(url, mode="legacy") as client:
        start = await client.call_tool("reset", {"index": 3})
        assert told(start) == "Obey.\n\nSay 3."
        noted = await client.call_tool("note", {"text": "a"})
        assert told(noted) == "1 notes"
        assert noted.structured_content is None
        assert step(noted)["terms"] == {"tool_valid": 1.0}
        said = await client.call_tool("say", {"text": "3"})
        assert told(said) == ""
        assert step(said) == {
            "env": "me/Notes-v0",
            "task_id": "train-3",
            "turns": 2,
            "reward": 1.0,
            "terms": {"outcome": 1.0},
            "end": "terminated",
        }
        over = await client.call_tool("note", {"text": "a"})
        assert (over.is_error, told(over)) == (True, "The episode is over.")
        state = json.loads((await client.read_resource(served.STATE_URI)).contents[0].text)
        assert (state["reward"], state["end"]) == (1.0, "terminated")


async def test_the_task_is_a_resource_and_a_prompt_too(url: str) -> None:
    async with mcp.Client(url, mode="legacy") as client:
        prompt = (await client.read_resource(served.PROMPT_URI)).contents[0].text
        assert prompt == "Obey.\n\nSay 0."
        (message,) = (await client.get_prompt("task")).messages
        assert message.content.text == prompt
        with pytest.raises(mcp.MCPError, match="there is no resource 'episode://x'"):
            await client.read_resource("episode://x")
        with pytest.raises(mcp.MCPError, match="there is no prompt 'x'"):
            await client.get_prompt("x")


async def test_what_a_model_did_wrong_comes_back_as_the_environment_says_it(url: str) -> None:
    async with mcp.Client(url, mode="legacy") as client:
        for name, given, expected in (
            ("nope", {}, "There is no tool `nope`."),
            ("note", {"txt": "a"}, "`text`: Field required."),
            ("say", {"txt": "a"}, "Expected one argument, `text`, a string."),
            ("reset", {"index": 99}, "no task 99: 'train' has 8 tasks"),
            ("reset", {"seed": -1}, "seed is -1, expected 0 or more"),
            ("reset", {"nr": 1}, "unknown option 'nr' of reset"),
        ):
            result = await client.call_tool(name, given)
            assert result.is_error
            assert expected in told(result)


async def test_a_fault_is_an_error_of_the_protocol(url: str, log: Path) -> None:
    async with mcp.Client(url, mode="legacy") as client:
        with pytest.raises(mcp.MCPError, match="the disk is on fire"):
            await client.call_tool("fail", {})
        assert events(log) == ["start", "close"]
        assert told(await client.call_tool("note", {"text": "a"})) == "The episode broke off."
        assert told(await client.call_tool("reset", {})) == "Obey.\n\nSay 1."


async def test_two_clients_at_once_have_an_episode_each(url: str, log: Path) -> None:
    async with mcp.Client(url, mode="legacy") as one, mcp.Client(url, mode="legacy") as other:
        await one.call_tool("note", {"text": "a", "times": 5})
        assert told(await other.call_tool("note", {"text": "a"})) == "1 notes"
        assert told(await one.call_tool("note", {"text": "a"})) == "6 notes"
    await until(lambda: events(log).count("close") == 2)  # leaving ends the episodes


async def test_a_client_without_sessions_names_its_episode(url: str) -> None:
    async with mcp.Client(f"{url}?episode=mine") as client:
        await client.call_tool("note", {"text": "a"})
    async with mcp.Client(f"{url}?episode=mine") as again, mcp.Client(f"{url}?episode=b") as other:
        assert told(await again.call_tool("note", {"text": "a"})) == "2 notes"
        assert told(await other.call_tool("note", {"text": "a"})) == "1 notes"
    async with mcp.Client(url) as nameless:
        with pytest.raises(mcp.MCPError, match=r"connect to /mcp\?episode=NAME"):
            await nameless.call_tool("note", {"text": "a"})


async def test_nobody_ends_the_episode_of_another_by_its_name(url: str) -> None:
    async with mcp.Client(f"{url}?episode=mine") as client, httpx.AsyncClient() as http:
        await client.call_tool("note", {"text": "a"})
        refused = await http.delete(url, headers={"mcp-session-id": "?mine"})
        assert refused.status_code == 404
        assert told(await client.call_tool("note", {"text": "a"})) == "2 notes"


async def test_who_is_silent_is_ended(log: Path) -> None:
    sessions = Sessions(Stage(NotesConfig(log=str(log))), idle_s=0.5)
    async with listening(sessions) as url, mcp.Client(f"{url}?episode=a") as client:
        await client.call_tool("note", {"text": "a"})
        await until(lambda: events(log) == ["start", "close"])
        assert told(await client.call_tool("note", {"text": "a"})) == "1 notes"  # another episode


async def test_the_end_of_the_server_ends_episodes_also_in_a_step(log: Path) -> None:
    async with listening(Sessions(Stage(NotesConfig(log=str(log))))) as url:
        hanging = asyncio.create_task(hang(url))
        await until(lambda: "hang" in events(log))
    assert events(log) == ["start", "hang", "close"]
    hanging.cancel()
    await asyncio.wait([hanging])


async def hang(url: str) -> None:
    async with mcp.Client(f"{url}?episode=a") as client:
        await client.call_tool("hang", {})


async def test_names_that_the_environment_has_are_left_to_it() -> None:
    class Own(ag.ToolEnv):
        @ag.tool(inline=True)
        def reset_(self) -> str:
            """Do nothing."""
            return "mine"

        @ag.tool(inline=True)
        def say(self, text: str) -> str:
            """Say it."""
            return f"mine: {text}"

    class OwnConfig(NotesConfig):
        def build(self, sandboxes: object = None) -> ag.Env:
            return Own()

    async with (
        listening(Sessions(Stage(OwnConfig()))) as url,
        mcp.Client(f"{url}?episode=a") as client,
    ):
        names = [tool.name for tool in (await client.list_tools()).tools]
        assert names == ["reset_", "say", "reset", "agentgym_say"]
        assert told(await client.call_tool("say", {"text": "a"})) == "mine: a"
        await client.call_tool("agentgym_say", {"text": "a"})
        state = json.loads((await client.read_resource(served.STATE_URI)).contents[0].text)
        assert state["end"] == "terminated"


# -- over stdin and stdout ----------------------------------------------------------------------


async def test_a_process_serves_one_client_and_ends_with_it(log: Path) -> None:
    words = command(NOTES, f"env.log={log}", "env.max_turns=9")
    parameters = mcp.StdioServerParameters(command=words[0], args=words[1:])
    async with mcp.Client(mcp.stdio_client(parameters)) as client:
        assert told(await client.call_tool("note", {"text": "a"})) == "1 notes"
        assert told(await client.call_tool("note", {"text": "a"})) == "2 notes"
        children = psutil.Process().children()
        (server,) = [each for each in children if "expose" in each.cmdline()]
    assert events(log) == ["start", "close"]
    assert not server.is_running()


def test_a_client_that_vanishes_in_a_step_leaves_nothing(log: Path) -> None:
    process = subprocess.Popen(
        command(NOTES, f"env.log={log}"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdin
    assert process.stdout
    assert process.stderr
    with process.stdin, process.stdout:
        for message in (
            HELLO,
            {"method": "notifications/initialized"},
            {"id": 2, "method": "tools/call", "params": {"name": "hang"}},
        ):
            process.stdin.write(json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n")
            process.stdin.flush()
        while "hang" not in events(log):
            time.sleep(0.02)
    with process.stderr:
        assert process.stderr.read() == b""
    assert process.wait(10) == 0
    assert events(log) == ["start", "hang", "close"]


def test_what_an_environment_prints_is_not_said_to_the_client(tmp_path: Path) -> None:
    (tmp_path / "prints.py").write_text(PRINTS)
    messages = (
        HELLO,
        {"method": "notifications/initialized"},
        {"id": 2, "method": "tools/call", "params": {"name": "say", "arguments": {"text": "a"}}},
    )
    process = subprocess.Popen(
        command(str(tmp_path / "prints.py")),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdin
    assert process.stdout
    for message in messages:
        print(json.dumps({"jsonrpc": "2.0", **message}), file=process.stdin, flush=True)
    answers = [json.loads(process.stdout.readline()) for _ in range(2)]
    rest, err = process.communicate(timeout=20)
    assert [each["id"] for each in answers] == [1, 2]
    assert rest == ""
    assert err.split() == ["imported", "built", "reset", "stepped", "closed"]


def test_a_signal_ends_it_although_the_client_stays(log: Path) -> None:
    process = subprocess.Popen(
        command(NOTES, f"env.log={log}"), stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdin
    assert process.stdout
    with process.stdin, process.stdout:
        for message in (HELLO, {"id": 2, "method": "tools/list"}):
            process.stdin.write(json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n")
            process.stdin.flush()
            process.stdout.readline()
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 130
    assert events(log) == ["start", "close"]


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
async def test_a_served_environment_ends_with_its_process(log: Path, stop: signal.Signals) -> None:
    process, url = started(NOTES, f"env.log={log}")
    async with mcp.Client(f"{url}?episode=a") as client:
        await client.call_tool("note", {"text": "a"})
    process.send_signal(stop)
    code = await asyncio.to_thread(process.wait, 15)
    assert code == (0 if stop is signal.SIGTERM else 130)
    assert events(log) == ["start", "close"]


# -- round trips --------------------------------------------------------------------------------


async def test_the_calculator_behind_a_server_is_the_calculator() -> None:
    """The expert plays both: with the tool itself, and with the tool of a server that has it."""
    server = ag.MCPServer(command=command("agentgym/Calculator-v0"), only=["calc"])

    class Remote(CalculatorConfig):
        def build(self, sandboxes: object = None) -> Any:
            return RemoteCalculator()

    class RemoteCalculator(type(CalculatorConfig().build())):  # type: ignore[misc]
        def toolset(self) -> Any:
            return super().toolset().__class__(())

        def servers(self, task: ag.Task, *, seed: int) -> list[ag.MCPServer]:
            return [server]

    here, there = [await play(config) for config in (CalculatorConfig(), Remote())]
    assert [each.outcome for each in here] == [1.0, 1.0]
    for one, other in zip(here, there, strict=True):
        assert one.tools == other.tools
        for mine, theirs in zip(one.steps, other.steps, strict=True):
            assert mine.replies == theirs.replies
            assert mine.reward_terms == theirs.reward_terms


async def play(config: ag.EnvConfig) -> list[Trajectory]:
    tasks = [task for task, _ in zip(config.tasks("test"), range(2), strict=False)]
    jobs = make_jobs(tasks, group_size=1, run_seed=0, prefix="t", env=config.id)
    return await collect(jobs, config=config, make_policy=scripted_policies("scripted"))


@pytest.mark.sandbox
async def test_an_environment_with_sandboxes_is_served_and_leaves_none() -> None:
    words = command("agentgym/Code-v0", "env.tier=easy", "sandbox.spares=0")
    parameters = mcp.StdioServerParameters(command=words[0], args=words[1:])
    async with mcp.Client(mcp.stdio_client(parameters)) as client:
        names = {tool.name for tool in (await client.list_tools()).tools}
        assert {"run_code", "submit"} <= names
        ran = await client.call_tool("run_code", {"code": "print(6 * 7)"})
        assert "42" in told(ran)
        (server,) = [each for each in psutil.Process().children() if "expose" in each.cmdline()]
        inside = server.children(recursive=True)
        assert inside
    _, alive = psutil.wait_procs([server, *inside], timeout=10)
    assert not alive


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["mcp", "agentgym/KeyDor-v0"], 2, "did you mean"),
        (["mcp", NOTES, "--split", "tset"], 2, "unknown split 'tset'"),
        (["mcp", NOTES, "env.lgo=x"], 2, "hint: did you mean `env.log`?"),
        (["mcp", NOTES, "credit.name=grpo"], 2, "credit"),
        (["mcp", NOTES, "--port", "0"], 2, "--port has no effect without --http"),
        (["mcp", NOTES, "--host", "::1"], 2, "--host has no effect without --http"),
        (["mcp", NOTES, "idle_s=5"], 2, "`idle_s` has no effect without --http"),
        (["openenv", NOTES], 3, "hint: pip install 'agentgym-framework[openenv]'"),
    ],
)
def test_what_cannot_be_exposed_is_said(
    words: list[str],
    code: int,
    told: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setitem(sys.modules, "openenv.core.env_server", None)
    monkeypatch.delitem(sys.modules, "agentgym.outward.openenv", raising=False)
    assert main(["expose", *words]) == code
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert told in error


def test_without_the_package_the_error_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "mcp", None)
    with pytest.raises(MissingError) as raised:
        served.make_server(Sessions(Stage(NotesConfig())))
    assert raised.value.hint == "pip install 'agentgym-framework[mcp]'"


def started(*words: str) -> tuple[subprocess.Popen[str], str]:
    process = subprocess.Popen(
        command(*words, "--http", "--port", "0"),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout
    with process.stdout:
        line = process.stdout.readline()
    return process, line.rsplit(maxsplit=1)[1]


async def until(is_so: Any, *, limit_s: float = 10) -> None:
    end = time.monotonic() + limit_s
    while not is_so():
        assert time.monotonic() < end
        await asyncio.sleep(0.02)
