"""Panels: what an environment draws is refused where it is none, cut where it is long, and kept."""

import json
import math
from dataclasses import replace

import pytest
from drawn_panels import panels
from hypothesis import given, strategies as st

from agentgym.check import check_env
from agentgym.check.checks import named
from agentgym.envs.keydoor import KeyDoor, KeyDoorConfig
from agentgym.errors import EnvError, StoreError
from agentgym.panels import (
    MOST_CELLS,
    MOST_CHARS,
    MOST_PANELS,
    Diff,
    Grid,
    Table,
    Terminal,
    checked_panels,
    panel_to_json,
    panels_from_json,
)
from agentgym.rollout.collect import make_jobs
from agentgym.rollout.episode import run_episode
from agentgym.rollout.replay import replay
from agentgym.rollout.scripted import scripted_policies
from agentgym.store.episodes import SCHEMA, EpisodeWriter, read_episode, read_episodes, read_heads
from agentgym.store.trajectory import to_body, to_head, to_line
from agentgym.store.writer import ShardWriter
from agentgym.types import Task, Trajectory

Texts = st.text(st.characters(), max_size=20)  # half surrogates and control characters as well
Panels = panels(Texts)


@given(st.lists(Panels, max_size=MOST_PANELS))
def test_panels_come_back_from_json_as_they_were(drawn) -> None:
    written = json.dumps([panel_to_json(each) for each in drawn], allow_nan=False)
    assert list(panels_from_json(json.loads(written))) == drawn


@given(st.lists(st.text(min_size=1, max_size=40_000), min_size=1, max_size=8))
def test_long_texts_are_cut_and_stay_as_they_are_then(texts) -> None:
    texts = [text * 50_000 for text in texts]
    for panel in (
        Terminal(text=texts[0]),
        Diff(before=texts[0], after=texts[-1]),
        Table(columns=texts, rows=[texts]),
        Grid(rows=[texts]),
    ):
        written = panel_to_json(panel)
        assert len(json.dumps(written)) <= 12 * MOST_CHARS + 1000  # escaped
        assert panels_from_json([written]) == (panel,)


def test_what_is_left_out_of_a_text_is_said() -> None:
    text = Terminal(text="a" * MOST_CHARS + "z" * 5).text
    assert len(text) <= MOST_CHARS
    assert (text[0], text[-1]) == ("a", "z")
    assert "5 characters left out" in text
    assert Terminal(text="a" * MOST_CHARS).text == "a" * MOST_CHARS


def test_a_row_may_be_a_text() -> None:
    assert Grid(rows=("#.", ".K")) == Grid(rows=[["#", "."], [".", "K"]])
    assert panel_to_json(Grid(rows=("#.", ".K")))["rows"] == ["#.", ".K"]
    assert panel_to_json(Grid(rows=[["wall", "."]]))["rows"] == [["wall", "."]]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Grid(rows=("ab", "c")), "have 2, 1 cells"),
        (lambda: Grid(rows=5), "has 5, expected a tuple"),
        (lambda: Grid(rows=[[1]]), "has 1 as a cell, expected a text"),
        (lambda: Grid(rows=["." * 101] * 100), "10,100 cells, expected at most 10,000"),
        (lambda: Grid(rows=(), legend=["K"]), "expected a dict of marks to words"),
        (lambda: Grid(rows=(), legend={f"{n}": "" for n in range(MOST_CELLS + 1)}), "10,001 cells"),
        (lambda: Table(columns=("a",), rows=((1, 2),)), "row 0 of a Table has 2 values, expected 1"),
        (lambda: Table(columns=("a",), rows=((math.nan,),)), "has the value nan"),
        (lambda: Table(columns=("a",), rows=((10**400,),)), "has the value 1000000"),
        (lambda: Table(columns=("a",), rows=((b"",),)), "has the value b''"),
        (lambda: Table(columns=("a",), rows=b"a"), "has b'a', expected a tuple"),
        (lambda: Diff(before=None, after=""), "has None as before"),
        (lambda: Terminal(text=b"x"), "has b'x' as text"),
        (lambda: Terminal(text="", title=3), "has 3 as title"),
    ],
)  # fmt: skip
def test_what_is_no_panel_is_refused(make, message) -> None:
    with pytest.raises(EnvError, match=message.replace("(", r"\(")):
        make()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (None, "panels of me/X-v0 returned None, expected a tuple of panels"),
        ("text", "returned 'text'"),
        (("<b>",), "gave the panel '<b>', expected Grid, Diff, Table or Terminal"),
        ((Terminal(text=""),) * (MOST_PANELS + 1), "gave 9 panels, expected at most 8"),
    ],
)
def test_what_gives_other_things_is_named(given, message) -> None:
    with pytest.raises(EnvError, match=message):
        checked_panels(given, "panels of me/X-v0")


