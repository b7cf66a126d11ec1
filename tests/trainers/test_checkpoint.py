import os
import signal
import subprocess
import sys
import time

import pytest
import torch
from transformers import AutoModelForCausalLM

from agentgym.errors import StoreError
from agentgym.trainers import checkpoint as module
from agentgym.trainers.checkpoint import (
    checkpoints,
    clean,
    latest_checkpoint,
    load_state,
    save_checkpoint,
)

STATE = {"step": 3, "tensor": torch.arange(3.0), "nested": {"a": [1, None, "x"]}}


def test_a_checkpoint_is_a_model_folder_with_the_state_beside_it(tmp_path, tiny):
    folder = save_checkpoint(tmp_path, 3, parts=(tiny,), state=STATE, keep=2)
    loaded = AutoModelForCausalLM.from_pretrained(folder)
    for ours, theirs in zip(tiny.parameters(), loaded.parameters(), strict=True):
        assert torch.equal(ours, theirs)
    state = load_state(folder)
    assert state["nested"] == STATE["nested"]
    assert torch.equal(state["tensor"], STATE["tensor"])


def test_the_newest_stay_and_latest_points_to_the_last(tmp_path, tiny):
    for step in (1, 2, 10):
        save_checkpoint(tmp_path, step, parts=(tiny,), state={"step": step}, keep=2)
    assert [path.name for path in checkpoints(tmp_path)] == ["000002", "000010"]
    assert (tmp_path / "latest").resolve().name == "000010"
    assert latest_checkpoint(tmp_path).name == "000010"
    assert not list(tmp_path.glob(".tmp-*"))


def test_a_step_is_saved_once(tmp_path, tiny):
    for value in (1, 2):
        folder = save_checkpoint(tmp_path, 4, parts=(tiny,), state={"v": value}, keep=2)
    assert load_state(folder) == {"v": 1}


class Breaks:
    def save_pretrained(self, save_directory):
        (save_directory / "half").write_bytes(b"x")
        raise OSError(28, "No space left on device")


def test_a_full_disk_is_an_error_and_leaves_the_last_checkpoint(tmp_path, tiny):
    save_checkpoint(tmp_path, 1, parts=(tiny,), state=STATE, keep=2)
    with pytest.raises(StoreError, match="No space left"):
        save_checkpoint(tmp_path, 2, parts=(tiny, Breaks()), state=STATE, keep=2)
    assert latest_checkpoint(tmp_path).name == "000001"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["000001", "latest"]


def test_what_a_killed_process_left_is_removed(tmp_path, tiny):
    save_checkpoint(tmp_path, 1, parts=(tiny,), state=STATE, keep=2)
    (tmp_path / ".tmp-000002").mkdir()
    (tmp_path / ".tmp-000002" / "model.safetensors").write_bytes(b"half")
    (tmp_path / ".tmp-latest").symlink_to("000002")
    assert latest_checkpoint(tmp_path).name == "000001"
    clean(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["000001", "latest"]


def test_a_damaged_state_is_an_error(tmp_path, tiny):
    folder = save_checkpoint(tmp_path, 1, parts=(tiny,), state=STATE, keep=2)
    (folder / "trainer.pt").write_bytes(b"nonsense")
    with pytest.raises(StoreError, match="cannot be read"):
        load_state(folder)


def test_code_in_a_state_is_not_run(tmp_path, tiny):
    folder = save_checkpoint(tmp_path, 1, parts=(tiny,), state=STATE, keep=2)
    torch.save({"bad": os.system}, folder / "trainer.pt")
    with pytest.raises(StoreError):
        load_state(folder)


WRITER = """
import sys, pathlib, torch
from agentgym.trainers.checkpoint import save_checkpoint
class Part:
    def save_pretrained(self, folder):
        torch.save({"weights": torch.zeros(200_000)}, folder / "model.pt")
step = 0
while True:
    step += 1
    save_checkpoint(pathlib.Path(sys.argv[1]), step, parts=(Part(),), state={"step": step}, keep=2)
    print(step, flush=True)
"""


@pytest.mark.slow
def test_killed_at_any_moment_every_visible_checkpoint_is_complete(tmp_path):
    for trial in range(6):
        root = tmp_path / str(trial)
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(root)], stdout=subprocess.PIPE, text=True
        )
        for _ in range(2):
            process.stdout.readline()
        time.sleep(0.0037 * trial)
        process.send_signal(signal.SIGKILL)
        rest = process.communicate()[0].split()
        saved = max([2, *map(int, rest)])
        folder = latest_checkpoint(root)
        assert int(folder.name) >= saved
        for path in checkpoints(root):
            assert load_state(path)["step"] == int(path.name)
            assert torch.load(path / "model.pt")["weights"].shape == (200_000,)
        assert (root / "latest" / "trainer.pt").exists()


def test_folders_with_other_names_are_no_checkpoints(tmp_path):
    (tmp_path / "notes").mkdir()
    (tmp_path / "000001").write_text("a file")
    assert module.latest_checkpoint(tmp_path) is None
    assert module.latest_checkpoint(tmp_path / "none") is None
