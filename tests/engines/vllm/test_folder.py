"""The folder of weights: what is read is what was written last, or nothing."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings, strategies as st
from safetensors.torch import load_file

from agentgym.engines.vllm import folder as module
from agentgym.engines.vllm.folder import FILE, WeightsFolder, sweep
from agentgym.errors import EngineError

_SHAPES = st.lists(st.integers(0, 4), max_size=3).map(tuple)
_DTYPES = st.sampled_from([torch.float64, torch.float32, torch.float16, torch.bfloat16])


@settings(max_examples=60, deadline=None)
@given(
    layouts=st.lists(
        st.dictionaries(st.text(min_size=1, max_size=5), st.tuples(_SHAPES, _DTYPES), min_size=1),
        min_size=1,
        max_size=3,
    ),
    dtype=st.sampled_from([None, "float32", "bfloat16"]),
)
def test_safetensors_reads_what_was_written(
    tmp_path_factory: pytest.TempPathFactory,
    layouts: list[dict[str, tuple[tuple[int, ...], torch.dtype]]],
    dtype: str | None,
) -> None:
    kept = WeightsFolder(tmp_path_factory.mktemp("weights"))
    for layout in [*layouts, layouts[-1]]:
        weights = {name: torch.randn(shape).to(kind) for name, (shape, kind) in layout.items()}
        found = load_file(kept.write(weights, dtype=dtype) / FILE)
        assert found.keys() == weights.keys()
        for name, tensor in weights.items():
            assert torch.equal(found[name], tensor.to(getattr(torch, dtype)) if dtype else tensor)
    kept.close()


def test_the_same_file_is_written_again(tmp_path: Path) -> None:
    kept = WeightsFolder(tmp_path)
    weights = {"a": torch.randn(3, 5).T, "b": torch.randn(2)}  # one is not contiguous
    file = kept.write(weights) / FILE
    inode = file.stat().st_ino
    assert kept.write({name: 2 * each for name, each in weights.items()}) == file.parent
    assert file.stat().st_ino == inode
    assert torch.equal(load_file(file)["a"], 2 * weights["a"])
    kept.close()
    kept.close()
    assert not list(tmp_path.iterdir())


def test_half_written_weights_cannot_be_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = WeightsFolder(tmp_path)
    weights = {"a": torch.ones(4), "b": torch.ones(4)}
    root = kept.write(weights)

    def stop_in_the_middle(self: WeightsFolder, weights: dict[str, torch.Tensor]) -> None:
        self._views["a"].zero_()
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(WeightsFolder, "_copy", stop_in_the_middle)
        with pytest.raises(KeyboardInterrupt):
            kept.write(weights)
    assert not list(root.glob("*.safetensors"))
    assert torch.equal(load_file(kept.write(weights) / FILE)["a"], weights["a"])
    kept.close()


def test_no_room_is_an_error_and_not_the_end(tmp_path: Path) -> None:
    kept = WeightsFolder(tmp_path)
    huge = torch.empty(1).expand(1 << 50)
    with pytest.raises(EngineError, match="cannot be written") as told:
        kept.write({"a": huge})
    assert "weights_dir" in str(told.value.hint)
    assert torch.equal(load_file(kept.write({"a": torch.ones(2)}) / FILE)["a"], torch.ones(2))
    kept.close()


def test_whole_numbers_are_no_weights(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="int64"):
        WeightsFolder(tmp_path).write({"a": torch.arange(3)})


_WRITER = """
import sys, time, torch
from pathlib import Path
from agentgym.engines.vllm.folder import WeightsFolder
kept = WeightsFolder(Path(sys.argv[1]))
print(kept.write({"a": torch.ones(3)}), flush=True)
time.sleep(600)
"""


def test_what_killed_writers_left_is_swept_and_that_of_living_ones_is_not(tmp_path: Path) -> None:
    command = [sys.executable, "-c", _WRITER, str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as writer:
        assert writer.stdout is not None
        left = Path(writer.stdout.readline().strip())
        sweep(tmp_path)
        assert (left / FILE).exists()
        writer.send_signal(signal.SIGKILL)
    kept = WeightsFolder(tmp_path)
    mine = kept.write({"a": torch.ones(3)})
    assert [each.name for each in tmp_path.iterdir()] == [mine.name]
    kept.close()


def test_weights_lie_in_memory_only_where_they_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    assert module._roomy(1 << 60) == Path(module.tempfile.gettempdir())
    if Path("/dev/shm").is_dir() and os.access("/dev/shm", os.W_OK):
        assert module._roomy(1) == Path("/dev/shm")
