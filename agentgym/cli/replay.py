"""`agentgym replay`: does every recorded episode come out the same when it is played again?"""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from agentgym.cli.options import Json, RunDir
from agentgym.cli.output import counted, echo, echo_json, one_line, paint, run_aside

if TYPE_CHECKING:
    from agentgym.config.run import RunConfig
    from agentgym.rollout.replay import Replay
    from agentgym.store.episodes import EpisodeHead

_MAX_PRINTED = 20  # episodes that differ; all of them are in --json


def replay(
    run: RunDir,
    verify: Annotated[
        bool, typer.Option("--verify", help="Compare; exit 1 if anything differs.")
    ] = False,
    limit: Annotated[
        int | None, typer.Option("-n", "--episodes", min=1, help="Only the first so many.")
    ] = None,
    json: Json = False,
) -> None:
    """Play every recorded episode again and compare.

    The seed, the task and the messages are as recorded. Compared are observations, reward terms, state and action keys, and how it ended. Where a
    fault or a time limit ended something, nothing can be said: unverifiable.

    JSON: {episodes, equal, different: [{id, differences}], unverifiable: [{id, reason}]}
    """
    from itertools import islice

    from agentgym.config.run import recorded
    from agentgym.errors import ConfigError, StoreError
    from agentgym.store.episodes import read_heads
    from agentgym.store.run import Run

    if not verify:
        hint = f"agentgym replay {run} --verify; to look at episodes: agentgym show {run}"
        raise ConfigError("replay needs --verify", hint=hint)
    found = Run.open(run)
    config = recorded(found.config_path).config
    heads = list(islice(read_heads(found.root), limit))
    if not heads:
        raise StoreError(f"{found.root} has no episode to verify")
    results = run_aside(_replay_all(heads, config, show=not json))
    report = _report(results)
    if json:
        echo_json(report)
    else:
        _print(report)
    if report["different"]:
        raise typer.Exit(1)


async def _replay_all(
    heads: "list[EpisodeHead]", config: "RunConfig", *, show: bool
) -> "dict[str, Replay]":
    import asyncio

    from agentgym.cli.progress import EpisodeCounter
    from agentgym.cli.scoring import open_sandboxes
    from agentgym.rollout.replay import replay as play_again
    from agentgym.store.episodes import read_episode

    results: dict[str, Replay] = {}
    waiting = iter(heads)
    async with open_sandboxes(config) as sandboxes:
        with EpisodeCounter(len(heads), show=show) as counter:

            async def work() -> None:
                for head in waiting:
                    results[head.id] = await play_again(
                        read_episode(head),
                        config.env.config,
                        sandboxes,
                        deadlines=config.rollout.deadlines,
                    )
                    counter.advance()

            async with asyncio.TaskGroup() as tasks:
                for _ in range(config.rollout.most):
                    tasks.create_task(work())
    return {head.id: results[head.id] for head in heads}


def _report(results: "dict[str, Replay]") -> dict[str, Any]:
    different = {name: found.differences for name, found in results.items() if found.differences}
    unverifiable = {
        name: found.unverifiable for name, found in results.items() if found.unverifiable
    }
    return {
        "episodes": len(results),
        "equal": len(results) - len(different) - len(unverifiable),
        "different": [
            {"id": name, "differences": [each._asdict() for each in found]}
            for name, found in different.items()
        ],
        "unverifiable": [{"id": name, "reason": why} for name, why in unverifiable.items()],
    }


def _print(report: dict[str, Any]) -> None:
    for each in report["different"][:_MAX_PRINTED]:
        echo(paint(f"{each['id']} differs", "red"))
        for found in each["differences"]:
            where = "episode" if found["step"] is None else f"turn {found['step']}"
            echo(f"  {where}: {found['what']}")
            echo(f"    recorded  {one_line(repr(found['recorded']), 200)}")
            echo(f"    replayed  {one_line(repr(found['replayed']), 200)}")
    if len(report["different"]) > _MAX_PRINTED:
        echo(f"and {len(report['different']) - _MAX_PRINTED} more; --json has all")
    for each in report["unverifiable"]:
        echo(f"{each['id']} unverifiable: {one_line(each['reason'], 160)}")
    echo(
        f"{counted(report['episodes'], 'episode')}: {report['equal']} equal, "
        f"{len(report['different'])} different, {len(report['unverifiable'])} unverifiable"
    )
