"""Every address that the server has, asked for what nobody should get; none can be forgotten."""

import json

import pytest
from hostile_run import NAMES, SCRIPT, encoded

from agentgym.viewer.app import make_app
from agentgym.viewer.entries import clean
from agentgym.viewer.guard import LONGEST_TARGET, Door

EPISODE = "train-000000-000.0.0"
GROUP = "train-000000-000"
HOST = "127.0.0.1:7777"
# For each address the words of its query that lead to an answer.
ROUTES = {
    "/api/runs": {},
    "/api/runs/{run}": {},
    "/api/runs/{run}/metrics": {"keys": "*"},
    "/api/runs/{run}/episodes": {"where": "", "sort": "id"},
    "/api/runs/{run}/grid": {"where": ""},
    "/api/runs/{run}/episodes/{episode}": {},
    "/api/runs/{run}/episodes/{episode}/columns": {"names": "token_ids", "segment": "0"},
    "/api/runs/{run}/episodes/{episode}/pieces": {"segment": "0"},
    "/api/runs/{run}/episodes/{episode}/ledger": {"shaping": "trained"},
    "/api/runs/{run}/groups/{group}": {"credit": "trained"},
    "/api/runs/{run}/groups/{group}/states": {"credit": "trained"},
    "/api/runs/{run}/lens": {"group": GROUP, "credit": "trained"},
    "/api/runs/{run}/why": {"episode": EPISODE, "token": "0"},
    "/api/runs/{run}/tokens": {},
    "/api/runs/{run}/labels": {},
    "/api/runs/{run}/filters": {},
    "/api/runs/{run}/search": {"q": "a", "where": ""},
    "/api/runs/{run}/fork": {},
    "/api/runs/{run}/forks": {},
    "/api/runs/{run}/forks/{fork}": {},
    "/api/runs/{run}/groups/{group}/members": {},
    "/api/runs/{run}/episodes/{episode}/advantages": {"credit": "trained"},
    "/api/runs/{run}/episodes/{episode}/panels": {"first": "0"},
    "/api/runs/{run}/episodes/{episode}/tags": {},
    "/api/runs/{run}/episodes/{episode}/truth": {"segment": "0"},
    "/api/compare": {"a": "hostile", "b": "hostile"},
    "/api/matrix": {"runs": "hostile"},
    "/api/beside": {"a": "hostile", "b": "hostile", "first": EPISODE, "second": EPISODE},
    "/api/tail": {},
    "/share": {"run": "hostile", "episode": EPISODE},
}
PATHS = [
    "..", "../..", "../../../../etc/passwd", "..%2f..%2fetc%2fpasswd", "%2e%2e%2f%2e%2e",
    "%2fetc%2fpasswd", "/etc/passwd", "....//", "..\\..", "%5c..%5c", "%00", "a%00b", "C:%5c",
    "file:%2f%2f%2fetc%2fpasswd", "%252e%252e%252f", "~root", "-rf", "%ef%bc%8e%ef%bc%8e",
]  # fmt: skip
SECRET = b"root:x:0"
"""What stands in /etc/passwd of any machine."""


@pytest.fixture
def app(open_runs, trained, hostile):
    return make_app(open_runs(trained, hostile), Door("127.0.0.1", 7777))


def routes(app) -> list:
    return list(app._app._routes)


def names_of(pattern: str) -> list[str]:
    return [part for part in pattern.split("/") if part.startswith("{")]


def filled(pattern: str, **given: str) -> str:
    known = {"run": "trained", "episode": EPISODE, "group": GROUP, "fork": "x"} | given
    return pattern.format(**known)


def query(words: dict[str, str]) -> str:
    return "&".join(f"{key}={encoded(value)}" for key, value in words.items())


def test_no_address_is_forgotten_here(app) -> None:
    found = {each.pattern for each in routes(app)}
    missing = found - set(ROUTES)
    assert not missing, f"add {missing} to ROUTES, so that it is asked for what it must not give"
    assert not set(ROUTES) - found


