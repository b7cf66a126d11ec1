"""The index: what it says, and that nothing which befalls it or its run makes it lie."""

import json
import os
import shutil
import sqlite3
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from backports import zstd
from trained_run import make_episode, make_trained_run

from agentgym.errors import StoreError
from agentgym.store.episodes import EpisodeWriter, read_heads
from agentgym.store.frames import encode_header, encode_record, shards
from agentgym.store.notes import NoteWriter, read_notes
from agentgym.viewer.entries import take
from agentgym.viewer.index import Index


def filled(root: Path, cache: Path, **options: int) -> Index:
    index = Index(root, cache=cache)
    while index.refresh(**options):
        pass
    return index


def rows(index: Index) -> list[tuple]:
    columns = 'id, grp, member, task, "end", outcome, turns, tokens, version_min, offset'
    return index.query(f"SELECT {columns} FROM episode ORDER BY row")


def expected(root: Path) -> list[tuple]:
    return [
        (
            *(h.id, h.group_id, h.member, h.task_id, h.end, h.outcome, h.turns, h.tokens),
            *(h.version_min, h.frame.offset),
        )
        for h in read_heads(root)
    ]


@pytest.mark.parametrize("limit", [1, 7, 10_000])
def test_it_has_every_episode_however_it_is_read(trained, tmp_path, limit) -> None:
    index = filled(trained, tmp_path, limit=limit)
    assert rows(index) == expected(trained)
    size = sum(path.stat().st_size for path in shards(trained / "episodes"))
    assert index.progress.to_json() == {"episodes": 39, "bytes": size, "of_bytes": size}
    assert index.broken == []


def test_optimiser_steps_and_rewards_are_those_of_the_notes(trained, tmp_path) -> None:
    index = filled(trained, tmp_path)
    found = {name: (step, reward) for name, step, _, reward in index.query("SELECT * FROM used")}
    told = {}
    for note in read_notes(trained, "update"):
        starts, rewards = note.columns["step_start"], note.columns["rewards"]
        for place, name in enumerate(note.payload["trajectories"]):
            total = float(rewards[starts[place] : starts[place + 1]].sum())
            told[name] = (note.payload["step"] + 1, total)
    assert found == told
    assert len(found) == 36


def test_of_a_step_that_was_repeated_the_later_note_counts(trained, tmp_path) -> None:
    root = shutil.copytree(trained, tmp_path / "run")
    index = filled(root, tmp_path / "cache")
    (note,) = [each for each in read_notes(root, "update") if each.payload["step"] == 2]
    names = note.payload["trajectories"]
    with NoteWriter(root, producer="trainer") as notes:
        starts = np.array([0, 2])
        payload = {"step": 2, "version": 9, "trajectories": names[5:6]}
        notes.append("update", payload, {"step_start": starts, "rewards": np.array([1.5, 2.0])})
    index.refresh()
    assert index.query("SELECT id, reward FROM used WHERE step = 3") == [(names[5], 3.5)]
    assert index.query("SELECT version FROM step WHERE step = 3") == [(9,)]


def test_a_run_that_grows_is_read_on(tmp_path) -> None:
    chance = np.random.default_rng(0)
    made = [make_episode(chance, 0, 0, member) for member in range(6)]
    root = tmp_path / "run"
    index = Index(root, cache=tmp_path / "cache")
    root.mkdir()
    assert not index.refresh()
    with EpisodeWriter(root) as writer:
        for number, episode in enumerate(made, 1):
            writer.append(episode)
            assert not index.refresh()
            assert len(rows(index)) == number
    assert rows(index) == expected(root)


def test_a_record_that_is_half_written_waits(trained, tmp_path) -> None:
    (shard,) = shards(trained / "episodes")
    data = shard.read_bytes()
    stops = [head.frame.stop for head in read_heads(trained)]
    copy = tmp_path / "run" / "episodes" / shard.name
    copy.parent.mkdir(parents=True)
    index = Index(tmp_path / "run", cache=tmp_path / "cache")
    for cut in (10, stops[0] - 1, stops[0], stops[3] + 5, stops[9], len(data)):
        copy.write_bytes(data[:cut])  # in place: the same file grows
        while index.refresh():
            pass
        whole = sum(stop <= cut for stop in stops)
        assert len(rows(index)) == whole
        assert bool(index.broken) == (cut not in stops)
    assert index.broken == []


