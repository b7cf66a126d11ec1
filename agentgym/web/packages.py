"""Commands that listen for HTTP, and the packages they need."""

from collections.abc import Iterator
from contextlib import contextmanager

from agentgym.errors import MissingError


@contextmanager
def needs_web(what: str, *, extra: str) -> Iterator[None]:
    """Say what to install where the packages of a server are missing.

    Raises:
        MissingError: one of them is.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("starlette", "uvicorn"):
            raise
        raise MissingError(
            f"{what} needs the package {error.name}",
            hint=f"pip install 'agentgym-framework[{extra}]'",
        ) from error
