"""Whether weights fit a model, found out before vLLM is given them.

vLLM 0.32 takes a missing tensor for one that did not change, and a misshapen one leaves its
model without weights.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from agentgym.engine import Weights
from agentgym.errors import ConfigError, EngineError

_HEAD = "lm_head.weight"
_PEFT = "base_model.model."  # before each name in an adapter


class ModelShapes:
    """Names and shapes of a model's own weights, read from its folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._expected: dict[str, tuple[int, ...]] = {}
        self.is_tied = False
        """The head is the embedding, so that it may be left out or come twice."""

    def learn(self) -> None:
        """Read them.

        Raises:
            ConfigError: the folder is no model.
            EngineError: it has no safetensors.
        """
        from transformers import AutoConfig

        if self._expected:
            return
        try:
            config = AutoConfig.from_pretrained(self._folder, local_files_only=True)
        except Exception as error:  # whatever a broken file makes the library raise
            what = str(error).strip().partition("\n")[0]
            raise ConfigError(
                f"{str(self._folder / 'config.json')!r} cannot be read: {what}",
                hint="it must be that of a causal language model that transformers knows",
            ) from error
        self.is_tied = bool(config.get_text_config().tie_word_embeddings)
        self._expected = read_shapes(self._folder)

    def check(self, source: Mapping[str, Any] | Path) -> None:
        """Raise EngineError unless a folder or state dict has these names and shapes."""
        given = shapes_of(source)
        names, ignored = self._expected.keys(), {_HEAD} if self.is_tied else set()
        unknown = sorted(given.keys() - names - ignored)
        missing = sorted(names - given.keys() - ignored)
        wrong = sorted(name for name in given.keys() & names if given[name] != self._expected[name])
        if unknown or missing or wrong:
            raise EngineError(
                f"the weights do not fit the model: unknown {unknown[:3]}, missing {missing[:3]}, "
                f"of another shape {wrong[:3]}"
            )

    def check_adapter(self, given: Mapping[str, tuple[int, ...]]) -> None:
        """Raise EngineError unless the matrices of a LoRA belong to layers of this model."""
        for name, shape in given.items():
            layer, _, part = name.removeprefix(_PEFT).rpartition(".lora_")
            own = self._expected.get(f"{layer}.weight")
            if own is None or part not in ("A.weight", "B.weight"):
                raise EngineError(f"{name!r} belongs to no layer of the model")
            if layer == _HEAD.removesuffix(".weight"):
                raise EngineError("it changes lm_head, whose log-probabilities vLLM cannot tell")
            side = own[1] if part == "A.weight" else own[0]
            if side not in shape:
                raise EngineError(f"{name!r} has shape {list(shape)}, its layer {list(own)}")

    def once(self, weights: Mapping[str, Any]) -> dict[str, Any]:
        """Return the tensors, a tied head left out."""
        return {
            name: each for name, each in weights.items() if not (self.is_tied and name == _HEAD)
        }


def adapted_modules(folder: Path) -> list[str]:
    """Return the names of the layers that an adapter changes, such as q_proj."""
    layers = [name.rpartition(".lora_")[0] for name in read_shapes(folder)]
    return sorted({layer.rpartition(".")[2] for layer in layers})


def shapes_of(source: Weights) -> dict[str, tuple[int, ...]]:
    """Return name -> shape of each tensor."""
    if isinstance(source, Path):
        return read_shapes(source)
    return {name: tuple(tensor.shape) for name, tensor in (source or {}).items()}


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
