"""`agentgym fork`: another way on from a turn of a recorded episode."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agentgym.cli.fork_play import CheckpointGoneError, Chosen, Place, Played, line_of, play_on
from agentgym.cli.options import Json, Overrides, RunDir

if TYPE_CHECKING:
    from agentgym.config.run import RunConfig
    from agentgym.store.run import Run

_MOST = 1000  # samples
_TRIES = 3  # before the last one: a newest checkpoint is soon one of the oldest


def fork(
    run: RunDir,
    episode: Annotated[
        str, typer.Argument(metavar="EPISODE", help="Its id, or the beginning of it.")
    ],
    overrides: Overrides = None,
    turn: Annotated[
        int, typer.Option(min=0, help="The turn that is played anew, from 0, as the viewer counts.")
    ] = 0,
    samples: Annotated[
        int | None, typer.Option("-k", "--samples", min=1, max=_MOST, help="Episodes; 1.")
    ] = None,
    checkpoint: Annotated[
        str | None,
        typer.Option(metavar="STEP", help="Of this run: a step, or latest, the default."),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option("-m", "--model", help="In place of a checkpoint: as of agentgym run."),
    ] = None,
    by_hand: Annotated[bool, typer.Option("--by-hand", help="Act yourself, as in play.")] = False,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Of the policy; without: the number of the new group.")
    ] = None,
    lines: Annotated[
        bool, typer.Option("--lines", help="Speak with a program: JSON lines, see docs/viewer.md.")
    ] = False,
    json: Json = False,
) -> None:
    """Play an episode on from one of its turns, in other ways.

    The environment is brought to the turn by a snapshot, or by the recorded messages and the
    recorded seed. What was said before keeps its tokens. The new episodes are recorded in the run
    as children of the old one, in a group of their own; training, compare and recredit leave them
    out. Turns count from 0, as in addresses. Who leaves by hand, by /quit, Ctrl-D or Ctrl-C, keeps
    what was played.

    JSON: {run, parent: EPISODE, turn, policy, seed, group, children: [EPISODE]}; EPISODE: {id, end,
    reason, outcome, turns, tokens}
    """
    from agentgym.cli.fork_lines import Lines
    from agentgym.cli.output import echo_json
    from agentgym.errors import AgentGymError

    spoken = Lines() if lines else None
    try:
        place = _place(run, episode, turn)
        choose = partial(_choose, place, model, checkpoint, overrides or (), by_hand=by_hand)
        play = partial(play_on, samples=samples, seed=seed, lines=spoken, show=not (json or lines))
        chosen, played = _play(place, choose, play)
    except (AgentGymError, KeyboardInterrupt) as error:
        if spoken:
            spoken.tell_failed(error)
        raise
    report = _report(place, chosen, played)
    if spoken:
        spoken.tell("done", **report)
    elif json:
        echo_json(report)
    else:
        _print(report)
    _end(chosen, played)


def _play(
    place: Place, choose: Callable[[], Chosen], play: Callable[[Place, Chosen], Played]
) -> tuple[Chosen, Played]:
    """Choose who goes on, and play; choose anew where a run that trains removed the checkpoint."""
    for _ in range(_TRIES):
        chosen = choose()
        with suppress(CheckpointGoneError):
            return chosen, play(place, chosen)
    chosen = choose()
    return chosen, play(place, chosen)


def _end(chosen: Chosen, played: Played) -> None:
    """Say by the exit code that nothing came of it, or that who played pressed Ctrl-C."""
    from agentgym.cli.person import Interrupted

    if chosen.is_person and played.children[0].reason == Interrupted.reason:
        raise KeyboardInterrupt
    if all(child.end == "error" for child in played.children):
        raise typer.Exit(1)


def _place(run: str, episode: str, turn: int) -> Place:
    """Return the turn that is meant.

    Raises:
        ConfigError: nothing can go on from there.
        StoreError: there is no such episode.
    """
    from agentgym.errors import ConfigError
    from agentgym.rollout.forks import last_turn
    from agentgym.store.address import address_of
    from agentgym.store.episodes import find_episode, read_episode
    from agentgym.store.run import Run
    from agentgym.types import OUTSIDE

    found = Run.open(run)
    parent = read_episode(find_episode(found.root, episode))
    place = address_of(found.root, parent.id)
    if found.info.get("kind") == "import" or not parent.task.env:
        raise ConfigError(
            f"{place} was imported: there is no environment in which it could go on",
            hint="only episodes that agentgym played can be forked",
        )
    if any(step.agent == OUTSIDE for step in parent.steps):
        raise ConfigError(
            f"{place} was played by a program from outside, which cannot go on from there",
            hint="only what the model and the environment said to each other can be forked",
        )
    last = last_turn(parent.end, parent.reason, len(parent.steps))
    if turn > last:
        told = f"{place} can be forked at the turns 0 to {last}, not {turn}"
        raise ConfigError(told if last >= 0 else f"{place} has no turn to begin at")
    return Place(found, parent, turn)


def _choose(
    place: Place,
    model: str | None,
    checkpoint: str | None,
    overrides: Sequence[str],
    *,
    by_hand: bool,
) -> Chosen:
    """Return who goes on, configured as the run was.

    Raises:
        ConfigError, MissingError: there is no such policy or environment, or no sandbox.
    """
    import asyncio

    from agentgym.cli.scoring import kind_of, model_folder, preflight
    from agentgym.cli.served import keys_of, knock
    from agentgym.config.run import recorded
    from agentgym.config.toml import render_value
    from agentgym.errors import ConfigError

    if sum([by_hand, model is not None, checkpoint is not None]) > 1:
        raise ConfigError("choose one of --by-hand, --model and --checkpoint")
    given: dict[str, Any] = {}
    name, version, folder = model or "person", 0, None
    if model is None and not by_hand:
        folder = _checkpoint(place.run, checkpoint or "latest")
        given["model.path"], version = str(folder), int(folder.name)
        name = f"{place.run.root.resolve().name}@{folder.name}".replace(":", "-")
    elif kind_of(name) == "openai":
        given |= keys_of(name)
    elif model and kind_of(model) == "local":
        given["model.path"] = str(model_folder(model))
    words = [f"{key}={render_value(value)}" for key, value in given.items()]
    config = recorded(place.run.config_path, [*words, *overrides]).config
    _check_env(place, config)
    if kind_of(name) == "openai":
        asyncio.run(knock(config.openai))
        name = f"openai:{config.openai.model}@{config.openai.url}"
    preflight(config, needs_torch=not by_hand and kind_of(name) == "local")
    return Chosen(config=config, name=name, version=version, is_person=by_hand, checkpoint=folder)


def _checkpoint(run: "Run", which: str) -> Path:
    """Return a checkpoint of a run.

    Raises:
        ConfigError: it has none, not this one, or not a whole one.
    """
    from agentgym.engines.model import check_folder
    from agentgym.errors import ConfigError

    folders = sorted(path for path in run.checkpoints_dir.glob("[0-9]*") if path.name.isdigit())
    if not folders:
        hint = "-m scripted, -m openai:MODEL@URL or a model folder goes on, or you do: --by-hand"
        raise ConfigError(f"the run {run.root} has no checkpoint", hint=hint)
    steps = {int(path.name): path for path in folders}
    if which != "latest" and not (which.isdecimal() and int(which) in steps):
        listed = ", ".join(map(str, steps))
        hint = f"there are: {listed}, and latest"
        raise ConfigError(f"the run {run.root} has no checkpoint {which!r}", hint=hint)
    folder = folders[-1] if which == "latest" else steps[int(which)]
    check_folder(folder)
    return folder.resolve()


def _check_env(place: Place, config: "RunConfig") -> None:
    """Refuse what the environment of the run does not lead on.

    Raises:
        ConfigError: the episode is of another one, or it has no turns left.
    """
    from agentgym.errors import ConfigError

    parent, env = place.parent, config.env.config
    if parent.task.env != type(env).id:
        raise ConfigError(
            f"{place.address} is of {parent.task.env}, and the run is configured for {type(env).id}"
        )
    if place.turn >= env.max_turns:
        raise ConfigError(
            f"an episode has {env.max_turns} turns, so that none is left at turn {place.turn}",
            hint=f"allow more: env.max_turns={place.turn + 10}",
        )


def _report(place: Place, chosen: Chosen, played: Played) -> dict[str, Any]:
    return {
        "run": str(place.run.root),
        "parent": line_of(place.parent),
        "turn": place.turn,
        "policy": chosen.name,
        "seed": played.seed,
        "group": played.children[0].group_id,
        "children": [line_of(child) for child in played.children],
    }


def _print(report: dict[str, Any]) -> None:
    """Print the children below their parent, and what to look at next."""
    from agentgym.cli.output import counted, echo, echo_table, one_line, paint
    from agentgym.store.address import address_of

    parent, children = report["parent"], report["children"]
    who = f"{counted(len(children), 'episode')} by {one_line(report['policy'])}"
    echo(paint(f"{one_line(parent['id'])} from turn {report['turn']}: {who}", "bold"))
    names = ("id", "end", "reason", "outcome", "turns", "tokens")
    rows = [
        [f"{each[name]:.3g}" if name == "outcome" else each[name] for name in names]
        for each in (parent, *children)
    ]
    echo_table(("episode", *names[1:]), rows)
    whole = [child["outcome"] for child in children if child["end"] != "error"]
    if whole:
        mean = sum(whole) / len(whole)
        echo(f"outcome  {mean:.3g} in the mean, of the parent {parent['outcome']:.3g}")
    echo(paint(f"see: agentgym show {address_of(report['run'], children[0]['id'])}", "dim"))
    echo(paint(f"     agentgym view {report['run']}: the group {report['group']}", "dim"))
