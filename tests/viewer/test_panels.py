"""Panels as the server tells them: by state, some at a time, and nothing in them runs."""

import json

import pytest
from hostile_run import NAMES, SCRIPT, encoded

from agentgym.demo import write_demo
from agentgym.panels import panel_to_json
from agentgym.store.episodes import read_episodes


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    root = tmp_path_factory.mktemp("runs") / "demo"
    write_demo(root)
    return root


def test_panels_are_those_of_the_record_and_of_all_kinds(browse, demo) -> None:
    client, kinds = browse(demo), set()
    for episode in read_episodes(demo):
        address = f"/api/runs/demo/episodes/{encoded(episode.id)}"
        states = [episode.panels, *(step.panels for step in episode.steps)]
        drawn = [[panel_to_json(each) for each in panels] for panels in states]
        kinds |= {each["kind"] for panels in drawn for each in panels}
        if len(episode.id) % 3 == 0:  # some of them
            found = client.get(f"{address}/panels").json()
            assert found == json.loads(json.dumps({"total": len(states), "rows": drawn}))
            assert client.get(address).json()["panels"] is any(drawn)
    assert kinds == {"grid", "diff", "table", "terminal"}


def test_a_page_of_states_is_a_part_of_all(browse, demo) -> None:
    client = browse(demo)
    episode = max(read_episodes(demo), key=lambda each: len(each.steps) * bool(each.panels))
    address = f"/api/runs/demo/episodes/{encoded(episode.id)}/panels"
    rows = client.get(address).json()["rows"]
    assert len(rows) > 3
    assert client.get(f"{address}?offset=1&limit=2").json()["rows"] == rows[1:3]
    assert client.get(f"{address}?offset={len(rows)}").json()["rows"] == []
    assert client.get(f"{address}?offset=-1").status_code == 400
    assert client.get("/api/runs/demo/episodes/nobody/panels").status_code == 404


def test_an_answer_has_few_states_however_many_are_asked_for(browse, demo, monkeypatch) -> None:
    monkeypatch.setattr("agentgym.viewer.panels.MOST_STATES", 2)
    episode = max(read_episodes(demo), key=lambda each: len(each.steps))
    found = (
        browse(demo).get(f"/api/runs/demo/episodes/{encoded(episode.id)}/panels?limit=99").json()
    )
    assert (len(found["rows"]), found["total"]) == (2, 1 + len(episode.steps))


def test_a_run_without_panels_has_none(browse, trained) -> None:
    client = browse(trained)
    (episode, *_) = read_episodes(trained)
    found = client.get(f"/api/runs/trained/episodes/{episode.id}/panels").json()
    assert found == {"total": 1 + len(episode.steps), "rows": [[]] * (1 + len(episode.steps))}
    assert client.get(f"/api/runs/trained/episodes/{episode.id}").json()["panels"] is False


@pytest.mark.parametrize("number", [0, 6, 7, 12])
def test_attacks_in_panels_stay_texts(browse, hostile, number) -> None:
    name = NAMES[number] if number != 7 else "\\ud800"
    answer = browse(hostile).get(f"/api/runs/hostile/episodes/{encoded(name)}/panels")
    assert answer.headers["content-type"].startswith("application/json")
    grid, diff, table, terminal = answer.json()["rows"][1]
    assert grid["rows"][0][0] == grid["title"] == SCRIPT
    assert (diff["before"], table["columns"]) == (SCRIPT, [SCRIPT, "__proto__"])
    assert terminal["text"].endswith(SCRIPT)
