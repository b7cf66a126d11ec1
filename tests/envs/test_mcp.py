"""Tools of MCP servers: real servers written with the official SDK, and programs that are none."""

import asyncio
import json
import os
import pickle
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
from pydantic import BaseModel

import agentgym as ag
from agentgym.check import check_env
from agentgym.check.checks import named
from agentgym.env import first_tasks
from agentgym.envs.mcp.connection import Connection
from agentgym.errors import ConfigError, EnvError, MissingError
from agentgym.rollout.collect import collect, make_jobs
from agentgym.rollout.policy import Policy, Reply
from agentgym.tools import ToolResult, ToolSet
from agentgym.types import ToolCall, Trajectory

pytestmark = pytest.mark.slow

SERVER = Path(__file__).with_name("mcp_server.py")
STDIO = (sys.executable, str(SERVER))
FILE = '''
"""Write notes on a server."""

import agentgym as ag


@ag.tool(inline=True)
def calc(a: int, b: int) -> int:
    """Add two numbers.

    Args:
        a: The first.
        b: The second.
    """
    return a + b


SERVER = ag.MCPServer(WHERE, only=["add", "list.all"])


@ag.env("me/Notes-v0", tools=[calc, SERVER], splits=("train", "test"), max_turns=3)
def tasks(split):
    for n in range(4):
        yield ag.Task(f"Note `{split} {n}`.", answer=f"{split} {n}")


@tasks.reward
def noted(ep, task):
    noted = [call.arguments for call in ep.calls] == ['{"text": "' + task.answer + '"}']
    return float(noted and ep.messages[-2].content == "1 notes")


@tasks.expert
def expert(task):
    def act(conversation):
        if len(conversation) == 1:
            call = ag.ToolCall("add", '{"text": "' + task.answer + '"}', "c")
            return ag.Message("assistant", tool_calls=(call,))
        return ag.Message("assistant", "Noted.")

    return act
'''


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """A server of notes over HTTP."""
    process, url = serve()
    yield url
    process.terminate()
    process.wait(10)


