"""Episodes that programs from outside play, with a policy whose tokens are letters."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest
from letters import STOP, Letters
from outside_programs import write_program

from agentgym.engine import Engine, SamplingConfig
from agentgym.env import EnvConfig
from agentgym.envs.calculator import CalculatorConfig
from agentgym.errors import ConfigError, EngineError
from agentgym.rollout.collect import token_policies
from agentgym.rollout.episode import DeadlineConfig, Job, Scene, run_episode
from agentgym.rollout.outside.app import LARGEST_BODY
from agentgym.rollout.outside.gateway import Gateway, open_gateway
from agentgym.rollout.outside.session import Session
from agentgym.trainers.exact import check_exact
from agentgym.types import Completion, Message, Task, Trajectory

TASK = Task("What is 6 * 7?", answer=42)
ANSWER = "42"


class Saying(Engine):
    """Says texts one after the other, the last one again and again, each when it may."""

    def __init__(self, *texts: str, max_context: int = 100_000) -> None:
        self.max_context = max_context
        self.prompts: list[str] = []
        self.cancelled = asyncio.Event()
        self.may = asyncio.Event()
        self.may.set()
        self._texts = texts

    async def generate(self, token_ids: Sequence[int], *_: Any, **__: Any) -> Completion:
        self.prompts.append("".join(map(chr, token_ids)))
        number = len(self.prompts) - 1
        if self._texts[min(number, len(self._texts) - 1)] == "fail":
            raise EngineError("the engine is gone")
        try:
            await self.may.wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        ids = (*map(ord, self._texts[min(number, len(self._texts) - 1)]), STOP)
        return Completion(token_ids=ids, logprobs=(-0.5,) * len(ids), finish_reason="stop")

    async def load_weights(self, source: Any, *, version: int) -> None:
        raise NotImplementedError


Play = Callable[[Gateway, Scene], Awaitable[None]]


async def played(
    play: Play,
    engine: Engine | None = None,
    *,
    config: EnvConfig | None = None,
    task: Task = TASK,
    episode_s: float = 60.0,
) -> Trajectory:
    async with open_gateway() as gateway:
        return await run_episode(
            Job(task=task, group_id="g"),
            config=config or CalculatorConfig(),
            make_policy=token_policies(engine or Saying(ANSWER), Letters(), SamplingConfig()),
            deadlines=DeadlineConfig(episode_s=episode_s),
            play=lambda scene: play(gateway, scene),
        )


async def by_program(
    tmp_path: Path, body: str, engine: Engine | None = None, **more: Any
) -> Trajectory:
    command = write_program(tmp_path, body)
    found = await played(lambda gateway, scene: gateway.play(scene, command), engine, **more)
    check_exact([found])
    assert found.drift == 0
    return found


async def test_a_program_solves_a_task_with_tools_and_answers(tmp_path: Path) -> None:
    found = await by_program(
        tmp_path,
        """
