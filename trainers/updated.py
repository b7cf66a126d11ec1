"""What an update did to each sampled token; the record keeps it. Nothing here needs torch."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True, eq=False)
class Updated:
    """What an update did."""

    metrics: dict[str, float]
    logprobs: NDArray[np.float32]
    """[N], the trainer's, when its row was last trained on; NaN where it was not."""
    weights: NDArray[np.float32]
    """[N], what the token's loss was multiplied by in the loss of its minibatch."""
    cause: NDArray[np.int8]
    """[N], a `Cause`: why a weight is 0."""
