from pathlib import Path

import numpy as np
import pytest
from backports import zstd
from trained_run import make_episode, make_trained_run

from agentgym.store.episodes import EpisodeWriter, read_episodes, read_heads
from agentgym.store.frames import encode_record
from agentgym.trainers.recompute import latest_notes
from agentgym.viewer.index import Index
from agentgym.viewer.tagging import TagIndex
from agentgym.viewer.tags import Seen, tags_of


@pytest.fixture
def root(tmp_path) -> Path:
    return Path(make_trained_run(tmp_path / "run", "credit.name=grpo"))


@pytest.fixture
def index(root, tmp_path):
    index = Index(root, cache=tmp_path / "cache")
    read(index)
    yield index
    index.close()


def read(index):
    while index.refresh():
        pass


def tagged(index):
    found = {}
    for name, tag in index.query("SELECT id, tag FROM tag"):
        found.setdefault(name, set()).add(tag)
    return found


def expected(root):
    """Episode by episode, from the record."""
    episodes = list(read_episodes(root))
    version = {}
    for note in latest_notes(root).values():
        version |= dict.fromkeys(note.payload["trajectories"], note.payload["version"])
    found = {}
    for each in episodes:
        peers = [e for e in episodes if e.group_id == each.group_id and e.end != "error"]
        seen = Seen(
            trajectory=each,
            reward=each.outcome if each.id in version else None,
            trained=version.get(each.id),
            group=[(e.outcome, len(e.steps)) for e in peers],
        )
        if tags := {tag.name for tag in tags_of(seen)}:
            found[each.id] = tags
    return found


def test_tags_are_those_of_the_whole_record(root, index):
    tags = TagIndex(index, lambda: 1.0)
    while tags.refresh(limit=7):
        pass
    assert tagged(index) == expected(root)
    assert {"fault", "truncated"} <= set.union(*tagged(index).values())
    assert tags.progress == {"episodes": 39, "of_episodes": 39}
    assert not tags.refresh()


def test_of_a_large_run_only_what_is_on_screen_is_read(index, monkeypatch):
    monkeypatch.setattr("agentgym.viewer.tagging.FEW", 38)
    tags = TagIndex(index, lambda: 1.0)
    assert not tags.refresh()
    tags.want(["train-000001-002.2.0", "nobody", "train-000001-000.0.0x"])
    assert tags.refresh()
    assert not tags.refresh()
    assert set(tagged(index)) == {"train-000001-002.2.0", "train-000001-000.0.0x"}
    tags.want_all()
    while tags.refresh():
        pass
    assert tags.progress == {"episodes": 39, "of_episodes": 39}


def test_a_group_that_grows_is_looked_at_anew(root, index):
    tags = TagIndex(index, lambda: 1.0)
    while tags.refresh():
        pass
    made = make_episode(np.random.default_rng(5), 0, 0, 9)
    for step in made.steps:
        step.reward_terms = {"outcome": 0.5}
    with EpisodeWriter(root) as writer:
        writer.append(made)
    read(index)
    assert tags.progress == {"episodes": 34, "of_episodes": 40}  # its group had 4 and a fault
    while tags.refresh():
        pass
    assert tagged(index) == expected(root)


def test_a_broken_episode_has_no_tags_and_stops_nothing(root, index):
    head = next(read_heads(root)).frame
    with head.shard.open("ab") as file:
        file.write(
            encode_record(head.fields | {"id": "broken"}, b'{"steps":3}', {}, zstd.ZstdCompressor())
        )
        file.write(
            encode_record(head.fields | {"id": "wild \ud800"}, b"{}", {}, zstd.ZstdCompressor())
        )
    read(index)
    tags = TagIndex(index, lambda: 1.0)
    while tags.refresh():
        pass
    assert tags.progress == {"episodes": 41, "of_episodes": 41}
    assert "broken" not in tagged(index)