@pytest.mark.parametrize("harm", ["delete", "delete folder", "garbage", "zeros", "cut", "tables"])
def test_an_index_that_is_harmed_under_a_server_is_made_anew(trained, tmp_path, harm) -> None:
    cache = tmp_path / "cache"
    index = filled(trained, cache)
    _harm(index.path, harm)
    settle(index)
    assert rows(index) == expected(trained)
    assert rows(filled(trained, cache)) == expected(trained)


@pytest.mark.parametrize("harm", ["garbage", "zeros", "cut", "old wal"])
def test_an_index_that_was_harmed_between_servers_is_made_anew(trained, tmp_path, harm) -> None:
    cache = tmp_path / "cache"
    index = filled(trained, cache)
    index.close()
    _harm(index.path, harm)
    again = filled(trained, cache)
    settle(again)
    assert rows(again) == expected(trained)


def settle(index: Index) -> None:
    """Ask and read on in turns, as a server does: a question may be what finds the harm."""
    for _ in range(4):
        rows(index)
        index.refresh()


def _harm(path: Path, harm: str) -> None:
    size = path.stat().st_size
    if harm == "delete":
        path.unlink()
    elif harm == "delete folder":
        shutil.rmtree(path.parent)
    elif harm == "garbage":
        path.write_bytes(os.urandom(size))
    elif harm == "zeros":
        path.write_bytes(bytes(size))
    elif harm == "cut":
        os.truncate(path, size // 2)
    elif harm == "tables":
        with sqlite3.connect(path) as db:
            db.execute("DROP TABLE used")
            db.execute("DROP TABLE episode")
        db.close()
    else:
        path.unlink()
        path.with_name(path.name + "-wal").write_bytes(os.urandom(4096))


def test_two_servers_fill_one_index_at_once(trained, tmp_path) -> None:
    indexes = [Index(trained, cache=tmp_path) for _ in range(2)]
    assert indexes[0].path == indexes[1].path

    def fill(index: Index) -> None:
        while index.refresh(limit=1):
            pass

    threads = [threading.Thread(target=fill, args=(each,)) for each in indexes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for index in indexes:
        index.refresh()
        assert sorted(rows(index)) == sorted(expected(trained))
        assert index.query("SELECT count(*) FROM used") == [(36,)]


def test_a_server_that_waited_for_another_one_takes_its_work_over(tmp_path) -> None:
    root, cache, chance = tmp_path / "run", tmp_path / "cache", np.random.default_rng(0)
    with EpisodeWriter(root) as writer:
        writer.append(make_episode(chance, 0, 0, 0))
        first, second = (filled(root, cache) for _ in range(2))
        waiting = threading.Thread(target=second.refresh)
        (shard,) = shards(root / "episodes")
        start = shard.stat().st_size
        writer.append(make_episode(chance, 0, 0, 1))
        with first.changing() as db:
            waiting.start()
            time.sleep(0.2)
            writer.append(make_episode(chance, 0, 0, 2))
            name = f"episodes/{shard.name}"
            stop = take(db, name, shard, start=start, limit=9).stop
            db.execute("UPDATE shard SET stop = ? WHERE name = ?", (stop, name))
            db.execute("INSERT INTO tag VALUES ('x', 'still here')")
        waiting.join()
    assert second.query("SELECT tag FROM tag") == [("still here",)]
    assert rows(second) == rows(first) == expected(root)


@pytest.mark.parametrize(
    "question",
    [
        "SELECT",
        "SELECT nothing FROM nowhere",
        "SELECT * FROM words",
        f"SELECT {'+'.join('1' * 5000)}",
    ],
    ids=["broken", "nowhere", "words", "deep"],
)
def test_a_question_that_cannot_be_understood_harms_nothing(trained, tmp_path, question) -> None:
    index = filled(trained, tmp_path)
    with index.changing() as db:
        db.execute("INSERT INTO tag VALUES ('x', 'still here')")
    with pytest.raises(StoreError, match="cannot be read"):
        index.query(question)
    assert index.query("SELECT tag FROM tag") == [("still here",)]


def test_a_shard_that_had_only_begun_is_known_by_its_beginning(trained, tmp_path) -> None:
    (shard,) = shards(trained / "episodes")
    copy = tmp_path / "run" / "episodes" / shard.name
    copy.parent.mkdir(parents=True)
    header = {"schema": "agentgym.episodes/1", "writer": "rollout", "host": "a name that is long"}
    copy.write_bytes(encode_header(header))
    index = filled(tmp_path / "run", tmp_path / "cache")
    copy.write_bytes(shard.read_bytes())
    settle(index)
    assert rows(index) == expected(trained)
    assert index.broken == []


def test_another_run_in_the_same_place_is_another_run(trained, tmp_path) -> None:
    root = shutil.copytree(trained, tmp_path / "run")
    index = filled(root, tmp_path / "cache")
    shutil.rmtree(root)
    make_trained_run(root, steps=2, seed=5)
    for _ in range(4):
        index.refresh()
    assert rows(index) == expected(root)
    shutil.rmtree(root / "episodes")
    for _ in range(4):
        index.refresh()
    assert rows(index) == []


def test_a_broken_shard_is_told_and_the_others_are_read(trained, tmp_path) -> None:
    root = shutil.copytree(trained, tmp_path / "run")
    (root / "episodes" / "aaa-00001.jsonl.zst").write_bytes(b"no shard at all" * 50)
    (root / "notes" / "trainer-00000.jsonl.zst").write_bytes(os.urandom(300))
    index = filled(root, tmp_path / "cache")
    assert rows(index) == expected(trained)
    assert index.query("SELECT count(*) FROM used") == [(36,)]
    assert len(index.broken) == 2
    assert all("is no shard" in told for told in index.broken)


def test_a_note_that_is_broken_is_told_and_the_others_count(trained, tmp_path) -> None:
    root = shutil.copytree(trained, tmp_path / "run")
    with NoteWriter(root, producer="trainer") as notes:
        notes.append("update", {"step": "x", "trajectories": 3})
        notes.append("update", {})
    with NoteWriter(root, producer="viewer") as notes:
        notes.append("label", {"episode": ["no"], "label": {}})
        notes.append("label", {"episode": "train-000000-000.0.0", "label": "good", "text": "so"})
    index = filled(root, tmp_path / "cache")
    assert len(index.broken) == 3
    assert index.query("SELECT count(*) FROM used") == [(36,)]
    assert index.query("SELECT id, label, text FROM label") == [
        ("train-000000-000.0.0", "good", "so")
    ]


@pytest.mark.parametrize(
    "change",
    [
        {"outcome": "x"},
        {"outcome": "nan"},
        {"outcome": "inf"},
        {"turns": 2**70},
        {"id": None},
        {"tokens": 1.5},
        {"group_id": 3},
    ],
)
def test_a_head_that_says_nonsense_is_told_and_the_others_count(trained, tmp_path, change) -> None:
    root = shutil.copytree(trained, tmp_path / "run")
    (shard,) = shards(root / "episodes")
    fields = next(read_heads(root)).frame.fields
    with shard.open("ab") as file:
        file.write(encode_record(fields | change, b"{}", {}, zstd.ZstdCompressor()))
        file.write(
            encode_record(fields | {"id": "last \ud800 \0"}, b"{}", {}, zstd.ZstdCompressor())
        )
    index = filled(root, tmp_path / "cache")
    assert len(rows(index)) == 40
    assert len(index.broken) == 1
    head = index.head("last \ud800 \0")
    assert head is not None
    assert head.fields["id"] == "last \ud800 \0"


def test_a_cache_that_cannot_be_written_is_no_obstacle(trained, tmp_path) -> None:
    (tmp_path / "file").touch()
    index = filled(trained, tmp_path / "file" / "cache")
    assert rows(index) == expected(trained)
    index.close()
    assert not index.path.exists()


def test_the_run_is_not_touched(trained, tmp_path) -> None:
    def state() -> dict[str, tuple[int, int]]:
        found = [trained, *trained.rglob("*")]
        return {str(p): (p.stat().st_mtime_ns, p.stat().st_size) for p in found}

    before = state()
    filled(trained, tmp_path).close()
    assert state() == before


def test_the_head_of_an_episode_is_where_the_store_has_it(trained, tmp_path) -> None:
    index = filled(trained, tmp_path)
    for head in read_heads(trained):
        assert index.head(head.id) == head.frame
    assert index.head("train-000000-000.0.0'") is None
    assert json.dumps(index.progress.to_json())