def serve() -> tuple[subprocess.Popen[bytes], str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen(
        [*STDIO, "--http", str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    for _ in range(400):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return process, f"http://127.0.0.1:{port}/mcp"
        time.sleep(0.05)
    raise AssertionError("the server does not start")


async def talk(server: ag.MCPServer, *calls: tuple[str, dict[str, Any]]) -> list[ToolResult]:
    """Start, call, end."""
    connection = Connection(server)
    try:
        tools = ToolSet(await connection.start())
        return [await tools.call(ToolCall(name, json.dumps(given))) for name, given in calls]
    finally:
        await connection.close()


class Calls(Policy):
    """Calls one tool again and again."""

    def __init__(self, name: str, **arguments: Any) -> None:
        self._call = ToolCall(name, json.dumps(arguments), "c")

    async def act(self, messages: Any, tools: Any, *, seed: int) -> Reply:
        return Reply(ag.Message("assistant", tool_calls=(self._call,)))


async def play(config: Any, policy: Policy, *, number: int = 1) -> list[Trajectory]:
    tasks = first_tasks(config, "train", number=number)
    jobs = make_jobs(tasks, group_size=1, run_seed=0, prefix="t", env=config.id)
    return await collect(jobs, config=config, make_policy=lambda *_: policy)


def declared(*tools: Any) -> Any:
    @ag.env("me/Declared-v0", tools=tools, max_turns=2)
    def tasks() -> Iterator[ag.Task]:
        for n in range(9):
            yield ag.Task(f"Task {n}.")

    @tasks.reward
    def nothing() -> float:
        return 0.0

    return tasks.env_config()


# -- what a server offers ---------------------------------------------------------------------


async def test_tools_of_a_process_stand_beside_functions_and_state_ends_with_the_episode():
    @ag.tool(inline=True)
    def mine(text: str) -> str:
        """Say it."""
        return text

    config = declared(mine, ag.MCPServer(command=STDIO, only=["add", "list.all"], prefix="my_"))
    assert config.packages == ("mcp",)
    for _ in range(2):
        (episode,) = await play(config, Calls("my_add", text="é"))
        assert [tool.name for tool in episode.tools] == ["mine", "my_add", "my_list_all"]
        assert episode.tools[1].description == "Write a note."
        assert episode.tools[1].parameters["properties"]["text"]["description"] == "What to write."
        assert [step.replies[0].content for step in episode.steps] == ["1 notes", "2 notes"]


async def test_over_http_each_episode_has_a_session_of_its_own(url):
    found = await play(declared(ag.MCPServer(url=url)), Calls("add", text="x"), number=3)
    for episode in found:
        assert [step.replies[0].content for step in episode.steps] == ["1 notes", "2 notes"]


async def test_headers_reach_the_server(url):
    server = ag.MCPServer(url=url, headers={"X-Name": "Zoe"})
    (result,) = await talk(server, ("header", {"name": "x-name"}))
    assert result.message.content == "Zoe"


async def test_variables_and_folder_reach_the_process(tmp_path):
    server = ag.MCPServer(command=STDIO, env={"NAME": "Zoë"}, cwd=tmp_path)
    name, folder = await talk(server, ("variable", {"name": "NAME"}), ("folder", {}))
    assert (name.message.content, folder.message.content) == ("Zoë", str(tmp_path))


async def test_a_tool_env_chooses_its_servers_by_task_and_seed():
    class Notes(ag.ToolEnv):
        def servers(self, task: ag.Task, *, seed: int) -> list[ag.MCPServer]:
            variables = {"TASK": task.prompt, "SEED": str(seed)}
            return [ag.MCPServer(command=STDIO, env=variables, only=["variable"])]

        @ag.tool(inline=True)
        def mine(self) -> str:
            """Say nothing."""
            return ""

    env = Notes()
    try:
        reset = await env.reset(ag.Task("Über"), seed=7)
        assert [tool.name for tool in reset.tools] == ["mine", "variable"]
        for name, value in (("TASK", "Über"), ("SEED", "7")):
            call = ToolCall("variable", json.dumps({"name": name}))
            answer = await env.step(ag.Message("assistant", tool_calls=(call,)))
            assert answer.messages[0].content == value
    finally:
        await env.close()


async def test_what_is_no_text_is_named(url):
    (result,) = await talk(ag.MCPServer(url=url), ("paint", {"colour": "grün"}))
    assert result.message.content == (
        "Ein Bild in grün:\n[image/png, 1234 bytes]\n[https://example.org/more]\n"
        "a file\n[application/pdf, 3 bytes]"
    )


@pytest.mark.parametrize(
    ("name", "given", "text"),
    [
        ("fail", {"why": "no"}, "Error executing tool fail"),
        ("refuse", {}, "no such page"),
        ("add", {}, "`text` is missing. Expected add(text: string, times: integer (optional))."),
        ("add", {"text": 1}, "`text` should be string. "),
        ("paint", {"colour": "blau"}, "`colour` should be one of 'rot', 'grün'. "),
        ("ad", {}, "There is no tool `ad`. Did you mean `add`?"),
    ],
)
async def test_what_the_model_did_wrong_is_an_observation(url, name, given, text):
    (result,) = await talk(ag.MCPServer(url=url), (name, given))
    assert result.message.content.startswith(text)
    assert not result.valid


async def test_a_call_that_takes_too_long_is_an_observation_and_the_server_goes_on(url):
    server = ag.MCPServer(url=url, timeout_s=0.2)
    slow, quick = await talk(server, ("sleep", {"seconds": 1}), ("sleep", {"seconds": 0}))
    assert slow.timed_out
    assert slow.message.content == "`sleep` took longer than 0.2 seconds."
    assert quick.message.content == "slept"


async def test_a_long_result_keeps_head_and_tail(url):
    server = ag.MCPServer(url=url, max_output_chars=10)
    (result,) = await talk(server, ("long", {"length": 1000}))
    assert result.message.content == "aaaaa\n... 990 characters left out ...\naaaaa"


# -- what is wrong with a description ---------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({}, "needs either a command or a url"),
        ({"command": ["x"], "url": "http://x"}, "needs either a command or a url"),
        ({"command": "python server.py"}, "command is one text, expected a list"),
        ({"command": ["x"], "only": "add"}, "only is one text"),
        ({"command": ["x", 3]}, r"command\[1\] is of type int, expected a text"),
        ({"url": "localhost:80"}, "url is no address of HTTP"),
        ({"url": "http://[x"}, "url is no address of HTTP"),
        ({"url": "http://x", "env": {"A": "b"}}, "env means nothing beside a url"),
        ({"command": ["x"], "headers": {"A": "b"}}, "headers means nothing beside a command"),
        ({"command": ["x"], "env": {"A": 1}}, r"env\['A'\] is of type int, expected a text"),
        ({"command": ["x"], "env": {1: "A"}}, "env: a name is of type int, expected a text"),
        ({"url": "http://x", "headers": {"A": "Zoë"}}, r"headers\['A'\] is not ASCII"),
        ({"command": ["x"], "prefix": "a b"}, "prefix='a b'"),
        ({"command": ["x"], "timeout_s": 0}, "timeout_s=0, expected a number above 0"),
        ({"command": ["x"], "start_timeout_s": True}, "start_timeout_s=True, expected a number"),
        (
            {"command": ["x"], "max_output_chars": 1e2},
            "max_output_chars=100.0, expected a whole number above 0",
        ),
    ],
)
def test_a_wrong_description_is_refused(given, error):
    with pytest.raises(ConfigError, match=error) as caught:
        ag.MCPServer(**given)
    assert caught.value.hint or re.search("expected|wants", str(caught.value))


def test_a_description_travels_by_pickle_and_json():
    class Config(BaseModel):
        server: ag.MCPServer

    server = ag.MCPServer(command=[sys.executable, Path("x")], env={"A": "b"}, only=["add"])
    assert pickle.loads(pickle.dumps(server)) == server
    config = Config(server=server)
    assert Config.model_validate_json(config.model_dump_json()) == config


def test_secrets_are_not_shown():
    url = "https://me:token@x.org:80/token?key=token"
    server = ag.MCPServer(url=url, headers={"Auth": "token"})
    assert repr(server) == "MCPServer('https://x.org:80')"
    server = ag.MCPServer(command=["x", "--api-key", "token"], env={"KEY": "token"})
    assert repr(server) == "MCPServer('x')"


@pytest.mark.parametrize(
    "given",
    [
        {"url": "x.org?key=token"},
        {"url": "ws://me:token@x.org"},
        {"url": "http://me:token@x\u2100.org"},
        {"command": "x --api-key token"},
        {"command": ["x", b"token"]},
        {"command": ["x"], "env": {"KEY": b"token"}},
        {"url": "http://x.org", "headers": {"Auth": b"token"}},
        {"url": "http://x.org", "headers": {"Auth": "token Zoë"}},
    ],
    ids=str,
)
def test_what_is_wrong_with_a_secret_is_said_without_it(given):
    with pytest.raises(ConfigError) as caught:
        ag.MCPServer(**given)
    assert "token" not in f"{caught.value} {caught.value.hint}"
    assert caught.value.__context__ is None


def test_a_broken_schema_of_a_server_is_refused():
    tool = SimpleNamespace(
        name="go", title=None, description="Go.", input_schema={"required": None}
    )
    connection = Connection(ag.MCPServer(command=["x"]))
    with pytest.raises(ConfigError, match="`go` of MCP server `x` has a broken schema") as caught:
        connection._tool(None, tool)
    assert "only=" in str(caught.value.hint)


async def test_a_tool_that_is_not_there_is_named_with_the_nearest(url):
    server = ag.MCPServer(url=url, only=["list.al"])
    with pytest.raises(ConfigError, match=r"http.* has no tool 'list.al'") as caught:
        await talk(server)
    assert caught.value.hint == "did you mean 'list.all'?"


async def test_a_name_that_is_too_long_is_refused(url):
    with pytest.raises(ConfigError, match=r"tool `p+add` of MCP server .* is called") as caught:
        await talk(ag.MCPServer(url=url, prefix="p" * 62, only=["add"]))
    assert "1 to 64 letters" in str(caught.value.hint)


async def test_two_tools_of_one_name_are_refused_by_both_names(url):
    def add(text: str) -> str:
        """Mine."""
        return text

    for tools, both in (
        ((add, ag.MCPServer(url=url)), r"of .*test_mcp.py:\d+, and of MCP server `http"),
        ((ag.MCPServer(url=url), ag.MCPServer(url=url)), "of MCP server `http.*, and of MCP"),
    ):
        with pytest.raises(ConfigError, match=f"two tools are called `add`: {both}") as caught:
            await play(declared(*tools), Calls("add"))
        assert "prefix=" in str(caught.value.hint)


# -- servers that misbehave -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("script", "error"),
    [
        ("exit 1", "did not start: Connection closed"),
        ("echo no disk >&2; exit 4", "did not start: Connection closed; its stderr ends:\nno disk"),
        ("echo Hallo", "printed what is no message of the protocol: 'Hallo'"),
        ("exec cat", "did not start: "),
        ("exec sleep 60", "did not answer within 1 s of being started"),
        ("exec yes", "did not answer .* is no message of the protocol: 'y'"),
        ("trap '' TERM; while :; do sleep 1; done", "did not answer within 1 s"),
        ("printf '\\377\\000\\n'", "did not start: .* no message"),
    ],
)
async def test_what_is_no_server_is_a_fault(script, error, capfd):
    limit_s = 1.0 if "did not answer" in error else 30.0
    server = ag.MCPServer(command=["sh", "-c", script], start_timeout_s=limit_s)
    before = held()
    with pytest.raises(EnvError, match=r"(?s)MCP server `sh` .*" + error):
        await talk(server)
    assert held() == before
    assert capfd.readouterr() == ("", "")


