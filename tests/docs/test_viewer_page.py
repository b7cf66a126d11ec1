import re
from pathlib import Path

import pytest
from starlette.testclient import TestClient
from trained_run import make_trained_run

from agentgym.viewer.analysis import Analysis
from agentgym.viewer.app import Viewer, make_app
from agentgym.viewer.columns import OF_SEGMENT, OF_TOKENS, read_columns
from agentgym.viewer.filter import parse_where
from agentgym.viewer.forking import Forking
from agentgym.viewer.forks import Forks
from agentgym.viewer.guard import Door
from agentgym.viewer.runs import OpenRuns
from agentgym.viewer.share import Sharing
from agentgym.viewer.tail import Tail
from agentgym.viewer.triage import Triage

PAGE = (Path(__file__).parents[2] / "docs" / "viewer.md").read_text()
ADDRESSES = re.findall(r"^\| `(GET|POST) (\S+)` \|", PAGE, re.MULTILINE)


@pytest.fixture
def runs(tmp_path):
    root = Path(make_trained_run(tmp_path / "run", "credit.name=grpo"))
    runs = OpenRuns([root], cache=tmp_path / "cache")
    runs.read_all()
    yield runs
    runs.close()


def test_every_address_has_its_row(runs) -> None:
    routes = [*Viewer(runs, Tail(runs)).routes, *Analysis(runs).routes, *Triage(runs).routes]
    routes += Sharing(runs, routes, {}).routes
    routes += Forking(runs, Forks()).routes
    names = {"{run}": "RUN", "{group}": "G", "{episode}": "EP", "{fork}": "FORK"}
    known = set()
    for route in routes:
        address = route.pattern
        for name, word in names.items():
            address = address.replace(name, word)
        known.add((route.method, address))
    assert {(method, address.partition("?")[0]) for method, address in ADDRESSES} == known


def test_every_address_of_the_page_answers(runs) -> None:
    client = TestClient(make_app(runs, Door("127.0.0.1", 7777)), base_url="http://127.0.0.1:7777")
    words = {"RUN": "run", "EP": "train-000001-001.0.0", "G": "train-000001-001", "&at=STEP": ""}
    words["WORDS"] = "go"
    for method, address in ADDRESSES:
        for word, value in words.items():
            address = re.sub(rf"(?<![A-Z]){word}(?![A-Z])", value, address)
        if method == "GET" and not address.startswith(("/api/tail", "/api/compare", "/share")):
            answer = client.get(address)
            assert answer.status_code == 200, (address, answer.text)


def test_the_filter_of_the_page_is_one() -> None:
    (text,) = re.findall(r"^    (outcome>0 .*)$", PAGE, re.MULTILINE)
    assert parse_where(text).wants_text


def test_the_columns_of_the_page_are_those_that_there_are() -> None:
    (table,) = re.findall(r"\| columns \| length \|\n(.*?)\n\n", PAGE, re.DOTALL)
    listed = re.findall(r"`(\w+)`", table)
    assert listed == [*OF_SEGMENT, *OF_TOKENS]


def test_the_program_of_the_page_reads_them(runs, tmp_path) -> None:
    (program,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    (run,) = runs
    name = "train-000001-001.0.0"
    head = run.index.head(name)
    (tmp_path / "answer").write_bytes(
        read_columns(run.index, head, name, ["token_ids", "weight", "cause"], 0)
    )
    space: dict = {}
    exec(program, space)
    found = space["columns"](f"file://{tmp_path}/answer")
    assert list(found) == ["token_ids", "weight", "cause"]
    assert found["token_ids"][:3].tolist() == [1, 2, 3]
    assert len(found["weight"]) == len(found["cause"]) == head.fields["tokens"]
