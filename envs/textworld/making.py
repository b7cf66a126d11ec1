"""Games that TextWorld makes: what of, and where they are kept.

A game is made once per machine, from its recipe alone, which a task carries with it.
"""

import json
import tempfile
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal, NamedTuple

from agentgym.errors import ConfigError, EnvError, boundary
from agentgym.loading import require_installed
from agentgym.store.files import user_cache
from agentgym.types import digest

GameName = Literal["custom", "coin_collector", "treasure_hunter", "simple", "cooking"]
Tier = Literal["easy", "medium", "hard"]

_ATTEMPTS = 10  # for a few seeds the generator finds no game
_NEXT_SEED = 1_000_003
_IDLE_KITCHEN = {"open": False, "cook": False, "cut": False, "drop": False}
_BUSY_KITCHEN = {"open": True, "cook": True, "cut": True, "drop": False}

TIERS: dict[str, dict[str, dict[str, Any]]] = {
    "custom": {
        "easy": {"nb_rooms": 3, "nb_objects": 6, "quest_length": 3},
        "medium": {"nb_rooms": 6, "nb_objects": 10, "quest_length": 5},
        "hard": {
            "nb_rooms": 8,
            "nb_objects": 12,
            "quest_length": 7,
            "grammar.only_last_action": True,  # tells the goal, not the way to it
        },
    },
    "coin_collector": {"easy": {"level": 5}, "medium": {"level": 110}, "hard": {"level": 220}},
    "treasure_hunter": {"easy": {"level": 5}, "medium": {"level": 15}, "hard": {"level": 20}},
    "simple": {
        "easy": {"rewards": "dense", "goal": "detailed"},
        "medium": {"rewards": "balanced", "goal": "brief"},
        "hard": {"rewards": "sparse", "goal": "none"},
    },
    "cooking": {
        "easy": {**_IDLE_KITCHEN, "recipe": 1, "take": 1, "go": 1},
        "medium": {**_BUSY_KITCHEN, "recipe": 2, "take": 2, "go": 6, "cut": False},
        "hard": {**_BUSY_KITCHEN, "recipe": 3, "take": 3, "go": 6},
    },
}
"""Settings in TextWorld's own words, as `tw-make` takes them."""


class Recipe(NamedTuple):
    """All that decides a game."""

    game: str
    settings: str
    """JSON"""
    seed: int

    def path(self) -> Path:
        """Return where the game is kept."""
        kind = f"{self.game}-{digest(self.settings)}"
        return user_cache("textworld") / version("textworld") / kind / str(self.seed) / "game.z8"


def settings_of(game: GameName, tier: Tier, options: dict[str, Any], split: str) -> str:
    """Return the settings of the games of a split, as JSON.

    Where a game has words of its own for testing, the test split has those.

    Raises:
        ConfigError: there is no such option.
    """
    settings = TIERS[game][tier]
    known = {each for tiers in TIERS[game].values() for each in tiers}
    if game == "custom":
        known |= {"nb_parallel_quests", "quest_breadth"}
        known |= {f"grammar.{each}" for each in _GRAMMAR}
    if strangers := options.keys() - known:
        raise ConfigError(
            f"TextWorld's {game} has no option {sorted(strangers)[0]!r}",
            hint=f"it has {', '.join(sorted(known))}",
        )
    held_out: dict[str, Any] = {}
    if game == "simple":
        held_out = {"test": split == "test"}
    elif game == "cooking":
        held_out = {"split": "test" if split == "test" else "train"}
    return json.dumps({**settings, **options, **held_out}, sort_keys=True)


_GRAMMAR = (
    *("theme", "include_adj", "blend_descriptions", "ambiguous_instructions"),
    *("only_last_action", "blend_instructions", "unique_expansion", "allowed_variables_numbering"),
)


def made(recipe: Recipe) -> Path:
    """Return the file of a game; make it where this machine does not have it yet.

    Raises:
        ConfigError: no game can be made of these settings.
        EnvError: TextWorld's compiler failed.
    """
    path = recipe.path()
    if not path.exists():
        home = path.parent
        home.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="making-", dir=home.parent) as folder:
            _make(recipe, Path(folder) / "game.z8")
            with suppress(OSError):  # another process was faster: its game is the same one
                Path(folder).rename(home)
    return path


def _make(recipe: Recipe, path: Path) -> None:
    from textworld.generator import QuestGenerationError, compile_game

    for attempt in range(_ATTEMPTS):
        options = _options(recipe, attempt)
        options.path = str(path)
        try:
            game = _generated(recipe, options)
        except QuestGenerationError:
            continue
        with boundary(EnvError, f"compiling {recipe}"):
            compile_game(game, options)
        path.with_suffix(".ni").unlink()
        return
    raise ConfigError(
        f"TextWorld finds no {recipe.game} game with {recipe.settings}",
        hint="more rooms and objects, or a shorter quest",
    )


def _options(recipe: Recipe, attempt: int) -> Any:
    import textworld

    options = textworld.GameOptions()
    options.seeds = recipe.seed + attempt * _NEXT_SEED
    return options


def _generated(recipe: Recipe, options: Any) -> Any:
    from textworld.challenges import CHALLENGES
    from textworld.generator import make_game

    settings = json.loads(recipe.settings)
    try:
        if recipe.game != "custom":
            _, make, _ = CHALLENGES[f"tw-{recipe.game}"]
            settings.setdefault("recipe_seed", recipe.seed + 1)  # 0 would be no seed
            return make(settings, options)
        for name, value in settings.items():
            part, _, field = name.rpartition(".")
            setattr(getattr(options, part) if part else options, field, value)
        return make_game(options)
    except (AssertionError, TypeError, ValueError) as error:
        raise ConfigError(
            f"TextWorld cannot make a {recipe.game} game with {recipe.settings}: {error}"
        ) from error


def check_installed() -> None:
    """Look for the package.

    Raises:
        MissingError: it is not there.
    """
    require_installed("textworld", needed_by="agentgym/TextWorld-v0", extra="textworld")
