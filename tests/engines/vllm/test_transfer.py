"""Weights by vLLM's own transfer interface, as far as it can be tried without a GPU."""

import asyncio
import inspect
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from engine_conformance import SAMPLED, Reference, altered, make_model, until
from vllm_engines import CONFIG, MARKS, loaded

from agentgym.engines.vllm import arguments
from agentgym.engines.vllm.transfer import TransferSync, WorkerClient, make_source
from agentgym.errors import EngineError

pytestmark = MARKS

_CALLS = (
    "init_weight_transfer_engine",
    "start_weight_update",
    "update_weights",
    "finish_weight_update",
)


@pytest.fixture(autouse=True, scope="module")
def imported() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of vLLM's imports, about other libraries
        import vllm.distributed.weight_transfer.ipc_engine
        import vllm.distributed.weight_transfer.nccl_engine
        import vllm.v1.engine.async_llm  # noqa: F401


class Recorder:
    """Notes what AsyncLLM would be told, if it takes it so."""

    def __init__(self) -> None:
        self.told: list[tuple[str, Any]] = []

    def __getattr__(self, name: str) -> Any:
        from vllm.v1.engine.async_llm import AsyncLLM

        async def note(*given: Any) -> None:
            inspect.signature(getattr(AsyncLLM, name)).bind(self, *given)
            self.told.append((name, *given))

        assert name in _CALLS
        return note


async def _call(work: Any) -> Any:
    return await work


def recording() -> tuple[Recorder, WorkerClient]:
    llm = Recorder()
    core: Any = SimpleNamespace(llm=llm, call=_call)
    return llm, WorkerClient(core, asyncio.get_running_loop())


async def test_the_workers_are_told_what_nccl_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    from vllm.distributed.weight_transfer import nccl_engine
    from vllm.distributed.weight_transfer.base import VLLMWeightSyncClient

    sent: list[tuple[str, torch.Tensor]] = []
    opened = []
    monkeypatch.setattr(nccl_engine, "open_trainer_endpoint", opened.append)
    monkeypatch.setattr(
        nccl_engine.NCCLTrainerWeightTransferEngine,
        "_broadcast",
        lambda self, source, meta: sent.extend(source),
    )
    monkeypatch.setattr(
        nccl_engine.NCCLTrainerWeightTransferEngine, "_post_send_sync", lambda self: None
    )
    llm, client = recording()
    assert isinstance(client, VLLMWeightSyncClient)
    config = CONFIG.model_copy(update={"sync": "nccl", "tensor_parallel": 2})
    sync = TransferSync(config, loaded(Path()))
    weights = {"a.weight": torch.ones(2, 3), "b.weight": torch.zeros(4)}

    def send() -> None:
        sender = nccl_engine.NCCLTrainerWeightTransferEngine.trainer_init(
            sync._init_info(), client=client, source=make_source(weights, dtype="bfloat16")
        )
        sender.send_weights()

    await asyncio.to_thread(send)
    assert [name for name, *_ in llm.told] == list(_CALLS)
    init = nccl_engine.NCCLWeightTransferEngine.init_info_cls(**llm.told[0][1].init_info)
    assert (init.master_port, init.world_size, init.rank_offset) == (opened[0].master_port, 3, 1)
    assert init.packed == opened[0].packed
    update = nccl_engine.NCCLWeightTransferEngine.update_info_cls(**llm.told[2][1].update_info)
    assert (update.names, update.shapes) == (["a.weight", "b.weight"], [[2, 3], [4]])
    assert set(update.dtype_names) == {"bfloat16"}
    assert all(tensor.dtype == torch.bfloat16 for _, tensor in sent)


async def test_the_workers_can_read_what_ipc_tells_them(monkeypatch: pytest.MonkeyPatch) -> None:
    from vllm.distributed.weight_transfer import ipc_engine

    llm, client = recording()
    info = TransferSync(CONFIG.model_copy(update={"sync": "ipc"}), loaded(Path()))._init_info()
    assert (info.backend, info.packed) == ("ipc", True)
    handles = {"GPU-1": (torch.Tensor, (2, 3), (3, 1), 0, torch.float32, b"handle")}
    told = {
        "names": ["a.weight"],
        "dtype_names": ["float32"],
        "shapes": [[2, 3]],
        "ipc_handles": handles,
        "tensor_sizes": [24],
    }
    fields = inspect.signature(ipc_engine.IPCWeightTransferUpdateInfo).parameters
    assert told.keys() <= fields.keys()
    await asyncio.to_thread(client.update_weights, told | {"ipc_handles_pickled": None})
    ((_, request),) = llm.told
    with pytest.raises(ValueError, match="INSECURE"):
        ipc_engine.IPCWeightTransferUpdateInfo(**request.update_info)
    monkeypatch.setenv("VLLM_ALLOW_INSECURE_SERIALIZATION", "1")  # as the workers have it
    read = ipc_engine.IPCWeightTransferUpdateInfo(**request.update_info)
    assert read.ipc_handles == handles


async def test_weights_that_are_not_on_a_gpu_are_refused(folder: Path, model: Any) -> None:
    sync = TransferSync(CONFIG.model_copy(update={"sync": "ipc"}), loaded(folder))
    with pytest.raises(EngineError, match="are on cpu"):
        await sync.prepare(model.state_dict())
    with pytest.raises(EngineError, match="do not fit"):
        await sync.prepare({})


@pytest.mark.soak
async def test_weights_go_straight_into_a_running_vllm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import vllm_transport

    monkeypatch.setattr(arguments, "_EXTENSION", "vllm_transport.Extension")
    monkeypatch.setattr(TransferSync, "_places", lambda self: {"cpu"})
    info = vllm_transport.TrainerInit(rank=0, place=str(tmp_path / "weights.pt"))
    monkeypatch.setattr(TransferSync, "_init_info", lambda self: info)
    model = make_model(tmp_path / "model", "llama", tied=False)
    config = CONFIG.model_copy(update={"sync": "file", "max_restarts": 1})
    engine = config.build(loaded(tmp_path / "model"))
    await engine.start()
    try:
        for version in (1, 2):
            weights = altered(model, seed=version)
            await engine.load_weights(weights, version=version)
            completion = await engine.generate([5], SAMPLED, seed=0)
            assert completion.versions == ((0, version),)
            Reference(model, weights).check([5], completion)
        assert engine._core is not None
        engine._core.kill()
        await until(lambda: engine._core is None or engine._core.is_dead)
        with pytest.raises(EngineError, match="went with vLLM"):
            await engine.generate([5], SAMPLED, seed=0)
        await engine.load_weights(weights, version=3)
        Reference(model, weights).check([5], await engine.generate([5], SAMPLED, seed=0))
    finally:
        await engine.close()
