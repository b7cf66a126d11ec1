"""How new weights reach vLLM: what is kept of them, and the calls that make it take them."""

import asyncio
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

from agentgym.engine import Loaded, Weights
from agentgym.engines.vllm.core import Core, CoreDiedError
from agentgym.engines.vllm.folder import WeightsFolder
from agentgym.engines.vllm.settings import VllmEngineConfig
from agentgym.engines.vllm.shapes import ModelShapes
from agentgym.errors import EngineError


class Sync(ABC):
    """Takes weights in two steps, so that what does not fit never reaches vLLM."""

    adapter: Any = None
    """The LoRARequest that every request carries; None without an adapter."""

    @abstractmethod
    async def prepare(self, source: Weights) -> None:
        """Check weights and keep them; vLLM notices nothing. None: get ready for the first.

        Raises:
            ConfigError: the model itself is unusable.
            EngineError: they do not fit, or cannot be kept.
        """

    @abstractmethod
    async def apply(self, core: Core, *, is_fresh: bool = False) -> None:
        """Let a core whose generation is paused, or has not begun, take what was prepared last.

        Args:
            core: what takes it.
            is_fresh: the core has just read the model's own folder.

        Raises:
            CoreDiedError: it died meanwhile.
            EngineError: it could not; its model is then in pieces.
        """

    def close(self) -> None:
        """Forget what is kept."""


class FolderSync(Sync):
    """Through a folder of safetensors, which vLLM reads with its own loader.

    The folder is kept: a vLLM that is started again gets its weights from there.
    """

    def __init__(self, config: VllmEngineConfig, loaded: Loaded) -> None:
        parent = Path(config.weights_dir).expanduser() if config.weights_dir else None
        self._folder = WeightsFolder(parent)
        self._loaded = loaded
        self._shapes = ModelShapes(loaded.folder)
        self._source: Path | None = None
        self._is_lost = False

    async def prepare(self, source: Weights) -> None:
        """Check names and shapes; write a state dict into the kept folder."""
        await asyncio.to_thread(self._prepare, source)

    async def apply(self, core: Core, *, is_fresh: bool = False) -> None:
        """Let every worker read the folder."""
        if self._is_lost:
            raise EngineError("the weights in use were lost", hint="load weights again")
        if self._source is None and is_fresh:
            return
        await remote(core, "reload_weights", weights_path=str(self._source or self._loaded.folder))
        if self._shapes.is_tied:
            await remote(core, "repack_tied_head")

    def close(self) -> None:
        """Remove the kept folder."""
        self._folder.close()

    def _prepare(self, source: Weights) -> None:
        self._shapes.learn()
        if source is None:
            return
        self._shapes.check(source)
        if isinstance(source, Path):
            self._source, self._is_lost = source, False
            return
        # Written in place: until that is done, those before are only in vLLM.
        self._is_lost = self._source is not None and self._source == self._folder.root
        self._source = self._folder.write(self._shapes.once(source), dtype=self._loaded.dtype)
        self._is_lost = False


async def remote(core: Core, method: str, **arguments: Any) -> None:
    """Call a method of every worker.

    Raises:
        CoreDiedError: vLLM died meanwhile.
        EngineError: a worker raised.
    """
    try:
        await core.call(core.llm.collective_rpc(method, kwargs=arguments))
    except CoreDiedError:
        raise
    except Exception as error:  # whatever a worker raises comes as text
        raise EngineError(f"vLLM's {method} failed: {error}") from error
