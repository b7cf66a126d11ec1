"""The environment variables that vLLM's processes are started with."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from agentgym.engines.vllm.settings import VllmEngineConfig


def variables(
    config: VllmEngineConfig, *, on_cpu: bool, log: Path, log_config: Path
) -> dict[str, str]:
    """Return what there is no argument for."""
    values = {
        "VLLM_WORKER_MULTIPROC_METHOD": "spawn",  # a fork of a process with OpenMP threads hangs
        "VLLM_LOGGING_CONFIG_PATH": str(log_config),
        "VLLM_NO_USAGE_STATS": "1",
        "HF_HUB_OFFLINE": "1",
        "PYTHONWARNINGS": "ignore",
        "TQDM_DISABLE": "1",
        LOG: str(log),
    }
    if on_cpu:
        values |= {
            "VLLM_CPU_KVCACHE_SPACE": str(config.kv_cache_gib),
            "VLLM_CPU_OMP_THREADS_BIND": "nobind",  # the machine is not vLLM's alone
            "TORCHDYNAMO_DISABLE": "1",  # the sampler would compile for half a minute
        }
    if config.sync == "ipc":
        values["VLLM_ALLOW_INSECURE_SERIALIZATION"] = "1"  # CUDA handles come pickled, from us
    return values


LOG = "AGENTGYM_VLLM_LOG"
"""The file that vLLM's processes write to instead of our standard output."""


@contextmanager
def environment(values: Mapping[str, str]) -> Iterator[None]:
    """Set variables until the block ends; then all are as they were.

    vLLM reads them in this process too, and its processes inherit them when they are started,
    so that they cannot be set for those alone. It also sets some itself, such as LD_PRELOAD,
    which programs that we start later must not get.
    """
    before = dict(os.environ)
    os.environ.update(values)
    try:
        yield
    finally:
        for name in os.environ.keys() - before.keys():
            del os.environ[name]
        for name, value in before.items():
            if os.environ.get(name) != value:
                os.environ[name] = value