messages = [{"role": "user", "content": task}]
first = ask(messages)
status, result = send("/tools/calc", {"expression": first["content"]})
messages += [first, {"role": "user", "content": result}]
assert ask(messages)["content"] == "42"
""",
        Saying("6 * 7", ANSWER),
    )
    assert (found.end, found.reason, found.outcome) == ("terminated", "env", 1.0)
    one, two = found.steps
    assert one.message == Message("assistant", "6 * 7")
    assert one.replies == (Message("user", "42\n"),)
    assert one.reward_terms == {"tool_valid": 1.0}
    assert two.reward_terms == {"outcome": 1.0}
    assert "6 * 7" in found.prompt[0].content
    assert "/tools/calc" in found.prompt[0].content
    (segment,) = found.segments
    assert segment.token_ids[segment.steps[0][1] :][:5] == [*map(ord, "6 * 7")]


class Client:
    """What a program has of its session: requests by HTTP."""

    def __init__(self, gateway: Gateway, session: Session, http: httpx.AsyncClient) -> None:
        self.session, self.http = session, http
        self.gateway = gateway
        self.headers = {"Authorization": f"Bearer {session.key}"}

    async def post(self, path: str, body: Any = b"", **headers: str) -> httpx.Response:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return await self.http.post(path, content=content, headers=self.headers | headers)

    async def get(self, path: str, **headers: str) -> httpx.Response:
        return await self.http.get(path, headers=self.headers | headers)

    async def chat(self, *messages: Any, **more: Any) -> httpx.Response:
        return await self.post("/v1/chat/completions", {"messages": _openai(messages), **more})

    async def say(self, *messages: Any) -> dict[str, Any]:
        answer = await self.chat(*messages)
        assert answer.status_code == 200, answer.text
        return answer.json()["choices"][0]["message"]


def _openai(messages: Sequence[Any]) -> list[dict[str, Any]]:
    return [{"role": "user", "content": m} if isinstance(m, str) else m for m in messages]


async def by_hand(
    body: Callable[[Client], Awaitable[None]], engine: Engine | None = None, **more: Any
) -> Trajectory:
    """Play an episode by requests; the end is that of a program that ended with code 0."""

    async def play(gateway: Gateway, scene: Scene) -> None:
        async with gateway.session(scene) as session:
            url = gateway.url_of(session)
            async with httpx.AsyncClient(base_url=url, timeout=10) as http:
                await body(Client(gateway, session, http))
        await session.settle()

    found = await played(play, engine, **more)
    check_exact([found])
    assert found.drift == 0
    return found


def error(answer: httpx.Response, status: int) -> str:
    assert answer.status_code == status, answer.text
    return answer.json()["error"]["code"]


# What is captured


async def test_the_stream_grows_while_the_program_repeats_what_was_said() -> None:
    async def body(client: Client) -> None:
        first = await client.say("a")
        first["content"] = f" {first['content']}\n"  # as programs trim and pad
        await client.say("a", first, "b")

    found = await by_hand(body, Saying("one", "two"))
    (segment,) = found.segments
    assert [step for step, _, _ in segment.steps] == [0, 1]
    assert [step.message.content for step in found.steps] == ["one", "two"]
    assert found.steps[0].replies == (Message("user", "b"),)
    assert found.steps[0].next_state_key == found.steps[1].state_key
    assert found.prompt == (Message("user", "a"),)
    assert {step.agent for step in found.steps} == {"outside"}


async def test_an_answer_that_was_altered_is_rendered_anew() -> None:
    async def body(client: Client) -> None:
        await client.say("a")
        await client.say("a", {"role": "assistant", "content": "another"}, "b")

    found = await by_hand(body, Saying("one", "two"))
    assert [(s.reason, s.parent) for s in found.segments] == [("start", None), ("branch", 0)]
    assert not any(found.segments[1].sampled[: -len("two") - 1])


async def test_a_history_that_was_cut_is_an_edit_and_goes_on() -> None:
    async def body(client: Client) -> None:
        first = await client.say("a")
        second = await client.say("summary of a", first, "b")
        await client.say("summary of a", first, "b", second, "c")

    found = await by_hand(body, Saying("one", "two", "three"))
    assert [(s.reason, len(s.steps)) for s in found.segments] == [("start", 1), ("edit", 2)]
    assert found.steps[0].replies == (Message("user", "b"),)


async def test_an_answer_that_the_program_left_out_has_what_it_said_instead_as_reply() -> None:
    async def body(client: Client) -> None:
        await client.say("a")
        await client.say("a", "no tool call found")

    found = await by_hand(body, Saying("one", "two"))
    assert found.segments[1].reason == "branch"
    assert found.steps[0].replies == (Message("user", "no tool call found"),)


async def test_an_old_turn_sent_again_is_a_branch_and_both_go_on() -> None:
    async def body(client: Client) -> None:
        first = await client.say("a")
        second = await client.say("a", first, "b")
        other = await client.say("a", first, "b")
        assert (second["content"], other["content"]) == ("two", "other")
        await client.say("a", first, "b", second, "c")
        await client.say("a", first, "b", other, "d")

    found = await by_hand(body, Saying("one", "two", "other", "four", "five"))
    assert [(s.reason, s.parent) for s in found.segments] == [("start", None), ("branch", 0)]
    steps = [[step for step, _, _ in segment.steps] for segment in found.segments]
    assert steps == [[0, 1, 3], [2, 4]]
    assert [step.replies[0].content for step in found.steps[:3]] == ["b", "c", "d"]


async def test_conversations_side_by_side_wait_for_each_other_and_keep_their_tokens() -> None:
    async def body(client: Client) -> None:
        one, two = await asyncio.gather(client.say("a"), client.say("z"))
        await asyncio.gather(client.say("a", one, "b"), client.say("z", two, "y"))

    found = await by_hand(body, Saying("1", "2", "3", "4"))
    assert [len(segment.steps) for segment in found.segments] == [2, 2]


async def test_a_stream_and_the_forms_that_clients_use() -> None:
    async def body(client: Client) -> None:
        parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
        messages = [{"role": "developer", "content": parts}, "c"]
        answer = await client.chat(
            *messages, model="x", stream=True, stream_options={"include_usage": True}, n=1, stop=[]
        )
        assert answer.headers["content-type"].startswith("text/event-stream")
        lines = [line.removeprefix("data: ") for line in answer.text.split("\n\n") if line]
        assert lines[-1] == "[DONE]"
        chunks = [json.loads(line) for line in lines[:-1]]
        assert {chunk["model"] for chunk in chunks} == {"x"}
        assert [c["choices"][0]["delta"] for c in chunks[:-1]] == [
            {"role": "assistant", "content": ANSWER}, {}
        ]  # fmt: skip
        assert chunks[1]["choices"][0]["finish_reason"] == "stop"
        assert chunks[2]["usage"]["completion_tokens"] == len(ANSWER) + 1
        assert chunks[2]["usage"]["prompt_tokens"] == len("ab.c.1")
        models = (await client.http.get("/v1/models", headers=client.headers)).json()
        assert models["data"][0]["id"] == "agentgym"

    found = await by_hand(body)
    assert found.prompt == (Message("system", "ab"), Message("user", "c"))


async def test_a_key_alone_names_the_session() -> None:
    async def body(client: Client) -> None:
        url = f"{client.gateway.url}/v1/chat/completions"
        answer = await client.post(url, {"messages": _openai(["a"])})
        assert answer.status_code == 200

    assert len((await by_hand(body)).steps) == 1


# How it acts


async def test_tools_are_told_in_text_and_in_json_and_pay_the_step_before() -> None:
    async def body(client: Client) -> None:
        json_only = {"Accept": "application/json"}
        assert "6 * 7" in (await client.get("/task")).text
        assert "$AGENTGYM_URL/tools/calc" in (await client.get("/tools")).text
        listed = (await client.get("/tools", **json_only)).json()
        assert listed[0]["function"]["name"] == "calc"
        await client.post("/tools/calc", {"expression": "1"})  # before the model is asked
        await client.say("a")
        told = await client.post("/tools/calc", {"expression": "6 * 7"}, **json_only)
        assert told.json() == {"content": "42", "is_over": False}
        assert "no tool `calk`" in (await client.post("/tools/calk")).text
        await client.say("a", {"role": "assistant", "content": ANSWER}, "b")
        assert (await client.post("/answer", b"42")).text == "[the episode has ended]\n"
        assert error(await client.chat("a"), 410) == "episode_over"
        assert error(await client.post("/tools/calc"), 410) == "episode_over"

    found = await by_hand(body)
    assert (found.end, found.reason, found.outcome) == ("terminated", "env", 1.0)
    one, two = found.steps
    assert one.reward_terms == {"tool_valid": 2.0}  # of three calls
    assert two.reward_terms == {"outcome": 1.0}
    assert "$ calc" in one.panels[-1].text


async def test_the_last_text_is_the_answer_unless_the_program_gave_one(tmp_path: Path) -> None:
    asks = "ask([{'role': 'user', 'content': task}])\n"
    found = await by_program(tmp_path, asks)
    assert (found.end, found.reason, found.outcome) == ("terminated", "env", 1.0)

    class Patient(CalculatorConfig):
        def build(self, sandboxes: object = None) -> Any:
            calculator = super().build(sandboxes)
            calculator.seen = []

            async def step(message: Message) -> Any:
                calculator.seen.append(message.content)
                assert calculator.seen == ["41"]
                from agentgym.env import EnvStep

                return EnvStep((), {})

            calculator.step = step
            return calculator

    answers = f"{asks}assert send('/answer', b'41')[0] == 200\n"
    found = await by_program(tmp_path, answers, config=Patient())
    assert (found.end, found.reason) == ("terminated", "agent")


# What goes wrong


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"{", "malformed_request"),
        (b"\xff\xfe", "malformed_request"),
        (b"[" * 100_000, "malformed_request"),
        ([], "malformed_request"),
        ({}, "malformed_request"),
        ({"messages": []}, "malformed_request"),
        ({"messages": "hello"}, "malformed_request"),
        ({"messages": [{"role": "user", "content": 7}]}, "malformed_request"),
        ({"messages": [{"role": "king", "content": "a"}]}, "malformed_request"),
        ({"messages": [{"role": "function", "content": "a"}]}, "malformed_request"),
        ({"messages": [{"role": "assistant", "content": "a"}]}, "malformed_request"),
        ({"messages": [{"role": "assistant", "tool_calls": [{}]}, {"role": "user"}]}, "malformed_request"),
        ({"messages": [{"role": "user", "content": "a"}], "tools": [{"type": "x"}]}, "malformed_request"),
        ({"messages": [{"role": "user", "content": "a"}], "n": 2}, "unsupported_value"),
        ({"messages": [{"role": "user", "content": "a"}], "stop": ["x"]}, "unsupported_parameter"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]}, "unsupported_content"),
    ],
)  # fmt: skip
async def test_what_cannot_be_answered_is_refused_and_leaves_no_trace(body: Any, code: str) -> None:
    async def play(client: Client) -> None:
        assert error(await client.post("/v1/chat/completions", body), 400) == code
        await client.say("\ud83d half a character")

    found = await by_hand(play)
    assert len(found.steps) == 1
    assert found.prompt[0].content == "\ufffd half a character"


async def test_a_body_that_is_too_large_is_refused_before_and_while_it_is_read() -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(2 + (LARGEST_BODY >> 20)):
            yield b" " * (1 << 20)

    async def body(client: Client) -> None:
        path = "/v1/chat/completions"
        lies = {**client.headers, "Content-Length": str(LARGEST_BODY + 1)}
        answer = await client.http.post(path, content=b"x" * (LARGEST_BODY + 1), headers=lies)
        assert error(answer, 413) == "body_too_large"
        answer = await client.http.post(path, content=endless(), headers=client.headers)
        assert error(answer, 413) == "body_too_large"
        await client.say("a")

    assert len((await by_hand(body)).steps) == 1


async def test_only_the_key_of_an_open_session_opens_it() -> None:
    keys: list[str] = []

    async def body(client: Client) -> None:
        keys.append(client.session.key)
        for headers in ({}, {"Authorization": "Bearer x"}, {"Authorization": client.session.key}):
            answer = await client.http.get("/task", headers=headers)
            assert error(answer, 401) == "invalid_api_key"
        elsewhere = await client.get(f"{client.gateway.url}/s/0123456789abcdef/task")
        assert error(elsewhere, 401) == "invalid_api_key"
        assert error(await client.get("/v1/embeddings"), 404) == "not_found"
        await client.say("a")

    async with open_gateway() as gateway:

        async def play(scene: Scene) -> None:
            async with gateway.session(scene) as session, httpx.AsyncClient() as http:
                http.base_url = gateway.url_of(session)
                client = Client(gateway, session, http)
                await body(client)
            async with httpx.AsyncClient() as http:
                ended = await http.get(f"{gateway.url}/task", headers=client.headers)
                assert error(ended, 410) == "episode_over"
                assert "the agent program ended" in ended.text
            await session.settle()

        found = await run_episode(
            Job(task=TASK, group_id="g"),
            config=CalculatorConfig(),
            make_policy=token_policies(Saying(ANSWER), Letters(), SamplingConfig()),
            play=play,
        )
    assert found.end == "terminated"
    assert len(keys[0]) > 30


async def test_a_client_that_leaves_ends_the_generation_and_may_come_again() -> None:
    engine = Saying("one", "two")

    async def body(client: Client) -> None:
        engine.may.clear()
        with pytest.raises(httpx.ReadTimeout):
            await client.http.post(
                "/v1/chat/completions",
                json={"messages": _openai(["a"])},
                headers=client.headers,
                timeout=0.2,
            )
        async with asyncio.timeout(5):
            await engine.cancelled.wait()
        engine.may.set()
        assert (await client.say("a"))["content"] == "two"

    found = await by_hand(body, engine)
    assert [step.message.content for step in found.steps] == ["two"]
    assert engine.prompts[0] == engine.prompts[1]


async def test_an_answer_that_was_lost_is_given_to_who_asks_again() -> None:
    engine = Saying("one", "two", "three")

    async def body(client: Client) -> None:
        await client.say("a")
        request = {"messages": _openai(["a"])}
        again = await client.post(
            "/v1/chat/completions", request, **{"X-Stainless-Retry-Count": "1"}
        )
        assert again.json()["choices"][0]["message"]["content"] == "one"
        last = client.session._last
        assert last is not None
        client.session.lost(last[1])  # as when the connection broke under the answer
        assert (await client.say("a"))["content"] == "one"
        assert (await client.say("a"))[
            "content"
        ] == "two"  # who got it and asks again wants another

    assert len((await by_hand(body, engine)).steps) == 2


async def test_a_full_context_is_told_and_a_program_may_go_on_with_less() -> None:
    async def body(client: Client) -> None:
        await client.say("a")
        full = await client.chat("x" * 60)
        assert error(full, 400) == "context_length_exceeded"
        assert "maximum context length" in full.json()["error"]["message"]
        await client.say("less")
        await client.chat("x" * 60)

    found = await by_hand(body, Saying("one", max_context=50))
    assert len(found.steps) == 2
    assert (found.end, found.reason) == ("truncated", "context")


async def test_the_model_answers_max_turns_times() -> None:
    async def body(client: Client) -> None:
        first = await client.say("a")
        assert error(await client.chat("a", first, "b"), 410) == "episode_over"

    found = await by_hand(body, config=CalculatorConfig(max_turns=1))
    assert (found.end, found.reason, len(found.steps)) == ("truncated", "max_turns", 1)


async def test_a_fault_of_ours_is_told_and_ends_the_episode() -> None:
    async def body(client: Client) -> None:
        await client.say("a")
        broken = await client.chat("b")
        assert error(broken, 500) == "machinery_failed"
        assert "the engine is gone" in broken.text
        assert error(await client.chat("b"), 410) == "episode_over"

    found = await by_hand(body, Saying("one", "fail"))
    assert (found.end, found.reason) == ("error", "EngineError: the engine is gone")
    assert len(found.steps) == 1


async def test_a_program_that_fails_is_no_failure_of_the_model(tmp_path: Path) -> None:
    asks = "ask([{'role': 'user', 'content': task}])\n"
    for ends, told in (
        ("sys.exit('out of ideas')", "exited with 1, having written: out of ideas"),
        ("os.kill(os.getpid(), 9)", "was killed by SIGKILL"),
    ):
        found = await by_program(tmp_path, asks + ends)
        assert found.end == "error"
        assert f"PolicyError: the agent program {told}" in found.reason
        assert len(found.steps) == 1
    found = await by_program(tmp_path, "print('bye')")
    assert found.reason == "PolicyError: the agent program ended and never asked the model"
    assert "bye" in found.panels[-1].text
    found = await by_program(tmp_path, "send('/answer', b'42')")  # it solved the task by itself
    assert found.reason == "PolicyError: the agent program ended and never asked the model"
    answers = "send('/answer', b'42')\nsys.exit(7)"
    found = await by_program(tmp_path, asks + answers)  # what came before stands
    assert (found.end, found.outcome) == ("terminated", 1.0)


async def test_what_a_program_writes_is_kept_in_part(tmp_path: Path) -> None:
    spews = "ask([{'role': 'user', 'content': task}])\nfor n in range(200_000): print('line', n)\n"
    found = await by_program(tmp_path, spews)
    text = found.steps[-1].panels[-1].text
    assert text.endswith("line 199999\n")
    assert len(text) <= 64 << 10


async def test_a_program_that_never_ends_is_killed_with_all_it_started(tmp_path: Path) -> None:
    """Its child has a session of its own, as the shells of agents have."""
    stays = f"""
