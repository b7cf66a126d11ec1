import pytest

from agentgym.cli.messages import show_message
from agentgym.types import Message, ToolCall


def shown(arguments: str, capsys: pytest.CaptureFixture[str]) -> str:
    show_message(Message("assistant", tool_calls=(ToolCall("f", arguments),)))
    return capsys.readouterr().out


def test_arguments_are_shown_by_name_and_many_lines_as_a_block(capsys) -> None:
    told = shown('{"a": 1, "code": "x\\ny"}', capsys)
    assert told == "\nassistant\n  f a=1 \n    code:\n      x\n      y\n"


@pytest.mark.parametrize("text", ["[[1", "[1]", "[" * 100_000, '{"a": ' + "[" * 100_000])
def test_arguments_that_are_no_object_are_shown_as_they_are(text: str, capsys) -> None:
    assert shown(text, capsys) == f"\nassistant\n  f {text}\n"


def test_arguments_of_any_depth_are_shown(capsys) -> None:
    for depth in range(800, 1000):  # somewhere here JSON can be read but not written again
        assert "[[[" in shown('{"a": ' + "[" * depth + "]" * depth + "}", capsys)
