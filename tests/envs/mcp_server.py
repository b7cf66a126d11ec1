"""A server of notes written with the official SDK. Started as a program by the tests.

`mcp_server.py` talks over stdin and stdout, `mcp_server.py --http PORT` over HTTP.
"""

import base64
import os
import sys
import time
from pathlib import Path
from typing import Annotated, Literal

from mcp.server import MCPServer
from mcp.server.mcpserver import Context
from mcp_types import (
    BlobResourceContents,
    CallToolResult,
    ContentBlock,
    EmbeddedResource,
    ImageContent,
    ResourceLink,
    TextContent,
    TextResourceContents,
)
from pydantic import Field

server = MCPServer("notes")
notes: dict[str | None, list[str]] = {}
calls: list[None] = []


def _mine(ctx: Context) -> list[str]:
    session = (ctx.headers or {}).get("mcp-session-id")  # None over stdin: one process, one session
    return notes.setdefault(session, [])


@server.tool()
def add(
    text: Annotated[str, Field(description="What to write.")],
    ctx: Context,
    times: Annotated[int, Field(description="How often.")] = 1,
) -> str:
    """Write a note."""
    _mine(ctx).extend([text] * times)
    return f"{len(_mine(ctx))} notes"


@server.tool(name="list.all")
def list_all(ctx: Context) -> list[str]:
    """Show all notes."""
    return _mine(ctx)


@server.tool()
def paint(colour: Literal["rot", "grün"]) -> list[ContentBlock]:
    """Paint a picture."""
    picture = base64.b64encode(b"\x89PNG" + b"x" * 1230).decode()
    return [
        TextContent(text=f"Ein Bild in {colour}:"),
        ImageContent(data=picture, mime_type="image/png"),
        ResourceLink(name="more", uri="https://example.org/more"),
        EmbeddedResource(resource=TextResourceContents(uri="file:///a", text="a file")),
        EmbeddedResource(
            resource=BlobResourceContents(uri="file:///b", mime_type="application/pdf", blob="YWJj")
        ),
    ]


@server.tool()
def fail(why: str) -> str:
    """Fail."""
    raise ValueError(why)


@server.tool()
def long(length: int) -> str:
    """Say a lot."""
    return "a" * length


@server.tool()
def sleep(seconds: float) -> str:
    """Sleep."""
    time.sleep(seconds)
    return "slept"


@server.tool()
def die() -> str:
    """End the server."""
    sys.stderr.write("the disk is full\n")
    os._exit(3)


@server.tool()
def refuse() -> CallToolResult:
    """Refuse."""
    return CallToolResult(content=[TextContent(text="no such page")], is_error=True)


@server.tool()
def variable(name: str) -> str:
    """Tell a variable of the server's environment."""
    return os.environ.get(name, "unset")


@server.tool()
def folder() -> str:
    """Tell the working folder."""
    return str(Path.cwd())


@server.tool()
def header(name: str, ctx: Context) -> str:
    """Tell an HTTP header."""
    return (ctx.headers or {}).get(name, "unset")


@server.tool()
def count() -> str:
    """Count the calls of everyone."""
    calls.append(None)
    return str(len(calls))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--http"]:
        server.run("streamable-http", port=int(sys.argv[2]))
    else:
        sys.stderr.write("a greeting\n")
        server.run()
