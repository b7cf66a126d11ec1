"""A text adventure, played command by command."""

import asyncio
import glob
import json
import os
import re
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field, model_validator

from agentgym.env import Env, EnvConfig, EnvStep, Reset, Script
from agentgym.envs.textworld.console import KINDS, PDDL, Console, give_back, is_playable, take
from agentgym.envs.textworld.making import GameName, Recipe, Tier, settings_of
from agentgym.envs.textworld.texts import forms_of, opening, problem_of, tidied
from agentgym.errors import ConfigError, TaskError
from agentgym.tools import on_thread
from agentgym.types import OUTCOME, Message, Task, digest

_NUM_TEST = 64

_RULES = """\
You play a text adventure. Answer with one command and nothing else; the game tells what came of it.
Commands are: {forms}."""


class TextWorldConfig(EnvConfig):
    """Which games, and what is told of them."""

    id: ClassVar[str] = "agentgym/TextWorld-v0"
    packages: ClassVar[tuple[str, ...]] = ("textworld",)
    tiers: ClassVar[tuple[str, ...]] = ("easy", "medium", "hard")

    max_turns: int = Field(default=50, ge=1)
    """Steps after which an episode is truncated; the longest way of a tier takes about 25."""
    game: GameName = "custom"
    """Which of TextWorld's generators makes the games; custom gives rooms, things and a quest."""
    tier: Tier = "easy"
    """How large the games are and how much they tell."""
    options: dict[str, Any] = Field(default_factory=dict)
    """In place of the tier's, in TextWorld's words, as nb_rooms or quest_length for custom."""
    train_games: int = Field(default=256, ge=1)
    """How many games train has. Each takes a second to make, once, and 0.4 MB in the cache."""
    games: str | None = None
    """In place of generated games: files that fit a pattern, as data/**/*.z8 or *.tw-pddl."""
    test_games: str | None = None
    """Those held out; null: every fourth one of `games`."""
    show_admissible: bool = False
    """Tell which commands are admissible after every text, where the game knows it."""

    @model_validator(mode="after")
    def _check(self) -> "TextWorldConfig":
        if self.test_games is not None and self.games is None:
            raise ValueError("test_games needs games, too")
        return self

    def tasks(self, split: str) -> Iterator[Task]:
        """Yield games: test has 64 that train never has, or the files held out."""
        if self.games is not None:
            yield from (_task_of_file(name, path) for name, path in self._files(split))
            return
        settings = settings_of(self.game, self.tier, self.options, split)
        first = 0 if split == "test" else _NUM_TEST
        for seed in range(first, first + (_NUM_TEST if split == "test" else self.train_games)):
            yield Task(
                f"TextWorld's {self.game}, {self.tier}, seed {seed}",
                id=f"{self.game}-{self.tier}-{digest(settings)[:4]}-{seed}",
                payload=Recipe(self.game, settings, seed)._asdict(),
            )

    def build(self, sandboxes: object = None) -> "TextWorldEnv":
        """Make one environment."""
        return TextWorldEnv(self)

    def _files(self, split: str) -> list[tuple[str, Path]]:
        assert self.games is not None
        found = _matching(self.games)
        if self.test_games is None:
            chosen = [
                each for place, each in enumerate(found) if (place % 4 == 1) == (split == "test")
            ]
        else:
            held_out = _matching(self.test_games)
            if shared := {path for _, path in found} & {path for _, path in held_out}:
                raise ConfigError(f"{min(shared)} is in games and in test_games")
            chosen = held_out if split == "test" else found
        if not chosen:
            raise ConfigError(
                f"{self.games!r} leaves no game for the split {split!r}",
                hint="give several files, or test_games",
            )
        return chosen


