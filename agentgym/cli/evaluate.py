"""`agentgym eval`: the held-out score of a trained policy."""

from typing import TYPE_CHECKING, Annotated

import typer

from agentgym.cli.options import Json, Overrides

if TYPE_CHECKING:
    from pathlib import Path


def evaluate(
    which: Annotated[
        str, typer.Argument(metavar="RUN|CHECKPOINT", help="A run, or one of its checkpoints.")
    ],
    overrides: Overrides = None,
    episodes: Annotated[
        int | None, typer.Option("-n", "--episodes", min=1, help="How many tasks.")
    ] = None,
    split: Annotated[str | None, typer.Option(help="Of which tasks.")] = None,
    samples: Annotated[
        int | None, typer.Option(min=1, help="Episodes per task; more give pass@k.")
    ] = None,
    greedy: Annotated[bool, typer.Option("--greedy", help="Decode greedily.")] = False,
    out: Annotated[str | None, typer.Option("-o", "--out", help="The run directory.")] = None,
    json: Json = False,
) -> None:
    """Score a checkpoint on held-out tasks.

    It is configured as its run was. Every episode is recorded in a run directory.

    JSON: as of run.
    """
    from agentgym.cli.scoring import score_and_report
    from agentgym.config.run import free_dir, recorded
    from agentgym.config.toml import render_value

    run, checkpoint = _find(which)
    given = {
        "model.path": str(checkpoint),
        "eval.episodes": episodes,
        "eval.split": split,
        "eval.samples": samples,
        "rollout.sampling.temperature": 0 if greedy else None,
        "out": out or str(free_dir(run.with_name(f"{run.name}-eval-{checkpoint.name}"))),
    }
    words = [f"{key}={render_value(value)}" for key, value in given.items() if value is not None]
    resolved = recorded(run / "config.toml", [*words, *(overrides or ())])
    model = f"{run.name}@{checkpoint.name}{' greedy' * greedy}"
    score_and_report(resolved, model=model, clean=False, json=json)


def _find(which: str) -> "tuple[Path, Path]":
    """Return the run that is meant, and its checkpoint."""
    from pathlib import Path

    from agentgym.cli.scoring import kind_of, model_folder
    from agentgym.errors import ConfigError
    from agentgym.store.run import Run

    if kind_of(which) != "local":
        raise ConfigError(
            f"eval scores checkpoints of a training, and {which!r} has none",
            hint=f"agentgym run ENV -m {which}",
        )
    path = Path(which)
    if (path.parent.parent / "run.json").is_file() and (path / "config.json").is_file():
        return path.parent.parent, path.resolve()
    if path.is_dir() and not (path / "run.json").is_file():
        raise ConfigError(
            f"{which} is neither a run nor one of its checkpoints",
            hint=f"agentgym run ENV -m {which} scores any model folder",
        )
    return Run.open(path).root, model_folder(str(path))
