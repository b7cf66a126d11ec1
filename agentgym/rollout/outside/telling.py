"""What a program is told of its task, and of how it acts in the environment."""

import json
from collections.abc import Sequence

from agentgym.types import Message, ToolSpec

_CURL = 'curl -sS -H "Authorization: Bearer $OPENAI_API_KEY" "$AGENTGYM_URL'


def task_text(prompt: Sequence[Message]) -> str:
    """Return what the environment began with, as one text."""
    return "\n\n".join(message.content for message in prompt if message.content)


def prompt_text(prompt: Sequence[Message], tools: Sequence[ToolSpec]) -> str:
    """Return the task, and how to act in the environment from a shell."""
    return f"{task_text(prompt)}\n\n{tools_text(tools)}"


def tools_text(tools: Sequence[ToolSpec]) -> str:
    """Return how to use the environment's tools, and to hand in an answer, from a shell."""
    listed = [
        f"{tool.name}: {tool.description}\n"
        f"  parameters: {json.dumps(tool.parameters, ensure_ascii=False)}\n"
        f"  {_CURL}/tools/{tool.name}\" -d '{_example(tool)}'"
        for tool in tools
    ]
    head = ["The task has tools of its own. Use them by HTTP, from a shell:"] if listed else []
    answer = f"Hand in an answer, where the task asks for one:\n  {_CURL}/answer\" -d 'ANSWER'"
    return "\n\n".join([*head, *listed, answer])


def _example(tool: ToolSpec) -> str:
    """Return arguments to fill in, as JSON."""
    names = tool.parameters.get("properties", {})
    return json.dumps({name: "..." for name in names}, ensure_ascii=False)
