import asyncio
import json
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import httpx
import pytest
from chat_server import Answer, Asked, ChatServer, call, is_json, refuses, says

from agentgym.errors import BudgetError, ConfigError, MissingError, PolicyError
from agentgym.rollout.openai.answer import Answer as Answered
from agentgym.rollout.openai.client import Client
from agentgym.rollout.openai.pace import Pace, retry_after
from agentgym.rollout.openai.policy import OpenAIPolicy
from agentgym.rollout.openai.settings import OpenAIConfig
from agentgym.rollout.openai.transport import Transport, _certificates
from agentgym.rollout.policy import Reply
from agentgym.types import Message, ToolCall, ToolSpec

KEY = "sk-0123456789abcdefghij"
HI = (Message("user", "hi"),)
TOOL = ToolSpec("go", "Go.", {"type": "object", "properties": {"to": {"type": "string"}}})


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("NO_PROXY", "*")


def config(server: ChatServer, **settings: Any) -> OpenAIConfig:
    return OpenAIConfig(model="m", url=server.url, **{"max_attempts": 2, **settings})


async def ask(server: ChatServer, *messages: Message, **settings: Any) -> Reply:
    async with Client(config(server, **settings)) as client:
        return await OpenAIPolicy(client).act(messages or HI, [TOOL], seed=1)


async def ask_many(client: Client, number: int) -> list[Answered]:
    request = {"model": "m", "messages": []}
    return await asyncio.gather(*(client.ask(request) for _ in range(number)))


async def test_a_conversation_goes_out_and_a_message_comes_back() -> None:
    raw = '{ "to":"there" ,}'
    conversation = [
        *HI,
        Message("assistant", "", (ToolCall("go", '{"to":  "x"}', "call_0"),)),
        Message("tool", "went é", tool_call_id="call_0"),
    ]
    with ChatServer([says(None, calls=[call("go", raw, "call_7")])]) as server:
        reply = await ask(server, *conversation, temperature=0.5)
    assert reply.message == Message("assistant", "", (ToolCall("go", raw, "call_7"),))
    assert reply.completion is None
    assert reply.usage == {"prompt_tokens": 7, "completion_tokens": 3, "retries": 0}
    (asked,) = server.asked
    assert asked.body["model"] == "m"
    assert asked.body["temperature"] == 0.5
    assert asked.body["tools"] == [TOOL.to_openai()]
    assert asked.messages[1]["tool_calls"][0]["function"]["arguments"] == '{"to":  "x"}'
    assert asked.messages[2] == {"role": "tool", "content": "went é", "tool_call_id": "call_0"}
    assert asked.headers["Authorization"] == f"Bearer {KEY}"


async def test_ids_that_the_conversation_has_are_not_used_again() -> None:
    conversation = [
        *HI,
        Message("assistant", "", (ToolCall("go", "{}", "call_0"),)),
        Message("tool", "went", tool_call_id="call_0"),
    ]
    calls = [call("go", id="call_0"), call("go", id=None)]
    with ChatServer([says(None, calls=calls)]) as server:
        reply = await ask(server, *conversation)
    ids = {each.id for each in reply.message.tool_calls}
    assert len(ids) == 2
    assert "call_0" not in ids


async def test_no_key_is_sent_where_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    with ChatServer([says()]) as server:
        await ask(server)
    assert "Authorization" not in server.asked[0].headers


