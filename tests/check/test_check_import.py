"""Check 1 imports in a process of its own and tells what the module did."""

import textwrap
from pathlib import Path

import pytest

from agentgym.check import Result, Status, check_env
from agentgym.check.checks import CHECKS
from agentgym.loading import load_env

SOUND = """
import random
from pathlib import Path
import agentgym as ag

class Config(ag.EnvConfig):
    id = "test/Import-v0"

CHANCE = random.Random(0)
TEXT = Path(__file__).read_text()
"""


async def check(folder: Path, source: str, *, name: str = "made.py") -> Result:
    file = folder / name
    file.write_text(textwrap.dedent(SOUND) + textwrap.dedent(source))
    (result,) = (await check_env(load_env(str(file), {}), checks=CHECKS[:1])).results
    return result


async def test_a_module_that_only_defines_passes(tmp_path: Path) -> None:
    assert (await check(tmp_path, "")).status is Status.PASSED


@pytest.mark.parametrize(
    ("source", "what"),
    [
        ("print('hello')", "prints 'hello'"),
        ("import sys; sys.stderr.write('oh')", "prints 'oh'"),
        ("random.seed(1)", "seeds the global random generator"),
        ("open('/tmp/agentgym-check-import', 'w').close()", "writes the file"),
        ("import os; os.environ['AGENTGYM_X'] = '1'", "sets an environment variable"),
        ("import os; os.chdir('.')", "changes the working folder"),
        ("import subprocess; subprocess.run(['true'])", "starts a program"),
        ("import threading; threading.Thread(target=int).start()", "starts a thread"),
        ("import socket; socket.getaddrinfo('127.0.0.1', 80)", "uses the network"),
    ],
)
async def test_an_effect_is_named_with_its_line(tmp_path: Path, source: str, what: str) -> None:
    result = await check(tmp_path, "\n" + source)
    line = SOUND.count("\n") + 2
    assert result.status is Status.FAILED
    assert f"made.py:{line} {what}" in result.message
    assert result.where == f"{tmp_path / 'made.py'}:{line}"


async def test_effects_inside_functions_that_the_module_calls_count(tmp_path: Path) -> None:
    result = await check(tmp_path, "def f():\n    print('hello')\nf()\n")
    assert f"made.py:{SOUND.count(chr(10)) + 3} prints 'hello'" in result.message


async def test_effects_of_a_module_beside_it_count_and_those_of_libraries_do_not(
    tmp_path: Path,
) -> None:
    (tmp_path / "beside_check_import.py").write_text("X = 1\nprint('hello')\n")
    result = await check(tmp_path, "import beside_check_import")
    assert "beside_check_import.py:2 prints" in result.message
    library = tmp_path / "site-packages" / "noisy_library"
    library.mkdir(parents=True)
    (library / "__init__.py").write_text("print('hello')\n")
    source = f"import sys; sys.path.append({str(library.parent)!r}); import noisy_library"
    assert (await check(tmp_path, source, name="other.py")).status is Status.PASSED


async def test_a_module_that_ends_the_process_is_told(tmp_path: Path) -> None:
    source = "import os, sys\nif 'pytest' not in sys.modules: os._exit(3)"
    result = await check(tmp_path, source)
    assert result.status is Status.FAILED
    assert "ended the process (3)" in result.message


async def test_an_import_that_raises_the_second_time_is_told(tmp_path: Path) -> None:
    source = "import sys\nif 'pytest' not in sys.modules: raise KeyError('second')"
    result = await check(tmp_path, source)
    assert "raised KeyError: 'second'" in result.message