@pytest.mark.parametrize("pattern", [each for each in ROUTES if each != "/api/tail"])
def test_a_path_in_any_place_leads_to_no_file(app, ask, pattern) -> None:
    """In each name of the address and each word of the query; what is not there is a 404 or 400."""
    for path in PATHS:
        targets = [filled(pattern, **{name.strip("{}"): path}) for name in names_of(pattern)]
        base = filled(pattern)
        targets += [
            f"{base}?{query(ROUTES[pattern] | {word: ''})}{path}" for word in ROUTES[pattern]
        ]
        for target in targets:
            found = ask(app, target)
            assert found.status in (200, 400, 404), (target, found)
            assert SECRET not in found.body
            assert b"Traceback" not in found.body


@pytest.mark.parametrize("pattern", [each for each in ROUTES if each != "/api/tail"])
def test_huge_broken_and_odd_words_are_answers(app, ask, pattern) -> None:
    words = [
        "x" * 12_000, "9" * 400, "-1", "1e999", "nan", "\x1b[31m", SCRIPT, "%ff%fe", "%ed%a0%80",
        "%c0%ae%c0%ae", "%", "%zz", "a=b&a=c", "\u202e", '"', "'; DROP TABLE episode; --",
    ]  # fmt: skip
    for word in words:
        raw = word if "%" in word or "&" in word else encoded(word)
        for place in [*names_of(pattern), *ROUTES[pattern]]:
            named = {place.strip("{}"): raw} if place.startswith("{") else {}
            target = filled(pattern, **named)
            if not named:
                target += f"?{query(ROUTES[pattern] | {place: ''})}".replace(
                    f"{place}=", f"{place}={raw}"
                )
            found = ask(app, target)
            assert found.status in (200, 400, 404, 414), (target[:200], found)
            assert len(target) < LONGEST_TARGET or found.status == 414


@pytest.mark.parametrize("pattern", ROUTES)
@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"host": "evil.example:7777"}, 421),
        ({"host": ""}, 421),
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "null"}, 403),
    ],
)
def test_no_address_answers_another_name_or_site(app, ask, pattern, headers, status) -> None:
    found = ask(app, f"{filled(pattern)}?{query(ROUTES[pattern])}", **headers)
    assert found.status == status
    assert "content-security-policy" in found.headers
    assert b"trained" not in found.body


@pytest.mark.parametrize("pattern", ROUTES)
def test_no_address_answers_others_without_the_token(open_runs, trained, ask, pattern) -> None:
    door = Door("0.0.0.0", 7777, token="secret")
    app = make_app(open_runs(trained), door)
    target = f"{filled(pattern)}?{query(ROUTES[pattern])}"
    for sign in ("", "&token=", "&token=Secret", "&token=secre", "&token=secret%00"):
        found = ask(app, target + sign)
        assert found.status == 401, sign
        assert b"trained" not in found.body


@pytest.mark.parametrize("pattern", ROUTES)
def test_nothing_is_sent_to_an_address_that_takes_nothing(browse, trained, app, pattern) -> None:
    takes = {each.pattern for each in routes(app) if each.method == "POST"}
    found = browse(trained).post(
        filled(pattern), content=b"\xff\xfe{", headers={"origin": f"http://{HOST}"}
    )
    assert found.status_code in ((400, 404) if pattern in takes else (404,))


@pytest.mark.parametrize("pattern", [each for each in ROUTES if "{" in each])
def test_every_text_of_a_hostile_run_travels_as_data(browse, hostile, pattern) -> None:
    client = browse(hostile)
    for name in NAMES:
        given = encoded(clean(name))
        words = {
            key: clean(name) if key in ("episode", "group") else value
            for key, value in ROUTES[pattern].items()
        }
        target = filled(pattern, run="hostile", episode=given, group=given)
        found = client.get(f"{target}?{query(words)}")
        assert found.status_code in (200, 404, 400), (name, found.text[:300])
        kind = found.headers["content-type"]
        assert kind in ("application/json", "application/octet-stream"), kind
        if kind == "application/json":
            json.loads(found.content.decode())
