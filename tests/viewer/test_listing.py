import shutil

import numpy as np
import pytest
from trained_run import make_episode

from agentgym.errors import ConfigError
from agentgym.store.episodes import EpisodeWriter, read_heads
from agentgym.store.notes import NoteWriter
from agentgym.viewer.filter import parse_where
from agentgym.viewer.listing import grid, list_episodes, members_of

EVERY = {"offset": 0, "limit": 1000}


def test_pages_put_together_are_the_whole_list(trained, open_runs) -> None:
    (run,) = open_runs(trained)
    whole = list_episodes(run.index, parse_where(""), sort="-outcome", **EVERY)
    assert whole.total == len(whole.rows) == 39
    paged = []
    for offset in range(0, 40, 7):
        page = list_episodes(run.index, parse_where(""), sort="-outcome", offset=offset, limit=7)
        paged += page.rows
    assert paged == whole.rows


@pytest.mark.parametrize("sort", ["outcome", "-outcome", "turns", "-reward", "step", "task", "id"])
def test_sorting_is_stable_and_what_has_no_value_comes_last(trained, open_runs, sort) -> None:
    (run,) = open_runs(trained)
    rows = list_episodes(run.index, parse_where(""), sort="", **EVERY).rows
    assert [row["id"] for row in rows] == [head.id for head in read_heads(trained)]
    name = sort.removeprefix("-")
    known = [row for row in rows if row[name] is not None]
    known.sort(key=lambda row: row[name], reverse=sort.startswith("-"))
    expected = known + [row for row in rows if row[name] is None]
    assert list_episodes(run.index, parse_where(""), sort=sort, **EVERY).rows == expected


def test_nothing_else_is_sorted_by(trained, open_runs) -> None:
    (run,) = open_runs(trained)
    for sort in ("rewards", "row; DROP TABLE episode", "tag", "--id"):
        with pytest.raises(ConfigError, match="nothing is sorted by"):
            list_episodes(run.index, parse_where(""), sort=sort, **EVERY)


def test_what_was_not_trained_on_has_no_step(trained, open_runs) -> None:
    (run,) = open_runs(trained)
    page = list_episodes(run.index, parse_where("step=none"), sort="", **EVERY)
    assert [row["end"] for row in page.rows] == ["error"] * 3
    assert {row["reward"] for row in page.rows} == {None}
    third = list_episodes(run.index, parse_where("step=3 end!=error"), sort="", **EVERY)
    assert third.total == 12
    assert {row["group"][:12] for row in third.rows} == {"train-000002"}


def test_labels_and_tags_are_shown_and_filtered_by(trained, tmp_path, open_runs) -> None:
    root = shutil.copytree(trained, tmp_path / "run")
    name = "train-000001-002.1.0"
    with NoteWriter(root, producer="viewer") as notes:
        for label in ("good", "bad"):
            notes.append("label", {"episode": name, "label": label, "text": ""})
    (run,) = open_runs(root)
    with run.index.changing() as db:
        db.execute("DELETE FROM tag")
        tags = [(name, "edited tests"), (name, "short")]
        db.executemany("INSERT INTO tag VALUES (?, ?)", tags)
    for where in ("label=bad", 'tag="edited tests"', "tag~EDIT", "label!=none", "tag!=none"):
        page = list_episodes(run.index, parse_where(where), sort="", **EVERY)
        assert [row["id"] for row in page.rows] == [name], where
        assert page.rows[0]["label"] == "bad"
        assert page.rows[0]["tags"] == ["edited tests", "short"]
    for where in ("label=good", "tag=long"):
        assert list_episodes(run.index, parse_where(where), sort="", **EVERY).total == 0
    for where in ("label!=bad", "tag!=short", "tag=none"):
        assert list_episodes(run.index, parse_where(where), sort="", **EVERY).total == 38


def test_a_grid_has_every_group_once_and_marks_those_that_teach_nothing(trained, open_runs) -> None:
    (run,) = open_runs(trained)
    found = grid(run.index, parse_where(""), first=0, last=100)
    assert found["total"] == len(found["groups"]) == 9
    parts = [grid(run.index, parse_where(""), first=at, last=at + 2) for at in range(0, 9, 2)]
    assert [group for part in parts for group in part["groups"]] == found["groups"]
    rows = list_episodes(run.index, parse_where(""), sort="", **EVERY).rows
    for group in found["groups"]:
        mine = [row for row in rows if row["group"] == group["group"]]
        assert {cell["id"] for cell in group["cells"]} == {row["id"] for row in mine}
        rewards = {row["reward"] for row in mine if row["end"] != "error"}
        assert group["zero_variance"] == (len(rewards) == 1)
        assert group["step"] == int(group["group"][6:12]) + 1
        assert members_of(run.index, group["group"])[0] == group["cells"][0]["id"]
    assert {group["zero_variance"] for group in found["groups"]} == {True, False}
    second = grid(run.index, parse_where("step=2"), first=1, last=3)
    assert second["total"] == 3
    assert [group["group"] for group in second["groups"]] == [
        "train-000001-001",
        "train-000001-002",
    ]


