"""`agentgym train`: train a policy."""

from typing import Annotated

import typer

from agentgym.cli.options import Json


def train(
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="CONFIG.toml... [KEY=VALUE]...",
            help="Files, merged from left to right, and keys to change.",
        ),
    ],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check everything and write nothing.")
    ] = False,
    clean: Annotated[
        bool, typer.Option("--clean", help="Delete the run directory first, if it exists.")
    ] = False,
    json: Json = False,
) -> None:
    """Train a policy. Ctrl-C saves and stops; `agentgym resume` goes on.

    JSON: {run, status, step, steps, success: [per step], eval}
    """
    from agentgym.config.run import resolve_words
    from agentgym.trainers.plan import check_settings

    resolved = resolve_words(words)
    config = resolved.config
    check_settings(config)
    if dry_run:
        from agentgym.cli.dry_run import dry_run as report_plan

        report_plan(config, json=json)
        return
    from agentgym.cli.scoring import create_run, preflight
    from agentgym.cli.training import run_training

    sandbox = preflight(config, needs_torch=True)
    with create_run(resolved, clean=clean) as run:
        run.update(kind="train", sandbox=sandbox)
        run_training(config, run, json=json)
