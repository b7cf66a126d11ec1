import json
import sys
from pathlib import Path

import pytest

from agentgym.errors import MissingError
from agentgym.formats.minari import MinariWriter


def test_without_minari_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "minari", None)
    with pytest.raises(MissingError) as raised:
        MinariWriter(tmp_path)
    assert "agentgym-framework[minari]" in str(raised.value.hint)


def test_minari_reads_what_is_written(tmp_path: Path, make_episode) -> None:
    minari = pytest.importorskip("minari", reason="minari is not installed")
    folder = tmp_path / "my run"
    folder.mkdir()
    writer = MinariWriter(folder)
    assert writer.add(make_episode()) is None
    assert writer.add(make_episode(steps=[])) == "without a step"
    assert writer.add(make_episode(end="truncated", prompt=())) is None
    writer.finish()
    dataset = minari.MinariDataset(folder / "data")
    assert (dataset.id, len(dataset), dataset.total_steps) == ("my-run-v0", 2, 4)
    first, second = dataset
    assert first.observations == ["Be brief.\n\nAdd.", "日本", ""]
    call, answer = first.actions
    assert json.loads(call)["tool_calls"][0]["function"]["name"] == "add"
    assert answer == "2"
    assert first.rewards.tolist() == [0.0, 0.5]
    assert first.terminations.tolist() == [False, True]
    assert second.terminations.tolist() == [False, False]
    assert second.truncations.tolist() == [False, True]
    for episode in dataset:
        assert all(dataset.observation_space.contains(each) for each in episode.observations)
        assert all(dataset.action_space.contains(each) for each in episode.actions)
