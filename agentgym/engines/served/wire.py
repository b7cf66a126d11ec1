"""What goes over the wire, in both directions, and what is believed of it.

Requests are read by the server and answers by the client. Neither trusts the other: what does
not fit is refused with a reason.
"""

import secrets
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Annotated, Any, Literal, NamedTuple, TypeVar

from pydantic import BaseModel, Field, ValidationError

from agentgym.types import Completion

PROTOCOL = 1
"""The number of this protocol; both sides must have the same one."""

SESSION = "agentgym-session"
"""The header that names the growing stream of a request; the front routes by it."""

RESTARTS = "agentgym-restarts"
"""The header in which the front tells how often it has restarted replicas."""

SIGHT = "agentgym-sight-"
"""How the name of a file begins that clients may ask about: whether the server sees it."""

LONGEST_SESSION = 256
"""Characters of a session's name."""

LARGEST_BODY = 16 << 20
"""Bytes of a request or an answer; a million ids take seven."""

_ROUNDING = 1e-4  # of a log-probability near 0
_MOST_TOKENS = 1 << 22

Id = Annotated[int, Field(strict=True, ge=0, lt=1 << 31)]
Seconds = Annotated[float, Field(gt=0, le=3600, allow_inf_nan=False)]
B = TypeVar("B", bound=BaseModel)


class Generate(BaseModel, extra="forbid", frozen=True):
    """A request for a completion."""

    token_ids: Annotated[list[Id], Field(max_length=_MOST_TOKENS)]
    temperature: float = Field(ge=0, allow_inf_nan=False)
    max_tokens: int = Field(ge=1, le=_MOST_TOKENS)
    seed: int = Field(ge=0, lt=1 << 64)
    stop: Annotated[list[Id], Field(max_length=4096)] = []


class Logprobs(BaseModel, extra="forbid", frozen=True):
    """A request for the log-probabilities of given tokens."""

    token_ids: Annotated[list[Id], Field(max_length=_MOST_TOKENS)]


class Weights(BaseModel, extra="forbid", frozen=True):
    """The weights that are to be in use."""

    folder: str | None
    """Of safetensors; None: those in use now."""
    version: int = Field(ge=0, lt=1 << 62)
    id: str = Field(default_factory=lambda: secrets.token_hex(16), max_length=64)
    """Of this handing over: one that is asked for again, by the same id, is not done again."""


class Hold(BaseModel, extra="forbid", frozen=True):
    """Who wants the engines to pause or to sleep, and for how long unless they say it again."""

    holder: str = Field(min_length=1, max_length=LONGEST_SESSION)
    lease_s: Seconds = 30.0


class Sight(BaseModel, extra="forbid", frozen=True):
    """A question whether the server sees a file of a folder."""

    file: str
    digest: str
    """The SHA-256 of what is in it."""


class Malformed(Exception):  # noqa: N818  becomes a refusal on the one side, a fault on the other
    """Raised for a body that is not what it should be."""


def read_body(model: type[B], body: bytes) -> B:
    """Read JSON as a model; an empty body is an empty object.

    Raises:
        Malformed: it is something else; says where.
    """
    try:
        return model.model_validate_json(body or b"{}")
    except ValidationError as error:
        raise Malformed(_words(error)) from None


class Asked(NamedTuple):
    """What a completion is an answer to."""

    limit: int
    """Most tokens that there is room for."""
    stop: frozenset[int]
    vocabulary: int
    """Ids are smaller than this."""
    version: int
    """The policy version in use when it was asked for."""


class _Completion(BaseModel, extra="ignore", frozen=True):
    token_ids: list[Id]
    logprobs: list[Annotated[float, Field(strict=True, allow_inf_nan=False, le=_ROUNDING)]]
    finish_reason: Literal["stop", "length"]
    versions: list[tuple[Id, Annotated[int, Field(strict=True, ge=0)]]]


class _Scores(BaseModel, extra="ignore", frozen=True):
    logprobs: list[Annotated[float, Field(strict=True, allow_inf_nan=False, le=_ROUNDING)]]


def completion_body(completion: Completion) -> dict[str, Any]:
    """Return what the server says of a completion."""
    return {
        "token_ids": completion.token_ids,
        "logprobs": completion.logprobs,
        "finish_reason": completion.finish_reason,
        "versions": completion.versions,
    }


def read_completion(body: bytes, asked: Asked) -> Completion:
    """Read an answer, and believe nothing that cannot be an answer to what was asked.

    Raises:
        Malformed: it cannot.
    """
    found = read_body(_Completion, body)
    ids = found.token_ids
    if len(found.logprobs) != len(ids):
        raise Malformed(f"{len(ids)} tokens with {len(found.logprobs)} log-probabilities")
    if not 1 <= len(ids) <= asked.limit:
        raise Malformed(f"{len(ids)} tokens where 1 to {asked.limit} were asked for")
    if max(ids) >= asked.vocabulary:
        raise Malformed(f"token id {max(ids)} of a vocabulary of {asked.vocabulary}")
    _check_end(found, asked)
    _check_versions(found.versions, len(ids), asked.version)
    return Completion(
        token_ids=tuple(ids),
        logprobs=tuple(found.logprobs),
        finish_reason=found.finish_reason,
        versions=tuple(found.versions),
    )


def read_logprobs(body: bytes, *, number: int) -> tuple[float, ...]:
    """Read an answer to `Logprobs`.

    Raises:
        Malformed: it is not `number` log-probabilities.
    """
    found = read_body(_Scores, body).logprobs
    if len(found) != number:
        raise Malformed(f"{len(found)} log-probabilities where {number} were asked for")
    return tuple(found)


def _check_end(found: _Completion, asked: Asked) -> None:
    *before, last = found.token_ids
    if early := asked.stop.intersection(before):
        raise Malformed(f"stop token {min(early)} in the middle")
    if (last in asked.stop) != (found.finish_reason == "stop"):
        raise Malformed(f"finish_reason {found.finish_reason!r} after token {last}")
    if found.finish_reason == "length" and len(found.token_ids) < asked.limit:
        raise Malformed(f"unfinished: {len(found.token_ids)} tokens, with room for {asked.limit}")


def _check_versions(versions: Sequence[tuple[int, int]], tokens: int, expected: int) -> None:
    firsts = [first for first, _ in versions]
    in_order = all(a < b for a, b in pairwise(firsts))
    if not firsts or firsts[0] != 0 or not in_order or firsts[-1] >= tokens:
        raise Malformed(f"versions {versions!r:.100} of {tokens} tokens")
    if versions[-1][1] < expected:
        raise Malformed(
            f"tokens of version {versions[-1][1]}, older than {expected}, which was in use"
        )


def _words(error: ValidationError) -> str:
    first: Mapping[str, Any] = error.errors(include_url=False)[0]
    place = "".join(f"[{each}]" if isinstance(each, int) else str(each) for each in first["loc"])
    said = f"{first['msg']}".lower()
    return f"{place}: {said}"[:300] if place else said[:300]
