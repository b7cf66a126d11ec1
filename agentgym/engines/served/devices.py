"""Which GPUs each replica gets."""

import os
from collections.abc import Mapping
from pathlib import Path

from agentgym.errors import ConfigError

_VARIABLE = "CUDA_VISIBLE_DEVICES"
_DRIVER = Path("/proc/driver/nvidia/gpus")


def visible_gpus() -> list[str]:
    """Return the names of the GPUs that this process may use, without asking CUDA."""
    given = os.environ.get(_VARIABLE)
    if given is not None:
        return [name.strip() for name in given.split(",") if name.strip() not in ("", "-1")]
    return [str(number) for number, _ in enumerate(_DRIVER.iterdir())] if _DRIVER.is_dir() else []


def share_out(gpus: list[str], *, replicas: int, each: int) -> list[Mapping[str, str]]:
    """Return the environment of each replica: `each` GPUs of its own, or nothing without GPUs.

    Raises:
        ConfigError: there are too few.

    >>> share_out(["0", "1", "2", "3"], replicas=2, each=2)
    [{'CUDA_VISIBLE_DEVICES': '0,1'}, {'CUDA_VISIBLE_DEVICES': '2,3'}]
    """
    if not gpus:
        return [{}] * replicas
    if len(gpus) < replicas * each:
        raise ConfigError(
            f"{replicas} replicas with {each} GPUs each need {replicas * each}, "
            f"and there are {len(gpus)}",
            hint="fewer --replicas, or a smaller engine.tensor_parallel",
        )
    shares = [gpus[number * each : (number + 1) * each] for number in range(replicas)]
    return [{_VARIABLE: ",".join(share)} for share in shares]
