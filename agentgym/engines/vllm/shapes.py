"""Whether weights fit a model, found out before vLLM is given them.

vLLM 0.32 takes a missing tensor for one that did not change, and a misshapen one leaves its
model without weights.
"""

from collections.abc import Mapping
from pathlib import Path

from agentgym.errors import EngineError

Shapes = Mapping[str, tuple[int, ...]]
"""Name -> shape of each tensor."""

_HEAD = "lm_head.weight"


def read_shapes(folder: Path) -> dict[str, tuple[int, ...]]:
    """Read the headers of all the safetensors files in a folder.

    Raises:
        EngineError: there are none, or one is damaged.
    """
    from safetensors import SafetensorError, safe_open

    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise EngineError(f"there are no *.safetensors in {str(folder)!r}")
    shapes: dict[str, tuple[int, ...]] = {}
    for file in files:
        try:
            with safe_open(file, framework="pt") as opened:
                for name in opened.keys():  # noqa: SIM118  it is no mapping
                    shapes[name] = tuple(opened.get_slice(name).get_shape())
        except (OSError, SafetensorError) as error:
            raise EngineError(f"the weights in {str(file)!r} cannot be read: {error}") from error
    return shapes


def check_fit(given: Shapes, expected: Shapes, *, tied: bool) -> None:
    """Raise EngineError unless names and shapes are the same.

    Args:
        given: of the weights that came.
        expected: of the model's own weights.
        tied: the head is the embedding, so that it may be left out or come twice.
    """
    ignored = {_HEAD} if tied else set()
    unknown = sorted(given.keys() - expected.keys() - ignored)
    missing = sorted(expected.keys() - given.keys() - ignored)
    wrong = sorted(n for n in given.keys() & expected.keys() if given[n] != expected[n])
    if unknown or missing or wrong:
        raise EngineError(
            f"the weights do not fit the model: unknown {unknown[:3]}, missing {missing[:3]}, "
            f"of another shape {wrong[:3]}"
        )


def without_tied_head(names: Shapes, *, tied: bool) -> list[str]:
    """Return the names of the tensors that have to be handed over."""
    return [name for name in names if not (tied and name == _HEAD)]