GOOD = says()
WHOLE = json.dumps({"choices": [{"message": {"content": "late"}}]}).encode()
PASSING: dict[str, tuple[Answer, str]] = {
    "429": (refuses(429, "slow down"), "status 429: slow down"),
    "500": (refuses(500, "oops"), "status 500: oops"),
    "502": (
        Answer(502, b"<html><head><title>502 Bad Gateway</title></head></html>"),
        "status 502: 502 Bad Gateway",
    ),
    "503": (Answer(503), "status 503"),
    "504": (Answer(504, b"upstream\n timed out"), "status 504: upstream timed out"),
    "529": (refuses(529, "overloaded"), "status 529: overloaded"),
    "408": (refuses(408), "status 408: no"),
    "truncated": (Answer(200, GOOD.body[:-20]), "an answer with no JSON"),
    "cut": (Answer(200, GOOD.body[:20], declared=len(GOOD.body)), "RemoteProtocolError"),
    "closed": (Answer(says_nothing=True), "RemoteProtocolError"),
    "slow": (Answer(200, GOOD.body, after_s=1.0), "no whole answer within openai.timeout_s = 0.3"),
    "drips": (Answer(200, GOOD.body, drip_s=0.05), "no whole answer within openai.timeout_s = 0.3"),
    "html": (Answer(200, b"<html>hello</html>"), "an answer with no JSON"),
    "garbled": (
        Answer(200, b"not gzip", {"Content-Encoding": "gzip"}),
        "DecodingError",
    ),
    "no choices": (is_json({"choices": []}), "an answer with no choices"),
    "error in a 200": (is_json({"error": {"message": "busy"}}), "busy"),
    "wrong types": (is_json({"choices": [{"message": {"content": 42}}]}), "the content is no text"),
    "calls of the wrong type": (says(None, calls={"a": 1}), "tool_calls is no list"),
    "huge": (Answer(200, b" " * (17 << 20)), "an answer of more than 16 MiB"),
    "huge refusal": (Answer(503, b"x" * (17 << 20)), "an answer of more than 16 MiB"),
}


@pytest.mark.parametrize("bad", PASSING.values(), ids=PASSING)
async def test_what_passes_is_tried_again(bad: tuple[Answer, str]) -> None:
    with ChatServer([bad[0], GOOD]) as server:
        reply = await ask(server, timeout_s=0.3 if bad[0].after_s or bad[0].drip_s else 5)
    assert reply.message == Message("assistant", "hello")
    assert reply.usage["retries"] == 1
    assert len(server.asked) == 2


@pytest.mark.parametrize("bad", PASSING.values(), ids=PASSING)
async def test_what_does_not_pass_is_one_clear_error(bad: tuple[Answer, str]) -> None:
    with ChatServer([bad[0]]) as server, pytest.raises(PolicyError) as raised:
        await ask(server, max_attempts=1, timeout_s=0.3 if bad[0].after_s or bad[0].drip_s else 5)
    text = str(raised.value)
    assert f"m at {server.url} gave no answer in 1 attempt and" in text
    assert bad[1] in text
    assert len(text) < 600
    assert len(server.asked) == 1


async def test_attempts_and_waiting_are_limited() -> None:
    with ChatServer([refuses(500)]) as server:
        with pytest.raises(PolicyError, match="in 3 attempts"):
            await ask(server, max_attempts=3)
        assert len(server.asked) == 3
        began = time.monotonic()
        with pytest.raises(PolicyError, match="status 500"):
            await ask(server, max_attempts=1000, max_wait_s=1)
        assert time.monotonic() - began < 30
        assert len(server.asked) < 100


async def test_a_server_that_goes_away_is_a_fault_of_an_episode() -> None:
    server = ChatServer([says()])
    with server:
        pass
    with pytest.raises(PolicyError, match="ConnectError"):
        await ask(server)


async def test_a_server_that_is_not_there_is_noticed_before_anything_is_asked() -> None:
    server = ChatServer([says()])
    with server:
        async with Client(config(server)) as client:
            await client.knock()
    async with Client(config(server)) as client:
        with pytest.raises(MissingError, match=f"no server at {server.url}") as raised:
            await client.knock()
    assert raised.value.exit_code == 3
    assert server.asked == []


