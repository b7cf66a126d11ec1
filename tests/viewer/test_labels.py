import json
import shutil
from itertools import count
from pathlib import Path

import pytest
from hostile_run import NAMES, SCRIPT, encoded
from hypothesis import given, strategies as st

from agentgym.errors import ConfigError, StoreError
from agentgym.store.notes import NoteWriter, read_notes
from agentgym.viewer.entries import clean
from agentgym.viewer.labels import LONGEST_LABEL, LONGEST_TEXT, Labels, read_labels

NAME = "train-000001-002.1.0"
HOME = {"origin": "http://127.0.0.1:7777"}


@pytest.fixture
def root(trained, tmp_path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / "run"))


@pytest.fixture
def labels(root):
    ticks = count(1)
    labels = Labels(root, clock=lambda: float(next(ticks)))
    yield labels
    labels.close()


def test_the_newest_label_of_an_episode_counts(labels, root) -> None:
    assert read_labels(root) == {}
    labels.put("a", "good", "because")
    labels.put("b", "bad", "")
    labels.put("a", " hack ", None)
    labels.put("b", "", "not so bad")
    assert read_labels(root) == {"a": ("hack", "", 3.0)}
    assert len(list(read_notes(root, "label", producer="viewer"))) == 4


def test_of_labels_at_the_same_time_the_last_one_counts(root) -> None:
    labels = Labels(root, clock=lambda: 1.0)
    for label in ("good", "bad", "hack"):
        labels.put("a", label, "")
    labels.close()
    assert read_labels(root)["a"].label == "hack"


def test_time_decides_and_not_the_file(root) -> None:
    late, early = Labels(root, clock=lambda: 2.0), Labels(root, clock=lambda: 1.0)
    late.put("a", "late", "")
    early.put("a", "early", "")
    assert [path.name for path in sorted((root / "notes").glob("viewer-*"))] == [
        "viewer-00001.jsonl.zst",
        "viewer-00002.jsonl.zst",
    ]
    assert read_labels(root)["a"].label == "late"
    late.close()
    early.close()


@given(st.text(), st.text(max_size=30))
def test_any_name_comes_back(tmp_path_factory, name, text) -> None:
    root = tmp_path_factory.mktemp("run")
    labels = Labels(root)
    labels.put(name, "x", text)
    labels.close()
    assert {each: found.text for each, found in read_labels(root).items()} == {name: text}


@pytest.mark.parametrize(
    ("label", "text"),
    [
        ("x" * (LONGEST_LABEL + 1), ""), ("a\nb", ""), ("\x1b[31m", ""), (3, ""), (None, ""),
        (["x"], ""), ("x", 3), ("x", "y" * (LONGEST_TEXT + 1)),
    ],
)  # fmt: skip
def test_what_is_no_label_is_refused(labels, root, label, text) -> None:
    with pytest.raises(ConfigError, match="label"):
        labels.put("a", label, text)
    assert read_labels(root) == {}


def test_a_run_that_was_made_anew_gets_the_labels(labels, root, trained) -> None:
    labels.put("a", "first", "")
    shutil.rmtree(root)
    with pytest.raises(StoreError, match="cannot be written"):
        labels.put("a", "lost", "")
    shutil.copytree(trained, root)
    labels.put("b", "second", "")
    assert list(read_labels(root)) == ["b"]


def test_notes_that_are_no_labels_are_left_out(labels, root) -> None:
    labels.put("a", "good", "")
    with NoteWriter(root, producer="other") as notes:
        notes.append("label", {"episode": "b"})
        notes.append("label", {"episode": "c", "label": "x", "text": "", "time": "never"})
    assert list(read_labels(root)) == ["a"]


def test_a_label_is_seen_at_once(browse, root) -> None:
    client, address = browse(root), "/api/runs/run/labels"
    sent = {"episode": NAME, "label": "hack", "text": SCRIPT}
    answer = client.post(address, json=sent, headers=HOME)
    assert (answer.status_code, answer.json()) == (200, sent)
    rows = client.get("/api/runs/run/episodes?where=label=hack").json()["rows"]
    assert [row["id"] for row in rows] == [NAME]
    episode = client.get(f"/api/runs/run/episodes/{NAME}").json()
    assert (episode["label"], episode["notes"]) == ("hack", [{"label": "hack", "text": SCRIPT}])
    client.post(address, json={"episode": NAME, "label": ""}, headers=HOME)
    assert client.get("/api/runs/run/episodes?where=label!=none").json()["total"] == 0
    assert client.get(f"/api/runs/run/episodes/{NAME}").json()["label"] is None


def test_only_pages_of_who_started_the_viewer_may_label(browse, root) -> None:
    client, sent = browse(root), {"episode": NAME, "label": "x"}
    for headers in ({"origin": "http://evil.example"}, {"origin": "null"}):
        assert client.post("/api/runs/run/labels", json=sent, headers=headers).status_code == 403
    del client.headers["authorization"]
    assert client.post("/api/runs/run/labels", json=sent, headers=HOME).status_code == 401
    assert client.get("/api/runs/run/labels").status_code == 404
    assert read_labels(root) == {}


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        ({"episode": "nobody", "label": "x"}, 404),
        ({"episode": 3, "label": "x"}, 400),
        ({"label": "x"}, 400),
        ({"episode": NAME}, 400),
        ({"episode": NAME, "label": {"a": 1}}, 400),
        ({"episode": NAME, "label": "x" * 50_000}, 400),
        ([1], 400),
    ],
)
def test_what_is_sent_wrong_is_told(browse, root, sent, status) -> None:
    answer = browse(root).post("/api/runs/run/labels", content=json.dumps(sent), headers=HOME)
    assert answer.status_code == status
    assert answer.json()["error"]
    assert len(answer.content) < 1000
    assert read_labels(root) == {}


def test_names_of_any_characters_are_labelled(browse, hostile, tmp_path) -> None:
    root = Path(shutil.copytree(hostile, tmp_path / "hostile"))
    client = browse(root)
    for number, name in enumerate(NAMES):
        sent = {"episode": clean(name), "label": f"l{number}", "text": name}
        answer = client.post("/api/runs/hostile/labels", content=json.dumps(sent), headers=HOME)
        assert answer.status_code == 200
    assert {each: found.label for each, found in read_labels(root).items()} == {
        name: f"l{number}" for number, name in enumerate(NAMES)
    }
    listed = client.get("/api/runs/hostile/episodes?limit=99&where=label!=none").json()
    assert [row["id"] for row in listed["rows"]] == [clean(name) for name in NAMES]
    shown = client.get(f"/api/runs/hostile/episodes/{encoded(SCRIPT)}").json()
    assert shown["label"] == f"l{NAMES.index(SCRIPT)}"
