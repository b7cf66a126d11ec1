import json
from typing import Any

import pytest
from chat_server import Answer, Asked, ChatServer, call, is_json, refuses, says

from agentgym.errors import BudgetError, ConfigError, MissingError, PolicyError
from agentgym.rollout.openai.client import Client, Filtered
from agentgym.rollout.openai.policy import OpenAIPolicy
from agentgym.rollout.openai.settings import OpenAIConfig
from agentgym.rollout.policy import ContextFull, Reply
from agentgym.types import Message, ToolCall, ToolSpec

KEY = "sk-0123456789abcdefghij"
HI = (Message("user", "hi"),)
TOOL = ToolSpec("go", "Go.", {"type": "object", "properties": {"to": {"type": "string"}}})
REQUEST = {"model": "m", "messages": []}


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("NO_PROXY", "*")


def config(server: ChatServer, **settings: Any) -> OpenAIConfig:
    return OpenAIConfig(model="m", url=server.url, **{"max_attempts": 2, **settings})


async def ask(server: ChatServer, *messages: Message, **settings: Any) -> Reply:
    async with Client(config(server, **settings)) as client:
        return await OpenAIPolicy(client).act(messages or HI, [TOOL], seed=1)


@pytest.mark.parametrize("status", [401, 403])
async def test_a_key_that_is_refused_names_its_variable_and_is_not_shown(status: int) -> None:
    refusal = refuses(status, f"wrong key: Bearer {KEY}!", code=KEY)
    with ChatServer([refusal]) as server, pytest.raises(ConfigError) as raised:
        await ask(server)
    assert (
        f"refuses requests with the key in OPENAI_API_KEY: status {status}: wrong key: Bearer ***!"
        in str(raised.value)
    )
    assert "export OPENAI_API_KEY" in str(raised.value.hint)
    assert KEY not in repr(raised.value)
    assert len(server.asked) == 1


async def test_a_key_that_is_missing_is_said_to_be_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    with (
        ChatServer([refuses(401)]) as server,
        pytest.raises(ConfigError, match=r"without a key \(MY_KEY is not set\)"),
    ):
        await ask(server, api_key_env="MY_KEY")
    with pytest.raises(MissingError, match="OPENAI_API_KEY is not set"):
        Client(OpenAIConfig(model="m"))


async def test_a_key_in_an_answer_is_taken_out_of_it() -> None:
    calls = [call("go", json.dumps({"to": KEY}))]
    with ChatServer([says(f"your key is {KEY}", calls=calls)]) as server:
        reply = await ask(server)
    assert reply.message.content == "your key is ***"
    assert reply.message.tool_calls[0].arguments == '{"to": "***"}'


SLASHED = "sk-0123/56789+abc=defghij"
ESCAPES = {
    "as it is": lambda key: key,
    "slashes": lambda key: key.replace("/", r"\/"),
    "code points": lambda key: "".join(rf"\u{ord(each):04X}" for each in key),
}