import subprocess
ask([{{"role": "user", "content": task}}])
child = subprocess.Popen(["sleep", "600"], start_new_session=True)
open({str(tmp_path / "pids")!r}, "w").write(f"{{os.getpid()}} {{child.pid}} {{os.getcwd()}}")
time.sleep(600)
"""
    began = time.perf_counter()
    found = await by_program(tmp_path, stays, episode_s=2)
    assert (found.end, found.reason) == ("truncated", "episode_deadline")
    assert time.perf_counter() - began < 10
    *pids, folder = (tmp_path / "pids").read_text().split()
    assert is_left_nothing(folder, pids)


def is_left_nothing(folder: str, pids: Sequence[str]) -> bool:
    return not Path(folder).exists() and all(is_gone(int(pid)) for pid in pids)


def is_gone(pid: int) -> bool:
    """Whether a process has ended, though nobody may have asked how."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return True
    return stat.rpartition(")")[2].split()[0] == "Z"


async def test_a_program_that_never_asks_in_its_time_is_no_failure_of_the_model(
    tmp_path: Path,
) -> None:
    found = await by_program(tmp_path, "time.sleep(600)", episode_s=1)
    assert found.end == "error"
    assert found.reason == (
        "PolicyError: the agent program took all of its time and never asked the model"
    )


