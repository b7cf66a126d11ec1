"""What is known of TextArena's games before one is played."""

import importlib
import random
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, NamedTuple

from agentgym.errors import AgentGymError, ConfigError, MissingError
from agentgym.loading import did_you_mean, require_installed

_SHARED = "textarena.core"  # seeds the module `random` when a game is reset, and draws nothing


class Known(NamedTuple):
    """What is the same in all episodes of a game."""

    make: Callable[[], tuple[Any, Any]]
    """Returns a new game, in its wrappers where it has a view, and the game itself."""
    num_players: int
    has_view: bool
    """It shows something else than all that was said so far, such as the present board."""
    edits: tuple[Callable[[str], str], ...]
    """What TextArena's wrappers do to a move, such as adding brackets; empty where it has a view."""
    spaces: tuple[dict[str, Any], ...]
    """The names in the modules in which it draws."""
    shared: dict[str, Any]
    """Those in the module that seeds."""
    move: Any
    """The kind of observation that repeats a move."""


@cache
def known(name: str) -> Known:
    """Look at a game.

    Raises:
        ConfigError: there is none of this name, it cannot be made, or it is not for one or two.
        MissingError: textarena, or data that the game needs, is not there.
    """
    require()
    import textarena

    spec = _spec(name)
    path, _, _ = spec.entry_point.partition(":")
    wrappers = _wrappers(spec)
    has_view = any(issubclass(each, textarena.ObservationWrapper) for each in wrappers)
    try:
        with _aside():
            make = _maker(spec, wrappers if has_view else [])
            _, bare = make()
    except Exception as error:
        raise explained(name, error) from error
    modules = _modules(path.rpartition(".")[0])
    for module in modules:
        vars(module)["print"] = _hush  # some games tell what they are doing
    return Known(
        make=_aside()(make) if any(hasattr(each, "nltk") for each in modules) else make,
        num_players=_num_players(name, make),
        has_view=has_view,
        edits=() if has_view else tuple(each(bare).action for each in reversed(wrappers)),
        spaces=tuple(vars(each) for each in modules if getattr(each, "random", None) is random),
        shared=vars(sys.modules[_SHARED]),
        move=textarena.ObservationType.PLAYER_ACTION,
    )


def _spec(name: str) -> Any:
    from textarena.envs.registration import ENV_REGISTRY

    if name not in ENV_REGISTRY:
        close = did_you_mean(name, list(ENV_REGISTRY))
        hint = f"did you mean {close!r}?" if close else "textarena.envs.registration has the names"
        raise ConfigError(f"textarena has no game {name!r}", hint=hint)
    return ENV_REGISTRY[name]


def _wrappers(spec: Any) -> list[Any]:
    """Return those of a game that are needed, innermost first.

    A conversation holds what was said; TextArena's default observation repeats it every time.
    """
    from textarena.wrappers import LLMObservationWrapper

    return [each for each in spec.default_wrappers or () if each is not LLMObservationWrapper]


def _maker(spec: Any, wrappers: Iterable[Any]) -> Callable[[], tuple[Any, Any]]:
    path, _, attribute = spec.entry_point.partition(":")
    kind = getattr(importlib.import_module(path), attribute)

    def make() -> tuple[Any, Any]:
        env = bare = kind(**spec.kwargs)
        for wrapper in wrappers:
            env = wrapper(env)
        return env, bare

    return make


def require() -> None:
    """Look for the package.

    Raises:
        MissingError: it is not installed.
    """
    require_installed("textarena", needed_by="agentgym/TextArena-v0", extra="textarena")


def explained(name: str, error: Exception) -> AgentGymError:
    """Return the error that says why a game cannot be made."""
    if type(error) is LookupError:  # its subclasses are ordinary errors
        return MissingError(
            f"{name} needs word lists of nltk, which are not on this machine",
            hint="python -m nltk.downloader words averaged_perceptron_tagger_eng",
        )
    return ConfigError(
        f"textarena cannot make {name!r}: {type(error).__name__}: {error}",
        hint="docs/adapters.md tells which games can be played",
    )


def canonical(value: Any) -> Any:
    """Return a state as JSON, equal in every process."""
    if value is None or isinstance(value, str | int | float):
        return value
    if isinstance(value, dict):
        return sorted(([canonical(key), canonical(each)] for key, each in value.items()), key=repr)
    if isinstance(value, set | frozenset):
        return sorted(map(canonical, value), key=repr)
    if isinstance(value, Iterable):
        return [canonical(each) for each in value]
    return [type(value).__name__, canonical(getattr(value, "__dict__", None))]


def _modules(package: str) -> list[Any]:
    inside = f"{package}."
    return [module for name, module in list(sys.modules.items()) if name.startswith(inside)]


def _num_players(name: str, make: Callable[[], tuple[Any, Any]]) -> int:
    problems = []
    for number in (2, 1):
        try:
            with _aside():
                make()[0].reset(num_players=number, seed=0)
        except Exception as error:  # noqa: BLE001  games refuse in many ways
            problems.append(str(error))
        else:
            return number
    raise ConfigError(f"{name} is not for one or two players: {'; '.join(problems)}")


def _hush(*_: Any, **__: Any) -> bool:
    """Stand in for `print`, and for downloads."""
    return False


@contextmanager
def _aside() -> Iterator[None]:
    """Look at a game without drawing for the process, and without fetching word lists."""
    import nltk

    state, download = random.getstate(), nltk.download
    nltk.download = _hush
    try:
        yield
    finally:
        nltk.download = download
        random.setstate(state)
