"""The configuration of a run: the sections of its parts. Importing this imports no torch."""

import itertools
import re
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

from pydantic import (
    BaseModel,
    Field,
    SerializeAsAny,
    ValidationError,
    model_serializer,
    model_validator,
)
from pydantic.fields import FieldInfo
from pydantic_core import PydanticCustomError

from agentgym.config.overlay import Resolved, resolve
from agentgym.config.toml import render_value
from agentgym.engines import AnyEngine
from agentgym.engines.local import LocalEngineConfig
from agentgym.engines.settings import ModelConfig
from agentgym.env import EnvConfig
from agentgym.envs import ENVS
from agentgym.errors import ConfigError
from agentgym.loading import absolute, load_env
from agentgym.renderers import AnyRenderer
from agentgym.renderers.chat import ChatRendererConfig
from agentgym.rollout.collect import RolloutConfig
from agentgym.rollout.openai.settings import OpenAIConfig
from agentgym.rollout.outside.settings import AgentConfig
from agentgym.sandboxes import AnySandbox
from agentgym.sandboxes.local import LocalSandboxConfig
from agentgym.store.run import Run
from agentgym.trainers.credit import AnyCredit
from agentgym.trainers.credit.gigpo import GiGPO
from agentgym.trainers.losses import PPO, AnyLoss
from agentgym.trainers.settings import (
    CheckpointConfig,
    EvalConfig,
    OptimConfig,
    TrainConfig,
    WarmStartConfig,
)
from agentgym.trainers.shaping import AnyShaper
from agentgym.trainers.shaping.outcome import Outcome


class EnvSection(BaseModel, extra="forbid", frozen=True):
    """`id`, and beside it the keys of the environment that it names."""

    id: str
    """An environment's id, `pkg.mod:Config`, or `path/file.py[:Config]`."""
    config: SerializeAsAny[EnvConfig]

    @classmethod
    def config_fields(cls, given: Mapping[str, Any]) -> dict[str, FieldInfo]:
        """Return the keys of the section.

        Raises:
            ConfigError, EnvError: there is no such environment.
        """
        ref = given.get("id")
        if ref is None:
            raise ConfigError("`env.id` is missing", hint=f"known: {', '.join(sorted(ENVS))}")
        if not isinstance(ref, str):
            raise ConfigError(f"`env.id` should be a valid string, not {ref!r}")
        return {"id": cls.model_fields["id"], **cls.config_owner(given).model_fields}

    @classmethod
    def config_owner(cls, given: Mapping[str, Any]) -> type[EnvConfig]:
        """Return the class that has the other keys of the section.

        Raises:
            ConfigError, EnvError: there is no such environment.
        """
        return load_env(given["id"], ENVS)

    @classmethod
    def of(cls, ref: str, **keys: Any) -> Self:
        """Return the section of an environment with some of its keys."""
        return cls.model_validate({"id": ref, **keys})

    @model_validator(mode="before")
    @classmethod
    def _gather(cls, given: Any) -> Any:
        if not isinstance(given, Mapping) or not isinstance(given.get("id"), str):
            return given
        keys = {key: value for key, value in given.items() if key != "id"}
        config = load_env(given["id"], ENVS).model_validate(keys)
        return {"id": absolute(given["id"]), "config": config}

    @model_serializer
    def _flat(self) -> dict[str, Any]:
        return {"id": self.id, **self.config.model_dump()}


