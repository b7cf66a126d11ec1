"""A LoRA laid over the model, and new ones in its place."""

import asyncio
import json
from pathlib import Path
from typing import Any

from agentgym.engine import Loaded, Weights
from agentgym.engines.vllm.core import Core, CoreDiedError
from agentgym.engines.vllm.settings import VllmEngineConfig
from agentgym.engines.vllm.shapes import ModelShapes, adapted_modules, read_shapes
from agentgym.engines.vllm.sync import Sync
from agentgym.errors import ConfigError, EngineError

_CONFIG = "adapter_config.json"
_ID = 1


class AdapterSync(Sync):
    """Through PEFT folders, each of which replaces the one before under one and the same id.

    With an id of its own, requests under way would go on with the adapter they began with.
    """

    def __init__(self, config: VllmEngineConfig, loaded: Loaded) -> None:
        assert config.adapter is not None
        self._max_rank = config.max_lora_rank
        self._shapes = ModelShapes(loaded.folder)
        self._source = Path(config.adapter).expanduser().absolute()

    async def prepare(self, source: Weights) -> None:
        """Check a folder."""
        await asyncio.to_thread(self._prepare, source)

    async def apply(self, core: Core, *, is_fresh: bool = False) -> None:
        """Let every worker read the folder."""
        from vllm.lora.request import LoRARequest

        replacing = LoRARequest("agentgym", _ID, str(self._source), load_inplace=True)
        try:
            await core.call(core.llm.add_lora(replacing))
        except CoreDiedError:
            raise
        except Exception as error:  # whatever a worker raises comes as text
            raise EngineError(f"vLLM could not load the adapter: {error}") from error
        # What requests carry names the adapter without loading it again each time.
        self.adapter = LoRARequest("agentgym", _ID, str(self._source))

    def _prepare(self, source: Weights) -> None:
        self._shapes.learn()
        if source is None:
            self._check(self._source, ConfigError)
            return
        if not isinstance(source, Path):
            raise EngineError(
                "this engine has an adapter over its model, so it takes the folders of adapters",
                hint="leave engine.adapter out to train all weights",
            )
        self._check(source.absolute(), EngineError)
        self._source = source.absolute()

    def _check(self, folder: Path, kind: type[ConfigError] | type[EngineError]) -> None:
        """Raise unless it is an adapter that fits: vLLM would end its process over some others."""
        try:
            settings: Any = json.loads((folder / _CONFIG).read_text("utf-8"))
            rank = int(settings["r"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise kind(
                f"{str(folder)!r} is no adapter: {_CONFIG} cannot be used ({error!r})",
                hint="name a folder that PEFT's save_pretrained wrote",
            ) from error
        if rank > self._max_rank:
            raise kind(
                f"the adapter in {str(folder)!r} has rank {rank}, more than {self._max_rank}",
                hint="set engine.max_lora_rank",
            )
        try:
            self._shapes.check_adapter(read_shapes(folder))
            if more := set(adapted_modules(folder)) - set(adapted_modules(self._source)):
                raise EngineError(f"{sorted(more)} were not adapted when the engine started")
        except EngineError as error:
            raise kind(f"the adapter in {str(folder)!r} does not fit: {error}") from error
