"""Who may ask, and which headers every answer bears."""

import socket
from urllib.parse import urlsplit

import pytest
from starlette.testclient import TestClient

from agentgym.viewer.answers import json_answer
from agentgym.viewer.app import make_app
from agentgym.viewer.guard import IS_OWNER, Door, Guard

HOME = "http://127.0.0.1:7777"
OPEN = Door("10.0.0.5", 7777, token="sesame-ö")
ADDRESSES = [
    "/", "/api/runs", "/api/runs/trained", "/api/nothing", "/static/nothing", "/run/x", "/api/runs/%ff",
]  # fmt: skip


@pytest.fixture
def remote(open_runs, trained) -> TestClient:
    """A browser before a server that other machines can reach."""
    app = make_app(open_runs(trained), OPEN)
    return TestClient(app, base_url="http://10.0.0.5:7777", follow_redirects=False)


@pytest.mark.parametrize("address", ADDRESSES)
@pytest.mark.parametrize("headers", [{}, {"host": "evil.example:7777"}, {"origin": "http://evil"}])
def test_every_answer_bears_the_policy(browse, trained, address, headers) -> None:
    answer = browse(trained).get(address, headers=headers)
    policy = answer.headers["content-security-policy"]
    assert policy == (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        "connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
    )
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["cross-origin-resource-policy"] == "same-origin"
    assert answer.headers["cache-control"] in ("no-store", "private, no-cache")
    assert "access-control-allow-origin" not in answer.headers
    assert "server" not in answer.headers


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:7777", 200),
        ("localhost:7777", 200),
        ("LOCALHOST:7777", 200),
        ("[::1]:7777", 200),
        ("127.0.0.1", 421),
        ("127.0.0.1:7778", 421),
        ("evil.example:7777", 421),
        ("127.0.0.1.evil.example:7777", 421),
        ("127.0.0.1:7777@evil.example", 421),
        ("evil.example", 421),
        ("10.0.0.5:7777", 421),
        ("", 421),
    ],
)
def test_a_name_that_is_not_ours_is_refused(browse, trained, host, status) -> None:
    assert browse(trained).get("/api/runs", headers={"host": host}).status_code == status


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        (HOME, 200),
        ("null", 403),
        ("http://evil.example", 403),
        ("http://localhost:7777", 403),
        ("https://127.0.0.1:7777", 403),
        ("http://127.0.0.1:7778", 403),
        ("", 403),
    ],
)
def test_a_page_of_another_site_is_refused(browse, trained, origin, status) -> None:
    assert browse(trained).get("/api/runs", headers={"origin": origin}).status_code == status


def test_two_hosts_are_none(browse, trained) -> None:
    headers = [("host", "127.0.0.1:7777"), ("host", "evil.example")]
    assert browse(trained).get("/api/runs", headers=headers).status_code == 421


@pytest.mark.parametrize("headers", [{}, {"origin": HOME}])
def test_who_has_not_the_token_may_only_read(open_runs, trained, headers) -> None:
    door = Door("127.0.0.1", 7777, token="secret")
    client = TestClient(make_app(open_runs(trained), door), base_url=HOME, headers=headers)
    strangers = [
        {}, {"authorization": "Bearer wrong"}, {"authorization": "Bearer"},
        {"authorization": "Basic secret"}, {"cookie": "token=secret; agentgym-7777=secret"},
    ]  # fmt: skip
    for stranger in strangers:
        assert client.get("/api/runs", headers=stranger).status_code == 200
        for address in ("/api/runs/trained/labels", "/api/runs", "/api/tail?token=wrong", "/"):
            answer = client.post(f"{address}?token=secret", headers=stranger)
            assert answer.status_code == 401
            assert "#token" in answer.json()["hint"]
    # There is nothing to post to here, but the guard has let it pass.
    own = {"authorization": "Bearer secret"}
    assert client.post("/api/runs", headers=own).status_code == 404
    assert client.post("/api/runs", headers=own | {"origin": "http://evil"}).status_code == 403


def test_handlers_learn_who_asks(open_runs, trained, ask) -> None:
    door, told = Door("127.0.0.1", 7777, token="secret"), []

    async def app(scope, receive, send) -> None:
        told.append(scope[IS_OWNER])
        await json_answer({})(scope, receive, send)

    for headers in ({}, {"authorization": "Bearer secret"}, {"authorization": "Bearer Secret"}):
        ask(Guard(app, door), "/api/runs", **headers)
    assert told == [False, True, False]


def test_sizes_and_methods_are_bounded(browse, trained) -> None:
    client = browse(trained)
    assert client.get("/api/runs?x=" + "a" * 17_000).status_code == 414
    assert client.get("/" + "a" * 17_000).status_code == 414
    assert client.get("/api/runs?" + "a=1&" * 150).status_code == 400
    body = b"x" * 70_000
    assert client.post("/api/runs", content=body).status_code == 413
    for method in ("PUT", "DELETE", "OPTIONS", "PATCH", "TRACE"):
        assert client.request(method, "/api/runs").status_code == 405
    assert client.head("/api/runs").status_code == 200


