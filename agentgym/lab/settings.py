"""How much the lab looks into."""

from pydantic import BaseModel, Field, field_validator

LEAST_STEPS = 10
"""Correlations of fewer say nothing."""


class LabSettings(BaseModel, extra="forbid", frozen=True):
    """How many tasks, steps, continuations and groups."""

    tasks: int = Field(default=20, ge=1)
    """First tasks of the split."""
    steps: int = Field(default=200, ge=LEAST_STEPS)
    """Whose true advantage is found, drawn from the episodes of all tasks."""
    continuations: int = Field(default=64, ge=2)
    """Of each state, where values are sampled."""
    draws: int = Field(default=16, ge=2)
    """How often each estimator is asked about each step, in groups of its own."""
    sizes: tuple[int, ...] = (2, 4, 8, 16, 32)
    """Of groups."""
    gamma: float = Field(default=1.0, gt=0, le=1)
    """Discount of the truth; estimators have their own."""
    minutes: float = Field(default=30.0, gt=0)
    """For playing; estimates take a minute or so more."""
    concurrency: int = Field(default=64, ge=1)
    """Episodes under way at once."""
    split: str | None = None
    """Of which tasks; the first split, if not said."""
    seed: int = Field(default=0, ge=0)
    """Of all randomness."""

    @field_validator("sizes")
    @classmethod
    def _check_sizes(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if not value or min(value) < 2:
            raise ValueError("should be sizes of 2 and more")
        return tuple(sorted(set(value)))

    @property
    def pool_size(self) -> int:
        """Episodes of each task: twice the largest group.

        So it is not always the same, though draws of the largest share half of their episodes.
        """
        return 2 * max(self.sizes)