async def test_a_program_that_is_not_there_is_missing():
    with pytest.raises(MissingError, match="there is no program 'no-such-program'"):
        await talk(ag.MCPServer(command=["no-such-program"]))


async def test_a_folder_that_is_not_there_is_a_fault(tmp_path):
    with pytest.raises(EnvError, match=r"did not start: .*No such file .*gone"):
        await talk(ag.MCPServer(command=STDIO, cwd=tmp_path / "gone"))


async def test_without_the_package_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "mcp", None)
    with pytest.raises(MissingError, match="need the package mcp") as caught:
        await talk(ag.MCPServer(command=STDIO))
    assert caught.value.hint == "pip install 'agentgym-framework[mcp]'"


async def test_a_process_that_dies_ends_the_episode_by_a_fault(capfd):
    before = held()
    (first, *_) = await play(declared(ag.MCPServer(command=STDIO)), Calls("die"))
    assert first.end == "error"
    assert "failed when `die` was called: Connection closed" in first.reason
    assert first.reason.endswith("the disk is full")
    assert held() == before
    assert capfd.readouterr() == ("", "")


async def test_a_server_over_http_that_goes_away_is_a_fault():
    process, url = await asyncio.to_thread(serve)
    connection = Connection(ag.MCPServer(url=url))
    try:
        tools = ToolSet(await connection.start())
        process.kill()
        process.wait()
        with pytest.raises(EnvError, match=r"MCP server `http.* failed when `add` was called"):
            await tools.call(ToolCall("add", '{"text": "x"}'))
    finally:
        await connection.close()
    with pytest.raises(EnvError, match="did not start: All connection attempts failed"):
        await talk(ag.MCPServer(url=url))


