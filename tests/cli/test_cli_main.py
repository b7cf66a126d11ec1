import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from agentgym.cli import main as cli_main
from agentgym.cli.output import one_line, paint, run_aside, safe, sparkline
from agentgym.errors import AgentGymError, SandboxUnavailable
from agentgym.version import __version__

COMMANDS = ["envs", "check", "run", "train", "resume", "eval", "show", "replay", "doctor", "config"]
COMMANDS += ["compare", "export", "demo", "fork", "gateway"]
HEAVY = ("torch", "transformers", "numpy", "pydantic", "rich", "asyncio", "tomlkit")


def test_help_lists_every_command_and_imports_nothing_heavy() -> None:
    code = (
        "import sys\nfrom agentgym.cli.main import main\ncode = main(['--help'])\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules])\nsys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    *help_lines, imported = done.stdout.splitlines()
    assert imported == "[]"
    assert all(any(line.startswith(f"  {name} ") for line in help_lines) for name in COMMANDS)
    assert "..." not in done.stdout.partition("Commands:")[2]  # nothing is cut off


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(agentgym, command: str) -> None:
    done = agentgym(command, "--help")
    assert done.code == 0
    assert f"agentgym {command}" in done.out
    assert done.err == ""


def test_examples_in_the_help_are_command_lines_that_can_be_typed() -> None:
    commands = typer.main.get_command(cli_main.app).commands
    examples = [each.epilog.removeprefix("Example: ") for each in commands.values() if each.epilog]
    assert len(examples) >= 8
    for example in examples:
        program, name, *words = example.split()
        assert program == "agentgym"
        commands[name].make_context(name, words)  # refuses what it does not know


def test_the_version_and_an_empty_command_line(agentgym) -> None:
    assert agentgym("--version") == (0, f"agentgym {__version__}\n", "")
    assert agentgym().out.startswith("Usage: agentgym")


def test_the_console_script_and_the_module_are_the_same(process) -> None:
    script = Path(sys.executable).with_name("agentgym")
    done = subprocess.run([script, "--version"], capture_output=True, text=True, check=True)
    assert process("--version").out == done.stdout


def test_an_unknown_command_or_option_is_answered_by_the_nearest(agentgym) -> None:
    assert agentgym("tran") == (
        2,
        "",
        "error: no such command 'tran'\nhint: did you mean 'train'?\n",
    )
    done = agentgym("envs", "--jsn")
    assert done.code == 2
    assert done.err == "error: no such option: --jsn\nhint: did you mean --json?\n"
    done = agentgym("config", "shw")
    assert done.err == "error: no such command 'shw'\nhint: did you mean 'show'?\n"


def test_a_missing_argument_points_to_the_help(agentgym) -> None:
    done = agentgym("show")
    assert done.code == 2
    assert done.err == "error: missing argument 'RUN'\nhint: see agentgym show --help\n"
    assert agentgym("config").err == "error: missing command\nhint: see agentgym config --help\n"


def fail_with(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr("agentgym.cli.check._load", fail)


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (AgentGymError("a\x1b[2Jb", hint="c"), 1, "error: a\\x1b[2Jb\nhint: c\n"),
        (SandboxUnavailable("no bwrap"), 3, "error: no bwrap\n"),
        (ExceptionGroup("many", [ValueError("x"), AgentGymError("ours")]), 1, "error: ours\n"),
        (KeyboardInterrupt(), 130, "interrupted\n"),
        (
            OSError(28, "No space left on device"),
            1,
            "error: cannot write: No space left on device\n",
        ),
    ],
    ids=["ours", "missing", "group", "interrupt", "full disk"],
)
def test_errors_become_text_and_exit_codes(
    agentgym, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int, text: str
) -> None:
    fail_with(monkeypatch, error)
    done = agentgym("check", "agentgym/KeyDoor-v0")
    assert (done.code, done.out) == (code, "")
    assert done.err.startswith(text)
    assert "a bug" not in done.err


