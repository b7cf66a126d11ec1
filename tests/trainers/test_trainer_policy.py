import pytest
import torch

from agentgym.errors import ConfigError
from agentgym.trainers import policy as policy_module
from agentgym.trainers.policy import TrainerPolicy


def some_tokens(rows=3, width=11):
    generator = torch.Generator().manual_seed(1)
    token_ids = torch.randint(0, 29, (rows, width), generator=generator)
    mask = torch.rand((rows, width), generator=generator) < 0.5
    mask[:, 0] = False
    return token_ids, mask


def oracle(model, token_ids, temperature=1.0):
    logprobs = (model(input_ids=token_ids).logits.float() / temperature).log_softmax(-1)
    picked = logprobs[:, :-1].gather(-1, token_ids[:, 1:, None])[..., 0]
    entropy = -(logprobs.exp() * logprobs).sum(-1)[:, :-1]
    return tuple(torch.nn.functional.pad(part, (1, 0)) for part in (picked, entropy))


@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_statistics_are_those_of_the_full_forward_pass(tiny, temperature):
    token_ids, mask = some_tokens()
    got = TrainerPolicy(tiny, temperature=temperature).stats(token_ids, mask)
    logprobs, entropy = oracle(tiny, token_ids, temperature)
    torch.testing.assert_close(got.logprobs, logprobs * mask)
    torch.testing.assert_close(got.entropy, entropy * mask)
    assert not got.logprobs[:, 0].any()


def test_padding_changes_nothing(tiny):
    token_ids, mask = some_tokens(rows=1, width=6)
    policy = TrainerPolicy(tiny)
    alone = policy.stats(token_ids, mask)
    wide = torch.nn.functional.pad(token_ids, (0, 5))
    padded = policy.stats(wide, torch.nn.functional.pad(mask, (0, 5)))
    torch.testing.assert_close(padded.logprobs[:, :6], alone.logprobs)
    assert not padded.logprobs[:, 6:].any()


def gradients(policy, token_ids, mask):
    policy.model.zero_grad()
    stats = policy.stats(token_ids, mask)
    (stats.logprobs.sum() + 0.1 * stats.entropy.sum()).backward()
    return [parameter.grad.clone() for parameter in policy.parameters()]


def test_chunked_logits_give_the_same_gradients(tiny, monkeypatch):
    token_ids, mask = some_tokens()
    policy = TrainerPolicy(tiny)
    whole = gradients(policy, token_ids, mask)
    monkeypatch.setattr(policy_module, "_WHOLE_LOGITS", 0)
    monkeypatch.setattr(policy_module, "_CHUNK_LOGITS", 29 * 4)
    torch.testing.assert_close(gradients(policy, token_ids, mask), whole)


def test_activation_checkpointing_gives_the_same_gradients(tiny):
    token_ids, mask = some_tokens()
    plain = gradients(TrainerPolicy(tiny), token_ids, mask)
    recomputed = gradients(TrainerPolicy(tiny, activation_checkpointing=True), token_ids, mask)
    torch.testing.assert_close(recomputed, plain)


def test_bfloat16_is_close_and_keeps_float32_weights(tiny):
    token_ids, mask = some_tokens()
    exact = TrainerPolicy(tiny).stats(token_ids, mask)
    coarse = TrainerPolicy(tiny, bf16=True).stats(token_ids, mask)
    assert coarse.logprobs.dtype == torch.float32
    assert next(tiny.parameters()).dtype == torch.float32
    torch.testing.assert_close(coarse.logprobs, exact.logprobs, rtol=0.1, atol=0.1)


def test_dropout_is_off():
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(vocab_size=29, n_embd=16, n_layer=1, n_head=2, n_positions=32)
    policy = TrainerPolicy(GPT2LMHeadModel(config))
    token_ids, mask = some_tokens()
    first, second = (policy.stats(token_ids, mask) for _ in range(2))
    assert torch.equal(first.logprobs, second.logprobs)


def test_a_model_that_changes_its_logits_is_refused():
    from transformers import Gemma2Config, Gemma2ForCausalLM

    config = Gemma2Config(
        vocab_size=29,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=8,
        final_logit_softcapping=0.5,
        initializer_range=1.0,
    )
    with pytest.raises(ConfigError, match="changes its logits"):
        TrainerPolicy(Gemma2ForCausalLM(config))
