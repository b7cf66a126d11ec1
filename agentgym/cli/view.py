"""`agentgym view`: runs in a browser."""

import threading
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agentgym.cli.opened import as_run
from agentgym.cli.output import counted, echo, note
from agentgym.errors import ConfigError, without_warnings
from agentgym.web.packages import needs_web

if TYPE_CHECKING:
    from agentgym.store.address import Address
    from agentgym.viewer.guard import Door

PORT = 7777


def view(
    runs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[RUN]...", help="Runs, folders of them, files, an address; without: runs/."
        ),
    ] = None,
    host: Annotated[
        str, typer.Option(help="Where to listen; other machines need the token to read, too.")
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="The port; 0 takes a free one.")
    ] = PORT,
    open_it: Annotated[bool, typer.Option("--open", help="Open the system's browser.")] = False,
    fork: Annotated[
        bool | None,
        typer.Option(
            "--fork/--no-fork",
            help="Let pages with the token fork; yes, if only this machine connects.",
        ),
    ] = None,
) -> None:
    """Show runs in a browser, also such as are still going on.

    Of files that `agentgym import` reads, runs are made for the time being. An address,
    RUN#EPISODE/TURN/TOKEN as logs and errors print it, leads to that very place.
    """
    with needs_web("the viewer", extra="view"):
        from agentgym.viewer.guard import Door
        from agentgym.viewer.roots import find_runs
        from agentgym.viewer.runs import OpenRuns
        from agentgym.viewer.serve import serve
        from agentgym.web.port import listen
    with ExitStack() as held:
        places = [_place(each) for each in runs or _here()]
        given = list(dict.fromkeys(each.run for each in places))
        opened = [held.enter_context(as_run(each)) for each in given]
        temporary = [Path(run) for run, each in zip(opened, given, strict=True) if run != each]
        roots = find_runs(opened)
        page = _page_of(places[0], roots[0]) if len(places) == 1 else ""
        taken = held.enter_context(listen(host, port))
        door = Door(host, taken.getsockname()[1])
        note(f"{counted(len(roots), 'run')}; Ctrl-C ends it")
        # What is wrong with a record is on the pages; it would be told at every look.
        held.enter_context(without_warnings("agentgym.store"))
        found, why = OpenRuns(roots, temporary=temporary), _why_no_fork(fork, door)
        on_start = partial(_tell, door.at(page), door.way_to(page) if open_it else None)
        serve(found, taken, door, on_start=on_start, why_no_fork=why)


def _place(word: str) -> "Address":
    from agentgym.store.address import Address, is_address, parse_address

    return parse_address(word) if is_address(word) else Address(word, "")


def _page_of(place: "Address", root: Path) -> str:
    """Return the address of the page that shows a place; the first one, if it is a whole run.

    Raises:
        StoreError: there is no such episode.
    """
    from urllib.parse import quote, urlencode

    from agentgym.store.episodes import find_episode
    from agentgym.viewer.entries import clean
    from agentgym.viewer.roots import name_runs

    if not place.episode:
        return ""
    name = clean(find_episode(root, place.episode).id)
    page = f"run/{name_runs([root])[0]}/episode/{quote(name, safe='')}"
    view = None if place.token is None else "tokens"
    words = {"view": view, "turn": place.turn, "token": place.token}
    query = urlencode({word: value for word, value in words.items() if value is not None})
    return f"{page}?{query}" if query else page


def _tell(url: str, way: str | None) -> None:
    """Print where the pages are, and open a browser by another way there, if there is one."""
    echo(url)
    if way:  # aside: a browser in the terminal waits for the server, which would wait for it
        threading.Thread(target=_open, args=(way,), name="browser", daemon=True).start()


def _open(url: str) -> None:
    import webbrowser

    if not webbrowser.open(url):
        note("no browser was found on this machine; open the address yourself")


def _why_no_fork(wanted: bool | None, door: "Door") -> str | None:
    """Say why pages may fork nothing; a fork runs the code of environments on this machine."""
    if wanted is False:
        return "this viewer was started with --no-fork"
    if wanted is None and not door.is_loopback:
        return "this viewer is open to other machines, and forks with --fork only"
    return None


def _here() -> list[str]:
    """Return the folder that runs are written to.

    Raises:
        ConfigError: there is none here.
    """
    if not Path("runs").is_dir():
        raise ConfigError("there is no folder runs/ here", hint="name a run: agentgym view RUN")
    return ["runs"]
