"""`agentgym sandbox`: images to build, sandboxes to see and to remove."""

from typing import Any

import typer

from agentgym.cli import sandbox_build, sandbox_ls, sandbox_reap

app = typer.Typer(help="Build images; see and remove sandboxes.", rich_markup_mode=None)
_EXAMPLE: dict[str, Any] = {"epilog": "Example: agentgym sandbox build data --wheels wheels"}
app.command("build", **_EXAMPLE)(sandbox_build.build)
app.command("ls")(sandbox_ls.ls)
app.command("reap")(sandbox_reap.reap)


@app.callback()
def _sandbox() -> None:
    """Build images; see and remove sandboxes."""
