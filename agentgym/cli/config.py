"""`agentgym config`: what a configuration comes to, and why; what its keys mean."""

from typing import Annotated

import typer

from agentgym.cli.diff import diff
from agentgym.cli.explain import explain
from agentgym.cli.options import Json
from agentgym.cli.output import echo, echo_json
from agentgym.cli.schema import schema

app = typer.Typer(help="Look at configurations.", rich_markup_mode=None)
app.command("explain")(explain)
app.command("schema")(schema)
app.command("diff")(diff)


@app.callback()
def _config() -> None:
    """Look at configurations."""


@app.command("show")
def show(
    words: Annotated[
        list[str], typer.Argument(metavar="CONFIG.toml... [KEY=VALUE]...", help="As for train.")
    ],
    json: Json = False,
) -> None:
    """Show every key of a configuration with its value and its source.

    JSON: {key: {value, source}}
    """
    from agentgym.config.overlay import flatten, render_toml
    from agentgym.config.run import resolve_words

    resolved = resolve_words(words)
    if json:
        sources = resolved.provenance
        values = flatten(resolved.config)
        echo_json({key: {"value": value, "source": sources[key]} for key, value in values.items()})
    else:
        echo(render_toml(resolved).rstrip("\n"))
