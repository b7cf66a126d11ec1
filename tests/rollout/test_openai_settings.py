import json

import pytest
from pydantic import ValidationError

from agentgym.errors import ConfigError
from agentgym.rollout.openai.key import ApiKey
from agentgym.rollout.openai.request import encode, make_request
from agentgym.rollout.openai.settings import OpenAIConfig, read_reference
from agentgym.types import Message, ToolCall, ToolSpec

TOOL = ToolSpec("go", "Go.", {"type": "object", "properties": {}})


@pytest.mark.parametrize(
    ("text", "model", "url"),
    [
        ("openai:gpt", "gpt", None),
        ("openai:qwen/Qwen3-8B:free", "qwen/Qwen3-8B:free", None),
        ("openai:qwen@http://localhost:8000/v1", "qwen", "http://localhost:8000/v1"),
        ("openai:@cf/meta/llama@https://a.b/v1", "@cf/meta/llama", "https://a.b/v1"),
        ("openai:claude@20240620", "claude@20240620", None),
        ("openai:claude@20240620@https://a.b/v1", "claude@20240620", "https://a.b/v1"),
    ],
)
def test_a_reference_is_a_model_and_perhaps_a_url(text: str, model: str, url: str | None) -> None:
    assert read_reference(text) == (model, url)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("openai", "names no model"),
        ("openai:", "names no model"),
        ("openai:@http://localhost:8000/v1", "names no model"),
        ("openai:m@localhost:8000/v1", "should begin with http://"),
        ("openai:m@10.0.0.1:8000", "should begin with http://"),
    ],
)
def test_a_reference_without_its_parts_is_refused(text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as raised:
        read_reference(text)
    assert raised.value.hint is not None


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("http://localhost:8000/v1/", "http://localhost:8000/v1"),
        ("https://a.b/v1/chat/completions", "https://a.b/v1"),
        ("http://[::1]:8000/v1", "http://[::1]:8000/v1"),
    ],
)
def test_a_url_is_kept_as_its_base(given: str, kept: str) -> None:
    assert OpenAIConfig(url=given).url == kept


@pytest.mark.parametrize(
    "url",
    [
        "localhost:8000/v1",
        "ftp://a.b/v1",
        "http://",
        "http://a b/v1",
        "http://a.b:port/v1",
        "http://a.b:99999/v1",
        "http://a.b/v1\n",
        "http://ä.b/v1",
        "https://user:hunter2@a.b/v1",
        "https://hunter2@a.b/v1",
        "https://a.b/v1?api-key=hunter2",
        "https://a.b/v1#hunter2",
    ],
)
def test_what_is_no_base_url_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(ValidationError) as raised:
        OpenAIConfig(url=url)
    (error,) = raised.value.errors()
    assert "should" in error["msg"]
    assert "hunter2" not in error["msg"]


@pytest.mark.parametrize(
    "extra", [{"messages": []}, {"stream": True}, {"n": 4}, {"x": float("nan")}, {"x": {1, 2}}]
)
def test_extra_keys_are_json_and_none_of_ours(extra: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match=r"extra|JSON"):
        OpenAIConfig(extra=extra)


def test_a_key_in_the_place_of_its_variable_is_refused() -> None:
    with pytest.raises(ValidationError, match="not a key"):
        OpenAIConfig(api_key_env="sk-proj-123")


