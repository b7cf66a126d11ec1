import gymnasium
import pytest

import agentgym.gym
from agentgym.gym import TokenEnv


class Utf8:
    """The smallest real tokenizer: one id for each byte."""

    def encode(self, text: str, *, add_special_tokens: bool) -> list[int]:
        return list(text.encode()) + ([256] if add_special_tokens else [])

    def decode(self, token_ids: list[int]) -> str:
        return bytes(each for each in token_ids if each < 256).decode(errors="replace")

    def __len__(self) -> int:
        return 257


def test_ids_go_in_and_out() -> None:
    assert agentgym.gym.TokenEnv is TokenEnv
    env = TokenEnv(gymnasium.make("agentgym/KeyDoor-v0"), Utf8())
    text = gymnasium.make("agentgym/KeyDoor-v0")
    ids, _ = env.reset(seed=3)
    assert bytes(ids).decode() == text.reset(seed=3)[0]
    assert ids in env.observation_space
    ids, reward, *_ = env.step(tuple(b"up"))
    assert (bytes(ids).decode(), reward) == text.step("up")[:2]
    assert env.step(env.action_space.sample())[0] in env.observation_space


def test_a_tokenizer_of_transformers_fits() -> None:
    transformers = pytest.importorskip("transformers")
    tokenizers = pytest.importorskip("tokenizers")
    words = tokenizers.Tokenizer(
        tokenizers.models.WordLevel({"up": 0, "key": 1, "[UNK]": 2}, unk_token="[UNK]")
    )
    words.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=words, unk_token="[UNK]")
    env = TokenEnv(gymnasium.make("agentgym/KeyDoor-v0", rules=False), tokenizer)
    ids, _ = env.reset(seed=3)
    assert set(ids) == {1, 2}
    assert env.step((0,))[4]["reward_terms"]["valid"] == 1.0