def test_full_text_is_found_where_it_was_said_and_only_after_somebody_asked(
    tmp_path, open_runs
) -> None:
    from dataclasses import replace

    import numpy as np

    from agentgym.types import Message, ToolCall

    root = tmp_path / "run"
    said = {
        "prompt": "the Élan of zebras",
        "message": "I open the red door slowly",
        "call": '{"key": "copper lantern"}',
        "reply": 'it says "hello" OR NEAR nothing \ud800 \0',
    }
    with EpisodeWriter(root) as writer:
        for number, (where, text) in enumerate(said.items()):
            made = make_episode(np.random.default_rng(0), 0, 0, number)
            made = replace(made, id=where, prompt=(Message("user", "quiet"),))
            step = made.steps[0]
            if where == "prompt":
                made = replace(made, prompt=(Message("user", text),))
            elif where == "message":
                step.message = Message("assistant", text)
            elif where == "call":
                step.message = Message("assistant", "", (ToolCall("take", text),))
            else:
                step.replies = (Message("tool", text),)
            writer.append(made)
    runs = open_runs(root)
    (run,) = runs
    assert run.text.progress is None
    run.text.want()
    assert run.text.progress == {"episodes": 0, "of_episodes": 4}
    runs.read_all()
    assert run.text.progress == {"episodes": 4, "of_episodes": 4}
    searches = {
        "zebras": ["prompt"],
        "élan": ["prompt"],
        "red door": ["message"],
        "RED doo": ["message"],
        "door red": [],
        "take": ["call"],
        "copper lantern": ["call"],
        'says \\"hello\\" OR': ["reply"],
        "NEAR": ["reply"],
        "quiet": ["message", "call", "reply"],
        "!!": [],
        "": [],
        "*": [],
        "\0": [],
    }
    for text, names in searches.items():
        where = parse_where(f'text:"{text}"')
        rows = list_episodes(run.index, where, sort="", **EVERY).rows
        assert [row["id"] for row in rows] == names, text


@pytest.mark.parametrize(("more", "teaches"), [(1e-12, False), (1e-6, True)])
def test_returns_that_only_rounding_tells_apart_teach_nothing(
    tmp_path, open_runs, more, teaches
) -> None:
    with EpisodeWriter(tmp_path / "run") as writer:
        for member in range(3):
            made = make_episode(np.random.default_rng(0), 0, 0, member)
            made.end = "terminated"
            made.steps[-1].reward_terms["outcome"] = 0.5 + more * member
            writer.append(made)
    (run,) = open_runs(tmp_path / "run")
    (group,) = grid(run.index, parse_where(""), first=0, last=9)["groups"]
    assert group["zero_variance"] is not teaches


def test_an_order_is_kept_until_records_come(trained, tmp_path, open_runs, monkeypatch) -> None:
    shutil.copytree(trained, tmp_path / "run")
    (run,) = open_runs(tmp_path / "run")
    asked: list[str] = []
    ask = run.index._ask
    monkeypatch.setattr(
        run.index, "_ask", lambda sql, *rest: (asked.append(sql), ask(sql, *rest))[1]
    )
    for offset in (0, 10, 20):
        list_episodes(run.index, parse_where(""), sort="-reward", offset=offset, limit=5)
    assert sum("ORDER BY reward" in sql for sql in asked) == 1
    with EpisodeWriter(tmp_path / "run") as writer:
        writer.append(make_episode(np.random.default_rng(7), 9, 9, 0))
    while run.refresh():
        pass
    assert list_episodes(run.index, parse_where(""), sort="-reward", **EVERY).total == 40
    assert sum("ORDER BY reward" in sql for sql in asked) == 2


def test_a_label_moves_an_episode_in_a_kept_order(trained, tmp_path, open_runs) -> None:
    shutil.copytree(trained, tmp_path / "run")
    (run,) = open_runs(tmp_path / "run")
    rows = list_episodes(run.index, parse_where(""), sort="label", **EVERY).rows
    run.labels.put(rows[-1]["id"], "good", "")
    run.index.refresh()
    assert list_episodes(run.index, parse_where(""), sort="label", **EVERY).rows[0] == {
        **rows[-1],
        "label": "good",
    }
