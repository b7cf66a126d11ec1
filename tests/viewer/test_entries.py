"""Episodes of other programs that tell no reward: nothing that is shown may say that it was 0."""

import json

import pytest
from foreign import MESSAGES

from agentgym.formats.as_run import import_run
from agentgym.formats.imported import read_any
from agentgym.store.episodes import IMPORTER, EpisodeWriter
from agentgym.types import Message, Step, Task, Trajectory


@pytest.fixture
def told_none(tmp_path):
    """A run made of two conversations of a file that has no rewards."""
    path = tmp_path / "said.jsonl"
    path.write_text(f"{json.dumps({'messages': MESSAGES})}\n" * 2)
    import_run(read_any(path), tmp_path / "none")
    return tmp_path / "none"


def test_an_episode_without_a_reward_has_no_outcome(browse, told_none) -> None:
    client = browse(told_none)
    (run,) = client.get("/api/runs").json()
    assert run["success"] is None
    rows = client.get("/api/runs/none/episodes").json()["rows"]
    assert [each["outcome"] for each in rows] == [None, None]
    assert client.get("/api/runs/none/episodes?where=outcome<1").json()["total"] == 0
    (first, _) = client.get("/api/runs/none/grid").json()["groups"]
    assert (first["cells"][0]["reward"], first["zero_variance"]) == (None, False)
    assert client.get("/api/runs/none/episodes/line-1").json()["outcome"] is None


def test_its_group_says_that_there_is_nothing_to_give_credit_for(browse, told_none) -> None:
    client = browse(told_none)
    found = client.get("/api/runs/none/groups/line-1").json()
    assert (found["credit"], found["members"][0]["outcome"]) == (None, None)
    assert "no reward was recorded" in found["trouble"][0]
    drawn = client.get("/api/runs/none/groups/line-1/states").json()
    assert all(node["value"] is None for node in drawn["nodes"])
    assert [node["key"] for node in drawn["nodes"] if node["kind"] == "end"] == ["truncated"]
    asked = client.get("/api/runs/none/lens?group=line-1&credit=grpo")
    assert asked.status_code == 400
    assert "no reward was recorded" in asked.json()["error"]


def test_it_is_compared_with_nothing_but_laid_beside_anything(browse, told_none, record) -> None:
    client = browse(told_none, record("other", [1.0], kind="score", env=""))
    refused = client.get("/api/compare?a=none&b=other")
    assert refused.status_code == 400
    assert refused.json()["error"] == "no episode of none has a reward"
    matrix = client.get("/api/matrix?runs=none,other").json()
    assert matrix["trouble"] == ["no episode of none has a reward"]
    assert [each["run"] for each in matrix["columns"]] == ["other"]
    query = "a=none&first=line-1&b=none&second=line-2"
    beside = client.get(f"/api/beside?{query}").json()
    assert [each["outcome"] for each in beside["members"]] == [None, None]


@pytest.mark.parametrize(
    ("writer", "terms", "outcome"),
    [
        (IMPORTER, {}, None),
        (IMPORTER, {"style": 1.0}, 0.0),
        (IMPORTER, {"outcome": 0.0}, 0.0),
        ("rollout", {}, 0.0),
    ],
)
def test_only_a_file_of_another_program_can_tell_none(
    browse, tmp_path, writer, terms, outcome
) -> None:
    """An environment of ours that gives no term has paid nothing, which is 0 to the trainer."""
    episode = Trajectory(
        id="e",
        task=Task("Go.", id="t"),
        group_id="g",
        steps=[Step(message=Message("assistant", "up"), reward_terms=terms)],
        end="terminated",
    )
    with EpisodeWriter(tmp_path / "run", writer=writer) as file:
        file.append(episode)
    client = browse(tmp_path / "run")
    assert client.get("/api/runs/run/episodes").json()["rows"][0]["outcome"] == outcome
    assert client.get("/api/runs/run/episodes/e").json()["outcome"] == outcome
