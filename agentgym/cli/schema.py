"""`agentgym config schema`: the configuration as JSON Schema, for editors."""

from typing import Annotated

import typer

from agentgym.cli.outfile import Force, output_file
from agentgym.cli.output import note


def schema(
    env: Annotated[
        str | None,
        typer.Argument(metavar="[ENV]", help="Whose keys [env] has; without it, any."),
    ] = None,
    out: Annotated[str, typer.Option("-o", "--out", help="A file; - is stdout.")] = "-",
    force: Force = False,
) -> None:
    """Write the JSON Schema of a run's configuration.

    An editor that knows TOML (Taplo, Even Better TOML) completes and checks by it, where a file
    begins with the line: #:schema ./agentgym.schema.json
    """
    import json
    from pathlib import Path

    from agentgym.config.editor import run_schema

    text = json.dumps(run_schema(env), indent=2, ensure_ascii=False)
    with output_file(out, force=force) as file:
        file.write(text.encode() + b"\n")
    if out != "-":
        note(f"written to {out}; begin a file beside it with: #:schema ./{Path(out).name}")