async def test_what_serves_something_else_is_a_fault_with_its_status():
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(refuse, "127.0.0.1", 0) as web:
        port = web.sockets[0].getsockname()[1]
        with pytest.raises(EnvError, match=r"did not start: .*it answered HTTP 401 Unauthorized"):
            await talk(ag.MCPServer(url=f"http://127.0.0.1:{port}/"))


async def test_what_is_printed_before_the_protocol_begins_disturbs_nobody(tmp_path):
    program = tmp_path / "greeted.py"
    program.write_text(
        "import asyncio, sys\n"
        "import agentgym as ag\n"
        "from agentgym.envs.mcp.connection import Connection\n"
        "async def main():\n"
        "    connection = Connection(ag.MCPServer(command=sys.argv[1:]))\n"
        "    print(len(await connection.start()))\n"
        "    await connection.close()\n"
        "asyncio.run(main())\n"
    )
    greeting = ["sh", "-c", f"echo Hallo; exec {STDIO[0]} {STDIO[1]}"]
    done = await asyncio.to_thread(
        subprocess.run, [sys.executable, program, *greeting], capture_output=True, check=False
    )
    assert (int(done.stdout), done.stderr) == (12, b"")


async def test_a_program_may_be_named_from_its_folder_or_from_its_own_path(tmp_path):
    (tmp_path / "serve").write_text(f"#!/bin/sh\nexec {STDIO[0]} {STDIO[1]}\n")
    (tmp_path / "serve").chmod(0o755)
    await talk(ag.MCPServer(command=["./serve"], cwd=tmp_path))
    await talk(ag.MCPServer(command=["serve"], env={"PATH": str(tmp_path)}))


# -- nothing stays ----------------------------------------------------------------------------


def held() -> tuple[int, int, int]:
    me = psutil.Process()
    return len(me.children(recursive=True)), me.num_fds(), len(asyncio.all_tasks())


async def test_nothing_stays_whatever_the_moment_of_cancellation():
    config = declared(ag.MCPServer(command=STDIO, only=["add"]))
    await play(config, Calls("add", text="x"))
    before = held()
    for delay_s in (0.0, 0.01, 0.1, 0.4, 0.8):
        episode = asyncio.ensure_future(play(config, Calls("add", text="x")))
        await asyncio.sleep(delay_s)
        episode.cancel()
        await asyncio.wait({episode})
        assert held() == before


