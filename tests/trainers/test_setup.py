import pytest

from agentgym.trainers.setup import _argument_texts


@pytest.mark.parametrize("arguments", ["[" * 100_000, "[1", "two words"])
def test_arguments_that_are_no_json_are_a_text(arguments: str) -> None:
    assert list(_argument_texts(arguments)) == [arguments]


def test_the_texts_of_arguments_are_their_values() -> None:
    assert list(_argument_texts('{"code": "x = 1", "n": [2]}')) == ["x = 1", "[2]"]
