from pathlib import Path

import pytest

pytest.importorskip("torch")

from agentgym.engine import Loaded
from agentgym.engines.model import ModelConfig, load_model
from agentgym.engines.tiny import TinyConfig

TEXTS = ("def solve(xs):\n    return sum(xs) + 1\n", "Add 3 to every number, then sum them.")
SMALL = TinyConfig(layers=2, width=32, heads=2, max_context=96)


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tiny")
    load_model(ModelConfig(tiny=SMALL), folder=folder, texts=TEXTS, seed=7)
    return folder


@pytest.fixture
def loaded(folder: Path) -> Loaded:
    return load_model(ModelConfig(path=str(folder), dtype="float32", device="cpu"))
