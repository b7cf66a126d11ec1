"""What a person types, without a terminal."""

from collections.abc import Callable

import pytest

from agentgym.cli import person
from agentgym.cli.person import Person
from agentgym.env import Script
from agentgym.types import Message, ToolSpec

TOOL = ToolSpec("calc", "Adds.", {"properties": {"value": {}}})


@pytest.fixture
def answer(monkeypatch: pytest.MonkeyPatch):
    """Return what the lines of a person come to."""

    async def answer(*lines: str, hint: Callable[[], Script | None] = lambda: None) -> Message:
        typed = iter(lines)
        monkeypatch.setattr(person, "_ask", lambda prompt: next(typed))
        someone = Person(hint, max_turns=3)
        try:
            return (await someone.act([Message("user", "Go.")], [TOOL], seed=0)).message
        finally:
            await someone.close()

    return answer


def _no_expert() -> Script:
    raise KeyError("solution")


def _no_answer(messages) -> Message:
    raise ValueError("lost")


@pytest.mark.parametrize(
    ("hint", "told"),
    [
        (_no_expert, "the expert has no answer; it raised KeyError: 'solution'"),
        (lambda: _no_answer, "the expert has no answer; it raised ValueError: lost"),
        (lambda: None, "this environment has no expert"),
    ],
)
async def test_an_expert_that_raises_costs_no_episode(answer, capsys, hint, told: str) -> None:
    assert (await answer("/hint", "up", hint=hint)).content == "up"
    assert told in capsys.readouterr().out


async def test_a_hint_is_shown_and_asked_on(answer, capsys) -> None:
    said = await answer("/hint", "up", hint=lambda: lambda messages: Message("assistant", "left"))
    assert said.content == "up"
    assert "the expert would say\n  left" in capsys.readouterr().out


@pytest.mark.parametrize("words", ["", "value="])
async def test_arguments_nested_too_deeply_are_typed_again(answer, capsys, words: str) -> None:
    deep = f"/calc {words}{'[' * 20_000}"
    assert (await answer(deep, "up")).content == "up"
    assert "the arguments of /calc are nested too deeply" in capsys.readouterr().out
