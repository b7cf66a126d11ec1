"""Which records of a run cannot be read."""

from collections.abc import Iterator
from pathlib import Path

from agentgym.errors import StoreError
from agentgym.store import episodes, notes
from agentgym.store.frames import header_stop, read_heads, read_record, shards


def damaged(root: Path) -> dict[str, str]:
    """Return what is wrong with the shards of a run, and in which of its folders."""
    return {
        wrong: module.FOLDER
        for module in (episodes, notes)
        for path in shards(root / module.FOLDER)
        for wrong in _damage(path, module.SCHEMA)
    }


def _damage(path: Path, schema: str) -> Iterator[str]:
    size = path.stat().st_size  # first: a run that trains goes on meanwhile
    try:
        stop = header_stop(path, schema=schema)
        if not stop:
            yield f"{path} is empty, or cut off in its header"
            return
        for head in read_heads(path, schema=schema):
            stop = head.stop
            try:
                read_record(head)
            except StoreError as error:
                yield str(error)
        if size > stop and not any(read_heads(path, schema=schema, start=stop)):  # nor by now
            yield f"{path}: {size - stop} bytes after the last whole record"
    except StoreError as error:
        yield str(error)
