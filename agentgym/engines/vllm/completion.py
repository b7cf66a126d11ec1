"""Requests to vLLM and its answers, in our words."""

import math
from collections.abc import Sequence
from typing import Any

from agentgym.engine import SamplingConfig
from agentgym.errors import EngineError
from agentgym.types import Completion

_LOWEST = 0.01  # vLLM draws at this temperature where a lower one is asked for
_BITS = 63

REQUEST_ARGUMENTS = (
    "temperature",
    "max_tokens",
    "seed",
    "stop_token_ids",
    "ignore_eos",
    "detokenize",
    "logprobs",
    "prompt_logprobs",
    "flat_logprobs",
    "output_kind",
)
"""All that is asked of SamplingParams."""


def sampling_arguments(
    sampling: SamplingConfig, *, limit: int, seed: int, stop: Sequence[int], vocabulary: int
) -> dict[str, Any]:
    """Return the arguments of SamplingParams for a completion of at most `limit` tokens."""
    if 0 < sampling.temperature < _LOWEST:
        raise EngineError(
            f"temperature {sampling.temperature}: vLLM draws at {_LOWEST} or more, or greedily at 0"
        )
    return {
        "temperature": sampling.temperature,
        "max_tokens": limit,
        "seed": spread(seed),
        "stop_token_ids": [token for token in stop if 0 <= token < vocabulary],
        "ignore_eos": True,
        "detokenize": False,
        "logprobs": 0,
        "flat_logprobs": True,
    }


def scoring_arguments() -> dict[str, Any]:
    """Return the arguments of SamplingParams that tell the log-probabilities of a prompt."""
    return {
        "temperature": 1.0,
        "max_tokens": 1,
        "detokenize": False,
        "prompt_logprobs": 0,
        "flat_logprobs": True,
    }


def to_completion(output: Any, stop: Sequence[int]) -> Completion:
    """Convert the finished output of one request.

    Raises:
        EngineError: it was cut off, or its log-probabilities are missing or no numbers.
    """
    token_ids = tuple(output.token_ids)
    if output.finish_reason not in ("stop", "length") or not token_ids:
        raise EngineError(f"vLLM ended a completion early: {output.finish_reason!r}")
    if output.logprobs is None:
        raise EngineError("vLLM told no log-probabilities")
    if tuple(output.logprobs.token_ids) != token_ids:
        raise EngineError("vLLM's log-probabilities are not those of the tokens it drew")
    check_finite(output.logprobs.logprobs)
    return Completion(
        token_ids=token_ids,
        logprobs=tuple(map(float, output.logprobs.logprobs)),
        finish_reason="stop" if token_ids[-1] in stop else "length",
        versions=tuple((span.start, int(span.version)) for span in output.weight_versions),
    )


def to_scores(output: Any, token_ids: Sequence[int]) -> tuple[float, ...]:
    """Return what the model gives to each id of a prompt after the first."""
    scores = output.prompt_logprobs
    if scores is None or list(scores.token_ids) != list(token_ids[1:]):
        raise EngineError("vLLM did not tell the log-probabilities of the prompt")
    check_finite(scores.logprobs)
    return tuple(map(float, scores.logprobs))


class NotANumberError(EngineError):
    """Raised when the model computed NaN or an infinity."""


def check_finite(logprobs: Sequence[float | None]) -> None:
    """Raise NotANumberError unless all are numbers."""
    if not all(value is not None and math.isfinite(value) for value in logprobs):
        raise NotANumberError("the model computed NaN: its weights are broken")


def spread(seed: int) -> int:
    """Map seeds one to one to seeds whose low bits differ, as PyTorch on a CPU reads only 32.

    Without it the seeds 1 and 1 + 2**32 would draw the same tokens.
    """
    if not 0 <= seed < 2**_BITS:
        raise EngineError(f"seed {seed}: it must have at most {_BITS} bits")
    for _ in range(2):  # both steps can be undone: an odd factor, and a shift that keeps the top
        seed ^= seed >> 32
        seed = seed * 0x5851F42D4C957F2D % 2**_BITS
    return seed ^ (seed >> 32)
