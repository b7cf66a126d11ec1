"""The settings of an engine as vLLM's own arguments."""

from pathlib import Path
from typing import Any

from agentgym.engine import Loaded
from agentgym.engines.vllm.settings import VllmEngineConfig
from agentgym.engines.vllm.shapes import adapted_modules
from agentgym.errors import ConfigError

_EXTENSION = "agentgym.engines.vllm.extension.WorkerExtension"
_CPU_BLOCK = 32  # tokens; kernels for CPUs want a multiple of it
_CPU_MIN_HEAD = 32  # numbers of an attention head


def engine_arguments(
    config: VllmEngineConfig, loaded: Loaded, *, deterministic: bool, on_cpu: bool
) -> dict[str, Any]:
    """Return the arguments of AsyncEngineArgs."""
    arguments: dict[str, Any] = {
        "model": str(loaded.folder),
        "dtype": loaded.dtype,
        "max_model_len": loaded.max_context,
        "max_num_seqs": 1 if deterministic else config.max_batch,
        "enable_prefix_caching": config.prefix_caching and not deterministic,
        "tensor_parallel_size": config.tensor_parallel,
        "enforce_eager": config.enforce_eager or on_cpu,
        "enable_sleep_mode": config.sleep,
        "skip_tokenizer_init": True,  # ids go in and out; what makes text of them is ours
        "generation_config": "vllm",  # not the folder's: it could cut the distribution
        "logprobs_mode": "processed_logprobs",  # of the distribution that is drawn from
        "worker_extension_cls": _EXTENSION,
        "disable_log_stats": True,
    }
    if on_cpu:
        arguments |= {
            "block_size": _CPU_BLOCK,
            # A prefill in pieces and seeds of requests together end vLLM 0.32 on a CPU.
            "enable_chunked_prefill": False,
            "max_num_batched_tokens": max(8192, loaded.max_context),
        }
    else:
        arguments["gpu_memory_utilization"] = config.gpu_memory_utilization
    if config.adapter is not None:
        folder = Path(config.adapter).expanduser()
        arguments |= {
            "enable_lora": True,
            "max_loras": 1,
            "max_lora_rank": config.max_lora_rank,
            # Without a list the output layer is prepared for an adapter too, and vLLM 0.32 then
            # dies of requests for the log-probabilities of a prompt.
            "lora_target_modules": adapted_modules(folder),
        }
    if config.sync not in ("auto", "folder"):
        from vllm.config import WeightTransferConfig

        arguments["weight_transfer_config"] = WeightTransferConfig(backend=config.sync)
    return arguments


def check_platform(config: VllmEngineConfig, platform: Any) -> None:
    """Raise ConfigError where this machine cannot do what is asked, by vLLM's own word."""
    if config.sleep and not platform.is_sleep_mode_available():
        raise ConfigError(
            f"engine.sleep is true, but vLLM cannot sleep on {platform.device_name!r}",
            hint="leave engine.sleep out: it is for a trainer and an engine on one GPU",
        )
    if config.sync in ("ipc", "nccl") and not platform.is_cuda_alike():
        raise ConfigError(
            f"engine.sync is {config.sync!r}, which needs a GPU; vLLM runs on "
            f"{platform.device_name!r} here",
            hint='set engine.sync to "folder"',
        )


def check_model(shape: Any, *, on_cpu: bool) -> None:
    """Raise ConfigError for a model that vLLM would end its process over.

    Args:
        shape: the model's configuration of transformers.
        on_cpu: whether vLLM computes on a CPU.
    """
    text = shape.get_text_config()
    heads = getattr(text, "num_attention_heads", None)
    size = getattr(text, "head_dim", None) or (text.hidden_size // heads if heads else None)
    if on_cpu and size is not None and size % _CPU_MIN_HEAD:
        raise ConfigError(
            f"the model's attention heads have {size} numbers; on a CPU vLLM takes multiples "
            f"of {_CPU_MIN_HEAD}",
            hint='set engine.name to "local", or take a model with larger heads '
            "(a tiny one: model.tiny.width=128, model.tiny.heads=4)",
        )
