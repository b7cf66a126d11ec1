"""`agentgym run`: roll any model out in any environment, and score it."""

from typing import Annotated

import typer

from agentgym.cli.options import Json, Overrides


def run(
    env: Annotated[
        str, typer.Argument(metavar="ENV", help="An id, pkg.mod:Config or path/file.py[:Config].")
    ],
    overrides: Overrides = None,
    model: Annotated[
        str,
        typer.Option(
            "-m",
            "--model",
            help="scripted, scripted:noop, scripted:random, scripted:fuzz, scripted:LEVEL, "
            "openai:MODEL@URL, a model folder, a run or a checkpoint.",
        ),
    ] = "scripted",
    episodes: Annotated[int, typer.Option("-n", "--episodes", min=1, help="How many tasks.")] = 50,
    split: Annotated[
        str | None, typer.Option(help="Of which tasks; test, where there is such a split.")
    ] = None,
    samples: Annotated[int, typer.Option(min=1, help="Episodes per task.")] = 1,
    seed: Annotated[int, typer.Option(min=0, help="Of all randomness.")] = 0,
    out: Annotated[str | None, typer.Option("-o", "--out", help="The run directory.")] = None,
    clean: Annotated[
        bool, typer.Option("--clean", help="Delete the run directory first, if it exists.")
    ] = False,
    json: Json = False,
) -> None:
    """Roll a model out and score it.

    Every episode is recorded in a run directory.

    JSON: {run, env, policy, split, seed, success: {mean, low, high, n}, kinds, pass_at, turns,
    faults, reward_terms, ends, tokens, rewritten, seconds, usage}; rewritten: how often the context
    was, in the mean; usage is null, or of a model behind a URL
    {requests, retries, prompt_tokens, completion_tokens, cut, cost}
    """
    from agentgym.cli.scoring import kind_of, model_folder, score_and_report
    from agentgym.cli.served import keys_of, refuse_ineffective
    from agentgym.config.overlay import resolve
    from agentgym.config.run import RunConfig
    from agentgym.config.toml import render_value

    given = {
        "env.id": env,
        "eval.episodes": episodes,
        "eval.samples": samples,
        "seed": seed,
    }
    match kind_of(model):
        case "openai":
            given |= keys_of(model)
        case "local":
            given["model.path"] = str(model_folder(model))
    if split is not None:
        given["eval.split"] = split
    if out is not None:
        given["out"] = out
    words = [f"{key}={render_value(value)}" for key, value in given.items()]
    resolved = resolve(RunConfig, overrides=[*words, *(overrides or ())])
    if kind_of(model) == "openai":
        refuse_ineffective(resolved)
    score_and_report(resolved, model=model, clean=clean, json=json)
