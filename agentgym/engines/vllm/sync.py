"""How new weights reach vLLM: what is kept of them, and the calls that make it take them."""

import asyncio
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

from agentgym.engine import Loaded, Weights
from agentgym.engines.vllm.core import Core, CoreDiedError
from agentgym.engines.vllm.folder import WeightsFolder
from agentgym.engines.vllm.settings import VllmEngineConfig
from agentgym.engines.vllm.shapes import check_fit, read_shapes, without_tied_head
from agentgym.errors import ConfigError, EngineError


class Sync(ABC):
    """Takes weights in two steps, so that what does not fit never reaches vLLM."""

    adapter: Any = None
    """The LoRARequest that every request carries; None without an adapter."""

    @abstractmethod
    async def prepare(self, source: Weights) -> None:
        """Check weights and keep them; vLLM notices nothing.

        Raises:
            EngineError: they do not fit, or cannot be kept.
        """

    @abstractmethod
    async def apply(self, core: Core, version: int, *, is_fresh: bool = False) -> None:
        """Let a core whose generation is paused, or has not begun, take what was prepared last.

        Args:
            core: what takes it.
            version: what it is called in completions.
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
        self._expected: dict[str, tuple[int, ...]] | None = None
        self._is_tied = False
        self._source: Path | None = None
        self._is_lost = False

    async def prepare(self, source: Weights) -> None:
        """Check names and shapes; write a state dict into the kept folder."""
        await asyncio.to_thread(self._prepare, source)

    async def apply(self, core: Core, version: int, *, is_fresh: bool = False) -> None:
        """Let every worker read the folder."""
        if self._is_lost:
            raise EngineError("the weights in use were lost", hint="load weights again")
        if self._source is not None or not is_fresh:
            source = self._source or self._loaded.folder
            await remote(core, "reload_weights", weights_path=str(source))
            if self._is_tied:
                await remote(core, "repack_tied_head")
        await core.call(core.llm.update_weight_version(str(version)))

    def close(self) -> None:
        """Remove the kept folder."""
        self._folder.close()

    def _prepare(self, source: Weights) -> None:
        self._learn()
        if source is None:
            return
        given = (
            read_shapes(source)
            if isinstance(source, Path)
            else {name: tuple(tensor.shape) for name, tensor in source.items()}
        )
        assert self._expected is not None
        check_fit(given, self._expected, tied=self._is_tied)
        if isinstance(source, Path):
            self._source, self._is_lost = source, False
            return
        weights = {name: source[name] for name in without_tied_head(given, tied=self._is_tied)}
        self._is_lost = self._source == self._folder.root
        self._source = self._folder.write(weights, dtype=self._loaded.dtype)
        self._is_lost = False

    def _learn(self) -> None:
        """Remember what the model's own weights are called and how large they are."""
        if self._expected is not None:
            return
        from transformers import AutoConfig

        try:
            shape = AutoConfig.from_pretrained(self._loaded.folder, local_files_only=True)
        except Exception as error:  # whatever a broken file makes the library raise
            raise ConfigError(
                f"{str(self._loaded.folder / 'config.json')!r} cannot be read: {_first(error)}",
                hint="it must be that of a causal language model that transformers knows",
            ) from error
        self._is_tied = bool(shape.get_text_config().tie_word_embeddings)
        self._expected = read_shapes(self._loaded.folder)


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


def _first(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0]
