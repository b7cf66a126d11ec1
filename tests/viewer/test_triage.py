"""What people go through episodes by: ready filters with counts, and what was said."""

import json
import shutil
from pathlib import Path

import pytest
from hostile_run import NAMES, SCRIPT, encoded
from hypothesis import given, strategies as st
from starlette.testclient import TestClient

from agentgym.demo import write_demo
from agentgym.errors import ConfigError
from agentgym.types import Message, Step, Task, ToolCall, Trajectory
from agentgym.viewer.app import make_app
from agentgym.viewer.entries import clean
from agentgym.viewer.guard import Door
from agentgym.viewer.runs import OpenRuns
from agentgym.viewer.search import LONGEST_WORDS, hits_in, pattern_of

HOME = {"origin": "http://127.0.0.1:7777"}


@pytest.fixture(scope="module")
def demo(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("demo") / "demo"
    write_demo(root)
    return root


def drained(runs) -> None:
    """Let the background do all that it was asked to."""
    for run in runs:
        run.text.want()
        while run.refresh():
            pass


def test_a_ready_filter_lets_through_as_many_as_it_says(open_runs, browse, demo) -> None:
    client = browse(demo)
    client.get("/api/runs/demo/filters?all=1")
    drained(open_runs(demo))
    found = client.get("/api/runs/demo/filters").json()
    assert found["tagged"]["episodes"] == found["tagged"]["of_episodes"]
    assert any(each["tripwire"] for each in found["tags"])
    for each in found["tags"]:
        page = client.get(f"/api/runs/demo/episodes?where=tag={each['name']}").json()
        assert page["total"] == each["episodes"] > 0


def test_labels_are_counted_by_the_newest(browse, demo, tmp_path) -> None:
    client = browse(Path(shutil.copytree(demo, tmp_path / "demo")))
    names = [row["id"] for row in client.get("/api/runs/demo/episodes?limit=3").json()["rows"]]
    for name, label in zip([*names, names[0]], ["good", "bad", "bad", ""], strict=True):
        client.post("/api/runs/demo/labels", json={"episode": name, "label": label}, headers=HOME)
    assert client.get("/api/runs/demo/filters").json()["labels"] == [
        {"label": "bad", "episodes": 2}
    ]


def test_labels_of_what_is_soon_gone_are_refused(demo, tmp_path) -> None:
    root = Path(shutil.copytree(demo, tmp_path / "demo"))
    runs = OpenRuns([root], temporary=[root])
    try:
        runs.read_all()
        door = Door("127.0.0.1", 7777)
        client = TestClient(make_app(runs, door), base_url="http://127.0.0.1:7777")
        client.headers["authorization"] = f"Bearer {door.token}"
        (row,) = client.get("/api/runs/demo/episodes?limit=1").json()["rows"]
        given = {"episode": row["id"], "label": "good"}
        answer = client.post("/api/runs/demo/labels", json=given, headers=HOME)
    finally:
        runs.close()
    assert answer.status_code == 403
    assert "agentgym import" in answer.json()["hint"]


def test_what_was_said_is_found_with_its_turn(open_runs, browse, demo) -> None:
    client = browse(demo)
    address = "/api/runs/demo/search?words=i%20AM%20cert&limit=50"
    client.get(address)
    drained(open_runs(demo))
    found = client.get(address).json()
    assert found["total"] == len(found["rows"]) > 0
    filtered = client.get("/api/runs/demo/episodes?where=text:%22i%20am%20cert%22").json()
    assert found["total"] == filtered["total"]
    for row in found["rows"]:
        (hit, *_) = row["hits"]
        episode = client.get(f"/api/runs/demo/episodes/{encoded(row['id'])}").json()
        said = episode["steps"][hit["turn"]]["message"]["content"]
        assert hit["match"].lower() == "i am cert"
        assert hit["before"] + hit["match"] + hit["after"] in said
    narrower = client.get(f"{address}&where=outcome%3E0").json()
    assert narrower["total"] <= found["total"]


def test_hostile_text_is_found_and_told_as_it_is(open_runs, browse, hostile) -> None:
    client = browse(hostile)
    client.get("/api/runs/hostile/search?words=alert")
    drained(open_runs(hostile))
    found = client.get("/api/runs/hostile/search?words=alert&limit=99").json()
    assert {row["id"] for row in found["rows"]} == set(map(clean, NAMES))
    (hit, *_) = found["rows"][0]["hits"]
    assert hit["before"] + hit["match"] + hit["after"] in SCRIPT
    assert client.get("/api/runs/hostile/filters").status_code == 200


@pytest.mark.parametrize(
    "query",
    ["", "words=", "words=%20%22", "words=.", f"words={'a' * (LONGEST_WORDS + 1)}",
     "words=a&where=outcme%3E0", "words=a&limit=x"],
)  # fmt: skip
def test_a_search_for_nothing_is_refused(browse, demo, query) -> None:
    answer = browse(demo).get(f"/api/runs/demo/search?{query}")
    assert answer.status_code == 400
    assert len(answer.content) < 1000


def said(*texts: str) -> Trajectory:
    steps = [Step(message=Message("assistant", text)) for text in texts]
    return Trajectory(id="a", task=Task("Go."), group_id="g", prompt=(), steps=steps)


@given(st.lists(st.text("ab .,\n_é", min_size=1, max_size=12), min_size=1, max_size=5))
def test_words_are_found_in_whatever_turn_they_stand(texts: list[str]) -> None:
    wanted = "red door"
    texts = [*texts, "the Red -- DOORS of"]
    hits = list(hits_in(said(*texts), pattern_of(wanted)))
    assert [(hit.turn, hit.match) for hit in hits] == [(len(texts) - 1, "Red -- DOOR")]


@given(st.text(max_size=50), st.text(max_size=200))
def test_no_text_breaks_a_search(words: str, text: str) -> None:
    try:
        pattern = pattern_of(words)
    except ConfigError:
        return
    for hit in hits_in(said(text), pattern):
        assert hit.before + hit.match + hit.after in text


def test_calls_and_the_prompt_are_searched() -> None:
    call = ToolCall(name="open", arguments=json.dumps({"door": "red"}), id="1")
    step = Step(message=Message("assistant", "", tool_calls=(call,)))
    found = Trajectory(
        id="a", task=Task("Go."), group_id="g", prompt=(Message("user", "a red key"),), steps=[step]
    )
    assert [hit.turn for hit in hits_in(found, pattern_of("red"))] == [None, 0]
