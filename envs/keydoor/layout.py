"""Layouts of the grid: how they are drawn at random, told apart and solved."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from agentgym.types import digest

Cell = tuple[int, int]
"""(row, column), from the top left."""

MOVES: dict[str, Cell] = {"up": (-1, 0), "down": (1, 0), "left": (0, -1), "right": (0, 1)}

_WORDS = {".": "floor", "S": "you", "K": "key", "D": "door", "L": "lava"}
LEGEND = {"@": "you", "K": "key", "D": "door", "L": "lava"}
"""What the marks of `Layout.drawn` mean; `.` is floor."""
_TEST_SHARE = 8  # one layout in so many belongs to the test split


@dataclass(frozen=True, slots=True)
class Layout:
    """A square grid; `start`, `key`, `door` and the lava are different cells."""

    size: int
    start: Cell
    key: Cell
    door: Cell
    lava: frozenset[Cell]

    @classmethod
    def from_rows(cls, rows: list[str]) -> "Layout":
        """Read what `rows` wrote."""
        cells = {(r, c): mark for r, row in enumerate(rows) for c, mark in enumerate(row)}
        place = {mark: cell for cell, mark in cells.items()}
        lava = frozenset(cell for cell, mark in cells.items() if mark == "L")
        return cls(len(rows), place["S"], place["K"], place["D"], lava)

    @property
    def rows(self) -> list[str]:
        """One string per row; `.` floor, S start, K key, D door, L lava."""
        marks = {self.start: "S", self.key: "K", self.door: "D"} | dict.fromkeys(self.lava, "L")
        size = range(self.size)
        return ["".join(marks.get((r, c), ".") for c in size) for r in size]

    @property
    def id(self) -> str:
        """The same for equal layouts only."""
        return digest(self.rows)

    @property
    def is_test(self) -> bool:
        """Whether this layout belongs to the test split."""
        return int(self.id, 16) % _TEST_SHARE == 0

    def drawing(self) -> str:
        """Draw the grid, one word per cell."""
        return "\n".join(" ".join(_WORDS[mark] for mark in row) for row in self.rows)

    def drawn(self, at: Cell, *, has_key: bool) -> tuple[str, ...]:
        """Return the rows with the player at a cell, without the key once it was taken."""
        marks = {cell: "L" for cell in self.lava} | {self.door: "D"}
        marks |= {} if has_key else {self.key: "K"}
        marks[at] = "@"
        size = range(self.size)
        return tuple("".join(marks.get((r, c), ".") for c in size) for r in size)

    def neighbour(self, cell: Cell, move: str) -> Cell | None:
        """Return the cell one move away; None beyond the wall."""
        row, column = cell[0] + MOVES[move][0], cell[1] + MOVES[move][1]
        inside = 0 <= row < self.size and 0 <= column < self.size
        return (row, column) if inside else None

    def best_move(self, cell: Cell, *, has_key: bool) -> str:
        """Return the first move of a shortest way to the door, by way of the key."""
        away = distances(self, self.door if has_key else self.key)
        options = [(away[to], move) for move in MOVES if (to := self.neighbour(cell, move)) in away]
        return min(options)[1]

    def optimal_steps(self) -> int | None:
        """Return the length of a shortest solution; None when there is none."""
        to_key, to_door = distances(self, self.key), distances(self, self.door)
        if self.start not in to_key or self.key not in to_door:
            return None
        return to_key[self.start] + to_door[self.key]


@lru_cache(maxsize=4096)
def distances(layout: Layout, target: Cell) -> dict[Cell | None, int]:
    """Return the moves to `target` from every cell that can reach it without touching lava."""
    away: dict[Cell | None, int] = {target: 0}
    frontier = [target]
    while frontier:
        reached = [
            (to, away[cell] + 1)
            for cell in frontier
            for move in MOVES
            if (to := layout.neighbour(cell, move)) is not None and to not in layout.lava
        ]
        frontier = []
        for cell, steps in reached:
            if cell not in away:
                away[cell] = steps
                frontier.append(cell)
    return away


def distinct(layouts: Iterator[Layout], number: int) -> Iterator[Layout]:
    """Yield the first `number` different layouts."""
    seen: set[Layout] = set()
    while len(seen) < number:
        layout = next(layouts)
        if layout not in seen:
            seen.add(layout)
            yield layout


def random_layouts(*, size: int, lava: int, test: bool) -> Iterator[Layout]:
    """Yield solvable layouts of one split without end, always in the same order."""
    rng = random.Random(f"keydoor {size} {lava} {test}")
    cells = [(row, column) for row in range(size) for column in range(size)]
    while True:
        start, key, door, *burning = rng.sample(cells, 3 + lava)
        layout = Layout(size, start, key, door, frozenset(burning))
        if layout.is_test == test and layout.optimal_steps() is not None:
            yield layout