@pytest.mark.parametrize(
    "url",
    ["http://[::1]x/v1", "http://xn--/v1", "http://1.2.3.999/v1", "http://a.b/" + "x" * 70_000],
    ids=["no port", "no name", "no address", "too long"],
)
def test_a_url_that_cannot_be_asked_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="cannot be asked, expected a URL such as") as raised:
        Client(OpenAIConfig(model="m", url=url))
    assert "-m openai:MODEL@URL" in str(raised.value.hint)
    assert len(str(raised.value)) < 400


async def test_no_connection_is_not_called_a_slow_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    async def exchange(*_: Any, **__: Any) -> None:
        raise httpx.ConnectTimeout("")

    monkeypatch.setattr(Transport, "_exchange", exchange)
    async with Client(OpenAIConfig(model="m", url="http://a.b/v1", max_attempts=1)) as client:
        with pytest.raises(PolicyError, match=r"no connection within 15 s$"):
            await client.ask({"model": "m", "messages": []})


async def test_an_odd_answer_to_the_knock_is_an_answer() -> None:
    with ChatServer([says()], models=Answer(says_nothing=True)) as server:
        async with Client(config(server)) as client:
            await client.knock()


async def test_a_wait_that_the_server_asks_for_is_kept_by_all() -> None:
    with ChatServer([refuses(429, Retry_After="2"), says()]) as server:
        async with Client(config(server)) as client:
            first = asyncio.create_task(ask_many(client, 1))
            await asyncio.sleep(0.8)  # the refusal has come back
            await asyncio.gather(ask_many(client, 3), first)
    waits = [asked.at - server.asked[0].at for asked in server.asked[1:]]
    assert len(waits) == 4
    assert min(waits) >= 1.95


async def test_a_date_to_wait_for_is_kept() -> None:
    later = format_datetime(datetime.now(UTC) + timedelta(seconds=2.5), usegmt=True)
    with ChatServer([refuses(503, Retry_After=later), says()]) as server:
        began = time.monotonic()
        await ask(server)
    assert server.asked[1].at - began >= 1.4  # the date has whole seconds


async def test_a_wait_that_is_too_long_is_not_begun() -> None:
    with ChatServer([refuses(429, Retry_After="3600")]) as server:
        began = time.monotonic()
        with pytest.raises(PolicyError, match=r"asks to wait 3600 s, more than openai\.max_wait_s"):
            await ask(server)
    assert time.monotonic() - began < 60
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    "value",
    [None, "", "-5", "soon", "1e9", "nan", "inf", "٣", "Wed, 99 Foo 2015 07:28:00 GMT", "9" * 400],
)
def test_a_wait_that_is_none_is_no_wait(value: str | None) -> None:
    assert retry_after(value) == 0


def test_a_date_that_is_past_is_no_wait() -> None:
    assert retry_after("Wed, 21 Oct 2015 07:28:00 GMT") == 0
    assert 50 < retry_after(format_datetime(datetime.now(UTC) + timedelta(seconds=60))) <= 60
    assert retry_after("Fri, 31 Dec 9999 23:59:59 GMT") > 1e9


async def test_requests_keep_to_so_many_a_minute_those_tried_again_too() -> None:
    def answers(asked: Asked, number: int) -> Answer:
        return refuses(500) if number == 2 else says()

    began = time.monotonic()
    with ChatServer(answers) as server:
        async with Client(config(server, requests_per_minute=600)) as client:
            await ask_many(client, 7)
    times = sorted(asked.at - began for asked in server.asked)
    assert len(times) == 8
    assert all(at >= number * 0.1 for number, at in enumerate(times))


async def test_who_came_first_goes_first_and_a_pause_holds_who_waits() -> None:
    pace = Pace(600)
    came: list[tuple[int, float]] = []
    began = time.monotonic()

    async def come(number: int) -> None:
        await pace.turn()
        came.append((number, time.monotonic() - began))
        if number == 1:
            pace.pause(0.5)

    await asyncio.gather(*(come(number) for number in range(4)))
    assert [number for number, _ in came] == [0, 1, 2, 3]
    assert all(at >= least for (_, at), least in zip(came, (0, 0.1, 0.6, 0.7), strict=True))


