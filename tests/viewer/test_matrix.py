"""Tasks by checkpoints, and two episodes side by side."""

import pytest
from hostile_run import NAMES, encoded
from hypothesis import given, strategies as st
from trained_run import ENV

from agentgym.store.episodes import read_episodes
from agentgym.viewer.align import align
from agentgym.viewer.entries import clean
from agentgym.viewer.matrix import spread


def asked(client, *runs):
    return client.get("/api/matrix", params={"runs": ",".join(runs)})


def test_a_task_has_a_cell_for_each_evaluation_of_each_run(browse, record):
    """Two episodes of each task: t0 0, 2 of 2; t1 1, 1; and another run that has only t1, t2."""
    a = record("a", [0.0, 0.0, 1.0, 0.0], [1.0, 1.0, 0.0, 1.0])
    b = record("b", [1.0, 1.0, 0.5, 0.0], kind="run", first=1)
    found = asked(browse(a, b), "a", "b").json()
    heads = [(each["run"], each["step"], each["rate"]) for each in found["columns"]]
    assert heads == [("a", 10, 0.25), ("a", 20, 0.75), ("b", None, 0.5)]
    rows = {
        each["task"]: [
            cell and (cell["won"], cell["of"], cell["outcome"]) for cell in each["cells"]
        ]
        for each in found["tasks"]
    }
    assert rows == {
        "t0": [(0, 2, 0.0), (2, 2, 1.0), None],
        "t1": [(1, 2, 0.5), (1, 2, 0.5), (2, 2, 1.0)],
        "t2": [None, None, (0, 2, 0.25)],
    }
    assert [(each["task"], each["spread"]) for each in found["tasks"]] == [
        ("t0", 1.0), ("t1", 0.5), ("t2", 0.0),
    ]  # fmt: skip
    ids = ["eval-sampled-000020-000.0.0", "eval-sampled-000020-000.1.0"]
    assert found["tasks"][0]["cells"][1]["episodes"] == ids
    assert found["trouble"] == []


def test_a_run_that_was_never_evaluated_is_told_and_the_others_are_shown(
    browse, record, trained
):  # fmt: skip
    found = asked(browse(record("a", [1.0] * 4), trained), "a", "trained", "a").json()
    assert [each["run"] for each in found["columns"]] == ["a"]
    assert found["trouble"] == ["the training trained was never evaluated"]


def test_tasks_of_different_environments_are_never_one_row(browse, record):
    a, b = record("a", [1.0] * 4), record("b", [0.0] * 4, env="me/Other-v0")
    found = asked(browse(a, b), "a", "b").json()
    assert [each["run"] for each in found["columns"]] == ["a"]
    assert found["trouble"] == [f"b is of me/Other-v0, a is of {ENV}"]
    assert {len(each["cells"]) for each in found["tasks"]} == {1}


def test_matrices_of_no_run_of_unknown_ones_and_of_too_many_are_refused(browse, trained):
    client = browse(*[trained] * 17)
    assert asked(client).status_code == 400
    assert asked(client, "nobody").status_code == 404
    names = [each["run"] for each in client.get("/api/runs").json()]
    assert "expected 1 to 16" in asked(client, *names).json()["error"]


@given(st.lists(st.integers(0, 10**6), unique=True, max_size=60).map(sorted), st.integers(2, 16))
def test_some_steps_stand_for_all_of_them(steps, most):
    found = spread(steps, most)
    assert len(found) == min(most, len(steps))
    assert found == sorted(set(found) & set(steps))
    assert not steps or (found[0], found[-1]) == (steps[0], steps[-1])


def test_two_episodes_of_any_runs_are_aligned_as_in_a_group(browse, trained, hostile):
    pair = ["train-000000-000.0.0", "train-000002-001.3.0"]
    episodes = {each.id: each for each in read_episodes(trained)}
    words = {"a": "trained", "b": "trained", "first": pair[0], "second": pair[1]}
    found = browse(trained).get("/api/beside", params=words).json()
    expected = align([episodes[name] for name in pair]).to_json()
    assert {key: found[key] for key in expected} == expected
    assert [(each["run"], each["id"]) for each in found["members"]] == [
        ("trained", name) for name in pair
    ]
    assert [len(each["actions"]) for each in found["members"]] == [
        len(episodes[name].steps) for name in pair
    ]


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_any_name_can_stand_beside_any_other(browse, trained, hostile, name):
    target = (
        f"/api/beside?a=trained&b=hostile&first=train-000000-000.0.0&second={encoded(clean(name))}"
    )
    found = browse(trained, hostile).get(target)
    assert found.status_code == 200
    assert found.json()["members"][1]["id"] in (name, clean(name))


def test_an_episode_that_is_not_there_is_told(browse, trained):
    words = {"a": "trained", "b": "trained", "first": "nobody", "second": "nobody"}
    found = browse(trained).get("/api/beside", params=words)
    assert (found.status_code, found.json()["error"]) == (404, "no episode 'nobody' in trained")
    found = browse(trained).get("/api/beside", params=words | {"b": "x"})
    assert found.status_code == 404
