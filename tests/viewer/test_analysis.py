"""The addresses that compute something: their numbers are the trainer's, whatever the names are."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from hostile_run import NAMES, SCRIPT, encoded
from trained_run import make_trained_run

from agentgym.config.methods import recorded_training
from agentgym.store.episodes import read_episodes
from agentgym.trainers.causes import Cause
from agentgym.trainers.credit.rloo import RLOO
from agentgym.trainers.recompute import read_updates
from agentgym.viewer.app import make_app
from agentgym.viewer.entries import clean
from agentgym.viewer.guard import Door
from agentgym.viewer.weights import TokenWeights

GROUP = "train-000001-001"
FAULT = "train-000001-000.0.0x"


def decode(data: bytes) -> dict[str, np.ndarray]:
    """Read columns as the browser does."""
    start = 4 + int.from_bytes(data[:4], "little")
    entries = json.loads(data[4:start])["columns"]
    return {
        each["name"]: np.frombuffer(
            data, f"<{each['dtype']}", *each["shape"], start + each["offset"]
        )
        for each in entries
    }


@pytest.fixture
def updates(trained):
    return list(read_updates(trained))


def of_group(update, values):
    """Return values of steps of each episode of the group."""
    starts, ids = update.table.step_start, update.table.trajectory_ids
    return {
        name: values[starts[row] : starts[row + 1]].tolist()
        for row, name in enumerate(ids)
        if name.startswith(GROUP)
    }


def test_a_group_stands_side_by_side_with_what_it_was_trained_by(browse, trained, updates) -> None:
    found = browse(trained).get(f"/api/runs/trained/groups/{GROUP}").json()
    assert (found["group"], found["task"], found["step"], found["of"]) == (GROUP, "task1.1", 2, 4)
    assert [each["member"] for each in found["members"]] == [0, 1, 2, 3]
    episodes = {each.id: each for each in read_episodes(trained)}
    for place, member in enumerate(found["members"]):
        steps = episodes[member["id"]].steps
        assert member["steps"] == len(steps) == len(member["actions"])
        cells = [row["cells"][place] for row in found["rows"]]
        assert [cell for cell in cells if cell is not None] == list(range(len(steps)))
    assert found["rows"][0]["same"] in ("all", "some", "none")
    assert found["credit"]["label"] == "trained"
    assert found["credit"]["steps"] == of_group(updates[1], updates[1].advantages)
    assert found["trouble"] == []


def test_a_fault_counts_for_no_state(browse, trained, updates) -> None:
    group = FAULT.rpartition(".")[0].rpartition(".")[0]
    client = browse(trained)
    found = client.get(f"/api/runs/trained/groups/{group}/states").json()
    returns = client.get(f"/api/runs/trained/lens?group={group}").json()["returns"]
    (start,) = [each for each in found["nodes"] if each["key"] == "start"]
    assert FAULT not in returns
    assert [each["id"] for each in found["members"]].index(FAULT) in start["members"]
    assert start["value"] == pytest.approx(np.mean(list(returns.values())))
    assert client.get(f"/api/runs/trained/groups/{group}").json()["rows"][0]["cells"][1] is not None


def test_another_run_in_the_same_place_is_looked_at_anew(trained, tmp_path, open_runs) -> None:
    root = Path(shutil.copytree(trained, tmp_path / "run"))
    (run,) = open_runs(root)
    name = f"{GROUP}.0.0"
    old = run.scenes.of_episode(name), run.scenes.weights(name)
    config, state = root / "config.toml", (root / "config.toml").stat()
    shutil.rmtree(root)
    make_trained_run(root, "credit.name=gigpo", seed=8)
    shutil.copy(trained / "config.toml", config)
    os.utime(config, ns=(state.st_atime_ns, state.st_mtime_ns))
    while run.refresh():
        pass
    update = list(read_updates(root))[1]
    for before, after in zip(
        old, (run.scenes.of_episode(name), run.scenes.weights(name)), strict=True
    ):
        assert after.update.rewards.tolist() == update.rewards.tolist()
        assert after.update.rewards.tolist() != before.update.rewards.tolist()


def test_another_estimator_is_the_trainers(browse, trained, updates) -> None:
    client, update = browse(trained), updates[1]
    expected = RLOO()(update.table, update.rewards)
    found = client.get(f"/api/runs/trained/groups/{GROUP}?credit=rloo").json()["credit"]
    assert (found["label"], found["steps"]) == ("rloo", of_group(update, expected))
    found = client.get(f"/api/runs/trained/lens?group={GROUP}&credit=rloo&minus=trained").json()
    assert found["label"] == "rloo - trained"
    assert found["steps"] == of_group(update, expected - update.advantages)
    shaped = client.get(f"/api/runs/trained/lens?group={GROUP}&shaping=outcome").json()
    assert set(shaped["returns"].values()) <= {0.0, 1.0}


def test_the_map_has_every_step_once(browse, trained) -> None:
    client = browse(trained)
    found = client.get(f"/api/runs/trained/groups/{GROUP}/states?credit=grpo").json()
    steps = [tuple(each) for edge in found["edges"] for each in edge["steps"]]
    counts = client.get(f"/api/runs/trained/groups/{GROUP}").json()["members"]
    expected = [(m, s) for m, each in enumerate(counts) for s in range(each["steps"])]
    assert sorted(steps) == expected
    assert found["credit"]["label"] == "grpo"
    assert {node["id"] for node in found["nodes"]} == set(range(len(found["nodes"])))


def test_tokens_are_opened_of_one_episode_only(trained, open_runs, updates) -> None:
    (run,) = open_runs(trained)
    training = recorded_training(trained / "config.toml")
    for update in updates:
        whole = TokenWeights(update, training, run_seed(trained))
        for episode in update.trajectories[::3]:
            found = run.scenes.weights(episode.id)
            assert [len(each.segments[0].token_ids) > 0 for each in found.update.trajectories] == [
                each.id == episode.id for each in update.trajectories
            ]
            for name, values in whole.columns(episode.id).items():
                np.testing.assert_array_equal(found.columns(episode.id)[name], values)


def run_seed(root: Path) -> int:
    return json.loads((root / "run.json").read_text())["seed"]


def test_why_tells_the_recorded_weight_of_every_token(browse, trained, updates) -> None:
    client, update = browse(trained), updates[2]
    episode = update.trajectories[5]
    table = update.table
    first = int(table.token_start[table.step_start[5]])
    places = np.flatnonzero(episode.segments[0].sampled).tolist()
    for number, place in enumerate(places):
        asked = f"/api/runs/trained/why?episode={episode.id}&token={place}"
        found = client.get(asked).json()
        assert found["weight"] == pytest.approx(float(update.columns["weights"][first + number]))
        assert found["cause"] == Cause(int(update.columns["cause"][first + number])).name.lower()
        assert any("gigpo" in link["note"] for link in found["chain"])
    prompt = client.get(f"/api/runs/trained/why?episode={episode.id}&token=0").json()
    assert prompt["cause"] == "not_sampled"
    for wrong in ("token=99999", "token=1&segment=9", "token=-1"):
        assert client.get(f"/api/runs/trained/why?episode={episode.id}&{wrong}").status_code == 400
    fault = f"/api/runs/trained/why?episode={FAULT}&token=3"
    assert client.get(fault).json()["cause"] in ("not_used", "not_sampled")


def test_tokens_of_the_run_are_counted_by_cause(browse, trained, updates) -> None:
    found = browse(trained).get("/api/runs/trained/tokens").json()
    expected = sum(int((each.columns["cause"] == Cause.TRAINED).sum()) for each in updates)
    assert found["causes"]["trained"] == expected
    assert found["of_steps"] == len(found["steps"]) == 3


def test_an_episode_has_its_ledger_and_who_was_trained(browse, trained, updates) -> None:
    client, update = browse(trained), updates[0]
    episode = update.trajectories[0]
    found = client.get(f"/api/runs/trained/episodes/{episode.id}").json()
    stop = int(update.table.step_start[1])
    assert found["ledger"]["rewards"] == update.rewards[:stop].tolist()
    assert found["ledger"]["recorded"] is None
    assert [each["trained"] for each in found["ribbon"]] == [0] * len(episode.steps)
    assert found["trouble"] is None
    other = f"/api/runs/trained/episodes/{episode.id}/ledger?shaping=outcome"
    terms = client.get(other).json()["ledger"]["terms"]
    assert [each["term"] for each in terms if each["weight"] is not None] == ["outcome"]
    fault = client.get(f"/api/runs/trained/episodes/{FAULT}").json()
    assert fault["ledger"] is None


def test_tokens_have_what_an_estimator_gives_them(browse, trained, updates) -> None:
    client, update = browse(trained), updates[0]
    episode = update.trajectories[1]
    path, group = f"/api/runs/trained/episodes/{episode.id}/advantages", episode.group_id
    for words in ("", "credit=grpo", "credit=reinforce_pp&minus=gigpo", "shaping=off"):
        (values,) = decode(client.get(f"{path}?{words}").content).values()
        lens = client.get(f"/api/runs/trained/lens?group={group}&{words}").json()
        counts = [len(step.completion.token_ids) for step in episode.steps]
        means = [part.mean() for part in np.split(values, np.cumsum(counts)[:-1])]
        np.testing.assert_allclose(means, lens["steps"][episode.id], atol=1e-5)
        assert np.abs(values).max() <= lens["most"] + 1e-6
        assert "gigpo" in lens["known"]
    assert client.get(f"{path}?credit=nonsense").status_code == 400
    assert decode(client.get(f"/api/runs/trained/episodes/{FAULT}/advantages").content) == {}


@pytest.mark.parametrize("name", [each for each in NAMES if each not in (".", "..", "\ud800")])
def test_names_of_any_characters_are_only_looked_up(browse, hostile, name) -> None:
    client, path, query = browse(hostile), encoded(name), encoded(name)
    group = client.get(f"/api/runs/hostile/groups/{path}")
    assert group.status_code == 200
    assert [each["id"] for each in group.json()["members"]] == [name]
    assert list(group.json()["credit"]["steps"]) == [name]
    assert client.get(f"/api/runs/hostile/groups/{path}/states").json()["nodes"]
    lens = client.get(f"/api/runs/hostile/lens?group={query}&credit=rloo").json()
    assert list(lens["steps"]) == [name]
    assert client.get(f"/api/runs/hostile/why?episode={query}&token=3").json()["chain"]
    ledger = client.get(f"/api/runs/hostile/episodes/{path}/ledger").json()["ledger"]
    assert SCRIPT in [each["term"] for each in ledger["terms"]]


def test_half_of_a_character_is_asked_for_by_what_was_listed(browse, hostile) -> None:
    client, listed = browse(hostile), clean("\ud800")
    group = client.get(f"/api/runs/hostile/groups/{encoded(listed)}").json()
    assert [each["id"] for each in group["members"]] == [listed]
    assert list(group["credit"]["steps"]) == [listed]
    lens = client.get(f"/api/runs/hostile/lens?group={encoded(listed)}").json()
    assert list(lens["steps"]) == [listed]
    assert client.get(f"/api/runs/hostile/why?episode={encoded(listed)}&token=3").json()["chain"]
    shown = client.get(f"/api/runs/hostile/episodes/{encoded(listed)}").json()
    assert shown["ledger"] is not None


def test_dots_are_names_like_any_other(open_runs, hostile, ask) -> None:
    app = make_app(open_runs(hostile), Door("127.0.0.1", 7777))
    for name in (".", ".."):
        found = ask(app, f"/api/runs/hostile/groups/{name}")
        assert [each["id"] for each in json.loads(found.body)["members"]] == [name]
        assert ask(app, f"/api/runs/hostile/groups/{name}/states").status == 200


@pytest.mark.parametrize("word", [SCRIPT, "a\0b", "grpo,rloo", "x=1", "grpo,x=1", "é", "[" * 500])
def test_a_method_that_is_none_is_told(browse, trained, word) -> None:
    client = browse(trained)
    for place in ("credit", "minus", "shaping"):
        for address in (f"groups/{GROUP}?", f"groups/{GROUP}/states?", f"lens?group={GROUP}&"):
            answer = client.get(f"/api/runs/trained/{address}{place}={encoded(word)}")
            assert answer.status_code == 400
            assert answer.headers["content-type"] == "application/json"
            assert answer.json()["error"]
    ledger = f"/api/runs/trained/episodes/{GROUP}.0.0/ledger?shaping={encoded(word)}"
    assert client.get(ledger).status_code == 400


def test_what_is_not_there_is_named(browse, trained) -> None:
    client = browse(trained)
    for address in (
        "groups/x", "groups/x/states", "lens?group=x", "lens", "why?episode=x", "why",
        "episodes/x/ledger",
    ):  # fmt: skip
        answer = client.get(f"/api/runs/trained/{address}")
        assert answer.status_code == 404, address
        assert "in trained" in answer.json()["error"]
    assert client.get("/api/runs/other/tokens").status_code == 404


def test_a_broken_rollout_is_left_out_and_told(browse, trained, tmp_path) -> None:
    root = Path(shutil.copytree(trained, tmp_path / "trained"))
    client = browse(root)
    (shard,) = (root / "episodes").iterdir()
    data = bytearray(shard.read_bytes())
    data[-20] ^= 0xFF  # of the last episode: a fault
    shard.write_bytes(data)
    broken = client.get("/api/runs/trained/groups/train-000002-000").json()
    assert [each["member"] for each in broken["members"]] == [0, 1, 2, 3]
    assert "is broken" in broken["trouble"][0]
    assert broken["credit"] is not None
    assert all(len(row["cells"]) == 4 for row in broken["rows"])


def test_without_a_configuration_a_group_is_shown_and_says_what_is_missing(
    browse, trained, tmp_path
) -> None:
    root = Path(shutil.copytree(trained, tmp_path / "trained"))
    (root / "config.toml").unlink()
    client = browse(root)
    found = client.get(f"/api/runs/trained/groups/{GROUP}").json()
    assert len(found["members"]) == 4
    assert found["credit"] is None
    assert "config.toml is missing" in found["trouble"][0]
    assert client.get(f"/api/runs/trained/groups/{GROUP}?credit=grpo").status_code == 400
    episode = client.get(f"/api/runs/trained/episodes/{GROUP}.0.0").json()
    assert episode["ledger"] is None
    assert "config.toml is missing" in episode["trouble"]
    assert episode["ribbon"]
