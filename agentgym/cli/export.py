"""`agentgym export`: the episodes of a run, for other programs."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agentgym.cli.export_filters import (
    Filters,
    ids_of,
    judge,
    labelled_any,
    lowest_outcome,
    preferred,
)
from agentgym.cli.onefile import export_html
from agentgym.cli.options import RunDir
from agentgym.cli.outfile import Force, output_file, output_folder
from agentgym.cli.output import counted, note

if TYPE_CHECKING:
    from agentgym.formats.writer import Writer
    from agentgym.store.run import Run


def export(
    run: RunDir,
    messages: Annotated[
        bool, typer.Option("--messages", help="JSON lines for supervised training.")
    ] = False,
    preference: Annotated[
        bool,
        typer.Option(
            "--preference", help="JSON lines: pairs of a good and a bad episode of a task."
        ),
    ] = False,
    atif: Annotated[
        bool, typer.Option("--atif", help="ATIF documents of Harbor, one a line.")
    ] = False,
    parquet: Annotated[
        bool, typer.Option("--parquet", help="A table, one row an episode.")
    ] = False,
    minari: Annotated[
        bool, typer.Option("--minari", help="A folder for Minari: offline RL on texts.")
    ] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Text for people.")] = False,
    html: Annotated[
        bool, typer.Option("--html", help="One page of a group or episode that needs no server.")
    ] = False,
    out: Annotated[str, typer.Option("-o", "--out", help="A file; - is stdout.")] = "-",
    episode: Annotated[
        list[str] | None,
        typer.Option("--episode", help="Only this one, by its id. May be given again."),
    ] = None,
    successes: Annotated[
        bool, typer.Option("--successes", help="Only where the environment says success.")
    ] = False,
    min_outcome: Annotated[
        float | None, typer.Option(help="Only where the outcome reaches this.")
    ] = None,
    label: Annotated[
        str | None, typer.Option(help="Only episodes that have this label, given in the viewer.")
    ] = None,
    chosen: Annotated[str, typer.Option(help="preference: the label of good ones.")] = "good",
    rejected: Annotated[str, typer.Option(help="preference: the label of bad ones.")] = "bad",
    best_of_group: Annotated[
        bool,
        typer.Option(
            "--best-of-group",
            help="Of each group one episode: the best outcome, then the fewest turns.",
        ),
    ] = False,
    split: Annotated[str | None, typer.Option(help="Only tasks of this split.")] = None,
    last_steps: Annotated[
        int | None,
        typer.Option(min=1, help="Of a training: only episodes of its last optimiser steps."),
    ] = None,
    tools: Annotated[
        bool,
        typer.Option(
            "--tools/--no-tools",
            help="messages, preference: write the tools of an episode beside it.",
        ),
    ] = True,
    metadata: Annotated[
        bool,
        typer.Option(
            "--metadata",
            help="messages, preference: write where each line is from, and its outcome.",
        ),
    ] = False,
    group: Annotated[
        str | None, typer.Option(help="Only this group; html shows one as a whole.")
    ] = None,
    credit: Annotated[
        list[str] | None,
        typer.Option(help="html: estimators that can be asked in it. May be given again."),
    ] = None,
    prompt_tokens: Annotated[
        bool,
        typer.Option("--prompt-tokens", help="ATIF: write at each turn all tokens it was shown."),
    ] = False,
    force: Force = False,
) -> None:
    """Write the episodes of a run for other programs.

    --messages writes one line an episode: {messages, tools} as OpenAI, TRL and axolotl read them,
    arguments of calls as JSON text, up to the last answer. Without a filter all episodes are
    written, of a training also those of its teacher and its evaluations. Left out, and counted,
    are episodes that ended by a fault (by --messages and --minari), that have no answer, or in
    which a call of a tool is not readable JSON. What each format keeps: docs/formats.md.
    """
    from agentgym.formats.writers import WRITERS
    from agentgym.store.run import Run

    asked = {
        "messages": messages,
        "preference": preference,
        "atif": atif,
        "parquet": parquet,
        "minari": minari,
        "markdown": markdown,
        "html": html,
    }
    form = _one_of([name for name, is_asked in asked.items() if is_asked], run)
    _refuse_idle(
        form,
        {
            "label": label,
            "successes": successes,
            "min-outcome": min_outcome is not None,
            "best-of-group": best_of_group,
            "split": split,
            "last-steps": last_steps,
            "credit": credit,
        },
    )
    if html:
        named, credits = episode or [], credit or []
        export_html(run, group=group, episodes=named, credits=credits, out=out, force=force)
        return
    found = Run.open(run)
    sides = preferred(found, label, chosen, rejected) if preference else {}
    filters = Filters(
        min_outcome=lowest_outcome(found, min_outcome, successes=successes),
        split=split,
        group=group,
        wanted=frozenset(ids_of(found, episode or ())),
        labelled=labelled_any(found, sides, label),
        best_of_group=best_of_group,
        last_steps=last_steps,
    )
    options: dict[str, dict[str, Any]] = {
        "messages": {"tools": tools, "metadata": metadata},
        "preference": {"tools": tools, "metadata": metadata, **sides},
        "atif": {"prompts": prompt_tokens},
    }
    opened = _opened(WRITERS[form], out, options.get(form, {}), force=force)
    _export(found, filters, out, opened)


def _export(
    run: "Run", filters: Filters, out: str, opened: AbstractContextManager["Writer"]
) -> None:
    """Write what the filters leave, and tell what they left out."""
    left_out: Counter[str] = Counter()
    with opened as writer:
        written = _write(run, filters, left_out, writer)
        if not written:
            raise _nothing(run, left_out)
        writer.finish()
    _report(run, out, written, left_out, writer.told)


def _one_of(formats: Sequence[str], run: str) -> str:
    from agentgym.errors import ConfigError

    if not formats:
        raise ConfigError("say in which format", hint=f"agentgym export {run} --messages")
    if len(formats) > 1:
        both = " and ".join(f"--{name}" for name in formats)
        raise ConfigError(f"{both} exclude each other", hint="export once for each")
    return formats[0]


def _refuse_idle(form: str, given: Mapping[str, object]) -> None:
    """Refuse what would choose nothing: who gives it would take all for what was chosen."""
    from agentgym.errors import ConfigError

    for name, value in given.items():
        if value and (name == "credit") != (form == "html"):
            hint = "--html takes one group or one episode" if form == "html" else "it is of --html"
            raise ConfigError(f"--{name} has no effect on --{form}", hint=hint)


@contextmanager
def _opened(
    kind: "type[Writer]", out: str, options: dict[str, Any], *, force: bool
) -> Iterator["Writer"]:
    """Make a writer; what it writes is there only once the block has ended."""
    make: Callable[..., Writer] = kind
    if kind.folder:
        with output_folder(out) as folder:
            yield make(folder, **options)
    else:
        with output_file(out, force=force) as file:
            yield make(file, **options)


def _write(run: "Run", filters: Filters, left_out: Counter[str], writer: "Writer") -> int:
    """Write what passes the filters; return how many episodes that is."""
    from agentgym.errors import StoreError
    from agentgym.store.episodes import read_episode, read_heads

    written = 0
    heads = list(read_heads(run.root))  # once: of a run that is being written there may be more
    why_not = judge(heads, filters, with_faults=writer.with_faults)
    for head in heads:
        reason = why_not(head)
        if reason is None:
            try:
                reason = writer.add(read_episode(head))
            except StoreError as error:
                note(f"warning: {error}")
                reason = "broken on disk"
        if reason is None:
            written += 1
        else:
            left_out[reason] += 1
    return written


def _nothing(run: "Run", left_out: Counter[str]) -> Exception:
    from agentgym.errors import AgentGymError

    if not left_out:
        return AgentGymError(f"{run.root} has no whole episode", hint=f"agentgym show {run.root}")
    return AgentGymError(f"no episode of {run.root} is left to export: {_told(left_out)}")


def _report(run: "Run", out: str, written: int, left_out: Counter[str], told: str) -> None:
    from agentgym.cli.recorded import unfinished

    if warning := unfinished(run):
        note(f"warning: {warning}")
    others = f"; left out: {_told(left_out)}" if left_out else ""
    where = "stdout" if out == "-" else out
    as_told = f" as {told}" * bool(told)
    note(f"{counted(written, 'episode')}{as_told} written to {where}{others}")


def _told(left_out: Counter[str]) -> str:
    return ", ".join(f"{count} {reason}" for reason, count in left_out.most_common())