async def test_so_many_requests_are_under_way_at_once_and_no_more() -> None:
    with ChatServer([Answer(200, GOOD.body, after_s=0.1)]) as server:
        async with Client(config(server, concurrency=3)) as client:
            await ask_many(client, 12)
    assert server.most_at_once == 3


async def test_answers_cost_what_their_tokens_do() -> None:
    with ChatServer(
        [says(usage=(1_000_000, 500_000)), refuses(500), says(finish="length")]
    ) as server:
        async with Client(config(server, prompt_price=2, completion_price=8)) as client:
            (answer,) = await ask_many(client, 1)
            assert answer.usage["cost"] == pytest.approx(6.0)
            await ask_many(client, 1)
            assert client.spending.to_json() == {
                "requests": 3,
                "retries": 1,
                "prompt_tokens": 1_000_007,
                "completion_tokens": 500_003,
                "cut": 1,
                "cost": pytest.approx(6.0 + (7 * 2 + 3 * 8) / 1e6),
            }


async def test_a_cost_that_the_server_tells_is_taken_where_no_price_is_set() -> None:
    told = says(usage={"prompt_tokens": 5, "completion_tokens": 2, "cost": 0.25})
    with ChatServer([told]) as server:
        assert (await ask(server)).usage["cost"] == 0.25
        assert (await ask(server, prompt_price=1)).usage["cost"] == pytest.approx(5e-6)
        async with Client(config(server)) as client:
            assert client.spending.to_json()["cost"] is None


async def test_nothing_is_asked_once_the_limit_is_spent() -> None:
    with ChatServer([says(usage=(600_000, 0))]) as server:
        async with Client(config(server, prompt_price=1, max_cost=1)) as client:
            await ask_many(client, 1)
            await ask_many(client, 1)
            with pytest.raises(BudgetError, match=r"1\.2 is spent and openai\.max_cost is 1"):
                await ask_many(client, 1)
    assert len(server.asked) == 2


@pytest.mark.parametrize(("settings", "usage"), [({}, (7, 3)), ({"prompt_price": 1}, None)])
async def test_a_limit_that_nobody_can_keep_is_refused(settings: Any, usage: Any) -> None:
    with (
        ChatServer([says(usage=usage)]) as server,
        pytest.raises(ConfigError, match="max_cost cannot be kept"),
    ):
        await ask(server, max_cost=1, **settings)


async def test_a_request_that_is_cancelled_frees_its_place() -> None:
    def answers(asked: Asked, number: int) -> Answer:
        return Answer(200, GOOD.body, after_s=20.0 if number == 0 else 0.0)

    with ChatServer(answers) as server:
        async with Client(config(server, concurrency=1)) as client:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.2):
                    await ask_many(client, 1)
            began = time.monotonic()
            await ask_many(client, 1)
    assert time.monotonic() - began < 15


@pytest.mark.parametrize(
    ("variable", "value", "error", "text"),
    [
        ("HTTP_PROXY", "http://me:hunter2@h:x", ConfigError, "is no URL of a proxy"),
        ("ALL_PROXY", "foo://me:hunter2@h", ConfigError, "is no URL of a proxy"),
        ("SSL_CERT_FILE", "/nowhere", ConfigError, "SSL_CERT_FILE"),
    ],
)
def test_an_environment_that_cannot_be_used_is_a_clear_error(
    variable: str, value: str, error: type[Exception], text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "")
    monkeypatch.setenv(variable, value)
    _certificates.cache_clear()
    with pytest.raises(error, match=text) as raised:
        Client(OpenAIConfig(model="m", url="http://a.b/v1"))
    _certificates.cache_clear()
    assert "hunter2" not in str(raised.value)
