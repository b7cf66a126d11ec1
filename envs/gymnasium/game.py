"""Instances of Gymnasium's environments, each with the words for it.

They are made once and reset many times, as Gymnasium means it: making one can cost as much as
several episodes.
"""

import importlib.util
import json
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Literal, NamedTuple

from agentgym.envs.gymnasium import views
from agentgym.envs.gymnasium.known import KNOWN, Known
from agentgym.envs.gymnasium.planning import best_actions
from agentgym.envs.gymnasium.spaces import Actions, actions_of, names_of, reader_of
from agentgym.errors import ConfigError, MissingError
from agentgym.types import Message

View = Literal["auto", "ansi", "values", "grid"]

_MAX_IDLE = 64  # of one kind; more are closed


class Kind(NamedTuple):
    """Which environment; games of equal kinds are interchangeable after a reset."""

    env: str
    kwargs: str
    """JSON"""
    view: View
    names: tuple[str, ...] | None
    process: int
    """What a parent made is not for its child."""


class Game(NamedTuple):
    """One instance."""

    env: Any
    actions: Actions
    observe: Callable[[Any], str]
    rules: Message
    invalid_reward: float
    has_mission: bool
    """Observations hold a `mission` that the view does not tell."""


_idle: dict[Kind, list[Game]] = {}


def take(kind: Kind) -> Game:
    """Return a game that nobody plays.

    Raises:
        ConfigError: gymnasium knows no such environment, or its spaces cannot be put into words.
        MissingError: gymnasium, or what the environment needs, is not installed.
    """
    waiting = _idle.get(kind)
    return waiting.pop() if waiting else _new(kind)


def give_back(kind: Kind, game: Game) -> None:
    """Keep a game for whoever takes the next one."""
    waiting = _idle.setdefault(kind, [])
    if len(waiting) < _MAX_IDLE:
        waiting.append(game)
    else:
        game.env.close()


@lru_cache(maxsize=64)
def plan(kind: Kind) -> list[int] | None:
    """Return the best action in every state, where the environment says how it works."""
    game = take(kind)
    try:
        dynamics = getattr(game.env.unwrapped, "P", None)
        return best_actions(dynamics) if isinstance(dynamics, dict) else None
    finally:
        give_back(kind, game)


def _new(kind: Kind) -> Game:
    env = _make(kind)  # first, since it says what is missing
    import gymnasium

    known = KNOWN.get(type(env.unwrapped).__name__, Known("", ()))
    names = kind.names or known.actions or names_of(env.unwrapped, env.action_space)
    actions = actions_of(env.action_space, names)
    rules, can_draw = known.rules, _can_draw(env)
    has_mission = views.is_minigrid(env.observation_space)
    view = kind.view
    if view == "auto":
        is_text = isinstance(env.observation_space, gymnasium.spaces.Text)
        view = "grid" if has_mission else "ansi" if can_draw and not is_text else "values"
    if view == "grid":
        if not has_mission:
            raise _no_view(kind, env, "observations of MiniGrid")
        observe, rules = views.minigrid_view(), views.MINIGRID_RULES
    elif view == "ansi":
        env = _drawing(kind, env)
        render = env.render
        observe = lambda _: views.picture(render())  # noqa: E731
    else:
        observe = reader_of(env.observation_space)
        rules = "" if can_draw else rules  # they speak of the picture
    system = Message("system", f"{rules}\nAnswer with {actions.told}.".strip())
    return Game(env, actions, observe, system, known.invalid_reward, view == "grid")


def _drawing(kind: Kind, env: Any) -> Any:
    """Return the same environment, drawing for a terminal."""
    if env.render_mode == "ansi":
        return env
    if not _can_draw(env):
        raise _no_view(kind, env, "an environment with the render mode ansi")
    env.close()
    return _make(kind, render_mode="ansi")


def _can_draw(env: Any) -> bool:
    return "ansi" in env.metadata.get("render_modes", ())


def _no_view(kind: Kind, env: Any, wanted: str) -> ConfigError:
    env.close()
    return ConfigError(f"view={kind.view!r} needs {wanted}; {kind.env} is none", hint="view='auto'")


def _make(kind: Kind, **more: Any) -> Any:
    if importlib.util.find_spec("gymnasium") is None:
        raise MissingError(
            "agentgym/Gymnasium-v0 needs the package gymnasium",
            hint="pip install 'agentgym-framework[gym]'",
        )
    import gymnasium

    try:
        return gymnasium.make(
            kind.env, disable_env_checker=True, **{**json.loads(kind.kwargs), **more}
        )
    except (ModuleNotFoundError, gymnasium.error.DependencyNotInstalled) as error:
        raise MissingError(f"{kind.env} cannot be made: {error}") from error
    except (gymnasium.error.Error, TypeError) as error:
        raise ConfigError(
            f"gymnasium cannot make {kind.env!r}: {error}",
            hint="what a package registers when it is imported is written package:Name-v0",
        ) from error
