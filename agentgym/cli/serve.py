"""`agentgym serve`: engines behind HTTP, started and kept alive."""

import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agentgym.cli.options import Json, Overrides
from agentgym.cli.output import counted, echo, echo_json, echo_table, note, one_line
from agentgym.errors import ConfigError
from agentgym.web.packages import needs_web

if TYPE_CHECKING:
    from agentgym.engines.served.fleet import Fleet
    from agentgym.engines.served.service import Service

PORT = 8100
_OPTIONS = {
    "model.path": "agentgym serve MODEL",
    "replicas": "--replicas",
    "deterministic": "--deterministic",
}


def serve(
    model: Annotated[
        str | None, typer.Argument(metavar="MODEL", help="A model folder, a run or a checkpoint.")
    ] = None,
    overrides: Overrides = None,
    replicas: Annotated[int, typer.Option(min=1, max=64, help="Engines, a process each.")] = 1,
    host: Annotated[str, typer.Option(help="Where to listen.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="The port; 0 takes a free one.")
    ] = PORT,
    token_file: Annotated[
        Path | None,
        typer.Option(help="Where the token is; made if it is not there. Without: a new one."),
    ] = None,
    deterministic: Annotated[
        bool, typer.Option("--deterministic", help="One request at a time in each engine.")
    ] = False,
    status: Annotated[
        str | None, typer.Option(metavar="URL", help="Show how a server is, and do nothing else.")
    ] = None,
    json: Json = False,
) -> None:
    """Serve a model to engine.name=served until Ctrl-C.

    Keys are those of the sections engine, model and limits: engine.max_batch=64 model.dtype=bfloat16.
    Who asks needs the token. JSON, once it is ready: {url, token_file, replicas: [{pid, ...}], ...}
    """
    if status is not None:
        _show_status(status, token_file, json=json)
        return
    if model is None:
        raise ConfigError("no model is named", hint="agentgym serve MODEL, a folder")
    with needs_web("serving", extra="serve"):
        from agentgym.engines.served.directory import private_directory
        from agentgym.engines.served.identity import weight_files
        from agentgym.engines.served.serve import find_token, run
        from agentgym.web.port import listen
    service = _resolve(model, overrides or [], replicas=replicas, deterministic=deterministic)
    size = sum(file.stat().st_size for file in weight_files(Path(service.model.path)))
    with (
        listen(host, port) as taken,
        private_directory(weights_bytes=size) as directory,
    ):
        token, file = find_token(token_file and token_file.absolute(), directory=directory)
        url = f"http://{_named(host)}:{taken.getsockname()[1]}"
        note(f"starting {counted(replicas, 'engine')} {service.engine.name}; Ctrl-C ends it")
        teller = _Teller(url, file, json=json)
        run(service, taken, token=token, directory=directory, on_change=teller.tell)


class _Teller:
    """Tells of each change of a replica, and once that the server can be used."""

    def __init__(self, url: str, token_file: Path, *, json: bool) -> None:
        self._url, self._token_file, self._json = url, token_file, json
        self._told: dict[int, str] = {}
        self._is_ready = False

    def tell(self, fleet: "Fleet") -> None:
        """Print what is new."""
        for each in fleet.replicas:
            pid = f" (pid {each.process.pid})" if each.process else ""
            line = f"replica {each.number} {each.state}{pid}"
            if each.state == "restarting" and each.why:
                line += f": {one_line(each.why.splitlines()[0], 200)}"
            if self._told.get(each.number) != line:
                self._told[each.number] = line
                note(line)
        if not self._is_ready and len(fleet.up) == len(fleet.replicas):
            self._is_ready = True
            self._tell_ready(fleet)

    def _tell_ready(self, fleet: "Fleet") -> None:
        if self._json:
            told = {"url": self._url, "token_file": str(self._token_file), **fleet.to_json()}
            echo_json(told)
            return
        echo(f"serving {fleet.facts['model']} at {self._url}")
        note(
            f"use it with engine.name=served engine.url={self._url} "
            f"engine.token_file={self._token_file}"
        )


def _resolve(model: str, words: list[str], *, replicas: int, deterministic: bool) -> "Service":
    """Return what is to be served.

    Raises:
        ConfigError: there is no such model or key.
    """
    from agentgym.cli.scoring import model_folder
    from agentgym.config.overlay import resolve
    from agentgym.config.toml import render_value
    from agentgym.engines.served.service import Service

    for word in words:
        key = word.partition("=")[0]
        if other := _OPTIONS.get(key):
            raise ConfigError(f"`{key}` is no key of the command line here", hint=f"use {other}")
    given: dict[str, Any] = {
        "model.path": str(model_folder(model)),
        "replicas": replicas,
        "deterministic": deterministic,
    }
    keys = [f"{key}={render_value(value)}" for key, value in given.items()]
    return resolve(Service, overrides=[*words, *keys]).config


def _show_status(url: str, token_file: Path | None, *, json: bool) -> None:
    """Print how a server is.

    Raises:
        ConfigError: it does not know the token, or is none of ours.
        EngineError: it does not answer.
    """
    import asyncio

    from agentgym.engines.served.client import ask_status
    from agentgym.engines.served.settings import ServedEngineConfig

    file = str(token_file) if token_file else None
    config = ServedEngineConfig(url=url, token_file=file, timeout_s=30, patience_s=0)
    if file is None and not os.environ.get(config.token_env):
        raise ConfigError(
            f"{url} answers only those who have its token",
            hint=f"give --token-file, which `agentgym serve` printed, or set {config.token_env}",
        )
    found = asyncio.run(ask_status(config))
    if json:
        echo_json(found)
        return
    echo(f"{found.get('engine')} {found.get('model')}  {found.get('state')}")
    echo(f"version {found.get('version')}  {found.get('mode')}  {found.get('restarts')} restarts")
    columns = ("number", "pid", "state", "in_flight", "sessions", "restarts")
    rows = [[each.get(name) for name in columns] for each in found.get("replicas", [])]
    echo_table(columns, rows)


def _named(host: str) -> str:
    """Return a host as it stands in a URL; of all addresses of this machine its name."""
    if host in ("0.0.0.0", "::"):
        return socket.gethostname()
    return f"[{host}]" if ":" in host else host
