"""The entry point: which commands there are, and what an error looks like."""

import atexit
import errno
import gc
import os
import signal
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from agentgym.cli import (
    bench,
    check,
    compare,
    config,
    demo,
    doctor,
    envs,
    evaluate,
    export,
    expose,
    fork,
    gateway,
    importing,
    lab,
    new,
    play,
    recredit,
    replay,
    rescore,
    resume,
    run,
    sandbox,
    serve,
    show,
    train,
    view,
)
from agentgym.cli.output import note, safe
from agentgym.errors import AgentGymError
from agentgym.version import __version__

_INTERRUPTED = 130
# Episodes are many small objects that live for long: the collector's own pace, 700 new objects, takes
# a tenth of the time of a rollout in which nothing else does. All are looked at after 200,000.
_COLLECT_AFTER = (20_000, 5, 2)
_FULL = (errno.ENOSPC, errno.EDQUOT)
_HELP = "LLM agents that learn over many turns."
_EPILOG = (
    "Exit codes: 0 ok, 1 failed, 2 usage or configuration, 3 something missing, 130 interrupted."
)

app = typer.Typer(
    name="agentgym",
    help=_HELP,
    epilog=_EPILOG,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
app.command("envs", epilog="Example: agentgym envs agentgym/KeyDoor-v0")(envs.envs)
app.command("new", epilog="Example: agentgym new my-env --stateful")(new.new)
app.command("check", epilog="Example: agentgym check calc.py env.max_turns=5 --strict")(check.check)
app.command("play", epilog="Example: agentgym play agentgym/Calculator-v0 env.tier=hard --task 3")(
    play.play
)
app.command(
    "run", epilog="Example: agentgym run agentgym/KeyDoor-v0 env.tier=hard -m scripted:random -n 20"
)(run.run)
app.command(
    "train", epilog="Example: agentgym train examples/keydoor.toml credit.name=salt out=runs/salt"
)(train.train)
app.command("resume")(resume.resume)
app.command("eval")(evaluate.evaluate)
app.command("show", epilog="Example: agentgym show runs/keydoor#train-000012-003.1.0/3")(show.show)
app.command("replay")(replay.replay)
app.command(
    "fork", epilog="Example: agentgym fork runs/keydoor eval-sampled-000040-003.0.0 --turn 5 -k 8"
)(fork.fork)
app.command(
    "gateway",
    epilog="Example: agentgym gateway agentgym/Calculator-v0 -m runs/calc --agent ./agent.sh",
)(gateway.gateway)
app.command(
    "serve", epilog="Example: agentgym serve runs/keydoor --replicas 2 engine.max_batch=64"
)(serve.serve)
app.command("view", epilog="Example: agentgym view runs/keydoor --open")(view.view)
app.command("compare", epilog="Example: agentgym compare runs/short runs/long --by valid")(
    compare.compare
)
app.command(
    "recredit", epilog="Example: agentgym recredit runs/keydoor --credit salt,history=1,grpo"
)(recredit.recredit)
app.command("rescore", epilog="Example: agentgym rescore runs/keydoor --shaping outcome")(
    rescore.rescore
)
app.command(
    "export", epilog="Example: agentgym export runs/keydoor --messages --successes -o moves.jsonl"
)(export.export)
app.command("demo", epilog="Example: agentgym demo runs/demo")(demo.demo)
app.command("import", epilog="Example: agentgym import logs/sums.eval runs/sums")(importing.import_)
app.command("doctor")(doctor.doctor)
app.add_typer(config.app, name="config")
app.add_typer(bench.app, name="bench")
app.add_typer(lab.app, name="lab")
app.add_typer(sandbox.app, name="sandbox")
app.add_typer(expose.app, name="expose")


@app.callback(invoke_without_command=True)
def _options(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Print the traceback of an error.")
    ] = False,
) -> None:
    if version:
        typer.echo(f"agentgym {__version__}")
        raise typer.Exit


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code; `--debug` may stand anywhere."""
    _open_closed()
    gc.set_threshold(*_COLLECT_AFTER)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    given = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in given
    words = [word for word in given if word != "--debug"]
    command = typer.main.get_command(app)
    try:
        code = command.main(words or ["--help"], prog_name="agentgym", standalone_mode=False)
        if code == _INTERRUPTED:  # what Typer makes of Ctrl-C
            raise KeyboardInterrupt
        return code if isinstance(code, int) else 0
    except BaseException as error:  # noqa: BLE001  the one place where errors become text
        return _report(error, debug=debug)


def _open_closed() -> None:
    """Put nothing in the place of a stream that was closed, as by `>&-`, where Python has None."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open(mode))  # noqa: SIM115  as long as we run


