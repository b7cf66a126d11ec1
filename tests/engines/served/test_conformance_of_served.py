"""The engine `served` does what every engine must, with `local` behind it."""

import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from engine_conformance import MAX_CONTEXT, EngineConformance, Subject, base, make_model
from served_engine import Serving, serving
from transformers import AutoTokenizer

from agentgym.engine import Loaded

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("served")]
__all__ = ["base"]


class Served(NamedTuple):
    server: Serving
    model: Any
    loaded: Loaded


@pytest.fixture(scope="module")
def served(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A model of the conformance tests, with the tokenizer of another one."""
    here = tmp_path_factory.mktemp("conformance")
    model = make_model(here, "llama", tied=True)
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        shutil.copy(folder / name, here / name)
    with serving(here, "engine.max_batch=32") as server:
        tokenizer = AutoTokenizer.from_pretrained(here)
        yield Served(server, model, Loaded(None, tokenizer, here, MAX_CONTEXT))


@pytest.fixture
async def subject(served: Served) -> AsyncIterator[Subject]:
    engine = served.server.engine(served.loaded)
    await engine.start()  # puts the model's own weights in use
    yield Subject(engine, served.model)
    await engine.close()


class TestServed(EngineConformance):
    """All of it."""
