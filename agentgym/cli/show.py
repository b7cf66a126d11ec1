"""`agentgym show`: a run, one of its episodes, or a turn of it, in the terminal."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from agentgym.cli.opened import as_run
from agentgym.cli.options import Json
from agentgym.cli.output import echo_json
from agentgym.cli.paging import paged, step_through
from agentgym.errors import ConfigError

if TYPE_CHECKING:
    from agentgym.store.address import Address
    from agentgym.store.run import Run


def show(
    run: Annotated[
        str,
        typer.Argument(
            metavar="RUN",
            help="A run, a file that `agentgym import` reads, or an address: RUN#EPISODE/TURN.",
        ),
    ],
    episode: Annotated[
        str | None, typer.Argument(metavar="[EPISODE]", help="Its id, or a unique beginning of it.")
    ] = None,
    last: Annotated[int, typer.Option("-n", "--last", min=0, help="Episodes to list.")] = 20,
    end: Annotated[
        Literal["terminated", "truncated", "error"] | None,
        typer.Option(help="List only episodes that ended so."),
    ] = None,
    turn: Annotated[
        int | None, typer.Option(min=0, help="One turn, from 0, with what is around it.")
    ] = None,
    step_by_step: Annotated[
        bool, typer.Option("--step-by-step", help="Turn by turn: Enter next, k before, q quit.")
    ] = False,
    json: Json = False,
) -> None:
    """Show what a run did, or one of its episodes, message by message.

    On a terminal, what is longer than it goes through $PAGER; NO_COLOR turns colours off. JSON of a
    run: {run, status, info, metrics, ends, episodes}; of an episode: its record, and as noted
    {update, rewards, advantages, gates} by the trainer and {credits: {LABEL: advantages}} by
    recredit, or null; of a turn: its record and its number.
    """
    from agentgym.cli.show_run import show_run
    from agentgym.store.run import Run

    place = _place(run, episode, turn)
    with as_run(place.run) as path:
        found = Run.open(path)
        if not place.episode:
            if step_by_step:
                raise ConfigError(
                    "--step-by-step is of an episode", hint="agentgym show RUN EPISODE"
                )
            with paged():
                show_run(found, str(Path(place.run)), last=last, end=end, json=json)
        elif step_by_step:
            _show_steps(found, place)
        else:
            with paged():
                _show_one(found, place, json=json)


def _place(run: str, episode: str | None, turn: int | None) -> "Address":
    """Return what is meant; the episode is empty where it is the whole run.

    Raises:
        ConfigError: the words do not go together.
    """
    from agentgym.store.address import Address, is_address, parse_address

    if is_address(run):
        if episode is not None:
            raise ConfigError("an address names its episode", hint="agentgym show RUN EPISODE")
        place = parse_address(run)
        return place if turn is None else place._replace(turn=turn, token=None)
    if turn is not None and episode is None:
        raise ConfigError("--turn is of an episode", hint="agentgym show RUN EPISODE --turn 3")
    return Address(run, episode or "", turn)


def _show_one(run: "Run", place: "Address", *, json: bool) -> None:
    from agentgym.cli.noted import noted
    from agentgym.cli.show_episode import (
        check_place,
        episode_json,
        show_episode,
        show_head,
        show_turn,
        step_json,
    )
    from agentgym.store.episodes import find_episode, read_episode

    trajectory = read_episode(find_episode(run.root, place.episode))
    found = noted(run, trajectory.id)
    if place.turn is not None:
        check_place(trajectory, place.turn, place.token)
    if json and place.turn is not None:
        echo_json({"turn": place.turn} | step_json(trajectory.steps[place.turn]))
    elif json:
        echo_json(episode_json(trajectory) | {"noted": found})
    elif place.turn is not None:
        show_head(trajectory, found)
        show_turn(trajectory, place, found)
    else:
        show_episode(trajectory, found)


def _show_steps(run: "Run", place: "Address") -> None:
    from agentgym.cli.noted import noted
    from agentgym.cli.show_episode import check_place, show_head, show_turn
    from agentgym.store.episodes import find_episode, read_episode

    trajectory = read_episode(find_episode(run.root, place.episode))
    found = noted(run, trajectory.id)

    def show(turn: int) -> None:
        show_head(trajectory, found)
        show_turn(trajectory, place._replace(turn=turn, token=None), found)

    first = place.turn or 0
    check_place(trajectory, first)
    step_through(len(trajectory.steps), show, first=first)
