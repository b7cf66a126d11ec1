"""Who may ask, and which headers every answer bears."""

import socket

import pytest
from starlette.testclient import TestClient

from agentgym.viewer.app import make_app
from agentgym.viewer.guard import Door

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


def test_a_post_needs_origin_or_token(open_runs, trained) -> None:
    door = Door("127.0.0.1", 7777, token="secret")
    client = TestClient(make_app(open_runs(trained), door), base_url=HOME)
    assert client.post("/api/runs").status_code == 403
    assert client.post("/api/runs", headers={"origin": "http://evil"}).status_code == 403
    assert client.post("/api/runs?token=wrong").status_code == 403
    # There is nothing to post to here, but the guard has let it pass.
    assert client.post("/api/runs", headers={"origin": HOME}).status_code == 404
    assert client.post("/api/runs?token=secret").status_code == 404
    assert client.post("/api/runs", headers={"authorization": "Bearer secret"}).status_code == 404


def test_sizes_and_methods_are_bounded(browse, trained) -> None:
    client = browse(trained)
    assert client.get("/api/runs?x=" + "a" * 17_000).status_code == 414
    assert client.get("/" + "a" * 17_000).status_code == 414
    assert client.get("/api/runs?" + "a=1&" * 150).status_code == 400
    body = b"x" * 70_000
    assert client.post("/api/runs", content=body, headers={"origin": HOME}).status_code == 413
    for method in ("PUT", "DELETE", "OPTIONS", "PATCH", "TRACE"):
        assert client.request(method, "/api/runs").status_code == 405
    assert client.head("/api/runs").status_code == 200


@pytest.mark.parametrize("given", ["", "wrong", "sesame", "SESAME-Ö", "\0", "ö" * 500])
def test_without_the_token_nothing_is_told(remote, given) -> None:
    for address in (*ADDRESSES, "/api/tail"):
        answer = remote.get(address, params={"token": given})
        assert answer.status_code == 401, address
        assert "trained" not in answer.text
    cookie = {"cookie": "x=y; agentgym-7777=wrong; agentgym-7778=sesame"}
    assert remote.get("/api/runs", headers=cookie).status_code == 401
    assert remote.get("/api/runs", headers={"authorization": "Bearer wrong"}).status_code == 401
    assert remote.get("/api/runs", headers={"authorization": "Basic sesame"}).status_code == 401


def test_the_token_becomes_a_cookie_and_leaves_the_address(open_runs, trained, ask) -> None:
    door = Door("10.0.0.5", 7777)
    app = make_app(open_runs(trained), door)
    client = TestClient(app, base_url="http://10.0.0.5:7777", follow_redirects=False)
    answer = client.get("/run/a%2Fb?turn=3", params={"turn": "3", "token": door.token})
    assert answer.status_code == 303
    assert answer.headers["location"] == "/run/a%2Fb?turn=3"
    cookie = answer.headers["set-cookie"]
    assert cookie == f"agentgym-7777={door.token}; Path=/; HttpOnly; SameSite=Strict"
    assert client.get("/api/runs").json()[0]["run"] == "trained"
    for path in ("//evil.example/x", "/\\evil.example/x", "///evil.example/x"):
        away = ask(app, f"{path}?token={door.token}", host="10.0.0.5:7777")
        assert (away.status, away.headers["location"]) == (303, "/evil.example/x")
    fresh = TestClient(app, base_url="http://10.0.0.5:7777")
    bearer = {"authorization": f"Bearer {door.token}"}
    assert fresh.get("/api/runs", headers=bearer).status_code == 200
    assert fresh.get("/api/runs").status_code == 401


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
    assert ("token=" in door.url) == (host != "::1")
