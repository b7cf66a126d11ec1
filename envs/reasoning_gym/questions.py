"""Datasets of reasoning-gym: made by name, asked for questions without end, in two splits."""

import inspect
import json
import os
from collections.abc import Iterator
from dataclasses import replace
from difflib import get_close_matches
from functools import lru_cache
from itertools import count
from typing import Any, NamedTuple

from agentgym.errors import ConfigError, boundary
from agentgym.loading import require_installed
from agentgym.types import digest

CHUNK = 500  # questions of one dataset object, as many as reasoning-gym makes by default
_SEED_STEP = 1 << 20  # what lies between is a stream of its own
_TEST_SHARE = 4  # one question of so many is held out
_NUM_TEST = 100
_OURS = ("seed", "size")
_PATIENCE = 5_000  # questions looked at for one more; small datasets repeat theirs

_REFUSED = {
    "composite": "is a mixture; give the names of its parts instead",
    "list_functions": "draws from the global random generator: its questions never come again",
}
_HASHES = (  # these go through sets of texts
    *("isomorphic_strings", "knight_swap", "polynomial_multiplication"),
    *("ransom_note", "word_ladder"),
)


class Source(NamedTuple):
    """Where questions come from."""

    dataset: str
    options: str
    """JSON"""
    level: int | None
    seed: int


def questions(source: Source, split: str) -> Iterator[int]:
    """Yield places of questions: for `test` up to 100 different ones, else all others, endlessly.

    A digest of the question alone decides which split it belongs to, so that no question stands
    in both, however small the dataset is and however often it repeats itself.

    Raises:
        ConfigError: there are no such questions.
    """
    held_out = split == "test"
    seen: set[str] = set()  # of those to test with; train may repeat itself
    last = 0
    for place in count():
        question = entry(source, place)["question"]
        if _is_held_out(question) == held_out and question not in seen:
            yield place
            last = place
            if held_out:
                seen.add(question)
        if len(seen) == _NUM_TEST:
            return
        if place - last > _PATIENCE:
            break
    if not held_out:
        raise ConfigError(
            f"reasoning-gym's {source.dataset!r} has too few questions to train on",
            hint=f"choose wider options than {source.options}",
        )


@lru_cache(maxsize=4096)
def entry(source: Source, place: int) -> dict[str, Any]:
    """Return a question with its answer and what scoring it needs, as reasoning-gym made it.

    Raises:
        ConfigError: the dataset cannot be made, or not this question.
        MissingError: reasoning-gym is not installed.
    """
    made = dataset(source, place // CHUNK)
    with boundary(ConfigError, f"making question {place} of reasoning-gym's {source.dataset!r}"):
        found: dict[str, Any] = made[place % CHUNK]
    return found


@lru_cache(maxsize=64)
def dataset(source: Source, chunk: int = 0) -> Any:
    """Return the dataset that holds a chunk of the questions.

    Raises:
        ConfigError: reasoning-gym has no such dataset, or not with these options.
        MissingError: reasoning-gym is not installed.
    """
    factory = _factory()
    _check_name(factory, source)
    dataset_class, config_class = factory.DATASETS[source.dataset]
    # Most datasets seed question i with seed + i, so that chunks must lie a chunk apart.
    given = {"seed": source.seed * _SEED_STEP + chunk * CHUNK, "size": CHUNK}
    try:
        return dataset_class(_configured(factory, source, given))
    except (AssertionError, TypeError, ValueError) as error:
        known = sorted(inspect.signature(config_class).parameters.keys() - {*_OURS})
        raise ConfigError(
            f"reasoning-gym cannot make {source.dataset!r} with options {source.options}"
            f"{'' if source.level is None else f' at level {source.level}'}: {error}",
            hint=f"its options are {', '.join(known)}",
        ) from error


def _check_name(factory: Any, source: Source) -> None:
    """Refuse a dataset that there is not, or not as it is asked for."""
    name = source.dataset
    if name in _REFUSED:
        raise ConfigError(f"reasoning-gym's dataset {name!r} {_REFUSED[name]}")
    if name not in factory.DATASETS:
        known = sorted(factory.DATASETS.keys() - _REFUSED)
        close = get_close_matches(name, known, 1)
        raise ConfigError(
            f"reasoning-gym has no dataset {name!r}",
            hint=f"did you mean {close[0]!r}?" if close else f"it has {', '.join(known)}",
        )
    if name in _HASHES and os.environ.get("PYTHONHASHSEED", "random") == "random":
        raise ConfigError(
            f"reasoning-gym's dataset {name!r} asks other questions in every process",
            hint="set PYTHONHASHSEED=0 in the environment, then start again",
        )
    if source.level is not None and name not in factory.CURRICULA:
        raise ConfigError(f"reasoning-gym has no curriculum for {name!r}", hint="leave level out")


def _configured(factory: Any, source: Source, given: dict[str, int]) -> Any:
    """Return the configuration of a dataset; the options go before its level."""
    options = json.loads(source.options)
    if source.level is None:
        _, config_class = factory.DATASETS[source.dataset]
        return config_class(**given, **options)
    curriculum = factory.CURRICULA[source.dataset]()
    curriculum.set_global_level(source.level)
    return replace(curriculum.generate_configuration(given), **options)


def _is_held_out(question: str) -> bool:
    return int(digest(question), 16) % _TEST_SHARE == 0


def _factory() -> Any:
    require_installed("reasoning_gym", needed_by="agentgym/ReasoningGym-v0", extra="reasoning-gym")
    import reasoning_gym  # registers its datasets

    return reasoning_gym.factory
