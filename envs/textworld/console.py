"""Running games: started once, played many times, one episode after the other."""

import os
import re
import threading
import warnings
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from agentgym.envs.textworld.making import Recipe, check_installed, made
from agentgym.errors import ConfigError, EnvError, MissingError, boundary

KINDS = "a .z8 that TextWorld made with its .json beside it, another .z1 to .z8, or a .tw-pddl"

PDDL = ".tw-pddl"
_SEED = 20  # of the interpreter: whatever a game draws, it draws again
_MAX_IDLE = 32

_parsing = threading.Lock()  # TextWorld's parsers and generators are no good on two threads
_sorting = threading.Lock()  # for the list alone
_idle: list["Console"] = []


class Console:
    """One running game."""

    def __init__(self, path: Path) -> None:
        self.key = (path, os.getpid())  # what a parent started is not for its child
        self.env = _start(path)
        self.parses = path.suffix == PDDL
        """Whether it parses while it is played, which takes a while and the lock."""

    def step(self, command: str) -> Any:
        """Return the state after a command."""
        with _parsing if self.parses else nullcontext():
            return self.env.step(command)[0]

    def restart(self, commands: Sequence[str] = (), *, guided: bool = False) -> Any:
        """Return the state of a new game after some commands."""
        self.env.request_infos.policy_commands = guided
        with _parsing if self.parses else nullcontext():
            state = self.env.reset()
        for command in commands:
            state = self.step(command)
        return state

    def guided(self, state: Any, commands: Sequence[str]) -> Any:
        """Return the present state, from here on with the way to win, which takes its time.

        It holds up who asks, but does not wait for games that are being made meanwhile.
        """
        if not self.parses:
            return self.restart(commands, guided=True)
        self.env.request_infos.policy_commands = True
        state.policy_commands = self.env._pddl_state.replan(self.env._entity_infos)
        return state


def take(what: Recipe | Path) -> Console:
    """Return a game that nobody plays. This blocks, for seconds where the game must be made.

    Raises:
        ConfigError: there is no such game, or TextWorld cannot play it.
        MissingError: a package is missing.
        EnvError: making or starting it failed.
    """
    check_installed()
    with _parsing, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # they are for those who write games
        path = what if isinstance(what, Path) else made(what)
        return _waiting(path) or Console(path)


def give_back(console: Console) -> None:
    """Keep a game for whoever plays it next."""
    with _sorting:
        _idle.append(console)
        oldest = _idle.pop(0) if len(_idle) > _MAX_IDLE else None
    if oldest is not None:
        oldest.env.close()


def _waiting(path: Path) -> Console | None:
    with _sorting:
        for place, console in enumerate(_idle):
            if console.key == (path, os.getpid()):
                return _idle.pop(place)
    return None


def _start(path: Path) -> Any:
    import textworld

    if not path.is_file():
        raise ConfigError(f"there is no game {path}")
    if not is_playable(path):
        raise ConfigError(f"{path} is no game with a text", hint=f"give {KINDS}")
    is_known = path.suffix == PDDL or path.with_suffix(".json").is_file()
    infos = textworld.EnvInfos(
        **dict.fromkeys(("feedback", "won", "lost", "score", "max_score"), True),
        **dict.fromkeys(("objective", "command_templates"), True),
        **dict.fromkeys(("admissible_commands", "facts"), is_known),
    )
    try:
        with boundary(EnvError, f"starting {path}"):
            env = textworld.start(str(path), infos)
    except EnvError as error:
        if not isinstance(error.__cause__, ImportError):
            raise
        raise MissingError(
            f"{path.name} needs the package fast_downward",
            hint="pip install 'textworld[pddl]' (it needs cmake and a C++ compiler)",
        ) from error
    env.seed(_SEED)
    if path.suffix == PDDL:
        _name_things(env._entity_infos.values())
    return env


def is_playable(path: Path) -> bool:
    """Whether a name is that of a game with a text."""
    return re.fullmatch(r"\.z[1-8]|\.tw-pddl", path.suffix) is not None


def _name_things(things: Any) -> None:
    """Call ALFWorld's things by kind and number: Apple_bar__minus_00_dot_12 is apple 1."""
    numbers: dict[str, int] = {}
    for thing in sorted(things, key=lambda each: each.id):
        name, found, _ = thing.id.partition("_bar_")
        if found:
            numbers[name] = numbers.get(name, 0) + 1
            thing.name = f"{name.lower()} {numbers[name]}"
