"""A shared file: all answers are in it as they are, and nothing in them runs."""

import base64
import gzip
import hashlib
import json
import re
import shutil
from urllib.parse import parse_qsl

import pytest
from hostile_run import NAMES, SCRIPT, encoded
from hypothesis import given, strategies as st
from starlette.testclient import TestClient

from agentgym.errors import ConfigError
from agentgym.viewer.analysis import Analysis
from agentgym.viewer.app import Application, Viewer
from agentgym.viewer.columns import OF_SEGMENT, OF_TOKENS
from agentgym.viewer.entries import clean
from agentgym.viewer.gathering import canonical
from agentgym.viewer.guard import Door, Guard
from agentgym.viewer.onefile import make_page
from agentgym.viewer.routes import split_path
from agentgym.viewer.share import Sharing
from agentgym.viewer.tail import Tail

GROUP = "train-000001-001"
STATIC = {"app.js": b'console.log("</script>")', "app.css": b"p { color: red }"}


@pytest.fixture
def sharing(open_runs):
    """A browser before a server that has pages."""

    def opened(*roots):
        runs = open_runs(*roots)
        routes = [*Viewer(runs, Tail(runs)).routes, *Analysis(runs).routes]
        app = Application([*routes, *Sharing(runs, routes, STATIC).routes])
        guarded = Guard(app, Door("127.0.0.1", 7777))
        return TestClient(guarded, base_url="http://127.0.0.1:7777")

    return opened


def shared(page: bytes) -> dict:
    (data,) = re.findall(rb'<script type="application/json" id="shared">(.*?)</script>', page)
    return json.loads(gzip.decompress(base64.b64decode(data)))


def test_every_answer_is_in_it_as_the_server_gives_it(sharing, trained) -> None:
    client = sharing(trained)
    answer = client.get(f"/share?run=trained&group={GROUP}&credit=grpo,gigpo,gamma=0.5")
    assert answer.status_code == 200
    assert answer.headers["content-disposition"] == 'attachment; filename="trained.html"'
    found = shared(answer.content)
    assert found["page"] == f"/run/trained/group/{GROUP}"
    assert found["credits"] == ["grpo", "gigpo,gamma=0.5"]
    kinds = set()
    for address, kept in found["answers"].items():
        kinds.add(re.sub(r".*/([a-z]+)(\?.*)?$", r"\1", address))
        if "/why?" in address:
            answers = [client.get(f"{address}&token={n}") for n in range(len(kept["tokens"]))]
            assert [kept["answers"][n] for n in kept["tokens"]] == [a.json() for a in answers]
            assert client.get(f"{address}&token={len(answers)}").status_code == 400
        elif "/advantages" in address:
            assert base64.b64decode(kept) == client.get(address).content
        elif "/columns?" in address:
            names = ",".join([*OF_SEGMENT, *OF_TOKENS])
            answered = client.get(f"{address}&names={names}").content
            assert base64.b64decode(kept) == answered
        elif address != "/api/runs/trained":
            assert kept == client.get(address).json()
    assert kinds >= {"members", "states", "lens", "ledger", "columns", "pieces", "why"}
    group = f"/api/runs/trained/groups/{GROUP}"
    for credit in ("", "grpo", "gigpo,gamma=0.5"):
        for minus in ("", "trained", "grpo", "gigpo,gamma=0.5"):
            assert canonical(group, {"credit": credit, "minus": minus}) in found["answers"]
    run = found["answers"]["/api/runs/trained"]
    assert (run["path"], run["config"], run["info"]) == ("", None, None)
    assert str(trained) not in json.dumps(found)


def test_what_is_of_the_machine_or_of_other_episodes_is_not_in_it(
    sharing, trained, tmp_path
) -> None:
    root = tmp_path / "secret" / "run"
    shutil.copytree(trained, root)
    (root / "events.jsonl").write_text('{"kind": "alarm", "text": "secret alarm"}\n')
    (shard,) = (root / "notes").glob("trainer-*")
    shard.write_bytes(shard.read_bytes()[:-7])
    (root / "model").mkdir(exist_ok=True)
    (root / "model" / "tokenizer.json").write_text("secret")
    shutil.rmtree(root / "checkpoints", ignore_errors=True)
    client = sharing(root)
    assert client.get("/api/runs/run").json()["broken"]
    found = shared(client.get(f"/share?run=run&group={GROUP}").content)["answers"]
    assert "secret" not in json.dumps(found)
    told = [each for key, each in found.items() if "/pieces" in key]
    assert told
    assert all("reading run/model/tokenizer.json" in each["why"] for each in told)


