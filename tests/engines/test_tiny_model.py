from pathlib import Path

import pytest
import torch
from hypothesis import given, strategies as st

from agentgym.engine import Loaded
from agentgym.engines.model import ModelConfig, load_model
from agentgym.engines.tiny import TinyConfig, make_tiny
from agentgym.types import ToolSpec

pytestmark = pytest.mark.slow

SIZE = TinyConfig(layers=1, width=16, heads=2, max_context=64)


def tokens(loaded: Loaded, text: str) -> list[str]:
    ids = loaded.tokenizer.encode(text, add_special_tokens=False)
    return [loaded.tokenizer.decode([index]) for index in ids]


@given(text=st.text(max_size=200))
def test_any_text_survives_the_tokenizer(shared: Loaded, text: str) -> None:
    ids = shared.tokenizer.encode(text, add_special_tokens=False, split_special_tokens=True)
    assert shared.tokenizer.decode(ids) == text


@pytest.fixture(scope="module")
def shared(folder: Path) -> Loaded:
    return load_model(ModelConfig(path=str(folder)))


def test_known_words_are_one_token_each(shared: Loaded) -> None:
    code = "def solve(xs):\n    return sum(xs) + 1\n"
    expected = ["def", " solve", "(", "xs", "):", "\n    ", "return", " sum", "(", "xs", ")"]
    assert tokens(shared, code) == [*expected, " +", " 1", "\n"]
    assert tokens(shared, "Add 42 xylophones")[:3] == ["Add", " 4", "2"]


def test_long_unbroken_text_takes_linear_time(shared: Loaded) -> None:
    for piece in ("x", "(", "\n", " ", "é"):
        assert shared.tokenizer.decode(shared.tokenizer.encode(piece * 50_000)) == piece * 50_000


def test_names_of_tools_and_parameters_are_one_token(tmp_path: Path) -> None:
    schema = {"type": "object", "properties": {"code": {"type": "string"}}}
    tools = [ToolSpec("run", "", schema), ToolSpec("submit", "", {"type": "object"})]
    make_tiny(tmp_path, config=SIZE, texts=["x = 1"], tools=tools, seed=0)
    loaded = load_model(ModelConfig(path=str(tmp_path)))
    call = "<function=run><parameter=code>x = 1</parameter></function><function=submit>"
    assert tokens(loaded, call) == [
        "<function=run>", "<parameter=code>", "x", " =", " 1", "</parameter>", "</function>",
        "<function=submit>",
    ]  # fmt: skip


def test_the_rarest_words_are_spelled_when_there_are_too_many(tmp_path: Path) -> None:
    config = SIZE.model_copy(update={"max_words": 1})
    make_tiny(tmp_path, config=config, texts=["often often rare", " often"], seed=0)
    loaded = load_model(ModelConfig(path=str(tmp_path)))
    assert tokens(loaded, "often often rare") == [*"often", " often", " ", *"rare"]


def test_the_seed_makes_the_weights(tmp_path: Path) -> None:
    before = torch.random.get_rng_state()
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        make_tiny(tmp_path / name, config=SIZE, texts=["x"], seed=seed)
    assert torch.equal(before, torch.random.get_rng_state())
    weights = [
        load_model(ModelConfig(path=str(tmp_path / name))).model.lm_head.weight for name in "abc"
    ]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_the_size_is_checked() -> None:
    with pytest.raises(ValueError, match="multiple"):
        TinyConfig(width=10, heads=4)