@pytest.mark.parametrize("escape", ESCAPES.values(), ids=ESCAPES)
async def test_a_key_is_taken_out_of_every_text_of_an_answer_however_json_writes_it(
    escape: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", SLASHED)
    calls = [call("goARGUMENT", '{"to": "ARGUMENT"}', f"id {SLASHED}")]
    answer = says(f"it is {SLASHED}!", calls=calls)
    written = answer.body.replace(SLASHED.encode(), escape(SLASHED).encode())
    argument = json.dumps(escape(SLASHED))[1:-1]  # escaped in the arguments' own JSON
    answer.body = written.replace(b"ARGUMENT", argument.encode())
    with ChatServer([answer]) as server:
        message = (await ask(server)).message
    assert message.content == "it is ***!"
    assert message.tool_calls == (ToolCall("go***", '{"to": "***"}', "id ***"),)


@pytest.mark.parametrize("escape", ESCAPES.values(), ids=ESCAPES)
async def test_a_key_is_taken_out_of_every_error_however_json_writes_it(
    escape: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", SLASHED)
    for body in (f'{{"error": "{escape(SLASHED)}"}}', f"{{no JSON: {escape(SLASHED)}"):
        for status in (200, 400):
            with (
                ChatServer([Answer(status, body.encode())]) as server,
                pytest.raises((ConfigError, PolicyError)) as raised,
            ):
                await ask(server, max_attempts=1)
            assert "***" in str(raised.value)
            assert "56789" not in str(raised.value)
            assert "0036" not in str(raised.value)


@pytest.mark.parametrize(
    ("models", "hint"),
    [
        (["a", "b"], "it has a, b"),
        ([f"m{n}" for n in range(15)], "m11 and 3 more"),
        ([], "often with /v1"),
        (None, "often with /v1"),
        (is_json({"data": "many"}), "often with /v1"),
        (is_json({"data": [{"id": 3}, {"id": f"x{KEY}"}]}), "it has x***"),
        (Answer(200, b"{"), "often with /v1"),
        (Answer(says_nothing=True), "often with /v1"),
    ],
)
async def test_a_model_that_is_not_there_names_those_that_are(models: Any, hint: str) -> None:
    with (
        ChatServer([refuses(404, "no such model")], models=models) as server,
        pytest.raises(ConfigError, match="has no model 'm', or is no such API") as raised,
    ):
        await ask(server)
    assert hint in str(raised.value.hint)
    assert "no such model" in str(raised.value)


async def test_a_request_that_is_refused_stops_the_run_unless_others_were_not() -> None:
    refusal = refuses(400, "unsupported parameter: 'temperature'\n" + "x" * 1000)
    with (
        ChatServer([refusal]) as server,
        pytest.raises(ConfigError, match="status 400: unsupported parameter") as raised,
    ):
        await ask(server)
    assert len(str(raised.value)) < 500
    with ChatServer([says(), refusal]) as server:
        async with Client(config(server)) as client:
            await client.ask(REQUEST)
            with pytest.raises(PolicyError, match="status 400"):
                await client.ask(REQUEST)


async def test_a_redirect_is_not_followed_and_the_key_goes_nowhere_else() -> None:
    with ChatServer([says()]) as other:
        moved = Answer(307, headers={"Location": f"{other.url}/chat/completions"})
        with (
            ChatServer([moved]) as server,
            pytest.raises(ConfigError, match=f"sends requests on to {other.url}"),
        ):
            await ask(server)
    assert other.asked == []


@pytest.mark.parametrize(
    "refusal",
    [
        refuses(400, "too many", code="context_length_exceeded"),
        refuses(400, "This model's maximum context length is 4096 tokens. However, you requested"),
        refuses(400, "the request exceeds the available context size. try increasing it"),
        refuses(400, "prompt is too long: 210000 tokens > 200000 maximum"),
        is_json({"object": "error", "message": "reduce the length of the messages"}, 422),
        Answer(413, b"<html>request entity too large</html>"),
        refuses(500, "input is too large to process. increase the physical context size"),
    ],
    ids=["openai", "vllm", "llama.cpp", "anthropic", "other", "proxy", "llama.cpp of old"],
)
async def test_a_conversation_that_is_too_long_ends_the_episode(
    refusal: Answer, caplog: pytest.LogCaptureFixture
) -> None:
    with ChatServer([refusal]) as server:
        async with Client(config(server)) as client:
            for _ in range(2):
                with pytest.raises(ContextFull) as raised:
                    await client.ask(REQUEST)
    assert raised.value.reason == "context"
    assert len(server.asked) == 2
    assert len([each for each in caplog.records if "too long" in each.message]) == 1


NO_ROOM = {
    "vllm": "'max_tokens' or 'max_completion_tokens' is too large: 5000. This model's maximum "
    "context length is 4096 tokens and your request has 25 input tokens (5000 > 4096 - 25).",
    "vllm of old": "This model's maximum context length is 4096 tokens. However, you requested "
    "5025 tokens (25 in the messages, 5000 in the completion).",
    "sglang": "Requested token count exceeds the model's maximum context length of 4096 tokens. "
    "You requested a total of 5025 tokens: 25 tokens from the input messages and 5000 tokens",
    "openai": "max_tokens is too large: 5000. This model supports at most 4096 completion tokens",
}


@pytest.mark.parametrize("text", NO_ROOM.values(), ids=NO_ROOM)
@pytest.mark.parametrize(
    ("setting", "settings"),
    [
        ("openai.max_tokens", {"max_tokens": 5000}),
        ("openai.extra.max_completion_tokens", {"extra": {"max_completion_tokens": 5000}}),
    ],
)
async def test_tokens_that_leave_no_room_for_the_first_conversation_are_a_wrong_setting(
    text: str, setting: str, settings: Any
) -> None:
    with ChatServer([refuses(400, text)]) as server, pytest.raises(ConfigError) as raised:
        await ask(server, **settings)
    assert f"no room for {setting} = 5000" in str(raised.value)
    assert f"lower {setting}" in str(raised.value.hint)


@pytest.mark.parametrize(
    "text",
    [
        NO_ROOM["vllm"],
        "This model's maximum context length is 4096 tokens. However, you requested 6000 tokens "
        "(5000 in the messages, 1000 in the completion).",
    ],
    ids=["grown beside its answer", "grown by itself"],
)
async def test_a_conversation_that_grew_until_no_answer_fits_ends_the_episode(text: str) -> None:
    with ChatServer([says(), refuses(400, text)]) as server:
        async with Client(config(server, max_tokens=1000)) as client:
            policy = OpenAIPolicy(client)
            await policy.act(HI, [TOOL], seed=1)
            with pytest.raises(ContextFull):
                await policy.act(HI, [TOOL], seed=1)


async def test_a_first_conversation_that_is_too_long_by_itself_ends_its_episode() -> None:
    text = "This model's maximum context length is 4096 tokens. However, your request has 5000 input tokens."
    with ChatServer([refuses(400, text)]) as server, pytest.raises(ContextFull):
        await ask(server, max_tokens=1000)


async def test_a_conversation_that_the_provider_will_not_have_ends_the_episode() -> None:
    refusal = refuses(400, "triggering our content management policy", code="content_filter")
    with ChatServer([refusal]) as server, pytest.raises(Filtered) as raised:
        await ask(server)
    assert raised.value.reason == "content_filter"
    filtered = says("I", finish="content_filter")
    with ChatServer([filtered]) as server:
        assert (await ask(server)).message.content == "I"


@pytest.mark.parametrize(
    "refusal",
    [
        refuses(402, "Insufficient Balance"),
        refuses(429, "You exceeded your current quota", code="insufficient_quota"),
        is_json({"error": {"type": "exceeded_current_quota_error"}}, 429),
    ],
)
async def test_an_account_without_money_stops_the_run_at_once(refusal: Answer) -> None:
    with ChatServer([refusal]) as server, pytest.raises(BudgetError, match="wants to be paid"):
        await ask(server)
    assert len(server.asked) == 1


async def test_a_quota_of_a_minute_is_waited_for() -> None:
    passing = refuses(429, "You exceeded your current quota, please check your plan and billing.")
    with ChatServer([passing, says()]) as server:
        assert (await ask(server)).usage["retries"] == 1


def strict(asked: Asked, number: int) -> Answer:
    """Answer as servers do that read the arguments of earlier calls."""
    for message in asked.messages:
        for each in message.get("tool_calls") or ():
            try:
                json.loads(each["function"]["arguments"])
            except ValueError:
                return refuses(400, "Expecting value: line 1 column 1")
    return says()


async def test_a_server_that_refuses_broken_arguments_gets_none_from_then_on() -> None:
    conversation = [
        *HI,
        Message("assistant", "", (ToolCall("go", '{"to": ', "call_0"),)),
        Message("tool", "That is no JSON.", tool_call_id="call_0"),
    ]
    with ChatServer(strict) as server:
        async with Client(config(server)) as client:
            policy = OpenAIPolicy(client)
            for _ in range(2):
                reply = await policy.act(conversation, [TOOL], seed=1)
                assert reply.message.content == "hello"
    sent = [each.messages[1]["tool_calls"][0]["function"]["arguments"] for each in server.asked]
    assert sent == ['{"to": ', "{}", "{}"]


async def test_what_passes_is_tried_again_where_arguments_were_mended_too() -> None:
    conversation = [*HI, Message("assistant", "", (ToolCall("go", "{", "call_0"),))]
    broken = refuses(400, "Expecting value")
    with ChatServer([broken, refuses(429, Retry_After="1"), broken, says()]) as server:
        reply = await ask(server, *conversation)
    assert reply.usage["retries"] == 1
    assert server.asked[2].at - server.asked[1].at >= 0.95


async def test_a_refusal_that_is_not_of_the_arguments_stays_what_it_is() -> None:
    conversation = [*HI, Message("assistant", "", (ToolCall("go", "{", "call_0"),))]
    with (
        ChatServer([refuses(400, "unsupported parameter")]) as server,
        pytest.raises(ConfigError, match="unsupported parameter"),
    ):
        await ask(server, *conversation)
    assert len(server.asked) == 2