class TextWorldEnv(Env):
    """`outcome` is 1.0 when the game is won, `score` what a step earned of the game's own score.

    `admissible` is 1.0 where a command was one of those that the game lists, which not every
    command that it understands is.
    """

    inline: ClassVar[bool] = True  # a step takes two milliseconds, most of them with the GIL

    def __init__(self, config: TextWorldConfig) -> None:
        self._config = config
        self._console: Console | None = None
        self._state: Any = None
        self._commands: list[str] = []

    async def reset(self, task: Task, *, seed: int) -> Reset:
        """Start the game of the task; the seed changes nothing."""
        self._task = task
        return await self._open(())

    async def step(self, message: Message) -> EnvStep:
        """Say a command to the game; what it must not hear is answered here and costs a turn."""
        await asyncio.sleep(0)  # let others act: a script would play to the end without a break
        command = message.content.strip().removeprefix(">").strip()
        problem = "it calls a tool" if message.tool_calls else problem_of(command)
        if problem is not None:
            terms = {OUTCOME: 0.0, "score": 0.0, "admissible": 0.0}
            return EnvStep((self._said(f"That is no command: {problem}."),), terms)
        assert self._console is not None, "no episode is under way"
        listed = command in self.actions()
        before = self._state
        if self._console.parses:
            self._state = state = await on_thread(partial(self._console.step, command))
        else:
            self._state = state = self._console.step(command)
        self._commands.append(command)
        terms = {
            OUTCOME: float(bool(state.won)),
            "score": _share(state) - _share(before),
            "admissible": float(listed),
        }
        over = bool(state.won or state.lost or state.done)
        text = tidied(state.feedback)
        return EnvStep((Message("user", text) if over else self._said(text),), terms, over)

    def close(self) -> None:
        """Leave the game to the next episode."""
        if self._console is not None:
            give_back(self._console)
            self._console = None

    def state_key(self) -> str | None:
        """Identify the state by all facts that hold and the score; else the last observation."""
        if self._state.facts is None:
            return None
        return digest(self._task.id, sorted(map(str, self._state.facts)), self._state.score or 0)

    def actions(self) -> Sequence[str]:
        """Return the admissible commands, where the game knows them."""
        return self._state.admissible_commands or ()

    def expert(self, task: Task, *, seed: int = 0, level: str = "expert") -> Script:
        """Return the player who asks TextWorld for the rest of the way, at every step."""
        if level != "expert" or self._state.admissible_commands is None:
            return super().expert(task, seed=seed, level=level)

        def play(conversation: Sequence[Message]) -> Message:
            if self._state.policy_commands is None:
                assert self._console is not None, "no episode is under way"
                self._state = self._console.guided(self._state, self._commands)
            way = self._state.policy_commands
            return Message("assistant", way[0] if way else "look")

        return play

    async def snapshot(self) -> bytes:
        """Return the commands so far: a game is the same whenever it hears the same."""
        payload = {"id": self._task.id, "payload": self._task.payload}
        return json.dumps({"task": payload, "commands": self._commands}).encode()

    async def restore(self, blob: bytes) -> None:
        """Say the commands again, in this environment or a new one."""
        saved = json.loads(blob)
        self._task = Task("", **saved["task"])
        await self._open(saved["commands"])

    async def _open(self, commands: Sequence[str]) -> Reset:
        self.close()
        wanted = wanted_by(self._task)

        def open_game() -> tuple[Console, Any]:
            console = take(wanted)
            return console, console.restart(commands)

        self._console, self._state = await on_thread(open_game)
        self._commands, state = list(commands), self._state
        forms = forms_of(state.command_templates or ["look, inventory, go north, take ..."])
        text = opening(state.feedback, state.objective)
        return Reset((Message("system", _RULES.format(forms=forms)), self._said(text)))

    def _said(self, text: str) -> Message:
        if self._config.show_admissible and self.actions():
            text = f"{text}\n\nYou can: {'; '.join(self.actions())}."
        return Message("user", text)


def _share(state: Any) -> float:
    """Return how much of the game's score is reached."""
    return (state.score or 0) / state.max_score if state.max_score else 0.0


def _task_of_file(name: str, path: Path) -> Task:
    return Task(name, id=name, payload={"file": str(path)})


def wanted_by(task: Task) -> Recipe | Path:
    """Return the game of a task.

    Raises:
        TaskError: it names none.
    """
    payload = task.payload if isinstance(task.payload, dict) else {}
    if "file" in payload:
        return Path(payload["file"])
    try:
        return Recipe(*(payload[field] for field in Recipe._fields))
    except KeyError as error:
        raise TaskError(
            f"task {task.id} names no game",
            hint="take tasks from TextWorldConfig().tasks(split)",
        ) from error


def _matching(pattern: str) -> list[tuple[str, Path]]:
    """Return (name, path) of the games that fit, sorted; the name leaves out what all share.

    A game is named as it was found, and once where several links lead to it.
    """
    pattern = os.path.expanduser(pattern)
    root = Path(os.path.dirname(re.split(r"[*?\[]", pattern)[0]))
    fitting: dict[Path, Path] = {}
    for each in sorted(map(Path, glob.glob(pattern, recursive=True))):
        fitting.setdefault(each.resolve(), each.relative_to(root))
    games = [each for each in fitting if is_playable(each) and not _is_left_out(each)]
    if not games:
        raise ConfigError(
            f"none of the {len(fitting)} files that fit {pattern!r} is a game with a text",
            hint=f"a pattern is like data/**/*.z8; a game is {KINDS}",
        )
    return [(f"{root.resolve().name}/{fitting[each]}", each) for each in games]


def _is_left_out(path: Path) -> bool:
    """Whether ALFWorld itself leaves a game out: its planner cannot solve it."""
    if path.suffix != PDDL:
        return False
    if "movable" in str(path) or "Sliced" in str(path):
        return True
    return re.search(r'"solvable": *false', path.read_text(encoding="utf-8")) is not None
