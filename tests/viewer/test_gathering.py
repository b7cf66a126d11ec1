"""What a file is too small for is refused before it is made, or as soon as it is known."""

import json
import re
from contextlib import suppress

import pytest

from agentgym.errors import ConfigError
from agentgym.viewer.gathering import Gathering, Shared
from agentgym.viewer.packed import Packed

GROUP = "train-000001-001"


class Sizes(Packed):
    """Remembers how much there was before each answer."""

    def __init__(self, most: int) -> None:
        super().__init__(most, hint="name less")
        self.before: dict[str, int] = {}

    def add(self, address: str, answer: bytes) -> None:
        self.before[address] = self._size
        super().add(address, answer)


@pytest.fixture
def gather(open_runs, trained, monkeypatch):
    """Gather an episode in so many bytes; return what was asked, and what was put away."""
    monkeypatch.setattr("agentgym.viewer.gathering.MOST", 4)
    (run,) = open_runs(trained)
    shared = Shared(GROUP, [f"{GROUP}.0.0"], [], "/")

    def gather(most: int) -> tuple[list[str], Sizes]:
        answers = Sizes(most)
        asked: list[str] = []

        def ask(address: str) -> bytes:
            asked.append(address)
            return answer(address)

        with suppress(ConfigError):
            Gathering(run, shared, ask, answers).gather()
        return asked, answers

    return gather


def answer(address: str) -> bytes:
    """Answer as long as answers of parts may be; with nothing to everything else."""
    path, _, _ = address.partition("?")
    what = path.rpartition("/")[2]
    rows = ["x" * 20] * 8
    return json.dumps({what: rows} if what in ("pieces", "truth") else {}).encode()


def test_episodes_with_too_many_tokens_are_refused_before_anything_is_asked(gather) -> None:
    asked, answers = gather(100)
    assert (asked, answers.before) == ([], {})


@pytest.mark.parametrize("what", ["pieces", "truth"])
def test_a_long_answer_is_given_up_with_its_first_part_that_is_too_much(gather, what) -> None:
    asked, whole = gather(1 << 26)
    first = next(each for each in whole.before if f"/{what}" in each)
    path = f"{first.partition('?')[0]}?"
    assert len([each for each in asked if each.startswith(path)]) > 2
    asked, answers = gather(whole.before[first] + 250)
    assert first not in answers.before
    assert [each.startswith(path) for each in asked[-3:]] == [False, True, True]


def test_numbers_come_before_what_takes_long(gather) -> None:
    _, answers = gather(1 << 26)
    kinds = [re.sub(r".*/([a-z]+)(\?.*)?$", r"\1", address) for address in answers.before]
    assert max(kinds.index(each) for each in ("columns", "advantages")) < min(
        kinds.index(each) for each in ("states", "lens", "ledger", "panels", "pieces", "why")
    )
