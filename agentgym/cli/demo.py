"""`agentgym demo`: a synthetic run to look at."""

from typing import Annotated

import typer

from agentgym.cli.options import Json
from agentgym.cli.output import counted, echo, echo_json


def demo(
    out: Annotated[
        str, typer.Argument(metavar="[OUT]", help="The directory of the run.")
    ] = "runs/demo",
    flawed: Annotated[
        bool, typer.Option("--flawed", help="Damage it, so that `agentgym check run` has finds.")
    ] = False,
    json: Json = False,
) -> None:
    """Write a small synthetic run with everything in it.

    It is a first look at what a training leaves, and a fixture for tests.

    No model is used. Its episodes are really played, and its rewards and advantages really computed;
    what was said, how likely that was and what an update did are made up. It is always the same.

    JSON: {run, status, steps, episodes}
    """
    from agentgym.demo import write_demo
    from agentgym.store.episodes import read_heads

    run = write_demo(out, flawed=flawed)
    episodes = sum(1 for _ in read_heads(run.root))
    if json:
        echo_json(
            {"run": str(run.root), "status": run.status, "steps": run.step, "episodes": episodes}
        )
        return
    steps = counted(run.step, "optimiser step")
    echo(f"wrote {run.root}: {steps}, {counted(episodes, 'episode')}, all of it made up")
    for words, why in (
        (f"view {run.root}", "all of it in a browser"),
        (f"show {run.root}", "what is in it"),
        (f"show {run.root} train-000004-001.0.0", "a reward that is hacked"),
        (f"recredit {run.root} --credit grpo,salt", "what other estimators make of it"),
        (f"check run {run.root}", "is the record what it should be"),
    ):
        echo(f"next  agentgym {words:<44}  {why}")
