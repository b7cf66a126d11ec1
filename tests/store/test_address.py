import shlex
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from agentgym.errors import ConfigError
from agentgym.store.address import Address, address_of, is_address, parse_address

NAMES = st.text(st.characters(), min_size=1, max_size=20)
NUMBERS = st.none() | st.integers(0, 10**9 - 1)


@given(NAMES, NAMES, NUMBERS, NUMBERS)
def test_an_address_is_read_back_and_is_one_word(run, episode, turn, token) -> None:
    address = Address(run, episode, turn, None if turn is None else token)
    text = str(address)
    assert parse_address(text) == address
    assert len(text.split()) == 1
    assert text.isprintable()
    assert shlex.split(text, posix=True) == [text]
    assert not set(text) & set("$&;<>`|*?!(){}[]")


@given(st.text(st.characters(), max_size=40))
def test_whatever_is_no_address_is_refused_with_an_example(text) -> None:
    try:
        found = parse_address(text)
    except ConfigError as error:
        told = error
    else:
        assert parse_address(str(found)) == found
        return
    assert "runs/keydoor#" in str(told.hint)
    assert len(str(told)) < 500


@pytest.mark.parametrize(
    "text", ["", "#", "a", "a#", "#b", "a#b/", "a#b/x", "a#b/-1", "a#b/1/2/3", "a#b/٣", "a#%ff"]
)
def test_what_is_no_address_is_told(text) -> None:
    with pytest.raises(ConfigError):
        parse_address(text)


def test_what_is_too_long_for_a_path_is_an_address_or_a_run() -> None:
    assert is_address("a" * 5000 + "#b")
    assert not is_address("a" * 5000)


def test_plain_names_stand_as_they_are() -> None:
    text = "runs/keydoor#train-000012-003.1.0/3/12"
    assert parse_address(text) == Address("runs/keydoor", "train-000012-003.1.0", 3, 12)
    assert str(parse_address(text)) == text


def test_a_run_is_named_as_it_is_reached_from_here(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert address_of(tmp_path / "runs" / "a", "e", 1) == "runs/a#e/1"
    assert address_of("/elsewhere/a", "e") == "/elsewhere/a#e"
    (tmp_path / "a#b").mkdir()
    assert is_address("a#c")
    assert not is_address("a#b")
