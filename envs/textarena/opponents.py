"""The other player: it draws moves until the game takes one."""

import re
from collections.abc import Callable, Iterator
from itertools import islice
from random import Random

from agentgym.envs.textarena.game import Game
from agentgym.errors import AgentGymError, ConfigError, EnvError

_MAX_TRIES = 10_000
_MOVE = re.compile(r"\[[^\[\]\n]{1,40}\]")
_NO_MOVE = re.compile(r"\[(GAME|Player.*|Observer.*)\]")
_VARIABLE = re.compile(r"\d+|<[^<>]+>|(?<![A-Za-z])[A-Za-z](?![A-Za-z])")


def player_by_chance(seed: int) -> Callable[[Game], None]:
    """Return a player that draws its moves.

    It draws among what the game shows in brackets, then among texts of the same shape. What the
    game refuses is undone as far as anybody can see it, and costs nothing.

    Raises:
        ConfigError: it finds no first move.
        EnvError: it finds no other move.
    """
    chance = Random(seed)
    rules = ""

    def move(game: Game) -> None:
        nonlocal rules
        news = game.news(game.turn)
        is_first, rules = not rules, rules or news
        moves = islice(candidates(news, rules, chance), _MAX_TRIES)
        allowance, game.state.error_allowance = game.state.error_allowance, _MAX_TRIES
        try:
            if not any(_takes(game, each) for each in moves):
                raise _stuck(is_first=is_first)
        finally:
            game.state.error_allowance = allowance

    return move


def candidates(news: str, rules: str, chance: Random) -> Iterator[str]:
    """Yield what may be moves, without end: those shown now, then some like those of the rules."""
    shown = moves_in(news)
    while shown:
        yield shown.pop(chance.randrange(len(shown)))
    shapes = moves_in(rules) or ["[1]"]
    while True:
        yield _like(chance.choice(shapes), chance)


def moves_in(text: str) -> list[str]:
    """Return what stands in brackets and is nobody's name.

    >>> moves_in("[GAME] Available moves: '[0]', '[1]'")
    ['[0]', '[1]']
    """
    return list(dict.fromkeys(each for each in _MOVE.findall(text) if not _NO_MOVE.match(each)))


def _like(move: str, chance: Random) -> str:
    """Return a move with other numbers, and other single letters, which may stand for numbers."""
    kind = chance.choice(("kept", "letters", "digits"))

    def other(found: re.Match[str]) -> str:
        old = found[0]
        if not old.isalpha():
            return str(chance.randrange(10 ** len(old) if old.isdigit() else 100))
        if kind == "kept":
            return old
        if kind == "digits":
            return str(chance.randrange(chance.choice((4, 10, 20))))
        letter = chance.choice("abcdefgh")
        return letter.upper() if old.isupper() else letter

    return _VARIABLE.sub(other, move)


def _stuck(*, is_first: bool) -> AgentGymError:
    told = "the player by chance finds no move that the game takes"
    if not is_first:
        return EnvError(told)
    return ConfigError(told, hint="docs/adapters.md tells which games it can play")


def _takes(game: Game, move: str) -> bool:
    """Try a move; where it is refused, forget that it was tried."""
    state = game.state
    marks = {player: len(told) for player, told in state.observations.items()}
    num_logs = len(state.logs)
    game.act(move)
    if game.fault:
        game.is_over, game.fault = False, ""
    elif game.is_over or not state.error_count:
        return True
    state.error_count, state.made_invalid_move = 0, False
    for player, mark in marks.items():
        del state.observations[player][mark:]
    del state.logs[num_logs:]
    return False
