"""`agentgym doctor`: what this machine has, and how to mend what it lacks."""

import typer

from agentgym.cli.options import Json
from agentgym.cli.output import echo, echo_json, one_line, paint

_COLOURS = {"ok": "green", "warning": "yellow", "missing": "red"}


def doctor(json: Json = False) -> None:
    """Check Python, packages, sandbox, accelerator and disk.

    Exit code 3 if something needed is missing.

    JSON: [{name, status: ok|warning|missing, detail, mend}]
    """
    from agentgym.cli.diagnosis import diagnose

    found = diagnose()
    if json:
        echo_json([each._asdict() for each in found])
    else:
        width = max(len(each.name) for each in found)
        for each in found:
            echo(
                f"{paint(each.status.ljust(7), _COLOURS[each.status])}  {each.name.ljust(width)}  "
                f"{one_line(each.detail)}"
            )
            if each.mend:
                echo(f"{'':9}{'':{width}}  mend: {each.mend}")
    if any(each.status == "missing" for each in found):
        raise typer.Exit(3)
