"""Why a sampled token had no weight in an update; as the record has it."""

from enum import IntEnum


class Cause(IntEnum):
    """Why a sampled token had no weight in the update."""

    TRAINED = 0
    ZERO_ADVANTAGE = 1
    """Its advantage was 0, and the loss has no term for entropy or KL that it could be in; or the
    whole row's was, and the row was left out."""
    NOT_IN_BATCH = 2
    """It stands in no segment of its trajectory."""
    CLIPPED = 3
    """The loss cut its gradient off."""
    DROPPED = 4
    """The correction for the engine's numbers gave it no weight."""