def _report(error: BaseException, *, debug: bool) -> int:
    """Print an error as `error:` and `hint:`, and return the exit code it stands for."""
    found = _innermost(error)
    if isinstance(found, SystemExit):
        return found.code if isinstance(found.code, int) else 1
    if isinstance(found, KeyboardInterrupt | typer.Abort):
        note("interrupted")
        # Libraries tidy up as Python ends: who cannot wait for them need not see where they were.
        atexit.register(signal.signal, signal.SIGINT, signal.SIG_DFL)
        return _INTERRUPTED
    if isinstance(found, AgentGymError):
        if debug:
            note("".join(traceback.format_exception(error)))
        _print_error(str(found), found.hint or (None if debug else _cause_hint(found)))
        return found.exit_code
    if isinstance(found, typer.TyperException):
        message, hint = _usage(found)
        _print_error(message, hint)
        return int(getattr(found, "exit_code", 2))
    if isinstance(found, OSError) and found.errno in _FULL:
        _print_error(f"cannot write: {found.strerror}", "make room; what was recorded is safe")
        return 1
    text = "".join(traceback.format_exception(error))
    _print_error(f"unexpected {type(found).__name__}: {found}", _saved(text, debug=debug))
    return 1


def _print_error(message: str, hint: str | None) -> None:
    note(f"error: {_safe_lines(message)}")
    if hint:
        note(f"hint: {_safe_lines(hint)}")


def _cause_hint(error: AgentGymError) -> str | None:
    return "see the traceback with --debug" if error.__cause__ else None


def _safe_lines(text: str) -> str:
    return safe(text).replace("\n", "\n  ")


def _innermost(error: BaseException) -> BaseException:
    """Look into groups: an error of ours in one says more than the group does."""
    if not isinstance(error, BaseExceptionGroup):
        return error
    inside = [_innermost(each) for each in error.exceptions]
    return next((each for each in inside if isinstance(each, AgentGymError)), inside[0])


def _usage(error: Any) -> tuple[str, str | None]:
    """Put what Typer says about the command line into a message and a hint."""
    message = (error.message or error.format_message()).rstrip(".")
    message, _, suggestion = message.partition(". Did you mean ")
    close = suggestion.rstrip("?") or " or ".join(getattr(error, "possibilities", None) or ())
    if close:
        return _lower(message), f"did you mean {close}?"
    context = getattr(error, "ctx", None)
    path = context.command_path if context else "agentgym"
    told = error.format_message().rstrip(".").replace("Value error, ", "")
    return _lower(told), f"see {path} --help"


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]


def _saved(text: str, *, debug: bool) -> str | None:
    """Print the traceback, or keep it in a file and return where."""
    if debug:
        note(text)
        return None
    import tempfile

    try:
        descriptor, path = tempfile.mkstemp(prefix="agentgym-crash-", suffix=".txt", text=True)
        with os.fdopen(descriptor, "w", errors="backslashreplace") as file:
            file.write(text)
    except OSError:
        return "run it again with --debug to see the traceback"
    return f"this is a bug; the traceback is in {path}"
