"""What is wrong with a stranger's file has one error, with its line and the mend."""

from pathlib import Path

import pytest

from agentgym.check import check_env
from agentgym.check.checks import named
from agentgym.check.report import Status
from agentgym.loading import load_env

pytestmark = pytest.mark.slow

TASKS = '@ag.env("me/Bad-v0")\ndef tasks():\n    '
REWARD = "\n\n@tasks.reward\ndef correct(transcript, task) -> float:\n    return "
UNPAID = REWARD + "0.0"

BROKEN = {
    "equal ids": (
        TASKS + 'yield ag.Task("a", id="x")\n    yield ag.Task("b", id="x")' + UNPAID,
        "tasks",
        "bad.py:3: the task 'x' is twice in 'train'",
    ),
    "equal tasks without ids": (
        TASKS + 'yield ag.Task("a")\n    yield ag.Task("a")' + UNPAID,
        "tasks",
        "is twice in 'train'",
    ),
    "no tasks": (
        TASKS + 'if False:\n        yield ag.Task("a")' + UNPAID,
        "tasks",
        "bad.py:3: the split 'train' has no tasks",
    ),
    "no generator": (TASKS + "pass" + UNPAID, "tasks", "bad.py:3: `tasks` returned None"),
    "no tasks but texts": (TASKS + 'yield "a"' + UNPAID, "tasks", "expected Task"),
    "a generator that raises": (
        TASKS + 'raise KeyError("gone")\n    yield' + UNPAID,
        "tasks",
        "bad.py:5: making the tasks of me/Bad-v0 raised KeyError: 'gone'",
    ),
    "an object as payload": (
        TASKS + 'yield ag.Task("a", payload=object())' + UNPAID,
        "tasks",
        "not JSON serializable",
    ),
    "no reward": (
        TASKS + 'yield ag.Task("a")',
        "shapes",
        "bad.py:3: `tasks` has no reward, so that every outcome would be 0",
    ),
    "nan": (
        TASKS + 'yield ag.Task("a")' + REWARD + 'float("nan")',
        "shapes",
        "bad.py:7: reward `correct` returned nan, expected a finite number",
    ),
    "nothing returned": (
        TASKS + 'yield ag.Task("a")' + REWARD + "None",
        "shapes",
        "bad.py:7: reward `correct` returned None",
    ),
    "out of range": (
        TASKS + 'yield ag.Task("a")' + REWARD + "-2.0",
        "rewards",
        "the outcome -2 lies outside of 0 to 1",
    ),
    "an id of ours": (
        TASKS.replace("me/Bad", "agentgym/KeyDoor") + 'yield ag.Task("a")' + UNPAID,
        "identity",
        "bad.py:3: the id is 'agentgym/KeyDoor-v0', and agentgym/ is for its own",
    ),
    "no id": (
        TASKS.replace("me/Bad-v0", "Übung") + 'yield ag.Task("a")' + UNPAID,
        "identity",
        "the id is 'Übung', expected one like me/Name-v0",
    ),
    "a blocking tool": (
        "import time\n\nasync def wait():\n    '''Wait.'''\n    time.sleep(0.7)\n    return 'done'\n\n"
        + TASKS.replace(")", ", tools=[wait], max_turns=1)", 1)
        + 'yield ag.Task("a")'
        + UNPAID,
        "isolation",
        "bad.py:7: async code held up the event loop",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
async def test_one_thing_wrong_is_one_failure_with_its_place(tmp_path: Path, name: str) -> None:
    source, check, told = BROKEN[name]
    (tmp_path / "bad.py").write_text("import agentgym as ag\n\n" + source + "\n")
    config = load_env(str(tmp_path / "bad.py"), {})
    up_to = ("identity", "tasks", "shapes", "isolation", "rewards", "record")
    report = await check_env(config, checks=named(up_to))
    failed = [each for each in report.results if each.status is Status.FAILED]
    assert [each.name for each in failed] == [check], report
    assert told in f"{failed[0].where}: {failed[0].message}"
    assert failed[0].hint or "raised" in told or "JSON" in told
