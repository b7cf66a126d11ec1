"""The addresses of the server, asked as browsers and as attackers do."""

import asyncio
import json
import shutil
import threading
from pathlib import Path
from urllib.parse import quote

import pytest
from hostile_run import NAMES, SCRIPT, encoded
from hypothesis import given, strategies as st
from starlette.responses import Response
from starlette.testclient import TestClient
from trained_run import make_trained_run

from agentgym.viewer.answers import json_answer
from agentgym.viewer.app import Application, make_app
from agentgym.viewer.guard import Door, Guard
from agentgym.viewer.routes import Asked, Route, split_path


def test_whatever_is_in_a_record_is_json_and_nothing_else(browse, hostile) -> None:
    client = browse(hostile)
    addresses = [
        "/api/runs",
        "/api/runs/hostile",
        "/api/runs/hostile/metrics",
        "/api/runs/hostile/episodes",
        "/api/runs/hostile/grid",
        f"/api/runs/{encoded(SCRIPT)}",
        f"/api/runs/hostile/episodes?where={encoded(SCRIPT)}",
        f"/api/runs/hostile/episodes?sort={encoded(SCRIPT)}",
        f"/api/runs/hostile/episodes?limit={encoded(SCRIPT)}",
        f"/api/{encoded(SCRIPT)}",
        f"/static/{encoded(SCRIPT)}",
        *(f"/api/runs/hostile/episodes/{encoded(name)}" for name in NAMES if name.isprintable()),
    ]
    for address in addresses:
        answer = client.get(address)
        assert answer.headers["content-type"] == "application/json", address
        answer.json()
    page = client.get(f"/run/{encoded(SCRIPT)}?turn={encoded(SCRIPT)}")
    assert "alert" not in page.text


@pytest.mark.parametrize("name", [each for each in NAMES if each not in ("\ud800", ".", "..")])
def test_an_id_of_any_characters_finds_its_episode_and_no_other(browse, hostile, name) -> None:
    client = browse(hostile)
    found = client.get(f"/api/runs/hostile/episodes/{encoded(name)}")
    assert found.status_code == 200
    assert found.json()["id"] == name
    assert found.json()["steps"][0]["message"]["content"] == SCRIPT
    member = NAMES.index(name)
    assert found.json()["member"] == member
    got = client.get(f"/api/runs/hostile/episodes/{encoded(name)}/columns?names=token_ids")
    assert got.status_code == 200
    where = name.replace("\\", "\\\\").replace('"', '\\"')
    listed = client.get("/api/runs/hostile/episodes", params={"where": f'id="{where}"'})
    assert [row["id"] for row in listed.json()["rows"]] == [name]


def test_dots_are_an_id_like_any_other(open_runs, hostile, ask) -> None:
    app = make_app(open_runs(hostile), Door("127.0.0.1", 7777))
    for name in (".", ".."):
        found = ask(app, f"/api/runs/hostile/episodes/{name}")
        assert json.loads(found.body)["member"] == NAMES.index(name)


def test_half_of_a_character_in_an_id_is_listed_and_asked_for_by_what_was_listed(
    browse, hostile
) -> None:
    client = browse(hostile)
    rows = client.get("/api/runs/hostile/episodes?limit=1000").json()["rows"]
    assert len(rows) == len(NAMES)
    listed = rows[NAMES.index("\ud800")]["id"]
    found = client.get(f"/api/runs/hostile/episodes/{encoded(listed)}")
    assert found.status_code == 200
    assert found.json()["id"] == "\ud800"


@pytest.mark.parametrize(
    "path",
    [
        "../../../../etc/passwd",
        "..%2F..%2F..%2F..%2Fetc%2Fpasswd",
        "%2e%2e/%2e%2e/etc/passwd",
        "....//....//etc/passwd",
        "/etc/passwd",
        "%2Fetc%2Fpasswd",
        "..\\..\\etc\\passwd",
        "trained/../../etc/passwd",
        "run.json",
        "index.html/..",
        "%00",
        "index.html%00.js",
    ],
)
def test_no_address_leads_to_a_file(open_runs, trained, ask, path) -> None:
    app = make_app(open_runs(trained), Door("127.0.0.1", 7777))
    for before in (
        "/static/", "/api/runs/", "/api/runs/trained/episodes/", "/api/", "/", "/run/trained/",
        "/api/runs/trained/",
    ):  # fmt: skip
        answer = ask(app, before + path)
        assert b"root:" not in answer.body
        assert b"agentgym.run/1" not in answer.body
        is_page = before in ("/", "/run/trained/") and not path.startswith("/static")
        assert answer.status == (200 if is_page else 404)
        assert not is_page or b"/static/app.js" in answer.body


