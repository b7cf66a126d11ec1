"""What a user sets of a model. What is made of it stands in `model.py` and `tiny.py`."""

from typing import Literal

from pydantic import BaseModel, Field, model_validator


class TinyConfig(BaseModel, extra="forbid", frozen=True):
    """The size of a small model."""

    layers: int = Field(default=2, ge=1)
    """Transformer blocks."""
    width: int = Field(default=128, ge=8)
    """Numbers per token between blocks; a multiple of 2 * `heads`."""
    heads: int = Field(default=4, ge=1)
    """Attention heads of each block."""
    max_context: int = Field(default=512, ge=8)
    """Most tokens of an episode."""
    max_words: int = Field(default=2048, ge=0)
    """Words with a token of their own; the rarest are spelled out."""

    @model_validator(mode="after")
    def _check_heads(self) -> "TinyConfig":
        if self.width % (2 * self.heads):
            raise ValueError(f"width {self.width} must be a multiple of 2 * heads {self.heads}")
        return self


class ModelConfig(BaseModel, extra="forbid", frozen=True):
    """Which model, where it runs and how it computes."""

    path: str = "tiny"
    """A Hugging Face folder on this disk; "tiny" makes a small random model."""
    tiny: TinyConfig = TinyConfig()
    """The size of the model that "tiny" makes."""
    device: str = Field(default="auto", pattern=r"^(auto|cpu|cuda(:\d+)?)$")
    """auto: the first GPU if there is one."""
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """auto: bfloat16 on a GPU, float32 on a CPU."""
    max_context: int | None = Field(default=None, ge=2)
    """Most tokens of an episode; None: what the model was made for."""
    threads: int | None = Field(default=None, ge=1)
    """CPU threads of torch; None: torch decides."""
