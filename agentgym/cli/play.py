"""`agentgym play`: a person acts, with the same tools, limits and rewards as a model."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agentgym.cli.options import Overrides
from agentgym.cli.output import echo, note, one_line, paint

if TYPE_CHECKING:
    from agentgym.config.run import RunConfig
    from agentgym.env import EnvConfig
    from agentgym.types import Task, Trajectory

_SEARCHED = 10_000  # tasks looked through for an id


def play(
    env: Annotated[
        str, typer.Argument(metavar="ENV", help="An id, pkg.mod:Config or path/file.py[:Config].")
    ],
    overrides: Overrides = None,
    task: Annotated[
        str, typer.Option(help="Which task: its number in the split, from 0, or its id.")
    ] = "0",
    split: Annotated[str | None, typer.Option(help="Of which tasks; train, if not said.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of all randomness.")] = 0,
    out: Annotated[str | None, typer.Option("-o", "--out", help="The run directory.")] = None,
    clean: Annotated[
        bool, typer.Option("--clean", help="Delete the run directory first, if it exists.")
    ] = False,
) -> None:
    """Play an episode by hand.

    The tools, limits and rewards are those of a model, and the episode is recorded like any other.
    Type text to answer, /TOOL ARGUMENTS to call a tool, /help for more. Turns count from 0, as
    in addresses. Who leaves, by /quit, Ctrl-D or Ctrl-C, keeps what was played.
    """
    import asyncio

    from agentgym.cli.person import PATIENCE, Interrupted
    from agentgym.cli.scoring import create_run, give_up, preflight
    from agentgym.config.overlay import resolve
    from agentgym.config.run import RunConfig
    from agentgym.config.toml import render_value
    from agentgym.errors import ConfigError, MissingError

    given = {
        "env.id": env,
        "seed": seed,
        **{f"rollout.deadlines.{key}": seconds for key, seconds in PATIENCE.items()},
    }
    if out is not None:
        given["out"] = out
    words = [f"{key}={render_value(value)}" for key, value in given.items()]
    resolved = resolve(RunConfig, overrides=[*words, *(overrides or ())])
    config = resolved.config
    chosen = find_task(config.env.config, split or config.env.config.splits[0], task)
    sandbox = preflight(config, needs_torch=False)
    with create_run(resolved, clean=clean) as run:
        run.update(kind="play", sandbox=sandbox)
        try:
            found = asyncio.run(_play(config, chosen, root=run.root))
        except (ConfigError, MissingError):
            give_up(run)
            raise
        except KeyboardInterrupt:
            run.update(status="interrupted")
            note("\nthe episode is not recorded")
            raise
        except BaseException:
            run.update(status="failed")
            note("\nthe episode is not recorded")
            raise
        stopped = found.reason == Interrupted.reason
        run.update(status="interrupted" if stopped else "finished", policy="person")
    _tell(found, run.root)
    if stopped:
        raise KeyboardInterrupt
    if found.end == "error":
        raise typer.Exit(1)


def find_task(config: "EnvConfig", split: str, wanted: str) -> "Task":
    """Return a task by its number in the split, or by its id.

    Raises:
        ConfigError: there is no such task or split.
    """
    from itertools import islice

    from agentgym.env import tasks_of
    from agentgym.errors import ConfigError

    if split not in config.splits:
        raise ConfigError(
            f"there is no split {split!r}", hint=f"splits: {', '.join(config.splits)}"
        )
    number = int(wanted) if wanted.isdecimal() else None
    seen = 0
    for task in islice(tasks_of(config, split), _SEARCHED):
        if task.id == wanted or seen == number:
            return task
        seen += 1
    raise ConfigError(
        f"there is no task {wanted!r} in {split!r}",
        hint=f"a number from 0 to {seen - 1}, or the id of a task" if seen else "it has no tasks",
    )


async def _play(config: "RunConfig", task: "Task", *, root: Path) -> "Trajectory":
    from functools import partial

    from agentgym.cli.person import a_person
    from agentgym.cli.scoring import open_sandboxes
    from agentgym.rollout.collect import make_jobs
    from agentgym.rollout.episode import run_episode
    from agentgym.store.episodes import EpisodeWriter

    env = config.env.config
    (job,) = make_jobs([task], group_size=1, run_seed=config.seed, prefix="play", env=type(env).id)
    writer = EpisodeWriter(root)
    try:
        async with open_sandboxes(config) as sandboxes:
            found = await run_episode(  # once: nobody wants to play again what ended by a fault
                job,
                config=env,
                make_policy=partial(a_person, max_turns=env.max_turns),
                policy_name="person",
                deadlines=config.rollout.deadlines,
                sandboxes=sandboxes,
            )
            writer.append(found)
    finally:
        writer.close()
    return found


def _tell(trajectory: "Trajectory", root: Path) -> None:
    """Print how the episode ended, the last answers and every reward term."""
    from agentgym.cli.person import show_last
    from agentgym.store.address import address_of

    show_last(trajectory)
    totals: dict[str, float] = {}
    for step in trajectory.steps:
        for name, value in step.reward_terms.items():
            totals[name] = totals.get(name, 0.0) + value
    echo()
    echo(paint(f"{trajectory.end}  {one_line(trajectory.reason)}", "bold"))
    echo(f"outcome  {trajectory.outcome:g}")
    for name, value in sorted(totals.items()):
        if name != "outcome":
            echo(f"  {one_line(name)}  {value:g}")
    echo(f"recorded in {root}; see: agentgym show {address_of(root, trajectory.id)}")
