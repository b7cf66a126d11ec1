"""Answers of the server: JSON that any text survives, bytes, and errors."""

import hashlib
import json
import logging
import math
from typing import Any

from starlette.responses import Response

from agentgym.errors import AgentGymError, ConfigError
from agentgym.viewer.filter import FilterError
from agentgym.viewer.routes import Asked, NotFoundError, RefusedError

logger = logging.getLogger(__name__)

_BYTES = "application/octet-stream"
_STATUS = {NotFoundError: 404, RefusedError: 403, ConfigError: 400}


def json_answer(value: Any, *, status: int = 200) -> Response:
    """Return a value as JSON; numbers that are not finite become null."""
    return Response(encode(value), status, media_type="application/json")


def kept_answer(asked: Asked, body: bytes, *, kind: str = _BYTES) -> Response:
    """Return what seldom changes: 304 to those who have it already."""
    tag = f'"{hashlib.blake2b(body, digest_size=16).hexdigest()}"'
    headers = {"etag": tag, "cache-control": "private, no-cache"}
    if tag in [each.strip() for each in asked.headers.get("if-none-match", "").split(",")]:
        return Response(status_code=304, headers=headers)
    return Response(body, media_type=kind, headers=headers)


def error_answer(error: Exception) -> Response:
    """Return an error with what to do about it; one that nobody expected goes to the log, too."""
    if not isinstance(error, AgentGymError):
        logger.error("a request failed", exc_info=error)
        return json_answer(
            {"error": f"unexpected {type(error).__name__}", "hint": None}, status=500
        )
    found = (status for kind, status in _STATUS.items() if isinstance(error, kind))
    return json_answer(told(error), status=next(found, 500))


def told(error: AgentGymError) -> dict[str, Any]:
    """Return an error as JSON values; of a filter with the place."""
    value: dict[str, Any] = {"error": str(error), "hint": error.hint}
    return value | {"at": error.at} if isinstance(error, FilterError) else value


def encode(value: Any) -> bytes:
    """Return JSON; lone surrogates become their escapes."""
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except ValueError:
        return encode(_finite(value))
    try:
        return text.encode()
    except UnicodeEncodeError:
        return json.dumps(value, allow_nan=False, separators=(",", ":")).encode()


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value
