"""Options that several commands share."""

from typing import Annotated

import typer

Json = Annotated[bool, typer.Option("--json", help="Print JSON to stdout, and nothing else.")]
Overrides = Annotated[
    list[str] | None,
    typer.Argument(metavar="[KEY=VALUE]...", help="Keys of the configuration to change."),
]
RunOrFile = Annotated[
    str, typer.Argument(metavar="RUN", help="A run, or a file that `agentgym import` reads.")
]
RunDir = Annotated[str, typer.Argument(metavar="RUN", help="A run directory.")]
