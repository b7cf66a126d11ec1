"""The key-and-door grid: states recur, the optimum is known, the reward is sparse."""

from collections.abc import Iterator, Sequence
from typing import ClassVar, Literal

from pydantic import Field

from agentgym.env import Env, EnvConfig, EnvStep, Reset, Script
from agentgym.envs.keydoor.layout import (
    LEGEND,
    MOVES,
    Cell,
    Layout,
    distinct,
    random_layouts,
)
from agentgym.errors import TaskError
from agentgym.panels import Grid, Panel
from agentgym.types import OUTCOME, Message, Task

_NUM_TEST = 256
_TIERS = {"easy": (4, 2), "medium": (5, 3), "hard": (6, 6)}  # name -> (size, lava)

_RULES = f"""\
You walk on a grid. Step on the key to take it, then go to the door. Lava kills.
Answer with one word: {", ".join(MOVES)}.
After the drawing of the grid, and after every move, seven words tell you:
what you look for, whether it is up, down or here, whether it is left, right or here,
and what lies above, below, left and right of you."""


class KeyDoorConfig(EnvConfig):
    """Which grids, and how they are told."""

    id: ClassVar[str] = "agentgym/KeyDoor-v0"
    tiers: ClassVar[tuple[str, ...]] = tuple(_TIERS)

    max_turns: int = Field(default=30, ge=1)
    """Steps after which an episode is truncated."""
    tier: Literal["easy", "medium", "hard"] = "easy"
    """easy is 4x4 with 2 cells of lava, medium 5x5 with 3, hard 6x6 with 6."""
    size: int | None = Field(default=None, ge=4, le=9)
    """Rows and columns, in place of the tier's."""
    lava: int | None = Field(default=None, ge=0, le=8)
    """Cells of lava, in place of the tier's."""
    rules: bool = True
    """Explain the rules in a system message; a small model trained from nothing needs none."""

    def tasks(self, split: str) -> Iterator[Task]:
        """Yield random solvable layouts: train without end, test 256 that train never has."""
        size, lava = _TIERS[self.tier]
        size = size if self.size is None else self.size
        lava = lava if self.lava is None else self.lava
        is_test = split == "test"
        layouts = random_layouts(size=size, lava=lava, test=is_test)
        chosen = distinct(layouts, _NUM_TEST) if is_test else layouts
        return (_task(layout, split, number) for number, layout in enumerate(chosen))

    def build(self, sandboxes: object = None) -> "KeyDoor":
        """Make one grid."""
        return KeyDoor(self)


class KeyDoor(Env):
    """`outcome` is 1.0 on the step that reaches the door with the key, `valid` on every move."""

    inline: ClassVar[bool] = True

    def __init__(self, config: KeyDoorConfig) -> None:
        self._config = config

    def reset(self, task: Task, *, seed: int) -> Reset:
        """Put the player at the start. The layout is in the task; the seed changes nothing."""
        try:
            self._layout = Layout.from_rows(task.payload["rows"])
        except (KeyError, TypeError) as error:
            raise TaskError(
                f"task {task.id} has no layout in its payload",
                hint="take tasks from KeyDoorConfig().tasks(split)",
            ) from error
        self._layout_id = self._layout.id
        self._at: Cell = self._layout.start
        self._has_key = False
        user = Message("user", f"{task.prompt}\n{self._look()}")
        messages = (Message("system", _RULES), user) if self._config.rules else (user,)
        return Reset(messages)

    def step(self, message: Message) -> EnvStep:
        """Move, bumping into walls; any other text is answered by `unknown` and costs a turn."""
        move = message.content.strip().lower()
        if move not in MOVES or message.tool_calls:
            return self._answer(f"unknown {self._look()}", valid=False)
        self._at = self._layout.neighbour(self._at, move) or self._at
        self._has_key |= self._at == self._layout.key
        escaped = self._has_key and self._at == self._layout.door
        if escaped or self._at in self._layout.lava:
            return EnvStep((), {OUTCOME: float(escaped), "valid": 1.0}, terminated=True)
        return self._answer(self._look(), valid=True)

    def state_key(self) -> str:
        """Identify the layout, the place and whether the key is held."""
        row, column = self._at
        return f"{self._layout_id} {row} {column} {'key' if self._has_key else 'none'}"

    def panels(self) -> tuple[Panel, ...]:
        """Draw the grid."""
        held = "the key is held" if self._has_key else ""
        return (
            Grid(
                rows=self._layout.drawn(self._at, has_key=self._has_key), legend=LEGEND, title=held
            ),
        )

    def actions(self) -> Sequence[str]:
        """Return the four moves."""
        return tuple(MOVES)

    def expert(self, task: Task, *, seed: int = 0, level: str = "expert") -> Script:
        """Return the player of a shortest way."""
        if level != "expert":
            return super().expert(task, seed=seed, level=level)

        def play(conversation: Sequence[Message]) -> Message:
            return Message("assistant", self._layout.best_move(self._at, has_key=self._has_key))

        return play

    def _answer(self, text: str, *, valid: bool) -> EnvStep:
        return EnvStep((Message("user", text),), {OUTCOME: 0.0, "valid": float(valid)})

    def _look(self) -> str:
        """Tell the goal and its direction, then the four cells around."""
        goal = self._layout.door if self._has_key else self._layout.key
        words = [
            "door" if self._has_key else "key",
            _compare(goal[0] - self._at[0], "up", "down"),
            _compare(goal[1] - self._at[1], "left", "right"),
            *(self._word(self._layout.neighbour(self._at, move)) for move in MOVES),
        ]
        return " ".join(words)

    def _word(self, cell: Cell | None) -> str:
        if cell is None:
            return "wall"
        if cell in self._layout.lava:
            return "lava"
        if cell == self._layout.door:
            return "door"
        return "key" if cell == self._layout.key and not self._has_key else "floor"


def _compare(difference: int, below: str, above: str) -> str:
    if difference == 0:
        return "here"
    return below if difference < 0 else above


def _task(layout: Layout, split: str, number: int) -> Task:
    return Task(
        layout.drawing(),
        id=f"{layout.id}-{number}",
        payload={"rows": layout.rows, "optimal_steps": layout.optimal_steps()},
        split=split,
    )