async def test_what_is_kept_of_calls_is_bounded() -> None:
    async def body(client: Client) -> None:
        await client.say("a")
        for _ in range(30):
            await client.post("/tools/calc", {"expression": "1 + " * 400 + "1"})
        assert len(client.session._log) <= 20_000

    text = (await by_hand(body)).steps[0].panels[-1].text
    assert 19_000 < len(text) <= 20_001
    assert text.endswith("$ 42\n")


async def test_an_environment_that_hangs_is_left_at_the_deadline(tmp_path: Path) -> None:
    class Hanging(CalculatorConfig):
        def build(self, sandboxes: object = None) -> Any:
            calculator = super().build(sandboxes)

            async def step(message: Message) -> Any:
                await asyncio.sleep(600)

            calculator.step = step
            return calculator

    hangs = "ask([{'role': 'user', 'content': task}])\nsend('/tools/calc', {'expression': '1'})\n"
    began = time.perf_counter()
    found = await by_program(tmp_path, hangs, config=Hanging(), episode_s=1)
    assert (found.end, found.reason) == ("truncated", "episode_deadline")
    assert time.perf_counter() - began < 5


async def test_a_program_that_writes_without_end_holds_nobody_up(tmp_path: Path) -> None:
    spews = "ask([{'role': 'user', 'content': task}])\nwhile True: os.write(1, b'x' * 65536)\n"
    began = time.perf_counter()
    found = await by_program(tmp_path, spews, episode_s=1)
    assert found.reason == "episode_deadline"
    assert time.perf_counter() - began < 5


async def test_a_program_that_is_not_there_is_a_mistake_of_the_user() -> None:
    with pytest.raises(ConfigError, match="cannot be started"):
        await played(lambda gateway, scene: gateway.play(scene, "no-such-program {prompt}"))


async def test_nothing_listens_when_the_gateway_is_left() -> None:
    async with open_gateway() as gateway:
        url = gateway.url
        async with httpx.AsyncClient() as http:
            assert (await http.get(f"{url}/task")).status_code == 401
    async with httpx.AsyncClient() as http:
        with pytest.raises(httpx.ConnectError):
            await http.get(f"{url}/task")
