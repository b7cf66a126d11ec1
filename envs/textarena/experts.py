"""Players that know a game well, and look at no more of it than a policy is told."""

from collections.abc import Callable, Sequence
from functools import cache, reduce
from itertools import permutations, product
from math import perm
from operator import xor
from typing import Any

Player = Callable[[], str]
"""Returns the next move."""

_MAX_CODES = 50_000
_LINES = ((0, 1, 2), (3, 4, 5), (6, 7, 8), (0, 3, 6), (1, 4, 7), (2, 5, 8), (0, 4, 8), (2, 4, 6))


def expert_of(name: str, env: Any) -> Player | None:
    """Return who plays a game well, if there is such a player.

    Args:
        name: The id of the game; all its variants have the same expert.
        env: The game itself, without wrappers, after its reset.
    """
    make = _EXPERTS.get(name.partition("-v")[0])
    return make(env) if make else None


def _guess_the_number(env: Any) -> Player:
    def play() -> str:
        """Halve what is left."""
        low, high = env.min_number, env.max_number
        for guess, hint in env.state.game_state["guess_history"]:
            low, high = (guess + 1, high) if hint == "higher" else (low, guess - 1)
        return f"[{(low + high) // 2}]"

    return play


def _mastermind(env: Any) -> Player | None:
    length, number = env.code_length, env.num_numbers
    digits, repeats = range(1, number + 1), env.duplicate_numbers
    if (number**length if repeats else perm(number, length)) > _MAX_CODES:
        return None
    codes = list(product(digits, repeat=length) if repeats else permutations(digits, length))

    def play() -> str:
        """Guess the first code that would have given every answer so far."""
        for tried in env.state.game_state["history"][-1:]:
            answer = tried["black"], tried["white"]
            codes[:] = [code for code in codes if _pegs(code, tried["guess"]) == answer]
        return f"[{' '.join(map(str, codes[0]))}]"

    return play


def _pegs(code: Sequence[int], guess: Sequence[int]) -> tuple[int, int]:
    """Return the black and the white pegs.

    >>> _pegs((1, 2, 3, 4), (1, 3, 2, 5))
    (1, 2)
    """
    black = sum(a == b for a, b in zip(code, guess, strict=True))
    common = sum(min(code.count(digit), guess.count(digit)) for digit in set(guess))
    return black, common - black


def _tower_of_hanoi(env: Any) -> Player:
    def moves(disks: int, source: str, target: str, spare: str) -> list[str]:
        if not disks:
            return []
        first, last = (source, spare, target), (spare, target, source)
        return [*moves(disks - 1, *first), f"[{source} {target}]", *moves(disks - 1, *last)]

    left = iter(moves(env.num_disks, "A", "C", "B"))
    return lambda: next(left, "")


def _nim(env: Any) -> Player:
    def play() -> str:
        """Leave piles whose exclusive or is 0, where that can be."""
        piles = env.state.game_state["piles"]
        total = reduce(xor, piles)
        for number, pile in enumerate(piles):
            if pile ^ total < pile:
                return f"[{number} {pile - (pile ^ total)}]"
        return f"[{max(range(len(piles)), key=piles.__getitem__)} 1]"

    return play


def _tic_tac_toe(env: Any) -> Player:
    def play() -> str:
        board = "".join(cell or " " for row in env.state.game_state["board"] for cell in row)
        mark = "X" if env.state.current_player_id == 1 else "O"
        return f"[{_best(board, mark)[1]}]"

    return play


@cache  # 5,478 boards
def _best(board: str, mark: str) -> tuple[int, int]:
    """Return what a player can reach at least (1 a win, 0 a draw), and the cell for it."""
    other = "O" if mark == "X" else "X"
    if any(board[a] == board[b] == board[c] == other for a, b, c in _LINES):
        return -1, -1
    free = [cell for cell in range(9) if board[cell] == " "]
    values = [(-_best(board[:cell] + mark + board[cell + 1 :], other)[0], cell) for cell in free]
    return max(values, default=(0, -1))


_EXPERTS: dict[str, Callable[[Any], Player | None]] = {
    "GuessTheNumber": _guess_the_number,
    "Mastermind": _mastermind,
    "Nim": _nim,
    "TicTacToe": _tic_tac_toe,
    "TowerOfHanoi": _tower_of_hanoi,
}