@pytest.mark.parametrize("given", ["", "wrong", "sesame", "SESAME-Ö", "\0", "ö" * 500])
def test_without_the_token_other_machines_learn_nothing(remote, given) -> None:
    for address in (*ADDRESSES, "/api/tail", "/share", "/%61pi/runs", "/api%2Fruns"):
        answer = remote.get(address, params={"token": given})
        assert "trained" not in answer.text
        is_page = address in ("/", "/static/nothing", "/run/x")
        assert (answer.status_code == 401) == (not is_page), address
    for headers in ({"authorization": "Bearer wrong"}, {"authorization": "Basic sesame"}):
        assert remote.get("/api/runs", headers=headers).status_code == 401


def test_the_token_opens_a_door_to_other_machines(open_runs, trained) -> None:
    door = Door("10.0.0.5", 7777)
    app = make_app(open_runs(trained), door)
    client = TestClient(app, base_url="http://10.0.0.5:7777")
    bearer = {"authorization": f"Bearer {door.token}"}
    assert client.get("/api/runs", headers=bearer).json()[0]["run"] == "trained"
    # A word of an address may be seen by others: it counts where browsers can send no header.
    assert client.get("/api/runs", params={"token": door.token}).status_code == 401
    assert client.get("/api/runs").status_code == 401


def test_a_token_among_the_tokens_of_an_episode_is_none(open_runs, trained) -> None:
    door = Door("10.0.0.5", 7777)
    own = {"authorization": f"Bearer {door.token}"}
    client = TestClient(make_app(open_runs(trained), door), base_url="http://10.0.0.5:7777")
    asked = "/api/runs/trained/why?episode=train-000001-001.0.0&token=3"
    answer = client.get(asked, headers=own, follow_redirects=False)
    assert answer.status_code == 200
    assert client.get(asked).status_code == 401


@pytest.mark.parametrize("host", ["10.0.0.5", "127.0.0.1"])
def test_the_way_leads_to_the_token_once(open_runs, trained, host) -> None:
    door = Door(host, 7777, token="sesame")
    home = door.url.partition("/#")[0]
    client = TestClient(make_app(open_runs(trained), door), base_url=home, follow_redirects=False)
    page = "run/a%2Fb/episode/x?turn=1&view=tokens"

    def leads(way: str) -> str:
        answer = client.get(way)
        assert answer.status_code == 303
        return answer.headers["location"]

    for wrong in ("/open", "/open/", "/open/wrong/"):
        assert leads(wrong) == "/"
    assert leads(f"/open/wrong/{page}") == f"/{page}"
    way = door.way_to(page)
    assert door.token not in way
    assert client.get(way, headers={"origin": "http://evil"}).status_code == 403
    assert client.post(way).status_code == 401
    assert leads(way) == f"/{page}#token=sesame"
    assert leads(way) == f"/{page}"


@pytest.mark.parametrize(
    "rest", ["//evil.example", "/\\evil.example", "///evil.example/x", "\\/evil"]
)
def test_the_way_leads_to_no_other_site(open_runs, trained, ask, rest) -> None:
    door = Door("127.0.0.1", 7777)
    answer = ask(make_app(open_runs(trained), door), f"/open/{door.way}/{rest}")
    location = answer.headers["location"]
    assert location.startswith("/e")
    assert urlsplit(location).netloc == ""


def test_two_doors_have_two_tokens_that_no_log_shows() -> None:
    tokens = {Door("0.0.0.0", 1).token for _ in range(20)}
    assert len(tokens) == 20
    assert min(map(len, tokens)) >= 32
    assert "sesame" not in repr(OPEN)


@pytest.mark.parametrize(
    ("host", "known", "unknown"),
    [
        ("0.0.0.0", ["10.1.2.3:7777", "localhost:7777", "[fe80::1]:7777"], ["evil.example:7777"]),
        ("::", ["[::1]:7777", socket.gethostname().lower() + ":7777"], ["a.b:7777", "1.2.3.4:80"]),
        ("10.0.0.5", ["10.0.0.5:7777"], ["10.0.0.6:7777", "localhost:7777"]),
        ("::1", ["[::1]:7777", "localhost:7777"], ["::1:7777"]),
        ("box.lan", ["box.lan:7777"], ["box.lan.evil:7777"]),
    ],
)
def test_the_names_of_a_door(host, known, unknown) -> None:
    door = Door(host, 7777)
    assert [each for each in known if not door.knows(each)] == []
    assert [each for each in unknown if door.knows(each)] == []
    assert door.is_loopback == (host == "::1")
    assert door.at("run/x?turn=3").endswith(f":7777/run/x?turn=3#token={door.token}")