async def test_what_raises_in_an_episode_leaves_no_process():
    class Broken(ag.ToolEnv):
        def servers(self, task: ag.Task, *, seed: int) -> list[ag.MCPServer]:
            return [ag.MCPServer(command=STDIO), ag.MCPServer(command=["sh", "-c", "exit 1"])]

    env = Broken()
    before = psutil.Process().children()
    with pytest.raises(EnvError, match="did not start"):
        await env.reset(ag.Task("x"), seed=0)
    assert len(psutil.Process().children()) == len(before) + 1
    await env.close()
    assert psutil.Process().children() == before


async def test_another_reset_ends_the_servers_of_the_episode_before():
    class Notes(ag.ToolEnv):
        def servers(self, task: ag.Task, *, seed: int) -> list[ag.MCPServer]:
            return [ag.MCPServer(command=STDIO)]

    env = Notes()
    before = psutil.Process().children()
    for _ in range(2):
        await env.reset(ag.Task("x"), seed=0)
        assert len(psutil.Process().children()) == len(before) + 1
    await env.close()
    assert psutil.Process().children() == before


async def test_a_server_that_hangs_does_not_hold_up_the_end(monkeypatch):
    monkeypatch.setattr("agentgym.envs.mcp.connection._CLOSE_S", 0.5)
    process, url = await asyncio.to_thread(serve)
    connection = Connection(ag.MCPServer(url=url, timeout_s=0.2))
    try:
        tools = ToolSet(await connection.start())
        process.send_signal(signal.SIGSTOP)
        assert (await tools.call(ToolCall("add", '{"text": "x"}'))).timed_out
    finally:
        async with asyncio.timeout(10):
            await connection.close()
        process.kill()
        process.wait()
    assert len(asyncio.all_tasks()) == 1


async def test_a_server_ends_when_we_are_killed(tmp_path):
    program = tmp_path / "killed.py"
    program.write_text(
        "import asyncio, sys\n"
        "import agentgym as ag\n"
        "from agentgym.envs.mcp.connection import Connection\n"
        "async def main():\n"
        "    connection = Connection(ag.MCPServer(command=sys.argv[1:]))\n"
        "    await connection.start()\n"
        "    print('ready', flush=True)\n"
        "    await asyncio.sleep(60)\n"
        "asyncio.run(main())\n"
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(program), *STDIO, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    assert await process.stdout.readline() == b"ready\n"
    (server,) = psutil.Process(process.pid).children()
    os.kill(process.pid, signal.SIGKILL)
    await process.wait()
    server.wait(timeout=10)


def test_an_interrupt_leaves_no_process(tmp_path):
    (tmp_path / "notes.py").write_text(FILE.replace("WHERE", f"command={list(STDIO)!r}"))
    process = subprocess.Popen(
        [sys.executable, "-m", "agentgym", "run", "notes.py", "-m", "scripted:noop", "-n", "4"],
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    children: list[psutil.Process] = []
    while not children and process.poll() is None:
        children = psutil.Process(process.pid).children()
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 130
    _, alive = psutil.wait_procs(children, timeout=10)
    assert not alive


# -- from the command line --------------------------------------------------------------------


@pytest.fixture
def agentgym(tmp_path: Path) -> Callable[..., str]:
    def agentgym(*words: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "agentgym", *words],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
            timeout=1200,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return agentgym


@pytest.mark.slow
def test_a_file_with_a_server_over_http_passes_all_checks(tmp_path, agentgym, url):
    (tmp_path / "notes.py").write_text(FILE.replace("WHERE", f"url={url!r}"))
    assert "me/Notes-v0: 20 passed\n" in agentgym("check", "notes.py", "--level", "runtime")


@pytest.mark.soak
def test_a_file_with_a_process_passes_all_checks(tmp_path, agentgym):
    (tmp_path / "notes.py").write_text(FILE.replace("WHERE", f"command={list(STDIO)!r}"))
    assert "me/Notes-v0: 28 passed\n" in agentgym("check", "notes.py")


async def test_a_shared_server_that_remembers_across_episodes_is_found_out(url):
    config = type(declared(ag.MCPServer(url=url, only=["count"])))
    (result,) = (await check_env(config, checks=named(["repeat"]))).results
    assert result.status == "failed"
    assert "the second time differs in step 0: messages: " in result.message


def test_nothing_of_the_sdk_is_imported_before_it_is_needed():
    code = (
        "import sys, agentgym as ag; ag.MCPServer(command=['x']); ag.ToolEnv;"
        "sys.exit('mcp' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
