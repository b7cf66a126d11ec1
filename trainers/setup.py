"""What a training run is made of: the policy in the trainer, the engine that samples from it."""

import copy
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import torch

from agentgym.engine import Engine, Loaded
from agentgym.engines import AnyEngine
from agentgym.engines.model import ModelConfig, load_model
from agentgym.env import EnvConfig, first_tasks
from agentgym.errors import ConfigError, EngineError, PolicyError, boundary
from agentgym.renderer import Renderer, RendererConfig
from agentgym.rollout.collect import RolloutConfig, collect, make_jobs
from agentgym.rollout.scripted import scripted_policies
from agentgym.sandbox import Sandboxes
from agentgym.trainers.credit.base import CreditConfig
from agentgym.trainers.losses import Loss
from agentgym.trainers.policy import TrainerPolicy
from agentgym.trainers.settings import (
    CheckpointConfig,
    EvalConfig,
    OptimConfig,
    TrainConfig,
    WarmStartConfig,
)
from agentgym.trainers.shaping.base import ShaperConfig
from agentgym.trainers.sync import Sync
from agentgym.types import ToolSpec, Trajectory

_WORD_TASKS = 64  # tasks whose episodes teach a tiny tokenizer its words


class Settings(Protocol):
    """The sections of a run's configuration that training reads."""

    @property
    def seed(self) -> int:
        """All randomness comes from it."""

    @property
    def model(self) -> ModelConfig:
        """Where the policy begins."""

    @property
    def engine(self) -> AnyEngine:
        """What decodes."""

    @property
    def renderer(self) -> RendererConfig:
        """Messages to tokens and back."""

    @property
    def rollout(self) -> RolloutConfig:
        """How episodes are collected."""

    @property
    def shaping(self) -> ShaperConfig:
        """Reward terms become rewards."""

    @property
    def credit(self) -> CreditConfig:
        """Rewards become advantages."""

    @property
    def loss(self) -> Loss:
        """Advantages become gradients."""

    @property
    def optim(self) -> OptimConfig:
        """Gradients become weights."""

    @property
    def warm_start(self) -> WarmStartConfig:
        """Imitation, before everything else."""

    @property
    def train(self) -> TrainConfig:
        """How long, and how a step is cut up."""

    @property
    def checkpoint(self) -> CheckpointConfig:
        """When the state is saved."""

    @property
    def eval(self) -> EvalConfig:
        """Held-out success while training."""


@dataclass(frozen=True, kw_only=True)
class Parts:
    """The machinery of a run."""

    policy: TrainerPolicy
    tokenizer: Any
    renderer: Renderer
    engine: Engine
    sync: Sync
    """The weights of the one, handed to the other."""


def build_parts(settings: Settings, loaded: Loaded) -> Parts:
    """Put a loaded model to work: float32 weights in the trainer, the model's dtype in the engine.

    An engine that decodes with the module shares the trainer's, where both are float32 and it
    does not go on while the weights are updated.

    Raises:
        ConfigError: the model cannot be trained here.
    """
    needs_module, is_float32 = settings.engine.needs_module, loaded.dtype == "float32"
    is_shared = needs_module and is_float32 and not settings.train.max_staleness
    config = settings.model.model_copy(update={"path": str(loaded.folder), "dtype": "float32"})
    policy = build_policy(settings, loaded if is_float32 else load_model(config))
    if needs_module and is_float32 and not is_shared:
        loaded = replace(loaded, model=copy.deepcopy(loaded.model))
    with boundary(PolicyError, f"the renderer {settings.renderer.name}"):
        renderer = settings.renderer.build(loaded.tokenizer)
    with boundary(EngineError, f"the engine {settings.engine.name}"):
        engine = settings.engine.build(loaded, deterministic=settings.rollout.deterministic)
    return Parts(
        policy=policy,
        tokenizer=loaded.tokenizer,
        renderer=renderer,
        engine=engine,
        sync=Sync(
            policy,
            engine,
            dtype=loaded.dtype,
            num_tokens=len(loaded.tokenizer),
            is_shared=is_shared,
            limit=settings.train.max_sync_gap,
        ),
    )


def build_policy(settings: Settings, loaded: Loaded) -> TrainerPolicy:
    """Return the policy as the settings want it computed."""
    return TrainerPolicy(
        loaded.model,
        temperature=settings.rollout.sampling.temperature,
        bf16=loaded.model.device.type == "cuda" and settings.model.dtype != "float32",
        activation_checkpointing=settings.train.activation_checkpointing,
    )


async def load_first_model(
    settings: Settings,
    folder: Path,
    *,
    env: EnvConfig,
    sandboxes: Sandboxes | None,
    seen: list[Trajectory],
) -> Loaded:
    """Load the model that a run begins with; a tiny one is made in `folder`.

    Its tokenizer knows the words of `seen` and of a few episodes played at random.
    """
    if settings.model.path != "tiny":
        return load_model(settings.model)
    shutil.rmtree(folder, ignore_errors=True)  # a killed process may have left half a model
    played = [*seen]
    for name in ("scripted:random", *([] if seen else ["scripted"])):
        played += await _play(name, settings, env=env, sandboxes=sandboxes)
    return load_model(
        settings.model,
        folder=folder,
        texts=[text for trajectory in played for text in _texts(trajectory)],
        tools=_tools(played),
        seed=settings.seed,
    )


async def _play(
    name: str, settings: Settings, *, env: EnvConfig, sandboxes: Sandboxes | None
) -> list[Trajectory]:
    tasks = first_tasks(env, "train", number=_WORD_TASKS)
    jobs = make_jobs(tasks, group_size=1, run_seed=settings.seed, prefix="words", env=type(env).id)
    try:
        return await collect(
            jobs,
            config=env,
            make_policy=scripted_policies(name),
            rollout=settings.rollout,
            sandboxes=sandboxes,
        )
    except ConfigError:  # this environment has no expert
        return []


def _texts(trajectory: Trajectory) -> Iterator[str]:
    for message in trajectory.messages:
        yield message.content
        for call in message.tool_calls:
            yield from _argument_texts(call.arguments)


def _argument_texts(arguments: str) -> Iterator[str]:
    try:
        values = json.loads(arguments)
    except (ValueError, RecursionError):
        values = arguments
    for value in values.values() if isinstance(values, dict) else [values]:
        yield value if isinstance(value, str) else json.dumps(value)


def _tools(trajectories: list[Trajectory]) -> list[ToolSpec]:
    tools = {tool.name: tool for trajectory in trajectories for tool in trajectory.tools}
    return list(tools.values())


@contextmanager
def seeded(seed: int, *, deterministic: bool) -> Iterator[None]:
    """Seed torch; where asked for, one thread and deterministic kernels until the block ends."""
    torch.manual_seed(seed)
    if not deterministic:
        yield
        return
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS asks for it
    threads, strict = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(strict)