@pytest.mark.parametrize(
    "value", ["sk 123secret", "sk-123secret\nx", "sk-123sécret", "\x1b123secret"]
)
def test_a_key_that_no_header_holds_is_refused_and_not_repeated(
    value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOME_KEY", value)
    with pytest.raises(ConfigError, match="SOME_KEY") as raised:
        ApiKey.from_env("SOME_KEY")
    assert "secret" not in str(raised.value) + str(raised.value.hint)


def test_a_key_is_stripped_sent_and_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_KEY", " sk-secret\n")
    key = ApiKey.from_env("SOME_KEY")
    assert key.headers == {"Authorization": "Bearer sk-secret"}
    assert key.hide("you sent sk-secret!") == "you sent ***!"
    assert "secret" not in repr(key)
    monkeypatch.delenv("SOME_KEY")
    none = ApiKey.from_env("SOME_KEY")
    assert not none
    assert none.headers == {}
    assert none.hide("text") == "text"


def test_a_word_that_stands_for_a_key_may_be_said_by_a_model() -> None:
    assert ApiKey("none", variable="K").hide_in_answer(b"none of it") == b"none of it"
    long = ApiKey("sk-0123456789abcdef", variable="K")
    assert long.hide_in_answer(b"I saw sk-0123456789abcdef\xff") == b"I saw ***\xff"


@pytest.mark.parametrize("value", ["sk-01234/56789+abc=", "\\" * 40, "a\\b\\\\" * 4])
def test_a_key_is_found_in_whatever_form_json_gives_it(value: str) -> None:
    key = ApiKey(value, variable="K")
    once, twice = json.dumps(value), json.dumps(json.dumps(value))
    for text in (value, once, twice, once.replace("/", r"\/")):
        assert value[:4] not in key.hide(text)
        assert "***" in key.hide(text)
    assert len(key.hide("\\" * 30_000)) <= 30_000  # and in no time to speak of


def test_what_is_not_set_is_not_sent() -> None:
    request = make_request(OpenAIConfig(model="m"), [Message("user", "hi")], (), seed=1)
    assert request == {"model": "m", "messages": [{"role": "user", "content": "hi"}]}


def test_what_is_set_is_sent() -> None:
    config = OpenAIConfig(
        model="m", temperature=0, top_p=0.5, max_tokens=9, extra={"top_k": 3, "a": {"b": [1]}}
    )
    request = make_request(config, [Message("user", "hi")], [TOOL], seed=1)
    assert request["tools"] == [TOOL.to_openai()]
    sent = {key: request[key] for key in ("temperature", "top_p", "max_tokens", "top_k", "a")}
    assert sent == {"temperature": 0, "top_p": 0.5, "max_tokens": 9, "top_k": 3, "a": {"b": [1]}}
    assert "seed" not in request


def test_every_request_has_a_seed_of_its_own_and_always_the_same_one() -> None:
    def seed_of(config_seed: int, episode_seed: int, turns: int) -> int:
        messages = [Message("user", "hi")] * turns
        config = OpenAIConfig(model="m", seed=config_seed)
        return int(make_request(config, messages, (), seed=episode_seed)["seed"])

    seeds = [seed_of(c, e, t) for c in (0, 1) for e in (2**62, 5) for t in (1, 3)]
    assert len(set(seeds)) == 8
    assert all(0 <= seed < 2**31 for seed in seeds)
    assert seed_of(0, 5, 3) == seed_of(0, 5, 3)


def test_a_call_that_got_no_answer_is_answered_on_the_wire() -> None:
    calls = (ToolCall("go", "{}", "a"), ToolCall("go", "{", "b"))
    messages = [
        Message("user", "hi"),
        Message("assistant", tool_calls=calls),
        Message("tool", "went", tool_call_id="b"),
        Message("user", "go on"),
        Message("assistant", "so", tool_calls=(ToolCall("go", "{}", "c"),)),
    ]
    sent = make_request(OpenAIConfig(model="m"), messages, (), seed=1)["messages"]
    assert [(m["role"], m.get("tool_call_id")) for m in sent] == [
        ("user", None),
        ("assistant", None),
        ("tool", "b"),
        ("tool", "a"),
        ("user", None),
        ("assistant", None),
        ("tool", "c"),
    ]
    assert sent[1]["content"] is None
    assert [each["function"]["arguments"] for each in sent[1]["tool_calls"]] == ["{}", "{"]
    assert sent[5]["content"] == "so"


def test_a_body_is_utf8_whatever_the_environment_says() -> None:
    request = make_request(
        OpenAIConfig(model="m"), [Message("user", "é \ud83d \U0001f600")], (), seed=1
    )
    assert "é ? \U0001f600" in encode(request).decode()
