"""What a model sees of an environment: its numbers, the picture it draws, or MiniGrid in words."""

import hashlib
import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from agentgym.panels import Grid

_ESCAPE = re.compile(r"\x1b\[([0-9;]*)m")
_COLOURS = ("black", "red", "green", "yellow", "blue", "magenta", "cyan", "white")

_MARKS = {
    "unseen": "?",
    "empty": ".",
    "floor": ".",
    "wall": "#",
    "door": "D",
    "key": "K",
    "ball": "B",
    "box": "X",
    "goal": "G",
    "lava": "~",
}
_PLAIN = ("unseen", "empty", "floor", "wall", "agent")  # told by their mark alone
_DOOR_STATES = ("open", "closed", "locked")
_ARROWS = (">", "v", "<", "^")
_DIRECTIONS = ("east", "south", "west", "north")

MINIGRID_RULES = """\
You are ^ and look up, whatever the compass says. The drawing is what you see from there:
. free, # wall, D door, K key, B ball, X box, G goal, ~ lava, ? unseen."""


def picture(text: str) -> str:
    r"""Return what an environment drew for a terminal, with its colours as tags.

    >>> picture("\x1b[41mS\x1b[0mF")
    '<red>S</red>F'
    """
    open_tags: list[str] = []

    def tag(found: re.Match[str]) -> str:
        colours = [
            _COLOURS[int(code[1])] for code in found[1].split(";") if re.match("[34][0-7]$", code)
        ]
        if colours:
            open_tags.extend(colours)
            return "".join(f"<{colour}>" for colour in colours)
        closing = "".join(f"</{colour}>" for colour in reversed(open_tags))
        open_tags.clear()
        return closing

    return _ESCAPE.sub(tag, text).strip("\n")


def is_minigrid(space: Any) -> bool:
    """Whether observations are those of MiniGrid: an image of cells, a direction, a mission."""
    parts = getattr(space, "spaces", None)
    return isinstance(parts, dict) and parts.keys() == {"image", "direction", "mission"}


@lru_cache(maxsize=1)
def minigrid_view() -> Callable[[Any], str]:
    """Return the function that tells what the agent sees; equal views are put into words once."""
    from minigrid.core.constants import IDX_TO_COLOR, IDX_TO_OBJECT

    @lru_cache(maxsize=1 << 14)
    def tell(cells: bytes, height: int, direction: int) -> str:
        columns = [cells[at : at + 3 * height] for at in range(0, len(cells), 3 * height)]
        grid = [
            [tuple(column[3 * row : 3 * row + 3]) for column in columns] for row in range(height)
        ]
        return _told(grid, direction, IDX_TO_OBJECT, IDX_TO_COLOR)

    def view(observation: Any) -> str:
        image = observation["image"]
        return tell(image.tobytes(), image.shape[1], int(observation["direction"]))

    return view


def minigrid_key(env: Any) -> str:
    """Identify the state of a MiniGrid environment: the grid, the agent and what it carries."""
    objects = (env.carrying, *env.grid.grid)
    cells = b"".join(b"---" if each is None else bytes(each.encode()) for each in objects)
    x, y = env.agent_pos
    return f"{hashlib.blake2b(cells, digest_size=8).hexdigest()} {x} {y} {env.agent_dir}"


def minigrid_panel(env: Any) -> Grid:
    """Draw all of a MiniGrid, with the agent as an arrow."""
    width, height = env.grid.width, env.grid.height
    marks = [[_mark(env.grid.get(x, y)) for x in range(width)] for y in range(height)]
    x, y = env.agent_pos
    marks[y][x] = _ARROWS[env.agent_dir]
    words = {mark: word for word, mark in _MARKS.items() if word not in _PLAIN}
    words |= {_ARROWS[env.agent_dir]: "agent", "/": "open door"}
    drawn = {mark for row in marks for mark in row}
    carried = f"carries the {env.carrying.color} {env.carrying.type}" if env.carrying else ""
    legend = {mark: word for mark, word in words.items() if mark in drawn}
    return Grid(rows=marks, legend=legend, title=carried)


def _mark(thing: Any) -> str:
    if thing is None:
        return "."
    is_open = thing.type == "door" and thing.is_open
    return "/" if is_open else _MARKS.get(thing.type, "?")


def _told(
    grid: list[list[tuple[int, ...]]],
    direction: int,
    kinds: dict[int, str],
    colours: dict[int, str],
) -> str:
    """Draw the grid, then name what is in it: how far ahead, how far to the side."""
    here = _place(grid, kinds)
    lines, things, carried = [], [], "nothing"
    for row, cells in enumerate(grid):
        lines.append("".join(_MARKS.get(kinds[cell[0]], "?") for cell in cells))
        for column, (kind, colour, state) in enumerate(cells):
            if kinds[kind] in _PLAIN:
                continue
            name = _named(kinds[kind], colours[colour], state)
            if (row, column) == here:
                carried = name
            else:
                things.append(f"{name} {_where(here[0] - row, column - here[1])}")
    lines[here[0]] = f"{lines[here[0]][: here[1]]}^{lines[here[0]][here[1] + 1 :]}"
    seen = f"You see: {'; '.join(things)}." if things else "You see nothing of note."
    return "\n".join((*lines, f"You face {_DIRECTIONS[direction]}. You carry {carried}.", seen))


def _place(grid: list[list[tuple[int, ...]]], kinds: dict[int, str]) -> tuple[int, int]:
    """Return where the agent is: marked, or in the middle of the last row."""
    for row, cells in enumerate(grid):
        for column, cell in enumerate(cells):
            if kinds[cell[0]] == "agent":
                return row, column
    return len(grid) - 1, len(grid[0]) // 2


def _named(kind: str, colour: str, state: int) -> str:
    if kind in ("goal", "lava"):
        return kind
    lock = f"{_DOOR_STATES[state]} " if kind == "door" else ""
    return f"{lock}{colour} {kind}"


def _where(ahead: int, right: int) -> str:
    parts = [f"{abs(ahead)} {'ahead' if ahead > 0 else 'behind'}"] if ahead else []
    parts += [f"{abs(right)} {'right' if right > 0 else 'left'}"] if right else []
    return " and ".join(parts)
