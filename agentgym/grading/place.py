"""The sandboxes that a check runs in: always new, with nothing but the named files."""

import contextlib
from collections.abc import AsyncIterator, Mapping

from agentgym.sandbox import Limits, Sandbox, Sandboxes

Artefacts = Mapping[str, bytes | None]
"""Files by their paths under /box; None: there is something, but no file that could be read."""


@contextlib.asynccontextmanager
async def fresh(sandboxes: Sandboxes, artefacts: Artefacts) -> AsyncIterator[Sandbox]:
    """Hold a sandbox in which nothing ever ran, with these files in it."""
    async with sandboxes.lease(fresh=True) as sandbox:
        for path, content in artefacts.items():
            if content is not None:
                await sandbox.write_file(path, content)
        yield sandbox


def roomy(limits: Limits, room: int) -> Limits:
    """Return limits under which an answer of so many bytes comes back whole."""
    most = max(limits.max_output_bytes, room)
    return limits.model_copy(update={"keep_output_bytes": room, "max_output_bytes": most})


async def collect(
    sandbox: Sandbox, *paths: str, most_bytes: int = 1 << 20
) -> dict[str, bytes | None]:
    """Read named files that an agent left in its own sandbox; what is not there is left out.

    Raises:
        SandboxError: the sandbox is gone.
    """
    found: dict[str, bytes | None] = {}
    for path in paths:
        with contextlib.suppress(FileNotFoundError):
            found[path] = await _read(sandbox, path, most_bytes)
    return found


async def _read(sandbox: Sandbox, path: str, most_bytes: int) -> bytes | None:
    try:
        return await sandbox.read_file(path, max_bytes=most_bytes)
    except ValueError:  # a link, a folder, too large, not a path in it
        return None
