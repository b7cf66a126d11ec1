"""Two runs in the viewer: the numbers of `agentgym compare`, task by task."""

import json
import random
from pathlib import Path

import pytest
from hostile_run import NAMES, SCRIPT, encoded
from typer.testing import CliRunner

from agentgym.cli.main import app


def outcomes(seed: int, count: int = 24) -> list[float]:
    chance = random.Random(seed)
    return [float(chance.random() < 0.5) for _ in range(count)]


def told(a: Path, b: Path) -> dict:
    """What the command says of two runs."""
    found = CliRunner().invoke(app, ["compare", str(a), str(b), "--json"])
    assert found.exit_code == 0, found.output
    return json.loads(found.stdout)


@pytest.mark.parametrize("first", [0, 4, 100], ids=["paired", "overlapping", "unpaired"])
def test_the_numbers_are_those_of_the_command(browse, record, first) -> None:
    a, b = record("a", outcomes(1), outcomes(2)), record("b", outcomes(3), first=first)
    found, expected = browse(a, b).get("/api/compare?a=a&b=b").json(), told(a, b)
    assert found["differences"] == expected["differences"]
    assert found["paired"] == expected["paired"] == (first < 100)
    for name in ("wins", "ties", "losses", "p"):
        assert found[name] == expected[name]
    assert (found["a"]["which"], found["a"]["evaluations"]) == (
        "the evaluation after step 20",
        [10, 20],
    )


def test_every_task_has_its_episodes_and_the_largest_losses_come_first(browse, record) -> None:
    a, b = record("a", [1, 1, 0, 0, 1, 0]), record("b", [0, 0, 0, 1, 1, 0, 1, 1])
    found = browse(a, b).get("/api/compare?a=a&b=b").json()
    assert [(each["task"], each["difference"]) for each in found["tasks"]] == [
        ("t0", -1.0),
        ("t2", 0.0),
        ("t1", 0.5),
        ("t3", None),
    ]
    first, *_, alone = found["tasks"]
    assert first["a"] == {
        "outcome": 1.0,
        "episodes": ["eval-sampled-000010-000.0.0", "eval-sampled-000010-000.1.0"],
        "of": 2,
    }
    assert alone["a"] == {"outcome": None, "episodes": [], "of": 0}
    assert found["of_tasks"] == 4


def test_an_earlier_evaluation_is_compared_where_both_have_it(browse, record) -> None:
    a, b = record("a", [1, 1, 1, 1], [0, 0, 0, 0]), record("b", [0, 0, 0, 0])
    client = browse(a, b)
    assert client.get("/api/compare?a=a&b=b&at=10").json()["losses"] == 4
    assert client.get("/api/compare?a=a&b=b").json()["losses"] == 0
    missing = client.get("/api/compare?a=a&b=b&at=20")
    assert missing.status_code == 400
    assert missing.json()["hint"] == "evaluated after: 10"


def test_what_cannot_be_compared_is_told(browse, record, trained) -> None:
    a, other = record("a", [1, 0]), record("other", [1, 0], env="agentgym/Code-v0")
    client = browse(a, other, trained)
    for address, status, word in (
        ("a=a&b=other", 400, "is of agentgym/KeyDoor-v0, other of"),
        ("a=a&b=trained", 400, "trained was never evaluated"),
        ("a=a&b=nobody", 404, "no run is called 'nobody'"),
        ("a=a", 404, "no run is called ''"),
        (f"a=a&b={encoded(SCRIPT)}", 404, "no run is called"),
        ("a=a&b=a&at=x", 400, "expected a number"),
    ):
        answer = client.get(f"/api/compare?{address}")
        assert (answer.status_code, word in answer.json()["error"]) == (status, True), address
        assert answer.headers["content-type"] == "application/json"


def test_names_of_any_characters_are_compared(browse, hostile) -> None:
    found = browse(hostile).get("/api/compare?a=hostile&b=hostile").json()
    assert found["of_tasks"] == 1
    assert found["tasks"][0]["task"] == SCRIPT
    assert found["tasks"][0]["a"]["of"] == len(NAMES)
    assert found["ties"] == len(NAMES)
