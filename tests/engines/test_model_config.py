import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError

from agentgym.engines.model import ModelConfig, load_model
from agentgym.engines.tiny import TinyConfig
from agentgym.errors import ConfigError, MissingError

SIZE = TinyConfig(layers=1, width=16, heads=2, max_context=64)


@pytest.fixture
def copy(folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(folder, tmp_path / "model"))


def test_a_tiny_model_is_made_once_and_found_again(tmp_path: Path) -> None:
    config = ModelConfig(tiny=SIZE, device="cpu")
    made = load_model(config, folder=tmp_path / "model", texts=["one two"], seed=3)
    found = load_model(config, folder=tmp_path / "model", texts=["other"], seed=4)
    assert made.max_context == 64
    assert made.model.dtype == torch.float32
    assert not made.model.training
    assert torch.equal(made.model.lm_head.weight, found.model.lm_head.weight)
    assert made.tokenizer.get_vocab() == found.tokenizer.get_vocab()


@pytest.mark.parametrize(
    ("lost", "named"),
    [
        (["config.json"], "no config.json"),
        (["model.safetensors"], "no weights"),
        (["tokenizer.json"], "no tokenizer"),
    ],
    ids=lambda value: "",
)
def test_what_a_folder_lacks_is_named(copy: Path, lost: list[str], named: str) -> None:
    for name in lost:
        (copy / name).unlink()
    with pytest.raises(ConfigError, match=named) as raised:
        load_model(ModelConfig(path=str(copy)))
    assert raised.value.hint


def test_a_folder_that_is_none_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "empty").mkdir()
    for name, message in {
        "gone": "does not exist",
        "file": "is a file",
        "empty": "nothing",
    }.items():
        with pytest.raises(ConfigError, match=message):
            load_model(ModelConfig(path=str(tmp_path / name)))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("config.json", "{", "model_type"),
        ("config.json", "[]", "model_type"),
        ("config.json", '{"model_type": "no-such-model"}', "no-such-model"),
        ("model.safetensors", "garbage", "cannot be loaded"),
        ("tokenizer.json", "garbage", "cannot be read"),
    ],
)
def test_a_broken_file_is_named(copy: Path, name: str, content: str, message: str) -> None:
    (copy / name).write_text(content)
    with pytest.raises(ConfigError, match=message) as raised:
        load_model(ModelConfig(path=str(copy)))
    assert raised.value.hint


def test_weights_of_another_shape_are_an_error(copy: Path) -> None:
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps(config | {"intermediate_size": 8}))
    with pytest.raises(ConfigError, match="cannot be loaded"):
        load_model(ModelConfig(path=str(copy)))


def test_weights_that_are_not_all_there_are_an_error(copy: Path) -> None:
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 3}))
    with pytest.raises(ConfigError, match=r"layers\.2"):
        load_model(ModelConfig(path=str(copy)))


def test_the_context_is_at_most_what_the_model_was_made_for(folder: Path) -> None:
    assert load_model(ModelConfig(path=str(folder))).max_context == 96
    assert load_model(ModelConfig(path=str(folder), max_context=50)).max_context == 50
    with pytest.raises(ConfigError, match="96"):
        load_model(ModelConfig(path=str(folder), max_context=97))


def test_a_sliding_window_bounds_the_context_and_linear_layers_are_refused(copy: Path) -> None:
    config = json.loads((copy / "config.json").read_text())
    sliding = config | {"layer_types": ["sliding_attention"] * 2, "sliding_window": 40}
    (copy / "config.json").write_text(json.dumps(sliding))
    assert load_model(ModelConfig(path=str(copy))).max_context == 40
    (copy / "config.json").write_text(
        json.dumps(config | {"layer_types": ["linear_attention", "full_attention"]})
    )
    with pytest.raises(ConfigError, match="linear_attention"):
        load_model(ModelConfig(path=str(copy)))


def test_bfloat16_and_devices(folder: Path) -> None:
    config = ModelConfig(path=str(folder), dtype="bfloat16", device="cpu")
    assert load_model(config).model.dtype == torch.bfloat16
    with pytest.raises(MissingError, match="cuda:99"):
        load_model(ModelConfig(path=str(folder), device="cuda:99"))
    with pytest.raises(ValidationError):
        ModelConfig(device="tpu")


def test_a_tiny_model_needs_a_folder() -> None:
    with pytest.raises(ConfigError, match="folder"):
        load_model(ModelConfig())


def test_configs_are_imported_without_torch() -> None:
    code = (
        "import sys, agentgym.engines, agentgym.engines.model, agentgym.engines.local, "
        "agentgym.engines.tiny, agentgym.renderers.chat; "
        "sys.exit(any(name in sys.modules for name in ('torch', 'transformers', 'tokenizers')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_missing_torch_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(MissingError) as raised:
        load_model(ModelConfig(path=str(folder)))
    assert "agentgym-framework[train]" in str(raised.value.hint)


def test_a_tokenizer_of_a_bigger_model_is_refused(copy: Path) -> None:
    tokenizer = json.loads((copy / "tokenizer.json").read_text("utf-8"))
    tokenizer["model"]["vocab"]["stranger"] = 5000
    (copy / "tokenizer.json").write_text(json.dumps(tokenizer), "utf-8")
    with pytest.raises(ConfigError, match="up to id 5000, but the model knows only those below"):
        load_model(ModelConfig(path=str(copy), device="cpu"))


def test_a_model_may_stay_on_disk_where_nobody_here_computes_with_it(folder: Path) -> None:
    config = ModelConfig(path=str(folder), device="cpu", dtype="bfloat16")
    whole, bare = load_model(config), load_model(config, with_module=False)
    assert bare.model is None
    assert (bare.max_context, bare.dtype) == (whole.max_context, whole.dtype)
    assert bare.dtype == "bfloat16"
    assert bare.tokenizer.get_vocab() == whole.tokenizer.get_vocab()
