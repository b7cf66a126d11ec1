"""Tokenizers with chat templates of the common shapes, made here."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")

from agentgym.engines.tiny import TinyConfig, make_tiny
from agentgym.types import ToolSpec

CHATML = """\
{%- if messages[0].role != 'system' -%}
<|im_start|>system\nBe good.{% if tools %} {{ tools | tojson }}{% endif %}<|im_end|>\n
{%- endif -%}
{%- for m in messages -%}
{%- set follows = not loop.first and messages[loop.index0 - 1].role == 'tool' -%}
{%- set precedes = not loop.last and messages[loop.index0 + 1].role == 'tool' -%}
{%- if m.role == 'tool' -%}
{%- if not follows -%}{{- '<|im_start|>user' -}}{%- endif -%}
{{- '\n<tool_response>\n' + m.content + '\n</tool_response>' -}}
{%- if not precedes -%}{{- '<|im_end|>\n' -}}{%- endif -%}
{%- else -%}
{{- '<|im_start|>' + m.role + '\n' + THINK -}}
{%- for call in m.tool_calls or [] -%}
CALL
{%- endfor -%}
{{- '<|im_end|>\n' -}}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\n' -}}{%- endif -%}
"""
JSON_CALL = """\
{%- if m.content or not loop.first -%}{{- '\n' -}}{%- endif -%}
{{- '<tool_call>\n{"name": "' + call.function.name + '", "arguments": ' -}}
{{- call.function.arguments | tojson + '}\n</tool_call>' -}}
"""
XML_CALL = """\
{{- '\n<tool_call>\n<function=' + call.function.name + '>\n' -}}
{%- for name, value in call.function.arguments.items() -%}
{{- '<parameter=' + name + '>\n' + (value if value is string else value | tojson) -}}
{{- '\n</parameter>\n' -}}
{%- endfor -%}
{{- '</function>\n</tool_call>' -}}
"""
FORGETFUL = "(m.content if loop.last else m.content.split('</think>')[-1])"


def chatml(call: str, *, content: str = "m.content") -> str:
    return CHATML.replace("CALL", call).replace("THINK", content)


TEMPLATES = {
    "tiny": None,
    "hermes": chatml(JSON_CALL),
    "xml": chatml(XML_CALL),
    "plain": chatml(""),
    "forgetful": chatml(JSON_CALL, content=FORGETFUL),
    "endless": "{% for m in messages %}{{ m.role + ': ' + m.content + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}assistant: {% endif %}",
    "prefilled": chatml(JSON_CALL).replace("assistant\n' -}}", "assistant\n<go>' -}}"),
}
MakeTokenizer = Callable[[str], Any]


@pytest.fixture(scope="session")
def tools() -> tuple[ToolSpec, ...]:
    code = {"type": "object", "properties": {"code": {"type": "string"}}}
    add = {
        "type": "object",
        "properties": {
            "a": {"type": "integer"},
            "exact": {"type": "boolean"},
            "items": {"type": "array"},
            "text": {"type": "string"},
        },
    }
    return (ToolSpec("run", "Run code.", code), ToolSpec("add", "Add.", add))


@pytest.fixture(scope="session")
def make_tokenizer(
    tmp_path_factory: pytest.TempPathFactory, tools: tuple[ToolSpec, ...]
) -> MakeTokenizer:
    from transformers import AutoTokenizer

    folder: Path = tmp_path_factory.mktemp("tokenizer")
    make_tiny(
        folder,
        config=TinyConfig(layers=1, width=8, heads=1),
        texts=["def solve(xs):\n    return sum(xs)\n", "system user assistant Add 3 passed."],
        tools=tools,
        seed=0,
    )

    def make(template: str) -> Any:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        if TEMPLATES[template] is not None:
            tokenizer.add_tokens(["<|im_start|>", "<|im_end|>"], special_tokens=True)
            tokenizer.add_tokens(["<tool_call>", "</tool_call>"])
            tokenizer.chat_template = TEMPLATES[template]
        return tokenizer

    return make
