"""One message of a conversation, in the terminal."""

from typing import TYPE_CHECKING

from agentgym.cli.output import echo, one_line, paint, safe

if TYPE_CHECKING:
    from agentgym.types import Message

_ROLES = {"system": "dim", "user": "cyan", "assistant": "green", "tool": "yellow"}


def show_message(message: "Message", about: str = "") -> None:
    """Print who speaks, what is said, and every tool call."""
    echo()
    echo(
        paint(message.role, "bold", _ROLES[message.role]) + paint(f"  {about}" * bool(about), "dim")
    )
    if message.content:
        echo(_indented(message.content))
    for call in message.tool_calls:
        echo(paint(f"  {one_line(call.name)}", "bold") + f" {_arguments(call.arguments)}")


def _arguments(text: str) -> str:
    """Write arguments as they read best: text with several lines as a block."""
    import json

    try:
        values = json.loads(text)
        if not isinstance(values, dict):
            return safe(text)
        return " ".join(_argument(name, value) for name, value in values.items())
    except (ValueError, RecursionError):  # no JSON, or nested too deeply to be read or written
        return safe(text)


def _argument(name: str, value: object) -> str:
    import json

    if isinstance(value, str) and "\n" in value:
        return f"\n    {one_line(name)}:\n{_indented(value, 6)}"
    return f"{one_line(name)}={safe(json.dumps(value, ensure_ascii=False))}"


def _indented(text: str, width: int = 2) -> str:
    return "\n".join(f"{' ' * width}{line}" for line in safe(text).split("\n"))
