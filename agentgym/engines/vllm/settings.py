"""What a user sets of the engine `vllm`. Importing this imports neither vllm nor torch."""

from typing import TYPE_CHECKING, Literal

from pydantic import Field, model_validator

from agentgym.engine import EngineConfig, Loaded

if TYPE_CHECKING:
    from agentgym.engines.vllm.inprocess import VllmEngine


class VllmEngineConfig(EngineConfig):
    """How vLLM decodes. It reads the model's folder itself."""

    name: Literal["vllm"] = "vllm"
    tensor_parallel: int = Field(default=1, ge=1)
    """GPUs that share the model."""
    gpu_memory_utilization: float = Field(default=0.9, gt=0, le=1)
    """Share of a GPU's memory that vLLM takes; about 0.5 where the trainer uses the same GPU."""
    kv_cache_gib: int = Field(default=4, ge=1)
    """Memory of the cache on a CPU; on a GPU `gpu_memory_utilization` decides."""
    max_batch: int = Field(default=256, ge=1)
    """Most completions decoded at once."""
    prefix_caching: bool = True
    """Keep keys and values, so that the next turn of an episode computes only what is new."""
    enforce_eager: bool = False
    """Compile nothing and capture no CUDA graphs: starts sooner, decodes slower. On a CPU always."""
    adapter: str | None = None
    """A PEFT folder with a LoRA laid over the model; `load_weights` then takes such folders."""
    max_lora_rank: Literal[1, 8, 16, 32, 64, 128, 256, 320, 512] = 16
    """Highest rank of an adapter."""
    sync: Literal["auto", "folder", "ipc", "nccl"] = "auto"
    """How weights come in: through a folder of safetensors, through CUDA memory that trainer and
    engine share (ipc: the same GPU), or over NCCL (another GPU). auto: folder."""
    sleep: bool = False
    """Let `sleep` give the GPU's memory to the trainer."""
    weights_dir: str | None = None
    """Where weights lie on their way; null: in memory (/dev/shm) if they fit, else on disk."""
    start_timeout_s: float = Field(default=600, gt=0)
    """Longest start, compilation included."""
    max_restarts: int = Field(default=3, ge=0)
    """Most restarts in a row, with no completion in between, after vLLM died."""

    @model_validator(mode="after")
    def _check(self) -> "VllmEngineConfig":
        if self.adapter is not None and self.sync in ("ipc", "nccl"):
            raise ValueError(f"an adapter comes in as a folder, so sync cannot be {self.sync!r}")
        return self

    def build(self, loaded: Loaded, *, deterministic: bool = False) -> "VllmEngine":
        """Make the engine of the model in `loaded.folder`."""
        from agentgym.engines.vllm.inprocess import VllmEngine

        return VllmEngine(self, loaded, deterministic=deterministic)
