"""Weights on their way to the engine, and the proof that they arrived."""

import numpy as np

from agentgym.engine import Engine, largest_gap
from agentgym.errors import AgentGymError
from agentgym.trainers.policy import TrainerPolicy

_PROBE = 64  # tokens of which both must say the same
_LIMITS = {"float32": 1e-3}
_ROUGH = 0.5  # of narrower types, whose rounding alone is some hundredths


class Sync:
    """Hands a policy's weights to an engine, and compares what both then say of some tokens.

    Where engine and trainer share a module there is nothing to hand over, and nothing to compare.
    The probe is always the same random tokens, so that `sync/moved`, by how much the engine's
    own words changed since the sync before, shows that new weights did arrive.
    """

    def __init__(
        self,
        policy: TrainerPolicy,
        engine: Engine,
        *,
        dtype: str,
        num_tokens: int,
        is_shared: bool,
        limit: float | None = None,
    ) -> None:
        """`num_tokens` is the size of the tokenizer, `dtype` what the engine computes in."""
        self._policy = policy
        self._engine = engine
        self._is_shared = is_shared
        self._limit = _LIMITS.get(dtype, _ROUGH) if limit is None else limit
        size = min(_PROBE, engine.max_context - 1)
        self._probe = np.random.default_rng(0).integers(0, num_tokens, size).tolist()
        self._known: tuple[float, ...] = ()
        self._scalars: dict[str, float] = {}

    async def __call__(self, version: int) -> None:
        """Wake the engine, load the weights under `version`, and look whether it holds them.

        Raises:
            EngineError: it could not take them.
            AgentGymError: it says that it has them, but computes something else.
        """
        await self._engine.wake()
        if self._is_shared:
            await self._engine.load_weights(None, version=version)
            return
        await self._engine.load_weights(self._policy.model.state_dict(), version=version)
        found = await self._engine.logprobs(self._probe)
        gap = largest_gap(found, self._policy.logprobs(self._probe))
        self._scalars = {"sync/gap": gap}
        if self._known:
            self._scalars["sync/moved"] = largest_gap(found, self._known)
        self._known = found
        if not gap <= self._limit:
            raise AgentGymError(
                f"the engine does not hold the weights of step {version}: its log-probabilities "
                f"differ from the trainer's by {gap:.3g}, more than {self._limit:g}",
                hint="is it the same model, and in the same dtype? where the type alone makes the "
                "difference, set train.max_sync_gap",
            )

    def scalars(self) -> dict[str, float]:
        """Return the largest differences of log-probabilities, in nats, of the last sync."""
        return dict(self._scalars)
