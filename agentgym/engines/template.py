"""How the small models made here write a conversation: control tokens and the chat template."""

from collections.abc import Sequence

from agentgym.types import ToolSpec

SYSTEM, USER, ASSISTANT, TOOL = "<|system|>", "<|user|>", "<|assistant|>", "<|tool|>"
END, PAD = "<|end|>", "<|pad|>"

CHAT_TEMPLATE = """\
{%- for message in messages -%}
{{- '<|' + message.role + '|>' + message.content -}}
{%- if message.role == 'assistant' -%}
{%- for call in message.tool_calls or [] -%}
{{- '<function=' + call.function.name + '>' -}}
{%- for name, value in call.function.arguments.items() -%}
{{- '<parameter=' + name + '>' + (value if value is string else value | tojson) -}}
{{- '</parameter>' -}}
{%- endfor -%}
{{- '</function>' -}}
{%- endfor -%}
{{- '<|end|>' -}}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|assistant|>' -}}{%- endif -%}
"""
"""One token per role; tools are not listed, so that prompts stay short."""


def special_tokens(tools: Sequence[ToolSpec]) -> list[str]:
    """Return the tokens of control: padding, the end of a turn, roles, and what calls are made of."""
    functions = [f"<function={tool.name}>" for tool in tools]
    parameters = [
        f"<parameter={name}>" for tool in tools for name in tool.parameters.get("properties", {})
    ]
    tokens = [PAD, END, SYSTEM, USER, ASSISTANT, TOOL, "</function>", "</parameter>"]
    return list(dict.fromkeys(tokens + functions + parameters))
