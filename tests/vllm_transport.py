"""A transport of weights for machines without a GPU, under vLLM's own interface for transports.

vLLM's workers import this file, by the name of the extension in it.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from vllm.distributed.weight_transfer import (
    TrainerWeightTransferEngine,
    WeightTransferEngine,
    WeightTransferEngineFactory,
    WeightTransferTrainerFactory,
)
from vllm.distributed.weight_transfer.base import (
    TrainerInitInfo,
    WeightTransferInitInfo,
    WeightTransferUpdateInfo,
)

from agentgym.engines.vllm.extension import WorkerExtension


@dataclass
class Init(WeightTransferInitInfo):
    place: str


@dataclass
class Update(WeightTransferUpdateInfo):
    names: list[str]


@dataclass
class TrainerInit(TrainerInitInfo):
    backend: ClassVar[str] = "file"
    place: str


class Receiver(WeightTransferEngine[Init, Update]):
    init_info_cls = Init
    update_info_cls = Update

    def init_transfer_engine(self, init_info: Init) -> None:
        self.place = init_info.place

    def start_weight_update(self) -> None:
        from vllm.model_executor.model_loader.reload import initialize_layerwise_reload

        initialize_layerwise_reload(self.model)

    def receive_weights(self, update_info: Update) -> None:
        weights = torch.load(self.place)
        self.model.load_weights((name, weights[name]) for name in update_info.names)

    def finish_weight_update(self) -> None:
        from vllm.model_executor.model_loader.reload import finalize_layerwise_reload

        finalize_layerwise_reload(self.model, self.model_config)

    def shutdown(self) -> None: ...


class Sender(TrainerWeightTransferEngine[TrainerInit]):
    init_info_cls = TrainerInit
    place: str

    @classmethod
    def trainer_init(cls, init_info: TrainerInit, *, client: Any, source: Any = None) -> "Sender":
        engine = cls(client=client, source=source)
        engine.place = init_info.place
        client.init_weight_transfer_engine({"place": init_info.place})
        return engine

    def send_weights(self) -> None:
        self.client.start_weight_update()
        torch.save(dict(self.source), self.place)
        self.client.update_weights({"names": [each.name for each in self.source.metadata()]})
        self.client.finish_weight_update()


WeightTransferEngineFactory.register_engine("file", Receiver)
WeightTransferTrainerFactory.register_engine("file", Sender)


class Extension(WorkerExtension):
    """The same; importing it registers the transport."""
