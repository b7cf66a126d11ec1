"""Weights on their way to a server: two folders that both sides see, one of them in use.

The server loads the folder in use into a replica whenever it restarts one. So it is never written
to: new weights go into the other one, and the two change places when the server has them.
"""

import hashlib
import secrets
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from agentgym.engines.served.wire import SIGHT
from agentgym.engines.vllm.folder import WeightsFolder
from agentgym.errors import ConfigError


class Handover:
    """The two folders, in a folder that is there."""

    def __init__(self, parent: str) -> None:
        self._parent = Path(parent).expanduser().resolve()
        self._folders = [WeightsFolder(self._parent), WeightsFolder(self._parent)]
        self._writing = threading.Lock()  # who is cancelled goes on writing

    def write(self, weights: Mapping[str, Any], *, in_use: str | None, dtype: str | None) -> Path:
        """Write weights into the folder that is not in use, and return it.

        Raises:
            EngineError: they cannot be written.
        """
        with self._writing:
            free = next(each for each in self._folders if str(each.root) != in_use)
            return free.write(weights, dtype=dtype)

    @contextmanager
    def sight(self) -> Iterator[tuple[str, str]]:
        """Hold a small file, by which a server proves that it sees it: its path and its digest.

        Raises:
            ConfigError: nothing can be written there.
        """
        text = secrets.token_hex(32)
        file = self._parent / f"{SIGHT}{secrets.token_hex(8)}"
        try:
            file.write_text(text)
        except OSError as error:
            raise ConfigError(
                f"weights cannot be handed over in {str(self._parent)!r}: {error}",
                hint="set engine.weights_dir to a folder that both sides see and this one writes",
            ) from None
        try:
            yield str(file), hashlib.sha256(text.encode()).hexdigest()
        finally:
            with suppress(OSError):
                file.unlink()

    @property
    def is_used(self) -> bool:
        """Whether anything was written."""
        return any(each.root is not None for each in self._folders)

    def close(self) -> None:
        """Remove the folders, which must not be in use."""
        with self._writing:
            for each in self._folders:
                each.close()