@pytest.mark.parametrize(
    "query",
    [
        "limit=-1", "limit=x", "limit=1e9", "limit=99999999999999999999", "offset=-5", "offset=0x1",
        "limit=%00", "sort=rowid", "where=%ff", "where=" + "a" * 9000, "where=turns>" + "9" * 400,
    ],
)  # fmt: skip
def test_a_parameter_that_says_nothing_is_told(browse, trained, query) -> None:
    answer = browse(trained).get(f"/api/runs/trained/episodes?{query}")
    assert answer.status_code == 400
    assert answer.json()["error"]
    assert len(answer.content) < 1000


def test_huge_numbers_are_no_harm(browse, trained) -> None:
    client, big = browse(trained), "9" * 15
    rows = client.get(f"/api/runs/trained/episodes?limit={big}").json()
    assert len(rows["rows"]) == rows["total"] == 39
    assert client.get(f"/api/runs/trained/episodes?offset={big}").json()["rows"] == []
    grid = client.get(f"/api/runs/trained/grid?first=0&last={big}").json()
    assert len(grid["groups"]) == 9
    assert client.get(f"/api/runs/trained/grid?first={big}&last=0").json()["groups"] == []
    episode = "/api/runs/trained/episodes/train-000000-000.0.0"
    assert client.get(f"{episode}/columns?names=sampled&segment={big}").status_code == 400
    assert client.get(f"{episode}/pieces?first={big}&stop={big}").json()["pieces"] is None
    many = ",".join(["a"] * 101)
    assert client.get(f"/api/runs/trained/metrics?keys={many}").status_code == 400


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=1))
def test_an_address_is_taken_apart_before_it_is_decoded(parts) -> None:
    assert split_path("".join(f"/{quote(part, safe='')}" for part in parts)) == parts


@pytest.mark.parametrize("part", ["%ff", "%c3%28", "%ed%a0%80"])
def test_an_address_that_is_no_text_is_refused(browse, trained, part) -> None:
    client = browse(trained)
    for address in (f"/api/runs/{part}", f"/api/runs/trained/episodes/{part}", f"/{part}"):
        answer = client.get(address)
        assert answer.status_code == 400
        assert answer.json()["error"] == "the address is not UTF-8"


def test_what_is_not_there_is_named(browse, trained) -> None:
    client = browse(trained)
    assert client.get("/api/runs/other").json() == {
        "error": "no run is called 'other'",
        "hint": "there are: trained",
    }
    assert client.get("/api/runs/trained/episodes/x").status_code == 404
    assert client.get("/api/what").status_code == 404
    assert client.get("/static/x.js").status_code == 404


def test_other_addresses_are_the_pages(browse, trained) -> None:
    client = browse(trained)
    for address in ("/", "/run/trained", "/run/trained/episode/a%2Fb?turn=3", "/compare/a/b"):
        answer = client.get(address)
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        assert "<script>" not in answer.text
    assert client.get("/static/index.html").content == answer.content


def save_words(root: Path, letter: str) -> None:
    """Give a run a tokenizer whose words are one letter and their number."""
    from tokenizers import Tokenizer, models

    words = {f"{letter}{number}": number for number in range(30)}
    (root / "model").mkdir(exist_ok=True)
    tokenizer = Tokenizer(models.WordLevel(words, unk_token=f"{letter}0"))
    tokenizer.save(str(root / "model" / "tokenizer.json"))


def test_pieces_are_texts_or_a_reason_why_not(browse, trained, tmp_path) -> None:
    root = shutil.copytree(trained, tmp_path / "trained")
    client = browse(root)
    address = "/api/runs/trained/episodes/train-000000-000.0.0/pieces"
    assert client.get(address).json()["pieces"] is None
    assert "tokenizer.json" in client.get(address).json()["why"]
    save_words(root, "w")
    found = client.get(f"{address}?first=1&stop=3").json()
    assert [piece.strip() for piece in found["pieces"]] == ["w2", "w3"]
    assert found["first"] == 1
    assert found["of"] >= 5


def test_pieces_of_another_run_in_the_same_place_are_its_own(trained, tmp_path, open_runs) -> None:
    root = shutil.copytree(trained, tmp_path / "trained")
    save_words(root, "w")
    (run,) = open_runs(root)
    assert run.pieces() is run.pieces()
    shutil.rmtree(root)
    run.refresh()
    make_trained_run(root, seed=4)
    save_words(root, "v")
    while run.refresh():
        pass
    (piece,) = run.pieces().of([7], first=0, stop=1)
    assert piece.strip() == "v7"


