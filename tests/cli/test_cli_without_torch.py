from pathlib import Path

import pytest
from trained_run import make_trained_run

BLOCK = """
import importlib.abc, sys


class Blocker(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "transformers"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


sys.meta_path.insert(0, Blocker())
"""
KEYDOOR = "env.id=agentgym/KeyDoor-v0"


@pytest.mark.slow
def test_every_command_but_training_works_without_torch(process, tmp_path: Path) -> None:
    make_trained_run(tmp_path / "t")
    for words in (
        ["envs", "--json"],
        ["check", "agentgym/Calculator-v0"],
        ["run", "agentgym/KeyDoor-v0", "-n", "2", "-o", "r"],
        ["show", "r"],
        ["show", "r", "run-test-000.0.0", "--json"],
        ["replay", "r", "--verify"],
        ["config", "show", KEYDOOR],
        ["config", "explain", "env.tier", KEYDOOR],
        ["config", "schema", "agentgym/KeyDoor-v0"],
        ["config", "diff", "r", "agentgym/KeyDoor-v0"],
        ["compare", "r", "r", "--by", "valid", "--plot", "p.png"],
        ["export", "r", "--messages", "--successes", "-o", "e.jsonl"],
        ["recredit", "t", "--credit", "salt,grpo", "--plot", "q.svg"],
        ["rescore", "t", "--shaping", "outcome", "--plot", "s.svg"],
        ["check", "run", "t"],
        ["train", KEYDOOR, "--dry-run"],
    ):
        done = process(*words, prefix=BLOCK)
        assert done.code == 0, (words, done.err)


@pytest.mark.slow
def test_what_needs_torch_says_so_and_leaves_nothing(process, tmp_path: Path) -> None:
    model = tmp_path / "model"
    model.mkdir()
    (model / "config.json").write_text('{"model_type": "llama"}')
    (model / "model.safetensors").touch()
    (model / "tokenizer.json").touch()
    for words in (
        ["train", KEYDOOR, "out=r"],
        ["run", "agentgym/KeyDoor-v0", "-m", "model", "-o", "r"],
    ):
        done = process(*words, prefix=BLOCK)
        assert done.code == 3
        assert "need torch and transformers" in done.err
        assert "hint: pip install 'agentgym-framework[train]'" in done.err
        assert not (tmp_path / "r").exists()