def test_an_episode_is_shared_alone(sharing, trained) -> None:
    client = sharing(trained)
    found = shared(client.get(f"/share?run=trained&episode={GROUP}.2.0").content)
    assert found["page"] == f"/run/trained/episode/{GROUP}.2.0"
    episodes = {re.search(r"/episodes/([^/?]+)", each) for each in found["answers"]}
    assert {each[1] for each in episodes if each} == {f"{GROUP}.2.0"}


def test_only_the_script_of_the_pages_may_run(sharing, trained) -> None:
    page = sharing(trained).get(f"/share?run=trained&group={GROUP}").text
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="(.*?)"', page)
    (script,) = re.findall(r'<script type="module">(.*?)</script>', page)
    assert script == 'console.log("<\\/script>")'
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none'")


@pytest.mark.parametrize("name", NAMES)
def test_whatever_is_in_a_record_is_no_part_of_the_page(sharing, hostile, name) -> None:
    client = sharing(hostile)
    answer = client.get(f"/share?run=hostile&group={encoded(clean(name))}")
    if not name:
        assert answer.status_code == 400  # no name is no group
        return
    assert answer.status_code == 200
    page = answer.content
    assert page.count(b"<script") == 2
    assert b"alert" not in page
    found = shared(page)["answers"]
    group = found[canonical(f"/api/runs/hostile/groups/{encoded(clean(name))}")]
    assert [each["id"] for each in group["members"]] == [clean(name)]
    episode = next(each for key, each in found.items() if key.endswith("?parts=said"))
    assert episode["steps"][0]["message"]["content"] == SCRIPT


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("run=trained", 400),
        (f"run=trained&group={GROUP}&episode=x", 400),
        ("run=trained&group=x", 404),
        ("run=trained&episode=x", 404),
        (f"run=other&group={GROUP}", 404),
        (f"run=trained&group={GROUP}&credit={encoded(SCRIPT)}", 400),
    ],
)
def test_what_cannot_be_shared_is_told(sharing, trained, query, status) -> None:
    answer = sharing(trained).get(f"/share?{query}")
    assert answer.status_code == status
    assert answer.json()["error"]


def test_estimators_are_few(sharing, trained) -> None:
    client, words = sharing(trained), [f"gigpo,gamma=0.{n}" for n in range(1, 8)]
    answer = client.get(f"/share?run=trained&group={GROUP}&credit={','.join(words)}")
    assert (answer.status_code, answer.json()["error"]) == (400, "at most 6 estimators, got 7")


def test_what_is_too_large_is_refused(sharing, trained, monkeypatch) -> None:
    monkeypatch.setattr("agentgym.viewer.share.LARGEST", 1000)
    client = sharing(trained)
    hints = {
        f"group={GROUP}&credit=grpo": "share a single episode of it",
        f"episode={GROUP}.0.0&credit=grpo": "name fewer estimators",
        f"episode={GROUP}.0.0": "agentgym view shows it without a limit",
    }
    for asked, hint in hints.items():
        answer = client.get(f"/share?run=trained&{asked}")
        assert (answer.status_code, answer.json()["hint"]) == (400, hint)


def test_a_file_has_no_more_reasons_than_it_may(sharing, trained, monkeypatch) -> None:
    address = f"/share?run=trained&group={GROUP}"
    reasons = [
        key for key in shared(sharing(trained).get(address).content)["answers"] if "/why?" in key
    ]
    monkeypatch.setattr("agentgym.viewer.gathering.MOST_EXPLAINED", 40)
    fewer = shared(sharing(trained).get(address).content)["answers"]
    kept = [key for key in fewer if "/why?" in key]
    assert 0 < len(kept) < len(reasons)
    assert sum(len(fewer[key]["tokens"]) for key in kept) <= 40


@given(st.text(), st.text(), st.text())
def test_an_address_is_read_back_as_it_was_written(name, key, value) -> None:
    path, _, query = canonical(
        f"/api/{encoded(clean(name))}", {clean(key): clean(value)}
    ).partition("?")
    assert split_path(path) == ["api", clean(name)]
    assert dict(parse_qsl(query, keep_blank_values=True)) == (
        {clean(key): clean(value)} if value else {}
    )


def test_without_pages_there_is_nothing_to_share() -> None:
    with pytest.raises(ConfigError, match="no pages"):
        make_page({"index.html": b""})
