"""`agentgym sandbox ls`: the sandboxes there are on this machine."""

from typing import TYPE_CHECKING

from agentgym.cli.options import Json
from agentgym.cli.output import echo, echo_json, echo_table, note, one_line, short_digest

if TYPE_CHECKING:
    from agentgym.sandboxes.inventory import Held

_HEADER = ("name", "backend", "owner", "age", "memory", "image")


def ls(json: Json = False) -> None:
    """List sandboxes, of this machine and of its Docker engine, whoever made them.

    Local ones are seen where control groups hold them. What has no owner any more is removed by
    `agentgym sandbox reap`, and by the next start of sandboxes.

    JSON: [{name, backend, owner, owner_lives, age_s, image, memory_bytes}]
    """
    held = _held()
    if json:
        echo_json([each.to_json() for each in held])
    elif held:
        echo_table(_HEADER, [_row(each) for each in held])
        if not all(each.owner_lives for each in held):
            echo("\nremove what nobody owns: agentgym sandbox reap")
    else:
        echo("no sandboxes")


def _held() -> "list[Held]":
    from agentgym.errors import SandboxUnavailable
    from agentgym.sandboxes import inventory
    from agentgym.sandboxes.docker.engine import Engine

    held = inventory.local()
    try:
        with Engine() as engine:
            held += inventory.docker(engine)
    except SandboxUnavailable as error:
        note(f"left out: docker: {one_line(str(error))}")
    return held


def _row(held: "Held") -> list[object]:
    owner = "?" if held.owner is None else str(held.owner)
    memory = held.memory_bytes
    return [
        held.name,
        held.backend,
        owner if held.owner_lives else f"{owner} (gone)",
        "" if held.age_s is None else _duration(held.age_s),
        "" if memory is None else f"{memory / 2**20:.1f} MiB",
        short_digest(held.image or "this machine"),
    ]


def _duration(seconds: float) -> str:
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
