"""The engines that are measured side by side, each with a copy of the model for itself."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from signal import SIGINT
from typing import Any

from pydantic import BaseModel

from agentgym.bench.continuous import ContinuousConfig
from agentgym.config.methods import split_words
from agentgym.config.overlay import resolve
from agentgym.config.toml import render_value
from agentgym.engine import Engine, EngineConfig
from agentgym.engines import AnyEngine
from agentgym.engines.local import LocalEngineConfig
from agentgym.engines.model import load_model
from agentgym.engines.served.settings import ServedEngineConfig
from agentgym.engines.settings import ModelConfig, TinyConfig
from agentgym.errors import EngineError
from agentgym.loading import is_installed

SERVED = "served:"
"""Before the name of an engine: behind `agentgym serve`, which is started for it."""

TRANSFORMERS = "transformers"
"""Transformers' own continuous batching."""

_START_S = 600.0
_END_S = 30.0
_TEXTS = ("def solve(xs):\n    return sum(xs) + 1\n", "Add 3 to every number, then sum them.")


def defaults() -> tuple[str, ...]:
    """Return what is measured where nobody says: what is installed here."""
    vllm = ("vllm", f"{SERVED}vllm") if is_installed("vllm") else ()
    return ("local", TRANSFORMERS, *vllm)


class _Section(BaseModel, extra="forbid", frozen=True):
    engine: AnyEngine = LocalEngineConfig()


def parse_engine(text: str) -> EngineConfig:
    """Return the engine that is meant by `name,key=value,...`, or by such a text after `served:`.

    Raises:
        AgentGymError: there is no such engine or key.
    """
    name, *keys = split_words(text.removeprefix(SERVED)) or [""]
    if name == TRANSFORMERS and not keys:
        return ContinuousConfig()
    words = [f"engine.{word}" for word in (f"name={name}", *keys)]
    return resolve(_Section, overrides=words).config.engine


@asynccontextmanager
async def open_engines(
    configs: Mapping[str, EngineConfig], model: ModelConfig
) -> AsyncIterator[dict[str, Engine]]:
    """Hold one started engine for each configuration; those named `served:` have a server.

    Raises:
        AgentGymError: one does not start.
    """
    async with AsyncExitStack() as stack:
        engines: dict[str, Engine] = {}
        for name, config in configs.items():
            if name.startswith(SERVED):
                config = await stack.enter_async_context(_served(config, model))
            loaded = load_model(model, with_module=config.needs_module)
            engines[name] = config.build(loaded)
            stack.push_async_callback(engines[name].close)
            await engines[name].start()
        yield engines


@asynccontextmanager
async def _served(config: EngineConfig, model: ModelConfig) -> AsyncIterator[ServedEngineConfig]:
    """Start `agentgym serve` with an engine, and return how to ask it."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "agentgym", "serve", model.path, "--port", "0", "--json"),
        *_words("model", model.model_dump(exclude_unset=True, exclude={"path"})),
        *_words("engine", config.model_dump(exclude_unset=True) | {"name": config.name}),
        stdout=asyncio.subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    try:
        told = await _first_json(process)
        yield ServedEngineConfig(url=told["url"], token_file=told["token_file"])
    finally:
        await _end(process)


def _words(section: str, values: Mapping[str, Any]) -> Sequence[str]:
    return [f"{section}.{key}={render_value(value)}" for key, value in values.items()]


async def _first_json(process: asyncio.subprocess.Process) -> dict[str, Any]:
    assert process.stdout is not None  # it is a pipe
    text = ""
    async with asyncio.timeout(_START_S):
        while line := await process.stdout.readline():
            text += line.decode()
            try:
                found: dict[str, Any] = json.loads(text)
            except ValueError:
                continue
            return found
    raise EngineError(f"agentgym serve ended with {await process.wait()}")


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    process.send_signal(SIGINT)
    try:
        async with asyncio.timeout(_END_S):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()


def tiny_model(
    folder: Path, *, max_context: int, layers: int = 2, texts: Sequence[str] = _TEXTS
) -> ModelConfig:
    """Make the small model that is measured with where none is named: 0.2 M parameters a layer.

    A word of `texts` is a token, as most words are to a real model; others are spelled in bytes.
    """
    tiny = TinyConfig(layers=layers, width=128, heads=4, max_context=max_context)
    load_model(ModelConfig(tiny=tiny, device="cpu"), folder=folder, texts=texts)
    return ModelConfig(path=str(folder))


def vocabulary_of(model: ModelConfig) -> int:
    """Return how many tokens a model knows."""
    return int(
        json.loads((Path(model.path).expanduser() / "config.json").read_text())["vocab_size"]
    )
