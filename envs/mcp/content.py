"""What a tool of a server gives back, as text."""

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import mcp_types as types


def to_text(result: "types.CallToolResult") -> str:
    """Return the parts of a result, one under the other; what is no text is only named."""
    if not result.content and result.structured_content is not None:
        return json.dumps(result.structured_content, ensure_ascii=False)
    return "\n".join(_part(block) for block in result.content)


def _part(block: Any) -> str:
    if block.type == "text":
        return str(block.text)
    if block.type in ("image", "audio"):
        return _named(block.mime_type, block.data)
    if block.type == "resource_link":
        return f"[{block.uri}]"
    resource = block.resource
    if (text := getattr(resource, "text", None)) is not None:
        return str(text)
    return _named(resource.mime_type or "data", resource.blob)


def _named(kind: str, base64: str) -> str:
    """Return the kind and the size of data.

    >>> _named("image/png", "aGVsbG8=")
    '[image/png, 5 bytes]'
    """
    return f"[{kind}, {len(base64) * 3 // 4 - base64[-2:].count('=')} bytes]"
