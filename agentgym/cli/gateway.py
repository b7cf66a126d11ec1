"""`agentgym gateway`: episodes that programs from outside play, by OpenAI's protocol."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer

from agentgym.cli.options import Json, Overrides
from agentgym.cli.output import note
from agentgym.errors import ConfigError

PORT = 8200
_PATIENCE_S = 24 * 3600.0  # of an episode that a person has a program play


def gateway(
    env: Annotated[
        str, typer.Argument(metavar="ENV", help="An id, pkg.mod:Config or path/file.py[:Config].")
    ],
    overrides: Overrides = None,
    model: Annotated[
        str,
        typer.Option("-m", "--model", help="As of run: a model folder, a run, openai:MODEL@URL."),
    ] = "scripted",
    agent: Annotated[
        str | None,
        typer.Option(
            metavar="COMMAND",
            help="What plays an episode, with {prompt}, {task}, {task_file}, {workdir}, {base_url}. "
            "It runs on this machine as you, in no sandbox. Without: start programs yourself.",
        ),
    ] = None,
    episodes: Annotated[
        int | None, typer.Option("-n", "--episodes", min=1, help="How many tasks; 10, by hand 1.")
    ] = None,
    task: Annotated[
        str | None, typer.Option(help="Only this one: its number in the split, from 0, or its id.")
    ] = None,
    split: Annotated[
        str | None, typer.Option(help="Of which tasks; test, where there is such a split.")
    ] = None,
    samples: Annotated[int, typer.Option(min=1, help="Episodes per task.")] = 1,
    concurrency: Annotated[
        int | None, typer.Option(min=1, help="With --agent: programs at once; 4.")
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(
            min=0, max=65535, help=f"Without --agent: the port; {PORT}, and 0 takes a free one."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of all randomness.")] = 0,
    out: Annotated[str | None, typer.Option("-o", "--out", help="The run directory.")] = None,
    clean: Annotated[
        bool, typer.Option("--clean", help="Delete the run directory first, if it exists.")
    ] = False,
    json: Json = False,
) -> None:
    """Let an agent program from outside play, and score it.

    It needs to know nothing of agentgym, and is recorded as agentgym run does. Each episode has
    an endpoint of its own that speaks OpenAI's protocol: the program finds it in OPENAI_BASE_URL and
    OPENAI_API_KEY. Every call of the model becomes a step with its tokens. Without --agent the
    endpoints are printed; Ctrl-C ends their episodes.

    JSON: as of run.
    """
    from agentgym.cli.endpoints import by_hand
    from agentgym.cli.play import find_task
    from agentgym.cli.scoring import kind_of, model_folder, score_and_report
    from agentgym.cli.served import keys_of, refuse_ineffective
    from agentgym.config.overlay import resolve
    from agentgym.config.run import RunConfig
    from agentgym.config.toml import render_value
    from agentgym.rollout.outside.settings import misspelt

    _check_effect(agent, concurrency, port)
    episodes = episodes or (10 if agent else 1)
    given: dict[str, Any] = {
        "env.id": env,
        "eval.episodes": episodes,
        "eval.samples": samples,
        "rollout.concurrency": (concurrency or 4) if agent else episodes * samples,
        "seed": seed,
    }
    if agent is None:
        given["rollout.deadlines.episode_s"] = _PATIENCE_S
    match kind_of(model):
        case "openai":
            given |= keys_of(model)
        case "local":
            given["model.path"] = str(model_folder(model))
    named = {"agent.command": agent, "eval.split": split, "out": out}
    given |= {key: value for key, value in named.items() if value is not None}
    words = [f"{key}={render_value(value)}" for key, value in given.items()]
    resolved = resolve(RunConfig, overrides=[*words, *(overrides or ())])
    config = resolved.config
    if agent is None and config.agent.command is not None:
        raise ConfigError("`agent.command` is given as a key", hint="give it by --agent COMMAND")
    if kind_of(model) == "openai":
        refuse_ineffective(resolved)
    chosen = None
    if task is not None:
        of = config.eval.split or config.env.config.held_out_split
        chosen = [find_task(config.env.config, of, task)]
    for name, meant in misspelt(agent or "").items():
        note(f"warning: {{{name}}} is handed on as it stands; did you mean {{{meant}}}?")
    opening = None if agent else by_hand(PORT if port is None else port)
    with _ended_as_by_ctrl_c():
        score_and_report(
            resolved, model=model, clean=clean, json=json, opening=opening, tasks=chosen
        )


def _check_effect(agent: str | None, concurrency: int | None, port: int | None) -> None:
    """Refuse options that would do nothing.

    Raises:
        ConfigError: there is one.
    """
    if agent is not None and port is not None:
        raise ConfigError(
            "--port has no effect with --agent", hint="a program finds the URL in OPENAI_BASE_URL"
        )
    if agent is None and concurrency is not None:
        raise ConfigError(
            "--concurrency has no effect without --agent", hint="all episodes are open at once"
        )


@contextmanager
def _ended_as_by_ctrl_c() -> Iterator[None]:
    """Take SIGTERM as Ctrl-C: there are programs to end first."""
    before = signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
