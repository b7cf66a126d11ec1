"""`agentgym expose`: an environment behind the protocols of others."""

import os
import signal
import sys
from contextlib import redirect_stdout
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agentgym.cli.options import Overrides
from agentgym.cli.output import echo, note
from agentgym.errors import ConfigError

if TYPE_CHECKING:
    from agentgym.outward.settings import Exposed

PORT = 8200
_INTERRUPTED = 130
_ENV = Annotated[
    str, typer.Argument(metavar="ENV", help="An id, pkg.mod:Config or path/file.py[:Config].")
]
_SPLIT = Annotated[
    str | None, typer.Option(help="Where tasks come from; train, if there is such a split.")
]
_SEED = Annotated[int, typer.Option(min=0, help="Of all randomness.")]
_HOST = Annotated[str, typer.Option(help="Where to listen.")]
_PORT = Annotated[int, typer.Option(min=0, max=65535, help="The port; 0 takes a free one.")]
_LOCALHOST = "127.0.0.1"

app = typer.Typer(
    help="Serve an environment to programs that know nothing of agentgym.", rich_markup_mode=None
)


@app.callback()
def _expose() -> None:
    """Serve an environment to programs that know nothing of agentgym."""


@app.command("mcp", epilog="Example: agentgym expose mcp agentgym/Code-v0 env.tier=easy --http")
def mcp(
    env: _ENV,
    overrides: Overrides = None,
    split: _SPLIT = None,
    seed: _SEED = 0,
    http: Annotated[
        bool, typer.Option("--http", help="Over HTTP; without, over stdin and stdout.")
    ] = False,
    host: Annotated[
        str | None, typer.Option(help=f"With --http: where to listen; {_LOCALHOST}.")
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(
            min=0, max=65535, help=f"With --http: the port; {PORT}, and 0 takes a free one."
        ),
    ] = None,
) -> None:
    """Serve an environment as an MCP server: its tools are the tools.

    A session is an episode. Keys are those of the sections env and sandbox, and idle_s.
    """
    import asyncio

    with redirect_stdout(sys.stderr):  # the environment is imported, and stdout is the protocol's
        exposed = _resolve(env, overrides or [], split=split, seed=seed)
    if not http:
        _check_effect(exposed, host=host, port=port)
        asyncio.run(_stdio(exposed))
        return
    host = host or _LOCALHOST
    from agentgym.web.port import listen

    with listen(host, PORT if port is None else port) as taken:
        asyncio.run(_http(exposed, taken, host=host))


@app.command("openenv", epilog="Example: agentgym expose openenv agentgym/Calculator-v0 --port 0")
def openenv(
    env: _ENV,
    overrides: Overrides = None,
    split: _SPLIT = None,
    seed: _SEED = 0,
    host: _HOST = _LOCALHOST,
    port: _PORT = PORT,
    sessions: Annotated[int, typer.Option(min=1, help="Clients at once, an episode each.")] = 64,
) -> None:
    """Serve an environment as an OpenEnv server, until Ctrl-C.

    A connection is a session. Keys are those of the sections env and sandbox, and idle_s.
    """
    exposed = _resolve(env, overrides or [], split=split, seed=seed)
    from agentgym.outward.openenv import serve
    from agentgym.web.port import listen

    with listen(host, port) as taken:
        url = _url(host, taken)
        serve(exposed, taken, host=host, sessions=sessions, on_start=lambda: _tell(exposed, url))


def _resolve(env: str, words: list[str], *, split: str | None, seed: int) -> "Exposed":
    """Return what is to be served.

    Raises:
        ConfigError: there is no such environment, split or key.
    """
    from agentgym.config.overlay import resolve
    from agentgym.config.toml import render_value
    from agentgym.outward.settings import Exposed
    from agentgym.outward.tasks import TaskPicker

    given: dict[str, Any] = {"env.id": env, "seed": seed}
    if split is not None:
        given["split"] = split
    keys = [f"{key}={render_value(value)}" for key, value in given.items()]
    exposed = resolve(Exposed, overrides=[*keys, *words]).config
    if exposed.split is not None:
        TaskPicker(exposed.env.config, exposed.split)
    return exposed


def _check_effect(exposed: "Exposed", *, host: str | None, port: int | None) -> None:
    """Refuse what does nothing over stdin and stdout.

    Raises:
        ConfigError: there is such a thing.
    """
    given = {
        "--host": host is not None,
        "--port": port is not None,
        "`idle_s`": "idle_s" in exposed.model_fields_set,
    }
    for name, is_given in given.items():
        if is_given:
            raise ConfigError(
                f"{name} has no effect without --http", hint="a process serves one client"
            )


async def _stdio(exposed: "Exposed") -> None:
    """Serve until the client leaves, or a signal comes."""
    import asyncio

    from agentgym.outward.mcp import serve_stdio
    from agentgym.outward.sessions import Sessions

    code = 0
    ended = asyncio.Event()

    def end(exit_code: int) -> None:
        nonlocal code
        code = exit_code
        ended.set()

    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGINT, end, _INTERRUPTED)
    loop.add_signal_handler(signal.SIGTERM, end, 0)
    async with exposed.stage() as stage:
        serving = asyncio.create_task(serve_stdio(Sessions(stage)))
        waiting = asyncio.create_task(ended.wait())
        await asyncio.wait([serving, waiting], return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        if serving.done():
            return serving.result()
    # Everything is closed; a thread waits for the next line of stdin, and nothing else wakes it.
    os._exit(code)


async def _http(exposed: "Exposed", taken: Any, *, host: str) -> None:
    """Serve until the process is told to end."""
    import asyncio

    from agentgym.outward.mcp import PATH, check_installed, serving_http
    from agentgym.outward.sessions import Sessions

    check_installed()
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    async with (
        exposed.stage() as stage,
        serving_http(Sessions(stage, idle_s=exposed.idle_s), taken, host=host),
    ):
        url = f"{_url(host, taken)}{PATH}"
        _tell(exposed, url)
        note(f"a client that keeps no session names its episode: {url}?episode=NAME")
        await ended.wait()


def _tell(exposed: "Exposed", url: str) -> None:
    echo(f"serving {exposed.env.config.id} at {url}")
    note("Ctrl-C ends it")


def _url(host: str, taken: Any) -> str:
    return f"http://{f'[{host}]' if ':' in host else host}:{taken.getsockname()[1]}"
