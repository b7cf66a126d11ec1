"""Weights from the trainer's GPU memory into vLLM's, by vLLM's own interface for it.

*Not run on a GPU.* What is here was run against vLLM 0.32 on a CPU: its classes take what they are
given, and whole updates went through with a transport of the tests' own.
"""

import asyncio
import base64
import pickle
import socket
from collections.abc import Coroutine, Iterator, Mapping
from pathlib import Path
from typing import Any

from agentgym.engine import Loaded, Weights
from agentgym.engines.vllm.core import Core, CoreDiedError
from agentgym.engines.vllm.settings import VllmEngineConfig
from agentgym.engines.vllm.shapes import ModelShapes
from agentgym.engines.vllm.sync import FolderSync, Sync
from agentgym.errors import EngineError


class TransferSync(Sync):
    """CUDA IPC where trainer and engine share a GPU, NCCL where each has its own.

    Nothing is kept: when vLLM dies, its weights are gone until the trainer gives new ones.
    Folders, which hold still, go the way of `FolderSync`.
    """

    def __init__(self, config: VllmEngineConfig, loaded: Loaded) -> None:
        self._backend = config.sync
        self._num_workers = config.tensor_parallel
        self._dtype = loaded.dtype
        self._shapes = ModelShapes(loaded.folder)
        self._folder = FolderSync(config, loaded)
        self._pending: Mapping[str, Any] | None = None
        self._is_only_in_vllm = False
        self._sender: Any = None
        self._receiver: Core | None = None

    async def prepare(self, source: Weights) -> None:
        """Check names, shapes and place; the tensors must stay as they are until `apply` is done."""
        if source is None or isinstance(source, Path):
            await self._folder.prepare(source)
            if source is not None:
                self._pending, self._is_only_in_vllm = None, False
            return
        await asyncio.to_thread(self._shapes.learn)
        self._shapes.check(source)
        if places := {tensor.device.type for tensor in source.values()} - self._places():
            raise EngineError(
                f"the weights are on {', '.join(sorted(places))}, and sync={self._backend!r} takes "
                "them from a GPU",
                hint='set engine.sync to "folder"',
            )
        self._pending = self._shapes.once(source)

    async def apply(self, core: Core, *, is_fresh: bool = False) -> None:
        """Send what is pending; what was sent before is still there, unless the core is fresh."""
        if self._pending is None and self._is_only_in_vllm:
            raise EngineError("the weights in use went with vLLM", hint="load weights again")
        if self._pending is None:
            await self._folder.apply(core, is_fresh=is_fresh)
            return
        loop = asyncio.get_running_loop()
        try:
            await core.call(asyncio.to_thread(self._send, core, loop, self._pending))
        except (CoreDiedError, EngineError):
            raise
        except Exception as error:  # whatever vLLM, NCCL or CUDA raise
            raise EngineError(
                f"the weights could not be sent by {self._backend}: {error}"
            ) from error
        self._pending, self._is_only_in_vllm = None, True

    def close(self) -> None:
        """Leave the group."""
        self._folder.close()
        if self._sender is not None:
            self._sender.shutdown()
            self._sender = None

    def _places(self) -> set[str]:
        return {"cuda"}

    def _send(
        self, core: Core, loop: asyncio.AbstractEventLoop, weights: Mapping[str, Any]
    ) -> None:
        """Send on a thread, while the event loop carries what is said to the workers."""
        if self._receiver is not core:
            self._sender = self._connect(core, loop, weights)
            self._receiver = core
        self._sender.source.weights = weights
        self._sender.send_weights()

    def _connect(
        self, core: Core, loop: asyncio.AbstractEventLoop, weights: Mapping[str, Any]
    ) -> Any:
        from vllm.distributed.weight_transfer import WeightTransferTrainerFactory

        return WeightTransferTrainerFactory.trainer_init(
            self._init_info(),
            client=WorkerClient(core, loop),
            source=make_source(weights, dtype=self._dtype),
        )

    def _init_info(self) -> Any:
        if self._backend == "ipc":
            from vllm.distributed.weight_transfer.ipc_engine import IPCTrainerInitInfo

            return IPCTrainerInitInfo(rank=0, packed=True)
        from vllm.distributed.weight_transfer.nccl_engine import NCCLTrainerInitInfo

        return NCCLTrainerInitInfo(
            rank=0,
            master_address="127.0.0.1",
            master_port=_free_port(),
            world_size=1 + self._num_workers,
        )


class WorkerClient:
    """What vLLM's sender says to the workers; it calls from a thread that is not the loop's."""

    def __init__(self, core: Core, loop: asyncio.AbstractEventLoop) -> None:
        self._core = core
        self._loop = loop

    def init_weight_transfer_engine(self, init_info: dict[str, Any]) -> None:
        """Tell the workers how the weights will come."""
        from vllm.distributed.weight_transfer.base import WeightTransferInitRequest

        request = WeightTransferInitRequest(init_info=init_info)
        self._wait(self._core.llm.init_weight_transfer_engine(request))

    def start_weight_update(self) -> None:
        """Announce weights."""
        self._wait(self._core.llm.start_weight_update())

    def update_weights(self, update_info: Any) -> None:
        """Hand over what the workers need to fetch them."""
        from vllm.distributed.weight_transfer.base import WeightTransferUpdateRequest

        request = WeightTransferUpdateRequest(update_info=pickled(update_info))
        self._wait(self._core.llm.update_weights(request))

    def finish_weight_update(self, weight_version: str | None = None) -> None:
        """Say that these were all."""
        self._wait(self._core.llm.finish_weight_update(weight_version))

    def _wait(self, call: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(self._core.call(call), self._loop).result()


def pickled(update_info: Any) -> Any:
    """Return what is said of an update with CUDA handles as text.

    They are no plain values. Workers unpickle them because this process, and nobody else, set
    VLLM_ALLOW_INSECURE_SERIALIZATION for them.
    """
    if not isinstance(update_info, dict) or update_info.get("ipc_handles") is None:
        return update_info
    handles = base64.b64encode(pickle.dumps(update_info["ipc_handles"])).decode()
    return {**update_info, "ipc_handles": None, "ipc_handles_pickled": handles}


def make_source(weights: Mapping[str, Any], *, dtype: str) -> Any:
    """Return a WeightSource over a state dict, which may be replaced by assigning `weights`."""
    import torch
    from vllm.distributed.weight_transfer import ParamMeta, WeightSource

    kind: torch.dtype = getattr(torch, dtype)

    class StateDictSource(WeightSource):  # type: ignore[misc]
        """The tensors in the engine's own type."""

        def __init__(self) -> None:
            self.weights = weights

        def metadata(self) -> list[Any]:
            return [ParamMeta(n, kind, tuple(each.shape)) for n, each in self.weights.items()]

        def __iter__(self) -> Iterator[tuple[str, torch.Tensor]]:
            for name, tensor in self.weights.items():
                yield name, tensor.detach().to(kind)

    return StateDictSource()


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port
