"""`agentgym config explain`: what a key means, takes and comes to."""

import re
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agentgym.cli.options import Json
from agentgym.cli.output import echo, echo_json, echo_table, paint

if TYPE_CHECKING:
    from agentgym.config.keys import Entry
    from agentgym.config.overlay import Resolved
    from agentgym.config.run import RunConfig

_FEW = 4  # choices that a table has room for
_MANY = 8  # members of a union that are explained one after the other
_KEY = re.compile(r"[A-Za-z_]\w*(\[\])?(\.\w+(\[\])?)*")
_WORDS = "[KEY] [ENV|RUN|CONFIG.toml...] [KEY=VALUE]..."


def explain(
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar=_WORDS,
            help="A key or a section, and where to look up its value; nothing: all sections.",
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Explain a key, a section or all of them.

    Of a key: what it does, which values it takes, its default, its value and who set it. A section lists its keys; `credit.name=gigpo` is one of the things that a section can hold.
    The keys of an environment need its name: agentgym config explain env.tier agentgym/KeyDoor-v0

    JSON: [{key, kind, when, section, doc, type, bounds, choices, required, default, value, source}];
    value and source are null where no configuration is given, or where it does not use the key
    """
    from agentgym.config.keys import entries
    from agentgym.config.run import RunConfig, resolve_refs

    key, kind, rest = _split(words or [])
    refs = [word for word in rest if "=" not in word]
    resolved = resolve_refs(refs, [word for word in rest if "=" in word]) if rest else None
    given = resolved.config.model_dump() if resolved else {}
    known = list(entries(RunConfig, given))
    found = _find(known, key, kind, with_env=resolved is not None)
    values = _Values(resolved)
    if json:
        echo_json([_to_json(entry, values) for entry in found])
    elif key is None:
        _print_sections(found, values)
    elif any(entry.is_section for entry in found):
        _print_section(key, found, values)
    else:
        _print_key(found, key, values)


def _split(words: Sequence[str]) -> tuple[str | None, str | None, list[str]]:
    """Take `KEY` or `SECTION.name=KIND` off the front; the rest stands for a configuration."""
    if not words:
        return None, None, []
    key, equals, kind = words[0].partition("=")
    is_kind = bool(equals) and key.endswith(".name")
    if key.endswith((".toml", ".py")) or not _KEY.fullmatch(key) or (equals and not is_kind):
        return None, None, list(words)
    section = key.removesuffix(".name") if is_kind else key
    return section.replace("[]", ""), kind if is_kind else None, list(words[1:])


class _Values:
    """The values and sources of a configuration, where there is one."""

    def __init__(self, resolved: "Resolved[RunConfig] | None") -> None:
        from agentgym.config.overlay import flatten

        self.exist = resolved is not None
        self._whole: dict[str, Any] = resolved.config.model_dump() if resolved else {}
        self.values = flatten(resolved.config) if resolved else {}
        self.sources = resolved.provenance if resolved else {}

    def has(self, entry: "Entry") -> bool:
        """Whether the configuration has this key, of this member of a union."""
        return bool(self._keys(entry)) and not self.differs(entry)

    def value(self, entry: "Entry") -> Any:
        """Return the value of a key that the configuration has; of a table, all of it."""
        found = self._whole
        for part in entry.path:
            found = found[part]
        return found

    def source(self, entry: "Entry") -> str:
        """Return who set a key; of a table, all who set something in it."""
        return ", ".join(dict.fromkeys(self.sources[key] for key in self._keys(entry)))

    def differs(self, entry: "Entry") -> str | None:
        """Return what picked another member of a union than the one with this key."""
        for key, name in entry.when:
            if self.exist and self.values.get(key) != name:
                return f"{key} is {_shown(self.values.get(key))}"
        return None

    def _keys(self, entry: "Entry") -> list[str]:
        """Return the keys that have the value: the key itself, or those in a table."""
        if entry.key in self.values or entry.is_section:
            return [entry.key] if entry.key in self.values else []
        return [key for key in self.values if key.startswith(f"{entry.key}.")]


def _find(
    known: "Sequence[Entry]", key: str | None, kind: str | None, *, with_env: bool
) -> "list[Entry]":
    """Return what a key is, and the keys below it where it is a section.

    Raises:
        ConfigError: there is no such key or kind.
    """
    if key is None:
        return list(known)
    path = tuple(key.split("."))
    found = [entry for entry in known if entry.path[: len(path)] == path]
    if not found:
        raise _unknown(key, known, with_env=with_env)
    if not any(entry.is_section for entry in found if entry.path == path):
        return [entry for entry in found if entry.path == path]
    return found if kind is None else _of_kind(found, key, kind)


def _of_kind(found: "Sequence[Entry]", key: str, kind: str) -> "list[Entry]":
    """Return one member of a union, and its keys."""
    from agentgym.errors import ConfigError
    from agentgym.loading import did_you_mean

    kinds = [str(each) for entry in found if entry.key == f"{key}.name" for each in entry.choices]
    if not kinds:
        raise _unknown(f"{key}.name", found, with_env=True)
    if kind not in kinds:
        close = did_you_mean(kind, kinds)
        hint = f"did you mean {key}.name={close}? " if close else ""
        raise ConfigError(f"unknown {key} {kind!r}", hint=f"{hint}known: {', '.join(kinds)}")
    if len(kinds) == 1:
        return list(found)
    picked = (f"{key}.name", kind)
    return [each for each in found if picked in each.when or (each.key, each.kind) == (key, kind)]


def _unknown(key: str, known: "Sequence[Entry]", *, with_env: bool) -> Exception:
    from agentgym.config.layers import dotted
    from agentgym.config.schema import closest_key
    from agentgym.env import EnvConfig
    from agentgym.errors import ConfigError

    if key.startswith("env.") and not with_env:
        return ConfigError(
            f"which keys there are beside `env.id` depends on the environment: `{key}`",
            hint=f"agentgym config explain {key} ENV",
        )
    if Path(key).is_dir():
        return ConfigError(
            f"unknown key `{key}`", hint=f"a key comes first: agentgym config explain env {key}"
        )
    every_env = [] if with_env else [("env", name) for name in EnvConfig.model_fields]
    close = closest_key(tuple(key.split(".")), [*(entry.path for entry in known), *every_env])
    hint = f"did you mean `{dotted(close)}`?" if close else "agentgym config explain lists all"
    return ConfigError(f"unknown key `{key}`", hint=hint)


def _to_json(entry: "Entry", values: _Values) -> dict[str, Any]:
    is_used = values.has(entry)
    return {
        "key": entry.key,
        "kind": entry.kind,
        "when": dict(entry.when),
        "section": entry.is_section,
        "doc": entry.doc,
        "type": entry.type,
        "bounds": entry.bounds,
        "choices": entry.choices,
        "required": entry.is_required,
        "default": entry.default,
        "value": values.value(entry) if is_used else None,
        "source": values.source(entry) if is_used else None,
    }


def _print_sections(found: "Iterable[Entry]", values: _Values) -> None:
    docs = {entry.key: entry.doc for entry in found}  # that of a union is at its `name`
    tops = {entry.key: entry for entry in found if len(entry.path) == 1}
    rows = [
        (
            f"[{key}]" if entry.is_section else key,
            _name(key, entry, values),
            summary(docs[f"{key}.name"] if entry.kind else entry.doc),
        )
        for key, entry in tops.items()
    ]
    echo_table(("key", "value" if values.exist else "default", "meaning"), rows)
    echo(paint("\nthe keys of a section: agentgym config explain SECTION", "dim"))


def _name(key: str, entry: "Entry", values: _Values) -> str:
    """Return what stands in a list of sections for the value of one."""
    if not entry.is_section:
        return _shown(values.values.get(key, entry.default))
    return _shown(values.values[f"{key}.name"]) if f"{key}.name" in values.values else ""


def _print_section(key: str, found: "Sequence[Entry]", values: _Values) -> None:
    picks = [each for each in found if each.key == f"{key}.name" and _is_pick(each)]
    for entry in picks[:1]:  # what several members of a union have is there for each
        echo(paint(f"[{key}]", "bold"))
        echo(f"  {entry.doc}\n")
        if len(entry.choices) <= _MANY:
            place = ", or pkg.mod:Config, path/file.py[:Config]" * entry.is_open
            echo(f"  {entry.key} picks one of {', '.join(map(str, entry.choices))}{place}\n")
    sections = {each.kind: each for each in found if each.is_section and each.key == key}
    if len(sections) > _MANY:
        _print_names(key, sections.values())
        sections = {kind: each for kind, each in sections.items() if _is_used(each, values)}
    for entry in sections.values():
        _print_heading(entry, values)
        own = [each for each in found if _is_below(each, entry, values)]
        _print_keys(own, values)
        for each in own:
            if each.path[-1] == "name" and _is_pick(each):
                echo(f"  keys of it: agentgym config explain {each.key}={each.choices[0]}\n")


def _is_pick(entry: "Entry") -> bool:
    """Whether a `name` has more than one value that it may have."""
    return entry.is_open or len(entry.choices) > 1


def _print_names(key: str, sections: "Collection[Entry]") -> None:
    rows = [
        (f"{each.kind}{', the default' * bool(each.default)}", summary(each.doc))
        for each in sections
    ]
    echo_table(("name", "meaning"), rows)
    first = next(iter(sections)).kind
    echo(paint(f"\nthe keys of one: agentgym config explain {key}.name={first}\n", "dim"))


def _is_below(entry: "Entry", section: "Entry", values: _Values) -> bool:
    """Whether this is a key of the section, of the member that is meant, and of none inside."""
    if entry.is_section or entry.path[: len(section.path)] != section.path:
        return False
    own = (f"{section.key}.name", section.kind) if section.kind else None
    inside = [*section.when, *([own] if own else [])]
    return list(entry.when) == inside or (
        values.has(entry) and entry.when[: len(inside)] == (*inside,)
    )


def _is_used(section: "Entry", values: _Values) -> bool:
    """Whether the configuration has this member of the union."""
    return values.exist and values.values.get(f"{section.key}.name") == section.kind


def _print_heading(entry: "Entry", values: _Values) -> None:
    named = f'{entry.key}.name = "{entry.kind}"' if entry.kind else f"[{entry.key}]"
    about = ""
    if entry.kind is not None:
        about = "  used" * _is_used(entry, values) + "  the default" * bool(entry.default)
    echo(paint(named, "bold") + paint(about, "dim"))
    _print_doc(entry.doc)
    echo()


def _print_keys(found: "Sequence[Entry]", values: _Values) -> None:
    if not found:
        return
    if any(values.has(entry) for entry in found):
        header = ("key", "value", "set by", "meaning")
        rows = [(e.key, *_value_cells(e, values), summary(e.doc)) for e in found]
        echo_table(header, rows)
    else:
        rows = [(e.key, _in_short(takes(e)), default_of(e), summary(e.doc)) for e in found]
        echo_table(("key", "takes", "default", "meaning"), rows)
    echo()


def _value_cells(entry: "Entry", values: _Values) -> tuple[str, str]:
    if not values.has(entry):
        return "", ""
    return _shown(values.value(entry)), values.source(entry)


def _print_key(found: "Sequence[Entry]", key: str, values: _Values) -> None:
    for number, entry in enumerate(found):
        if number:
            echo()
        when = " and ".join(f'{name} = "{kind}"' for name, kind in entry.when)
        echo(paint(key, "bold") + paint(f"  where {when}" * bool(when), "dim"))
        _print_doc(entry.doc)
        echo()
        echo(f"  takes    {takes(entry)}")
        echo(f"  default  {default_of(entry)}")
        if values.has(entry):
            value, source = _value_cells(entry, values)
            echo(f"  value    {value}  # {source}")
        elif values.exist and (why := values.differs(entry)):
            echo(f"  value    none: {why}")


def _print_doc(doc: str) -> None:
    for line in (doc or "Not documented.").split("\n"):
        echo(f"  {line}".rstrip())


def takes(entry: "Entry") -> str:
    """Say what values a key takes."""
    choices = " or ".join(_shown(choice) for choice in entry.choices)
    others = " or null" * (bool(choices) and entry.type.endswith("null"))
    place = " or pkg.mod:Config or path/file.py[:Config]" * entry.is_open
    return ", ".join([f"{choices}{others}{place}" or entry.type, *entry.bounds])


def _in_short(words: str) -> str:
    """Return the first of many choices, for a table."""
    choices = words.split(" or ")
    return words if len(choices) <= _FEW else " or ".join([*choices[:_FEW], "..."])


def default_of(entry: "Entry") -> str:
    """Say what a key is where nobody sets it."""
    return "must be given" if entry.is_required else _shown(entry.default)


def _shown(value: Any) -> str:
    from agentgym.config.toml import render_value

    return "null" if value is None else render_value(value)


def summary(doc: str) -> str:
    """Return the first sentence, or the first line of a paragraph that is no sentence."""
    first = " ".join(doc.partition("\n\n")[0].split())
    return re.split(r"(?<=[.])\s", first, maxsplit=1)[0]
