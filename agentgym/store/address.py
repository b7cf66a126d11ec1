"""Where something stands, as one word that logs, errors, the terminal and the pages understand.

    RUN#EPISODE/TURN/TOKEN      runs/keydoor#train-000012-003.1.0/3/12

`RUN` is a path, as the one who reads it would type it. Turns count from 0, tokens from 0 in their
turn; what is behind the episode may be left out. Spaces and what else would end the word or mean
something to a shell are written as percents, in an episode the slash, too: names may come from
others, and addresses are pasted.
"""

import re
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

from agentgym.errors import ConfigError

_NUMBER = re.compile(r"\d{1,9}", re.ASCII)
_OF_SHELLS = "\"$&'()*;<>?[\\]`{|}!"
_EXAMPLE = "as in runs/keydoor#train-000012-003.1.0/3/12"


class Address(NamedTuple):
    """A place in a run."""

    run: str
    """A path."""
    episode: str
    """Its id."""
    turn: int | None = None
    """From 0; None: the episode as a whole."""
    token: int | None = None
    """From 0, in the turn; None: the turn as a whole."""

    def __str__(self) -> str:
        """Return the word.

        >>> str(Address("runs/my run", "a/b", 3))
        'runs/my%20run#a%2Fb/3'
        """
        words = [_quoted(self.episode, "%#/")]
        if self.turn is not None:
            words.append(str(self.turn))
            words += [] if self.token is None else [str(self.token)]
        return f"{_quoted(self.run, '%#')}#{'/'.join(words)}"


def address_of(run: str | Path, episode: str, turn: int | None = None) -> str:
    """Return the address of an episode or turn, the run as it is reached from this folder."""
    path = Path(run)
    if path.is_absolute() and path.is_relative_to(Path.cwd()):
        path = path.relative_to(Path.cwd())
    return str(Address(str(path), episode, turn))


def is_address(text: str) -> bool:
    """Return whether a word is meant as an address; a run that is called so is none."""
    try:
        return "#" in text and not Path(text).exists()
    except OSError:  # too long for a path
        return True


def parse_address(text: str) -> Address:
    """Read an address.

    Raises:
        ConfigError: it is none; what was expected.
    """
    run, mark, rest = text.strip().partition("#")
    name, *numbers = rest.split("/")
    if not (mark and run and name) or len(numbers) > 2:
        raise ConfigError(f"{text[:80]!r} is no address", hint=_EXAMPLE)
    for each in numbers:
        if not _NUMBER.fullmatch(each):
            raise ConfigError(f"expected a number from 0 on, got {each[:20]!r}", hint=_EXAMPLE)
    turn, token = [*map(int, numbers), None, None][:2]
    return Address(_plain(run), _plain(name), turn, token)


def _quoted(text: str, special: str) -> str:
    ends = special + _OF_SHELLS
    return "".join(
        each if each.isprintable() and not each.isspace() and each not in ends else _escape(each)
        for each in text
    )


def _escape(character: str) -> str:
    return "".join(f"%{byte:02X}" for byte in character.encode("utf-8", "surrogatepass"))


def _plain(text: str) -> str:
    try:
        return unquote_to_bytes(text).decode("utf-8", "surrogatepass")
    except UnicodeError as error:
        raise ConfigError(f"{text[:80]!r} is not UTF-8", hint=_EXAMPLE) from error
