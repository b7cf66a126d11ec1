"""Instances of Gymnasium's environments, each with the words for it.

They are made once and reset many times, as Gymnasium means it: making one can cost as much as
several episodes.
"""

import json
import os
from collections.abc import Callable
from functools import cached_property, lru_cache
from typing import Any, Literal, NamedTuple

from agentgym.envs.gymnasium import views
from agentgym.envs.gymnasium.known import KNOWN, Known
from agentgym.envs.gymnasium.planning import best_actions
from agentgym.envs.gymnasium.spaces import Actions, actions_of, names_of, reader_of
from agentgym.errors import ConfigError, MissingError
from agentgym.loading import require_installed
from agentgym.panels import Panel, Terminal
from agentgym.types import Message

View = Literal["auto", "ansi", "values", "grid"]

_MAX_IDLE = 64  # of one kind; more are closed


class Game(NamedTuple):
    """One instance."""

    env: Any
    actions: Actions
    show: Callable[[Any], tuple[Message, ...]]
    """From an observation to the one message that tells it."""
    rules: Message
    invalid_reward: float
    has_mission: bool
    """Observations hold a `mission` that the view does not tell."""
    draw: Callable[[], tuple[Panel, ...]]
    """The picture of the present state, for people."""


class Games:
    """Instances of one environment, interchangeable after a reset: take one, and give it back."""

    def __init__(
        self, env: str, kwargs: str, view: View, names: tuple[str, ...] | None = None
    ) -> None:
        self.env = env
        self.kwargs = kwargs
        self.view = view
        self.names = names
        self._idle: list[Game] = []

    def take(self) -> Game:
        """Return a game that nobody plays.

        Raises:
            ConfigError: gymnasium knows no such environment, or its spaces are not for words.
            MissingError: gymnasium, or what the environment needs, is not installed.
        """
        return self._idle.pop() if self._idle else _new(self)

    def give_back(self, game: Game) -> None:
        """Keep a game for whoever takes the next one."""
        if len(self._idle) < _MAX_IDLE:
            self._idle.append(game)
        else:
            game.env.close()

    @cached_property
    def best_actions(self) -> list[int] | None:
        """The best action in every state, where the environment says how it works."""
        game = self.take()
        try:
            dynamics = getattr(game.env.unwrapped, "P", None)
            return best_actions(dynamics) if isinstance(dynamics, dict) else None
        finally:
            self.give_back(game)


games_of = lru_cache(maxsize=64)(Games)
"""The games of an environment with these settings, the same for all who ask in this process."""

os.register_at_fork(after_in_child=games_of.cache_clear)  # some hold on to threads of the parent


@lru_cache(maxsize=1 << 12)
def said(text: str) -> tuple[Message, ...]:
    """Return an observation; games repeat themselves, and a message never changes."""
    return (Message("user", text),)


def _new(games: Games) -> Game:
    env = _make(games)  # first, since it says what is missing
    import gymnasium

    known = KNOWN.get(type(env.unwrapped).__name__, Known("", ()))
    names = games.names or known.actions or names_of(env.unwrapped, env.action_space)
    actions = actions_of(env.action_space, names)
    rules, can_draw = known.rules, _can_draw(env)
    has_mission = views.is_minigrid(env.observation_space)
    view = games.view
    draw: Callable[[], tuple[Panel, ...]] = tuple
    if view == "auto":
        is_text = isinstance(env.observation_space, gymnasium.spaces.Text)
        view = "grid" if has_mission else "ansi" if can_draw and not is_text else "values"
    if view == "grid":
        if not has_mission:
            raise _no_view(games, env, "observations of MiniGrid")
        tell, rules = views.minigrid_view(), views.MINIGRID_RULES
        show = lambda observation: said(tell(observation))  # noqa: E731
        draw = lambda: (views.minigrid_panel(env.unwrapped),)  # noqa: E731
    elif view == "ansi":
        env = _drawing(games, env)
        render = _drawer(env).render
        show, draw = _picture_of(render), lambda: (Terminal(text=render()),)
    else:
        show = _values_of(env.observation_space)
        rules = "" if can_draw else rules  # they speak of the picture
    system = Message("system", f"{rules}\nAnswer with {actions.told}.".strip())
    return Game(env, actions, show, system, known.invalid_reward, view == "grid", draw)


def _picture_of(render: Callable[[], str]) -> Callable[[Any], tuple[Message, ...]]:
    @lru_cache(maxsize=1 << 12)
    def show(drawn: str) -> tuple[Message, ...]:
        return said(views.picture(drawn))

    return lambda _: show(render())


def _values_of(space: Any) -> Callable[[Any], tuple[Message, ...]]:
    from gymnasium import spaces

    tell = reader_of(space)

    def show(observation: Any) -> tuple[Message, ...]:
        return said(tell(observation))

    parts = space.spaces if isinstance(space, spaces.Tuple) else (space,)
    is_hashable = all(isinstance(part, spaces.Discrete) for part in parts)
    return lru_cache(maxsize=1 << 12)(show) if is_hashable else show


def _drawer(env: Any) -> Any:
    """Return what draws, below the layers that only pass on what it drew."""
    from gymnasium.core import Wrapper
    from gymnasium.wrappers import OrderEnforcing

    while isinstance(env, Wrapper) and type(env).render in (Wrapper.render, OrderEnforcing.render):
        env = env.env
    return env


def _drawing(games: Games, env: Any) -> Any:
    """Return the same environment, drawing for a terminal."""
    if env.render_mode == "ansi":
        return env
    if not _can_draw(env):
        raise _no_view(games, env, "an environment with the render mode ansi")
    env.close()
    return _make(games, render_mode="ansi")


def _can_draw(env: Any) -> bool:
    return "ansi" in env.metadata.get("render_modes", ())


def _no_view(games: Games, env: Any, wanted: str) -> ConfigError:
    env.close()
    return ConfigError(
        f"view={games.view!r} needs {wanted}; {games.env} is none", hint="view='auto'"
    )


def _make(games: Games, **more: Any) -> Any:
    require_installed("gymnasium", needed_by="agentgym/Gymnasium-v0", extra="gym")
    import gymnasium

    try:
        return gymnasium.make(
            games.env, disable_env_checker=True, **{**json.loads(games.kwargs), **more}
        )
    except (ModuleNotFoundError, gymnasium.error.DependencyNotInstalled) as error:
        raise MissingError(f"{games.env} cannot be made: {error}") from error
    except (gymnasium.error.Error, TypeError) as error:
        raise ConfigError(
            f"gymnasium cannot make {games.env!r}: {error}",
            hint="what a package registers when it is imported is written package:Name-v0",
        ) from error
