"""`agentgym config diff`: which keys of two configurations differ, and who set them."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agentgym.cli.options import Json
from agentgym.cli.output import echo, echo_json, note, paint, safe

if TYPE_CHECKING:
    from agentgym.config.overlay import Resolved
    from agentgym.config.run import RunConfig

_WHAT = "a TOML file, a run directory or an environment"


def diff(
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="A [B] [KEY=VALUE]...",
            help=f"Each of A and B {_WHAT}; without B, the defaults. KEY=VALUE holds for both.",
        ),
    ],
    json: Json = False,
) -> None:
    """Show the keys that differ between two configurations.

    Each with both values and where they were set. The exit code is 0 whether or not they differ.

    JSON: {key: {a: {value, source} or null, b: the same}}; null where there is no such key
    """
    from agentgym.config.run import resolve_refs
    from agentgym.errors import ConfigError

    refs = [word for word in words if "=" not in word]
    overrides = [word for word in words if "=" in word]
    if len(refs) not in (1, 2):
        raise ConfigError(f"diff compares two, not {len(refs)}", hint=f"each is {_WHAT}")
    first = resolve_refs(refs[:1], overrides)
    if len(refs) == 2:
        second = resolve_refs(refs[1:], overrides)
    else:
        second = resolve_refs([first.config.env.id], overrides)
    found = _differences(first, second)
    if json:
        echo_json(found)
    else:
        _print(
            found, refs[0], refs[1] if len(refs) == 2 else f"the defaults of {second.config.env.id}"
        )


def _differences(first: "Resolved[RunConfig]", second: "Resolved[RunConfig]") -> dict[str, Any]:
    from agentgym.config.overlay import flatten

    a, b = flatten(first.config), flatten(second.config)
    keys = [key for key in {**a, **b} if (key in a, a.get(key)) != (key in b, b.get(key))]
    return {
        key: {"a": _told(key, a, first.provenance), "b": _told(key, b, second.provenance)}
        for key in keys
    }


def _told(key: str, values: Mapping[str, Any], sources: Mapping[str, str]) -> dict[str, Any] | None:
    return {"value": values[key], "source": sources[key]} if key in values else None


def _print(found: dict[str, Any], first: str, second: str) -> None:
    if not found:
        note(f"no key differs between {first} and {second}")
        return
    echo(paint(f"--- {safe(first)}", "bold"))
    echo(paint(f"+++ {safe(second)}", "bold"))
    for key, sides in found.items():
        echo(key)
        _print_side("-", sides["a"], "red")
        _print_side("+", sides["b"], "green")


def _print_side(sign: str, side: dict[str, Any] | None, colour: str) -> None:
    from agentgym.config.toml import render_value

    if side is None:
        echo(paint(f"  {sign} no such key", "dim"))
        return
    echo(
        paint(f"  {sign} {safe(render_value(side['value']))}", colour)
        + paint(f"  # {safe(side['source'])}", "dim")
    )