ENDING = """
import atexit, os, signal, sys
from agentgym.cli import check, main
def interrupted(*_):
    raise KeyboardInterrupt
check._load = interrupted
atexit.register(os.kill, os.getpid(), signal.SIGINT)  # as libraries tidy up
sys.exit(main.main(["check", "agentgym/KeyDoor-v0"]))
"""


def test_ctrl_c_while_python_ends_shows_no_traceback() -> None:
    done = subprocess.run([sys.executable, "-c", ENDING], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (-signal.SIGINT, "interrupted\n")


def test_an_unexpected_error_keeps_its_traceback_in_a_file(
    agentgym, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    fail_with(monkeypatch, ZeroDivisionError("oops"))
    done = agentgym("check", "agentgym/KeyDoor-v0")
    assert done.code == 1
    first, second = done.err.splitlines()
    assert first == "error: unexpected ZeroDivisionError: oops"
    crash = Path(second.rpartition(" ")[2])
    assert crash.parent == tmp_path
    assert "ZeroDivisionError: oops" in crash.read_text()


def test_debug_prints_the_traceback_wherever_it_stands(
    agentgym, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail_with(monkeypatch, ZeroDivisionError("oops"))
    for words in (["--debug", "check", "x"], ["check", "x", "--debug"]):
        done = agentgym(*words)
        assert "Traceback" in done.err
        assert "a bug" not in done.err


def test_a_reader_that_leaves_is_no_error() -> None:
    command = f"{sys.executable} -m agentgym config show env.id=agentgym/KeyDoor-v0 | head -1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("seed = 0")
    assert done.stderr == ""


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-"])
def test_a_stream_that_is_closed_is_no_error(closed: str) -> None:
    command = f"{sys.executable} -m agentgym config show env.id=agentgym/KeyDoor-v0 {closed}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert done.stderr == ""


def test_a_wrong_choice_is_told_in_plain_words(agentgym) -> None:
    done = agentgym("check", "agentgym/KeyDoor-v0", "--level", "deep")
    assert "for '--level': 'deep' is not one of 'static', 'runtime', 'semantic'" in done.err


def test_colour_needs_a_terminal_and_no_no_color(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli_main.sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert paint("x", "bold", "red") == "\x1b[1;31mx\x1b[0m"
    monkeypatch.setenv("NO_COLOR", "1")
    assert paint("x", "bold") == "x"
    monkeypatch.delenv("NO_COLOR")
    monkeypatch.setattr(cli_main.sys.stdout, "isatty", lambda: False, raising=False)
    assert paint("x", "bold") == "x"


def test_text_of_a_model_cannot_command_the_terminal() -> None:
    assert safe("a\x1b]0;x\x07\x9b\u202eb\tc\n") == "a\\x1b]0;x\\x07\\x9b\\u202eb\tc\n"
    assert safe("\ud800") == "\\ud800"
    assert one_line("a\n  b\rc", 5) == "a b c"
    assert one_line("abcdef", 4) == "abc…"


def test_a_sparkline_is_at_most_as_wide_as_asked() -> None:
    assert sparkline([]) == ""
    assert sparkline([-1.0, 2.0]) == "▁█"
    assert len(sparkline([0.5] * 1001, width=40)) <= 40


def test_stdout_that_cannot_encode_is_no_error(process) -> None:
    env = os.environ | {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    assert process("envs", env=env).code == 0


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_ctrl_c_just_before_work_begins_is_told_of_by_no_warning(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def work() -> None: ...

    def interrupted(work: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("asyncio.run", interrupted)
    begun = work()
    with pytest.raises(KeyboardInterrupt):
        run_aside(begun)
    assert begun.cr_frame is None  # it is closed


def test_ctrl_c_while_the_program_is_loaded_leaves_no_traceback() -> None:
    code = """
import builtins, sys

load = builtins.__import__

def press(name, *others, **more):
    if name == "typer":
        raise KeyboardInterrupt
    return load(name, *others, **more)

builtins.__import__ = press
from agentgym.__main__ import main
sys.exit(main())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "interrupted\n")