class RunConfig(BaseModel, extra="forbid", frozen=True):
    """Everything that decides what a run does."""

    words: ClassVar[Mapping[str, Mapping[str, dict[str, Any]]]] = {
        "shaping": {"off": {"name": "outcome"}}
    }
    """Words that stand for a whole section."""

    seed: int = Field(default=0, ge=0)
    """All randomness of a run comes from it."""
    out: str | None = None
    """The run directory; null: runs/<environment>-<time>."""
    env: EnvSection
    model: ModelConfig = ModelConfig()
    engine: AnyEngine = LocalEngineConfig()
    """What decodes: one of these, or a class of your own (docs/engines.md)."""
    renderer: AnyRenderer = ChatRendererConfig()
    """How messages become tokens, and tokens messages."""
    sandbox: AnySandbox = LocalSandboxConfig()
    """Where programs of a model run."""
    rollout: RolloutConfig = RolloutConfig()
    shaping: AnyShaper = Outcome()
    """How the raw reward terms of steps become their rewards; "off": the outcome alone."""
    credit: AnyCredit = GiGPO()
    """How the rewards of steps become their advantages."""
    loss: AnyLoss = PPO()
    """What the weights descend on, given advantages."""
    optim: OptimConfig = OptimConfig()
    warm_start: WarmStartConfig = WarmStartConfig()
    train: TrainConfig = TrainConfig()
    checkpoint: CheckpointConfig = CheckpointConfig()
    eval: EvalConfig = EvalConfig()
    openai: OpenAIConfig = OpenAIConfig()
    agent: AgentConfig = AgentConfig()

    @model_validator(mode="before")
    @classmethod
    def _spell_out(cls, given: Any) -> Any:
        if not isinstance(given, Mapping):
            return given
        return {
            key: cls.words.get(key, {}).get(value, value) if isinstance(value, str) else value
            for key, value in given.items()
        }

    @model_validator(mode="after")
    def _check_split(self) -> Self:
        splits = self.env.config.splits
        if self.eval.split is not None and self.eval.split not in splits:
            message = f"{self.env.id} has the splits {', '.join(splits)}"
            raise _refused(("eval", "split"), message, self.eval.split)
        return self

    @model_validator(mode="after")
    def _check_agent(self) -> Self:
        if self.agent.command and self.warm_start.steps:
            message = "a program plays the episodes, and no script shows it how: leave one out"
            raise _refused(("warm_start", "steps"), message, self.warm_start.steps)
        return self

    def run_dir(self) -> Path:
        """Return where the run is written; named by the time when `out` is null."""
        if self.out is not None:
            return Path(self.out).expanduser()
        name = self.env.config.id.rpartition("/")[2].rpartition("-v")[0] or self.env.config.id
        return free_dir(Path("runs") / f"{name.lower()}-{time.strftime('%Y%m%d-%H%M%S')}")


def _refused(key: tuple[str, ...], message: str, value: object) -> ValidationError:
    """Return an error of one key that was found by looking at another."""
    kind = PydanticCustomError("other_key", "{message}", {"message": message})
    return ValidationError.from_exception_data(
        "RunConfig", [{"type": kind, "loc": key, "input": value}]
    )


def free_dir(path: Path) -> Path:
    """Return a path that does not exist: this one, or the first with a number behind it."""
    others = (path.with_name(f"{path.name}-{number}") for number in itertools.count(2))
    return next(each for each in itertools.chain([path], others) if not each.exists())


def resolve_words(words: Sequence[str]) -> Resolved[RunConfig]:
    """Resolve what stands on a command line: files, and `key=value` wherever they stand.

    Raises:
        ConfigError: as `resolve`.
    """
    files = [word for word in words if "=" not in word]
    for file in files:
        _refuse_other(file)
    return resolve(RunConfig, files, [word for word in words if "=" in word])


def _refuse_other(word: str) -> None:
    """Refuse what stands where a TOML file should and is something else that we know."""
    if (Path(word) / "run.json").is_file():
        hint = f"its configuration: {Path(word) / 'config.toml'}"
        raise ConfigError(f"{word} is a run directory", hint=hint)
    if _looks_like_env(word) and (word.endswith(".py") or not Path(word).is_file()):
        hint = f"an environment is given as env.id={word}"
        raise ConfigError(f"{word!r} is no configuration file", hint=hint)


def resolve_refs(refs: Sequence[str], overrides: Sequence[str] = ()) -> Resolved[RunConfig]:
    """Resolve TOML files, or one run directory or environment: whatever stands for a configuration.

    Raises:
        ConfigError: there is no such thing; otherwise as `resolve`.
    """
    if all(ref.endswith(".toml") for ref in refs):
        return resolve(RunConfig, refs, overrides)
    if len(refs) > 1:
        raise ConfigError(
            f"{' and '.join(map(repr, refs))} cannot be merged",
            hint="give TOML files, or one run directory or one environment",
        )
    ref = refs[0]
    if Path(ref).is_dir() or not _looks_like_env(ref):
        try:
            return recorded(Run.open(ref).config_path, overrides)
        except ConfigError as error:
            if (Path(ref) / "run.json").is_file():
                raise
            message = f"{ref!r} is no TOML file, run directory or environment"
            raise ConfigError(message, hint=error.hint) from error
    return resolve(RunConfig, overrides=[f"env.id={render_value(ref)}", *overrides])


def _looks_like_env(ref: str) -> bool:
    return ".py" in ref or ":" in ref or re.search(r"-v\d+$", ref) is not None


def recorded(config: Path, overrides: Sequence[str] = ()) -> Resolved[RunConfig]:
    """Read the configuration of a run again; each value keeps the source it had.

    Raises:
        ConfigError: as `resolve`.
    """
    return resolve(RunConfig, [config], overrides, recorded=True)