def test_what_is_sent_comes_to_its_handler() -> None:
    def told(asked: Asked) -> Response:
        return json_answer({"name": asked.names["name"], "sent": asked.json()})

    app = Application([Route("/api/things/{name}", told, "POST"), Route("/api/boom", _boom)])
    client = TestClient(app, base_url="http://127.0.0.1:7777")
    answer = client.post("/api/things/a%2Fb", content=json.dumps({"x": SCRIPT}))
    assert answer.json() == {"name": "a/b", "sent": {"x": SCRIPT}}
    assert client.get("/api/things/a").status_code == 404
    for wrong in (b"", b"{", b"[1]", b"\xff", b"[" * 60_000):
        assert client.post("/api/things/a", content=wrong).status_code == 400
    door = Door("127.0.0.1", 7777)
    guarded = TestClient(Guard(app, door), base_url="http://127.0.0.1:7777")
    home = {"authorization": f"Bearer {door.token}"}
    assert guarded.post("/api/things/a", content=b'{"y": 1}', headers=home).status_code == 200


@pytest.mark.parametrize("is_gone", [True, False])
def test_what_was_given_up_while_it_waited_is_not_worked_on(is_gone) -> None:
    begun: list[str] = []
    both, go_on = threading.Semaphore(0), threading.Event()

    def slow(asked: Asked) -> Response:
        begun.append(asked.names["name"])
        both.release()
        assert go_on.wait(20)
        return json_answer({})

    app, sent = Application([Route("/api/{name}", slow)]), []

    async def ask(name: str, gone: asyncio.Event) -> None:
        messages = [{"type": "http.request", "body": b""}]

        async def receive():
            if gone.is_set():
                return {"type": "http.disconnect"}
            if messages:
                return messages.pop()
            return await asyncio.Event().wait()

        async def send(message) -> None:
            sent.append(message["type"])

        scope = {"type": "http", "method": "GET", "raw_path": f"/api/{name}".encode(),
                 "query_string": b"", "headers": []}  # fmt: skip
        await app(scope, receive, send)

    async def everything() -> None:
        gone = asyncio.Event()
        first = [asyncio.create_task(ask(name, asyncio.Event())) for name in "ab"]
        await asyncio.to_thread(both.acquire)
        await asyncio.to_thread(both.acquire)
        last = asyncio.create_task(ask("c", gone))
        await asyncio.sleep(0.05)
        if is_gone:
            gone.set()
        go_on.set()
        await asyncio.gather(*first, last)

    asyncio.run(everything())
    assert sorted(begun) == (["a", "b"] if is_gone else ["a", "b", "c"])
    assert sent.count("http.response.start") == len(begun)


def _boom(asked: Asked) -> Response:
    raise KeyError("secret")


def test_what_nobody_expected_is_an_answer_without_its_insides(caplog) -> None:
    client = TestClient(Application([Route("/api/boom", _boom)]), base_url="http://127.0.0.1:7777")
    answer = client.get("/api/boom")
    assert answer.status_code == 500
    assert answer.json() == {"error": "unexpected KeyError", "hint": None}
    assert "secret" in caplog.text


def test_what_does_not_change_is_sent_once(browse, trained) -> None:
    client = browse(trained)
    episode = "/api/runs/trained/episodes/train-000000-000.0.0"
    for address in (episode, f"{episode}/columns?names=token_ids,weight", "/"):
        first = client.get(address)
        again = client.get(address, headers={"if-none-match": first.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["content-security-policy"]
    other = client.get(f"{episode}/columns?names=sampled")
    assert other.headers["etag"] != client.get(f"{episode}/columns?names=weight").headers["etag"]
    assert "etag" not in client.get("/api/runs").headers


def test_a_record_that_breaks_is_an_answer(browse, trained, tmp_path) -> None:
    root = shutil.copytree(trained, tmp_path / "trained")
    client = browse(root)
    (shard,) = (root / "episodes").iterdir()
    data = bytearray(shard.read_bytes())
    data[len(data) // 2] ^= 0xFF
    shard.write_bytes(data)
    answers = [
        client.get(f"/api/runs/trained/episodes/train-{s:06d}-{g:03d}.{m}.0")
        for s in range(3)
        for g in range(3)
        for m in range(4)
    ]
    statuses = [answer.status_code for answer in answers]
    assert statuses.count(500) == 1
    assert statuses.count(200) == 35
    assert "is broken" in answers[statuses.index(500)].json()["error"]


def test_a_run_that_was_deleted_is_an_answer(browse, trained, tmp_path) -> None:
    root = shutil.copytree(trained, tmp_path / "trained")
    client = browse(root)
    shutil.rmtree(root)
    assert client.get("/api/runs").json()[0]["status"] == "unknown"
    assert client.get("/api/runs/trained").json()["broken"]
    assert client.get("/api/runs/trained/episodes/train-000000-000.0.0").status_code == 500
