"""A file that a command writes for its user: whole or not at all, and never over another one."""

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated, BinaryIO

import typer

Force = Annotated[bool, typer.Option("--force", help="Overwrite the file, if it exists.")]


@contextmanager
def output_file(out: str, *, force: bool) -> Iterator[BinaryIO]:
    """Open what `-o` names, `-` being stdout; the file is there only once the block has ended.

    Raises:
        ConfigError: it exists already, or cannot be a file.
        StoreError: it cannot be written.
    """
    from agentgym.errors import StoreError

    if out == "-":
        sys.stdout.flush()
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    path = Path(out)
    check_output(out, force=force)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            yield file
        if not force:
            check_output(out, force=False)  # again: writing may have taken long
        temporary.replace(path)
    except OSError as error:
        raise StoreError(f"cannot write {out}: {error.strerror}") from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


@contextmanager
def output_folder(out: str) -> Iterator[Path]:
    """Name a folder that is to be made; it is there only once the block has ended.

    Raises:
        ConfigError: there is something already, or it would stand in no folder.
        StoreError: it cannot be written.
    """
    from agentgym.errors import ConfigError, StoreError

    path = Path(out)
    if out == "-":
        raise ConfigError("this format is a folder", hint="name it with -o")
    if path.exists() or path.is_symlink():
        raise ConfigError(f"{out} exists already", hint="choose another name")
    if not path.parent.is_dir():
        raise ConfigError(f"there is no folder {str(path.parent)!r}", hint="make it first")
    with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as temporary:
        inside = Path(temporary) / path.name
        inside.mkdir()
        try:
            yield inside
            inside.rename(path)
        except OSError as error:
            raise StoreError(f"cannot write {out}: {error.strerror or error}") from error


def check_output(out: str, *, force: bool) -> None:
    """Refuse what must not or cannot be written, before work is done for it.

    Raises:
        ConfigError: it exists already, is a folder or a device, or stands in no folder.
    """
    from agentgym.errors import ConfigError

    path = Path(out)
    if out == "-":
        return
    if path.exists() and not path.is_file():
        raise ConfigError(f"{out} is no ordinary file", hint="give another name; - is stdout")
    if not path.parent.is_dir():
        raise ConfigError(f"there is no folder {str(path.parent)!r}", hint="make it first")
    if path.exists() and not force:
        raise ConfigError(f"{out} exists already", hint="choose another name, or give --force")
