"""Weights on their way to a server: two folders that both sides see, one of them in use.

The server loads the folder in use into a replica whenever it restarts one. So it is never written
to: new weights go into the other one, and the two change places when the server has them.
"""

import hashlib
import secrets
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from agentgym.errors import ConfigError, EngineError

_FILE = "model.safetensors"
_NAMES = ("weights-0", "weights-1")


class Handover:
    """The two folders."""

    def __init__(self, folder: str) -> None:
        self._folder = Path(folder).expanduser().resolve()

    def write(self, weights: Mapping[str, Any], *, in_use: str | None) -> Path:
        """Write weights into the folder that is not in use, and return it.

        Raises:
            EngineError: they cannot be written.
        """
        from safetensors import SafetensorError
        from safetensors.torch import save_file

        folder = next(each for name in _NAMES if str(each := self._folder / name) != in_use)
        file = folder / _FILE
        try:
            folder.mkdir(exist_ok=True)
            whole = {name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()}
            save_file(_untied(whole), folder / "writing")
            (folder / "writing").replace(file)
        except (OSError, SafetensorError) as error:
            raise EngineError(
                f"the weights cannot be written to {str(folder)!r}: {error}",
                hint="make room there, or name another folder with engine.weights_dir",
            ) from error
        return folder

    def leave_sight(self) -> tuple[Path, str]:
        """Write a small file; return it and the digest of what is in it.

        Raises:
            ConfigError: nothing can be written there.
        """
        text = secrets.token_hex(32)
        file = self._folder / f"agentgym-sight-{secrets.token_hex(8)}"
        try:
            file.write_text(text)
        except OSError as error:
            raise ConfigError(
                f"weights cannot be handed over in {str(self._folder)!r}: {error}",
                hint="set engine.weights_dir to a folder that both sides see and this one writes",
            ) from None
        return file, hashlib.sha256(text.encode()).hexdigest()

    def clear_sight(self, file: Path) -> None:
        """Remove that file."""
        with suppress(OSError):
            file.unlink()


def _untied(weights: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out names that share their memory with another one: a model ties them again."""
    seen: set[int] = set()
    kept: dict[str, Any] = {}
    for name, tensor in weights.items():
        if tensor.data_ptr() not in seen:
            seen.add(tensor.data_ptr())
            kept[name] = tensor
    return kept