def test_what_a_later_version_draws_is_ignored() -> None:
    later = {"kind": "hologram", "text": ""}
    known = {"kind": "terminal", "text": "x", "title": "", "glow": True}
    assert panels_from_json([later, known]) == (Terminal(text="x"),)


def test_a_panel_that_is_broken_on_disk_is_the_fault_of_the_record(tmp_path) -> None:
    broken = {"kind": "grid", "rows": ["ab", "c"], "legend": {}, "title": ""}
    with pytest.raises(StoreError, match="the rows of a Grid have 2, 1 cells"):
        panels_from_json([broken])
    whole = Trajectory(id="a", task=Task("", id="t"), group_id="g", panels=(Grid(rows=("ab",)),))
    body, columns = to_body(whole)
    body["panels"] = [broken]
    write = ShardWriter(tmp_path / "episodes", writer="w", schema=SCHEMA)
    write.write(to_head(whole), to_line(body), columns)
    write.close()
    (head,) = read_heads(tmp_path)
    with pytest.raises(StoreError, match="what was drawn cannot be read"):
        read_episode(head)


async def _play(config: KeyDoorConfig) -> Trajectory:
    task = next(config.tasks("test"))
    (job,) = make_jobs([task], group_size=1, run_seed=0, prefix="p", env=config.id)
    make = scripted_policies("scripted")
    return await run_episode(job, config=config, make_policy=make)


class _DrawsConfig(KeyDoorConfig):
    def build(self, sandboxes=None):
        return _Draws(self)


class _Draws(KeyDoor):
    drawn: object = ()

    def panels(self):
        if isinstance(self.drawn, Exception):
            raise self.drawn
        return self.drawn


async def test_an_episode_keeps_what_was_drawn_of_each_state(tmp_path) -> None:
    played = await _play(KeyDoorConfig())
    places = [[row.index("@") for row in each.rows if "@" in row] for (each,) in
              (played.panels, *(step.panels for step in played.steps))]  # fmt: skip
    assert all(len(each) == 1 for each in places)
    assert "S" not in json.dumps(panel_to_json(played.panels[0])["rows"])
    assert played.steps[-1].panels[0].title == "the key is held"
    writer = EpisodeWriter(tmp_path)
    writer.append(played)
    writer.close()
    assert list(read_episodes(tmp_path)) == [played]


async def test_a_replay_does_not_look_at_panels(monkeypatch) -> None:
    played = await _play(_DrawsConfig())
    monkeypatch.setattr(_Draws, "drawn", (Terminal(text="other"),))
    found = await replay(played, _DrawsConfig())
    assert (found.differences, found.unverifiable) == ((), None)


@pytest.mark.parametrize("drawn", [("<b>bold</b>",), ValueError("no"), EnvError("no")])
async def test_a_fault_and_the_check_name_the_environment(monkeypatch, drawn) -> None:
    monkeypatch.setattr(_Draws, "drawn", drawn)
    played = await _play(_DrawsConfig())
    assert played.end == "error"
    assert "panels of agentgym/KeyDoor-v0" in played.reason
    report = await check_env(_DrawsConfig, checks=named(["shapes"]))
    (result,) = report.results
    assert str(result.status) == "failed"
    assert "panels of _Draws" in result.message


async def test_episodes_without_panels_have_no_key(tmp_path) -> None:
    played = await _play(_DrawsConfig())
    writer = EpisodeWriter(tmp_path)
    writer.append(replace(played))
    writer.close()
    import agentgym.store.trajectory as stored

    body, _ = stored.to_body(played)
    assert "panels" not in body
    assert all("panels" not in step for step in body["steps"])
