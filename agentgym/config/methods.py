"""The methods of a run alone: how it shapes and gives credit, read without its environment.

On a command line several methods stand in one list, each with its settings behind it:

    salt,history=1,base.name=rloo,gigpo       two: salt with two settings, then gigpo

A word with `=` is a key of the method before it, written as in `credit.KEY=VALUE`. Commas inside
of brackets and quotes belong to values.
"""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import ClassVar, NamedTuple, TypeVar

from pydantic import BaseModel

from agentgym.config.earlier import write_anew
from agentgym.config.layers import Layers
from agentgym.config.overlay import check_layers, resolve
from agentgym.config.run import RunConfig
from agentgym.config.toml import read_toml
from agentgym.errors import ConfigError
from agentgym.renderer import RendererConfig
from agentgym.renderers import AnyRenderer
from agentgym.trainers.credit import AnyCredit, CreditConfig
from agentgym.trainers.losses import AnyLoss
from agentgym.trainers.settings import TrainConfig
from agentgym.trainers.shaping import AnyShaper, ShaperConfig

M = TypeVar("M", bound=BaseModel)

_PART = re.compile(r""""(?:[^"\\]|\\.)*"|'[^']*'|.""", re.DOTALL)
_OPEN, _CLOSE = "[{", "]}"


class Methods(BaseModel, extra="forbid", frozen=True):
    """The sections that turn reward terms into advantages."""

    words: ClassVar = RunConfig.words
    shaping: AnyShaper = RunConfig.model_fields["shaping"].default
    credit: AnyCredit = RunConfig.model_fields["credit"].default


class Training(BaseModel, extra="forbid", frozen=True):
    """The sections that turn advantages into the weights of tokens."""

    words: ClassVar = RunConfig.words
    loss: AnyLoss = RunConfig.model_fields["loss"].default
    train: TrainConfig = RunConfig.model_fields["train"].default


class Rendering(BaseModel, extra="forbid", frozen=True):
    """The section that turns messages into tokens."""

    renderer: AnyRenderer = RunConfig.model_fields["renderer"].default


class Named(NamedTuple):
    """A method, and what it was called on the command line."""

    label: str
    name: str
    settings: tuple[str, ...]


def recorded_methods(config: str | Path) -> Methods:
    """Return the methods in the configuration of a run; the rest of it is not looked at.

    Raises:
        ConfigError: it is not there or cannot be read, or this version has no such method.
    """
    return _recorded(Methods, config)


def recorded_training(config: str | Path) -> Training:
    """Return how the configuration of a run turned advantages into weights of tokens.

    Raises:
        ConfigError: as above.
    """
    return _recorded(Training, config)


def recorded_renderer(config: str | Path) -> RendererConfig:
    """Return how the configuration of a run turned messages into tokens.

    Raises:
        ConfigError: as above.
    """
    return _recorded(Rendering, config).renderer


def _recorded(kind: type[M], config: str | Path) -> M:
    if not Path(config).exists():
        raise ConfigError(
            f"{config} is missing: nothing else says by which methods this run was trained",
            hint="put it back; a run is whole only with all files of its directory",
        )
    layers = Layers()
    for entry in read_toml(config):
        if entry.path[0] in kind.model_fields:
            layers.put(entry.path, entry.value, f"{config}:{entry.line}")
    write_anew(layers)
    return check_layers(kind, layers).config


def parse_credits(texts: Iterable[str]) -> dict[str, CreditConfig]:
    """Return the estimators of lists like `salt,history=1,gigpo`, each by its label.

    Raises:
        ConfigError: there is no such estimator or setting.
    """
    found: dict[str, CreditConfig] = {}
    for named in _named(texts, "--credit salt,history=1,gigpo"):
        found[named.label] = _made("credit", named).credit
    return found


def parse_shapers(texts: Iterable[str]) -> dict[str, ShaperConfig]:
    """Return the shapers of such lists, each by its label.

    Raises:
        ConfigError: there is no such shaper or setting.
    """
    found: dict[str, ShaperConfig] = {}
    for named in _named(texts, """--shaping 'gated,levels=[{term="outcome"}]'"""):
        found[named.label] = _made("shaping", named).shaping
    return found


def _named(texts: Iterable[str], example: str) -> Iterator[Named]:
    """Give each method of the lists the settings that follow it."""
    for text in texts:
        methods: list[list[str]] = []
        for word in split_words(text):
            if "=" not in word:
                methods.append([word])
            elif methods:
                methods[-1].append(word)
            else:
                hint = f"write the name first, for example {example}"
                raise ConfigError(f"{word!r} is a setting of nothing", hint=hint)
        if not methods:
            raise ConfigError(f"{text!r} names nothing", hint=f"for example {example}")
        for name, *settings in methods:
            yield Named(",".join([name, *settings]), name, tuple(settings))


def _made(section: str, named: Named) -> Methods:
    """Resolve one method alone, and hint at what helps where there is no other configuration."""
    try:
        return resolve(Methods, overrides=_keys(section, named)).config
    except ConfigError as error:
        hint, words = error.hint or "", Methods.words.get(section, {})
        if f"unknown {section} {named.name!r}" in str(error) and named.name not in words:
            hint = ", ".join([hint, *words])
        elif missing := re.match(rf"missing key `{section}\.(.+)`$", str(error)):
            hint = (
                f"write {named.label},{missing[1]}=...; "
                f"agentgym config explain {section}.name={named.name} lists its keys"
            )
        elif "agentgym config show" in hint:
            hint = f"agentgym config explain {section}.name={named.name} lists its keys"
        raise ConfigError(str(error), hint=hint) from error


def _keys(section: str, named: Named) -> list[str]:
    """Return what would be written for a method on the command line of a training."""
    if named.name in Methods.words.get(section, ()) and not named.settings:
        return [f"{section}={named.name}"]
    return [f"{section}.{word}" for word in (f"name={named.name}", *named.settings)]


def split_words(text: str) -> list[str]:
    """Cut a list at its commas, but not inside of brackets and quotes.

    >>> split_words('gigpo,base={name = "grpo", cross_steps = true},salt')
    ['gigpo', 'base={name = "grpo", cross_steps = true}', 'salt']
    """
    words, depth, word = [], 0, ""
    for part in _PART.findall(text):
        depth += (part in _OPEN) - (part in _CLOSE)
        if part == "," and depth <= 0:
            words.append(word)
            word = ""
        else:
            word += part
    return [found for each in [*words, word] if (found := each.strip())]
