"""What a user sets of a model behind a URL. Importing this imports no HTTP client."""

import json
import re
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from pydantic import BaseModel, Field, field_validator

from agentgym.errors import ConfigError

OPENAI_URL = "https://api.openai.com/v1"

_OURS = ("messages", "model", "n", "seed", "stream", "tools")
_PREFIX = "openai:"
_FORM = "use openai:MODEL, or openai:MODEL@URL with a URL such as http://localhost:8000/v1"


class OpenAIConfig(BaseModel, extra="forbid", frozen=True):
    """A model behind an OpenAI-compatible URL; `agentgym run ENV -m openai:MODEL@URL` asks it."""

    model: str | None = None
    """What the server calls the model."""
    url: str = OPENAI_URL
    """The base of the API, to which /chat/completions is added."""
    api_key_env: str = "OPENAI_API_KEY"
    """The environment variable that holds the key; many local servers need none."""
    temperature: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    """0 is greedy; null leaves it to the server."""
    top_p: float | None = Field(default=None, gt=0, le=1)
    """Draw from the likeliest tokens that together have this probability; null leaves it to the server."""
    max_tokens: int | None = Field(default=None, ge=1)
    """Most tokens of one answer; null leaves it to the server. Where a model wants max_completion_tokens, set that in `extra`."""
    seed: int | None = None
    """Every request then sends a seed of its own, made of this, the episode's and the turn."""
    extra: dict[str, Any] = Field(default_factory=dict)
    """Further keys of the request, sent as they are: openai.extra.reasoning_effort=low"""
    concurrency: int = Field(default=16, ge=1)
    """Most requests under way at once."""
    requests_per_minute: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """Most requests that are begun in a minute, those tried again included."""
    timeout_s: float = Field(default=300.0, gt=0, allow_inf_nan=False)
    """One request, from its beginning to the end of its answer."""
    max_attempts: int = Field(default=6, ge=1)
    """How often a request is tried before its episode ends by a fault."""
    max_wait_s: float = Field(default=120.0, ge=0, allow_inf_nan=False)
    """Most seconds spent between the attempts of one request, all of them together."""
    prompt_price: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    """Of a million prompt tokens; null: what the server says that an answer cost, if it does."""
    completion_price: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    """Of a million completion tokens."""
    max_cost: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """Once so much was spent no request is begun, and the run stops."""

    @field_validator("url")
    @classmethod
    def _check_url(cls, value: str) -> str:
        """Refuse what is no base URL. The messages repeat nothing of it: it may hold a password."""
        try:
            parts = urlsplit(value)
            is_url = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
        except ValueError:
            is_url = False
        if not is_url or not re.fullmatch(r"[!-~]+", value):
            raise ValueError(f"should be a URL such as {OPENAI_URL} or http://localhost:8000/v1")
        if "@" in parts.netloc:
            raise ValueError(
                "should hold no user name and no password: runs are recorded with their URL; "
                "put a key into the environment variable that openai.api_key_env names"
            )
        if parts.query or parts.fragment:
            raise ValueError("should end with the path of the API, without ? and #")
        return value.rstrip("/").removesuffix("/chat/completions").rstrip("/")

    @field_validator("api_key_env")
    @classmethod
    def _check_api_key_env(cls, value: str) -> str:
        """Refuse a key in the place of its variable. It is not repeated."""
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", value):
            raise ValueError("should be the name of an environment variable, not a key")
        return value

    @field_validator("extra")
    @classmethod
    def _check_extra(cls, value: dict[str, Any]) -> dict[str, Any]:
        for key in _OURS:
            if key in value:
                raise ValueError(f"the key {key!r} of a request is not for `extra` to set")
        try:
            json.dumps(value, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise ValueError(f"should hold JSON values only: {error}") from None
        return value


class Reference(NamedTuple):
    """What stands after `-m`."""

    model: str
    url: str | None


def read_reference(text: str) -> Reference:
    """Take `openai:MODEL@URL` apart.

    >>> read_reference("openai:qwen@http://localhost:8000/v1")
    Reference(model='qwen', url='http://localhost:8000/v1')
    >>> read_reference("openai:claude@20240620")
    Reference(model='claude@20240620', url=None)

    Raises:
        ConfigError: it is something else.
    """
    name = text.removeprefix(_PREFIX)
    found = re.fullmatch(r"(.*?)@([A-Za-z][A-Za-z0-9+.-]*://.*)", name, re.DOTALL)
    model, url = (found[1], found[2]) if found else (name, None)
    if name == text or not model.strip():
        raise ConfigError("`-m openai` names no model", hint=_FORM)
    if url is None and re.search(r"@[\w.-]+:\d+(/|$)", model):
        raise ConfigError("the URL after `@` should begin with http:// or https://", hint=_FORM)
    return Reference(model, url)
