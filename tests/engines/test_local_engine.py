"""The engine against the slow obvious way: the whole stream through the model, every time."""

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from agentgym.engine import Loaded, SamplingConfig
from agentgym.engines.cache import RowCache
from agentgym.engines.local import LocalEngine, LocalEngineConfig
from agentgym.engines.model import ModelConfig, load_model
from agentgym.errors import EngineError
from agentgym.types import Completion

GREEDY = SamplingConfig(temperature=0, max_tokens=12)
SAMPLED = SamplingConfig(temperature=1, max_tokens=12)
PROMPTS = [[5, 6, 7], [9], list(range(20, 60)), [11, 12, 13, 14, 15, 16, 17], [280, 2, 45]]


@torch.no_grad()
def all_logits(loaded: Loaded, token_ids: Sequence[int]) -> torch.Tensor:
    return loaded.model(input_ids=torch.tensor([token_ids]), use_cache=False).logits[0]


def greedy(loaded: Loaded, prompt: Sequence[int], tokens: int) -> list[int]:
    ids = list(prompt)
    for _ in range(tokens):
        ids.append(int(all_logits(loaded, ids)[-1].argmax()))
    return ids[len(prompt) :]


def assert_logprobs_are_those_of_a_full_pass(
    loaded: Loaded, prompt: Sequence[int], completion: Completion, temperature: float = 1.0
) -> None:
    ids = [*prompt, *completion.token_ids]
    logprobs = (all_logits(loaded, ids) / temperature).log_softmax(-1)
    positions = np.arange(len(prompt) - 1, len(ids) - 1)
    expected = logprobs[positions, list(completion.token_ids)]
    np.testing.assert_allclose(completion.logprobs, expected, atol=1e-4)


@pytest.fixture
async def engine(loaded: Loaded) -> AsyncIterator[LocalEngine]:
    engine = LocalEngineConfig(max_batch=4, max_sessions=6).build(loaded)
    yield engine
    await engine.close()


async def talk(
    engine: LocalEngine, name: str, turns: int, *, sampling: SamplingConfig = SAMPLED
) -> list[tuple[list[int], Completion]]:
    """One episode: the prompt and completion of each turn."""
    ids = [3 + len(name), *name.encode()]
    record = []
    for turn in range(turns):
        completion = await engine.generate(ids, sampling, seed=turn, session=name)
        record.append((list(ids), completion))
        ids += [*completion.token_ids, 30 + turn, 31, 32]
    return record


async def test_greedy_is_the_argmax_of_full_passes_for_prompts_of_all_lengths_at_once(
    engine: LocalEngine, loaded: Loaded
) -> None:
    completions = await asyncio.gather(*[engine.generate(p, GREEDY, seed=0) for p in PROMPTS])
    for prompt, completion in zip(PROMPTS, completions, strict=True):
        assert list(completion.token_ids) == greedy(loaded, prompt, 12)
        assert_logprobs_are_those_of_a_full_pass(loaded, prompt, completion)


async def test_greedy_equals_generate_of_transformers(engine: LocalEngine, loaded: Loaded) -> None:
    ids = torch.tensor([PROMPTS[2]])
    expected = loaded.model.generate(
        ids, max_new_tokens=12, do_sample=False, eos_token_id=None, attention_mask=ids * 0 + 1
    )
    completion = await engine.generate(PROMPTS[2], GREEDY, seed=0)
    assert list(completion.token_ids) == expected[0, len(PROMPTS[2]) :].tolist()


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
async def test_logprobs_are_those_of_the_tempered_distribution(
    engine: LocalEngine, loaded: Loaded, temperature: float
) -> None:
    sampling = SamplingConfig(temperature=temperature, max_tokens=12)
    completions = await asyncio.gather(*[engine.generate(p, sampling, seed=1) for p in PROMPTS])
    for prompt, completion in zip(PROMPTS, completions, strict=True):
        assert_logprobs_are_those_of_a_full_pass(loaded, prompt, completion, temperature)


async def test_caches_kept_over_turns_and_evicted_ones_change_nothing(
    engine: LocalEngine, loaded: Loaded
) -> None:
    """Nine episodes share six rows, so that some turns find their cache and some do not."""
    records = await asyncio.gather(*[talk(engine, "e" * n, turns=4) for n in range(1, 10)])
    for record in records:
        for prompt, completion in record:
            assert_logprobs_are_those_of_a_full_pass(loaded, prompt, completion)


async def test_a_rewritten_context_is_noticed(engine: LocalEngine, loaded: Loaded) -> None:
    await engine.generate(list(range(20, 60)), SAMPLED, seed=0, session="s")
    for prompt in ([*range(20, 50), 7, 8], [1, 2, 3], [1, 2, 3]):
        completion = await engine.generate(prompt, SAMPLED, seed=0, session="s")
        assert_logprobs_are_those_of_a_full_pass(loaded, prompt, completion)


async def test_one_session_may_be_asked_twice_at_once(engine: LocalEngine, loaded: Loaded) -> None:
    prompts = [[5, 6, 7], [5, 6, 7, 8], [9, 1]]
    completions = await asyncio.gather(
        *[engine.generate(p, SAMPLED, seed=0, session="s") for p in prompts]
    )
    for prompt, completion in zip(prompts, completions, strict=True):
        assert_logprobs_are_those_of_a_full_pass(loaded, prompt, completion)


async def test_the_same_seed_draws_the_same_tokens_and_another_seed_others(
    engine: LocalEngine,
) -> None:
    first, again, other = await asyncio.gather(
        *[engine.generate(PROMPTS[0], SAMPLED, seed=seed) for seed in (1, 1, 2)]
    )
    assert first.token_ids == again.token_ids
    assert first.token_ids != other.token_ids


async def test_tokens_are_drawn_with_their_probabilities(
    engine: LocalEngine, loaded: Loaded
) -> None:
    """Over 2000 draws of one token, the empirical mean of its probability is the expected one."""
    one = SamplingConfig(temperature=0.3, max_tokens=1)
    drawn = await asyncio.gather(*[engine.generate([5, 6], one, seed=s) for s in range(2000)])
    probabilities = (all_logits(loaded, [5, 6])[-1] / 0.3).softmax(-1).double()
    seen = probabilities[[completion.token_ids[0] for completion in drawn]]
    expected = (probabilities**2).sum()
    error = ((probabilities * (probabilities - expected) ** 2).sum() / 2000).sqrt()
    assert abs(float(seen.mean() - expected)) < 4 * float(error)


async def test_a_stop_token_ends_a_completion_and_belongs_to_it(
    engine: LocalEngine, loaded: Loaded
) -> None:
    tokens = greedy(loaded, PROMPTS[2], 12)
    completion = await engine.generate(PROMPTS[2], GREEDY, seed=0, stop=[tokens[4]])
    end = tokens.index(tokens[4]) + 1
    assert list(completion.token_ids) == tokens[:end]
    assert completion.finish_reason == "stop"
    cut = await engine.generate(PROMPTS[2], GREEDY, seed=0)
    assert cut.finish_reason == "length"


async def test_a_completion_ends_where_the_context_does(
    engine: LocalEngine, loaded: Loaded
) -> None:
    prompt = [7] * (loaded.max_context - 3)
    completion = await engine.generate(prompt, SAMPLED, seed=0)
    assert (len(completion.token_ids), completion.finish_reason) == (3, "length")
    assert_logprobs_are_those_of_a_full_pass(loaded, prompt, completion)


@pytest.mark.parametrize(
    "prompt", [[], [1] * 96, [-1], [1_000_000]], ids=["empty", "full", "negative", "unknown"]
)
async def test_a_prompt_that_cannot_be_answered_is_an_error(
    engine: LocalEngine, prompt: list[int]
) -> None:
    with pytest.raises(EngineError):
        await engine.generate(prompt, SAMPLED, seed=0)


async def test_deterministic_completions_are_bit_equal_whatever_else_runs(loaded: Loaded) -> None:
    engine = LocalEngine(loaded.model, max_context=96, deterministic=True)
    alone = await talk(engine, "abc", turns=3)
    together = await asyncio.gather(*[talk(engine, name, turns=3) for name in ("x", "abc", "yy")])
    assert together[1] == alone
    await engine.close()


async def test_a_cancelled_request_makes_room(loaded: Loaded) -> None:
    engine = LocalEngine(loaded.model, max_context=96, max_batch=1, max_sessions=1)
    long = SamplingConfig(max_tokens=90)
    tasks = [asyncio.create_task(engine.generate([5], long, seed=s, session="s")) for s in range(3)]
    await asyncio.sleep(0.01)
    tasks[0].cancel()
    tasks[2].cancel()
    completion = await tasks[1]
    assert_logprobs_are_those_of_a_full_pass(loaded, [5], completion)
    assert all(task.cancelled() for task in (tasks[0], tasks[2]))
    await engine.close()


async def test_a_request_cancelled_beside_others_leaves_them_untouched(loaded: Loaded) -> None:
    engine = LocalEngine(loaded.model, max_context=96, max_batch=4, max_sessions=4)
    long = SamplingConfig(max_tokens=90)
    tasks = [
        asyncio.create_task(engine.generate([5 + s], long, seed=s, session=str(s)))
        for s in range(3)
    ]
    await asyncio.sleep(0.02)
    tasks[0].cancel()
    async with asyncio.timeout(20):
        for s in (1, 2):
            assert_logprobs_are_those_of_a_full_pass(loaded, [5 + s], await tasks[s])
    await engine.close()


async def test_released_sessions_are_forgotten_and_unknown_ones_ignored(
    engine: LocalEngine, loaded: Loaded
) -> None:
    await talk(engine, "s", turns=2)
    await engine.release("s")
    await engine.release("nobody")
    for prompt, completion in await talk(engine, "s", turns=2):
        assert_logprobs_are_those_of_a_full_pass(loaded, prompt, completion)


def altered(loaded: Loaded) -> dict[str, torch.Tensor]:
    state = {name: tensor.clone() for name, tensor in loaded.model.state_dict().items()}
    generator = torch.Generator().manual_seed(0)
    for tensor in state.values():
        tensor += 0.3 * torch.randn(tensor.shape, generator=generator) * tensor.std()
    state["lm_head.weight"] = state["model.embed_tokens.weight"]
    return state


async def test_new_weights_change_the_version_and_the_results(
    engine: LocalEngine, loaded: Loaded
) -> None:
    before = await talk(engine, "s", turns=2, sampling=GREEDY)
    await engine.load_weights(altered(loaded), version=5)
    after = await talk(engine, "s", turns=2, sampling=GREEDY)
    assert engine.version == 5
    assert before[0][1].versions == ((0, 0),)
    assert after[0][1].versions == ((0, 5),)
    assert before[0][1].token_ids != after[0][1].token_ids
    for prompt, completion in after:
        assert_logprobs_are_those_of_a_full_pass(loaded, prompt, completion)


async def test_a_completion_that_meets_new_weights_names_both_versions(
    engine: LocalEngine, loaded: Loaded
) -> None:
    long = SamplingConfig(max_tokens=90)
    tasks = [asyncio.create_task(engine.generate([5 + s], long, seed=s)) for s in range(6)]
    await asyncio.sleep(0.02)
    await engine.pause()
    await engine.load_weights(altered(loaded), version=1)
    await asyncio.sleep(0.02)
    assert not any(task.done() for task in tasks)
    await engine.resume()
    for seed, task in enumerate(tasks):
        completion = await task
        first, version = completion.versions[-1]
        assert version == 1
        # What was sampled since then is what the new weights say.
        prompt = [5 + seed, *completion.token_ids[:first]]
        rest = Completion(
            token_ids=completion.token_ids[first:],
            logprobs=completion.logprobs[first:],
            finish_reason="length",
        )
        assert_logprobs_are_those_of_a_full_pass(loaded, prompt, rest)


async def test_the_version_may_move_alone_when_the_module_is_shared(
    engine: LocalEngine, loaded: Loaded
) -> None:
    before = await engine.generate(PROMPTS[0], GREEDY, seed=0, session="s")
    loaded.model.load_state_dict(altered(loaded))
    await engine.load_weights(None, version=2)
    after = await engine.generate(PROMPTS[0], GREEDY, seed=0, session="s")
    assert after.versions == ((0, 2),)
    assert after.token_ids != before.token_ids
    assert_logprobs_are_those_of_a_full_pass(loaded, PROMPTS[0], after)


async def test_weights_come_from_a_folder_too(
    engine: LocalEngine, loaded: Loaded, tmp_path: Path
) -> None:
    before = await engine.logprobs([5, 6, 7])
    save_file(altered(loaded) | {"lm_head.weight": torch.empty(0)}, tmp_path / "a.safetensors")
    with pytest.raises(EngineError, match="of another shape"):
        await engine.load_weights(tmp_path, version=4)
    assert await engine.logprobs([5, 6, 7]) == before
    weights = altered(loaded)
    del weights["lm_head.weight"]
    save_file(weights, tmp_path / "a.safetensors")
    await engine.load_weights(tmp_path, version=4)
    assert engine.version == 4
    assert await engine.logprobs([5, 6, 7]) != before
    (tmp_path / "a.safetensors").write_bytes(b"cut")
    with pytest.raises(EngineError, match="cannot be read"):
        await engine.load_weights(tmp_path, version=5)
    with pytest.raises(EngineError, match=r"no \*\.safetensors"):
        await engine.load_weights(tmp_path / "nowhere", version=5)


async def test_given_tokens_have_the_logprobs_of_a_full_pass(
    engine: LocalEngine, loaded: Loaded
) -> None:
    ids = [5, 6, 7, 8, 9, 10]
    found = await engine.logprobs(ids)
    expected = all_logits(loaded, ids).log_softmax(-1)[np.arange(5), ids[1:]]
    np.testing.assert_allclose(found, expected, atol=1e-5)
    with pytest.raises(EngineError, match="token ids must be"):
        await engine.logprobs([5, 10**6])


async def test_weights_that_do_not_fit_are_an_error_and_change_nothing(
    engine: LocalEngine, loaded: Loaded
) -> None:
    state = altered(loaded)
    state["model.norm.weight"] = torch.zeros(3)
    before = await engine.generate(PROMPTS[0], GREEDY, seed=0)
    with pytest.raises(EngineError, match=r"model\.norm\.weight"):
        await engine.load_weights(state, version=1)
    with pytest.raises(EngineError, match="missing"):
        await engine.load_weights({}, version=1)
    assert engine.version == 0
    assert await engine.generate(PROMPTS[0], GREEDY, seed=0) == before


async def test_nothing_moves_while_paused(engine: LocalEngine) -> None:
    await engine.pause()
    task = asyncio.create_task(engine.generate([5], SAMPLED, seed=0))
    await asyncio.sleep(0.02)
    assert not task.done()
    await engine.resume()
    assert len((await task).token_ids) == 12


async def test_closing_fails_those_who_wait_and_may_happen_twice(engine: LocalEngine) -> None:
    await engine.pause()
    task = asyncio.create_task(engine.generate([5], SAMPLED, seed=0))
    await asyncio.sleep(0)
    await engine.close()
    with pytest.raises(EngineError):
        await task
    await engine.close()
    with pytest.raises(EngineError):
        await engine.generate([5], SAMPLED, seed=0)


async def test_a_model_that_computes_nan_is_an_error_of_the_engine(
    engine: LocalEngine, loaded: Loaded
) -> None:
    state = altered(loaded)
    state["model.norm.weight"][:] = float("nan")
    await engine.load_weights(state, version=1)
    with pytest.raises(EngineError, match="NaN"):
        await engine.generate([5], SAMPLED, seed=0, session="s")
    await engine.load_weights(altered(loaded) | {"model.norm.weight": torch.ones(32)}, version=2)
    await engine.generate([5], SAMPLED, seed=0, session="s")


async def test_a_fault_in_a_step_reaches_the_callers_and_the_engine_goes_on(
    engine: LocalEngine, loaded: Loaded
) -> None:
    hook = loaded.model.register_forward_pre_hook(lambda *_: 1 / 0)
    with pytest.raises(EngineError, match="ZeroDivisionError"):
        await engine.generate([5], SAMPLED, seed=0)
    hook.remove()
    await engine.generate([5], SAMPLED, seed=0)


def architecture(name: str) -> torch.nn.Module:
    import transformers

    torch.manual_seed(0)
    shape = {"vocab_size": 150, "hidden_size": 32, "num_hidden_layers": 2}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 64}
    configs = {
        "qwen2": lambda: transformers.Qwen2Config(**shape, **heads),
        "qwen3": lambda: transformers.Qwen3Config(**shape, **heads, head_dim=16),
        "gemma2": lambda: transformers.Gemma2Config(**shape, **heads, head_dim=16),
        "gpt2": lambda: transformers.GPT2Config(vocab_size=150, n_embd=32, n_layer=2, n_head=4),
        "gpt_neox": lambda: transformers.GPTNeoXConfig(
            **shape, num_attention_heads=4, intermediate_size=64
        ),
    }
    config = configs[name]()
    config.bos_token_id = config.eos_token_id = None
    return transformers.AutoModelForCausalLM.from_config(config)


@pytest.mark.parametrize("name", ["qwen2", "qwen3", "gemma2", "gpt2", "gpt_neox"])
async def test_other_architectures_agree_with_a_full_pass(loaded: Loaded, name: str) -> None:
    other = dataclasses.replace(loaded, model=architecture(name).eval())
    engine = LocalEngine(other.model, max_context=96, max_batch=3, max_sessions=3)
    records = await asyncio.gather(*[talk(engine, "e" * n, turns=3) for n in range(1, 5)])
    for prompt, completion in [turn for record in records for turn in record]:
        assert_logprobs_are_those_of_a_full_pass(other, prompt, completion)
    await engine.close()


async def test_bfloat16_stays_near_a_full_pass(folder: Path) -> None:
    loaded = load_model(ModelConfig(path=str(folder), dtype="bfloat16", device="cpu"))
    engine = LocalEngine(loaded.model, max_context=96)
    prompt, completion = (await talk(engine, "abc", turns=2))[1]
    ids = [*prompt, *completion.token_ids]
    logprobs = all_logits(loaded, ids).float().log_softmax(-1)
    expected = logprobs[np.arange(len(prompt) - 1, len(ids) - 1), list(completion.token_ids)]
    np.testing.assert_allclose(completion.logprobs, expected, atol=0.2)
    await engine.close()


@pytest.fixture
def computed(loaded: Loaded) -> Iterator[list[int]]:
    """How many tokens each pass of the model has, padding included."""
    sizes: list[int] = []
    before = loaded.model.model.register_forward_pre_hook(
        lambda _, args, kwargs: sizes.append(kwargs["input_ids"].numel()), with_kwargs=True
    )
    yield sizes
    before.remove()


async def test_a_prompt_that_many_share_is_computed_once(
    loaded: Loaded, computed: list[int]
) -> None:
    engine = LocalEngineConfig(max_batch=16).build(loaded)
    head = [20 + i % 50 for i in range(70)]
    prompts = [head] * 5 + [[*head[:66], 9, 9, 9]] * 4 + [[7, 7]]
    await engine.pause()
    asking = [
        asyncio.ensure_future(engine.generate(each, SAMPLED, seed=seed, session=f"s{seed}"))
        for seed, each in enumerate(prompts)
    ]
    await asyncio.sleep(0.05)
    await engine.resume()
    completions = await asyncio.gather(*asking)
    assert sum(computed) < 70 + 2 + 69 + 12 * len(prompts)  # alone they have 639
    for seed, (prompt, completion) in enumerate(zip(prompts, completions, strict=True)):
        assert_logprobs_are_those_of_a_full_pass(loaded, prompt, completion)
        alone = await engine.generate(prompt, SAMPLED, seed=seed)
        assert alone.token_ids == completion.token_ids
    await engine.close()


async def test_what_another_episode_has_cached_is_used(
    engine: LocalEngine, loaded: Loaded, computed: list[int]
) -> None:
    head = [20 + i % 50 for i in range(60)]
    first = await engine.generate(head, SAMPLED, seed=0, session="first")
    computed.clear()
    ids = [*head, *first.token_ids[:4], 9, 9]
    second = await engine.generate(ids, SAMPLED, seed=1, session="second")
    assert computed[0] <= 3
    assert_logprobs_are_those_of_a_full_pass(loaded, ids, second)
    await engine.load_weights(None, version=1)
    computed.clear()
    assert_logprobs_are_those_of_a_full_pass(
        loaded, ids, await engine.generate(ids, SAMPLED, seed=1, session="third")
    )
    assert computed[0] == len(ids)


@pytest.mark.parametrize(("tokens", "cells"), [(16, 2**25), (8192, 16 * 96), (1, 1)])
async def test_a_long_prompt_is_computed_piece_by_piece(
    loaded: Loaded,
    computed: list[int],
    monkeypatch: pytest.MonkeyPatch,
    tokens: int,
    cells: int,
) -> None:
    monkeypatch.setattr("agentgym.engines.decoder._PREFILL_TOKENS", tokens)
    monkeypatch.setattr("agentgym.engines.decoder._MASK_CELLS", cells)
    engine = LocalEngineConfig().build(loaded)
    prompts = [[20 + i * j % 50 for i in range(70)] for j in range(1, 4)] + [[7]]
    completions = await asyncio.gather(*[engine.generate(p, SAMPLED, seed=3) for p in prompts])
    await engine.close()
    assert max(computed) <= max(tokens if tokens < 100 else cells // 80, len(prompts))
    for prompt, completion in zip(prompts, completions, strict=True):
        assert_logprobs_are_those_of_a_full_pass(loaded, prompt, completion)


async def test_memory_grows_with_the_contexts_that_are_used(
    loaded: Loaded, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agentgym.engines.cache._FIRST", 16)
    engine = LocalEngineConfig(max_batch=4).build(loaded)
    cache = engine._decoder._cache
    short = await engine.generate([7, 8], SAMPLED, seed=0, session="short")
    assert cache.columns == 16
    ids = [7, 8, *short.token_ids, 9, 9]
    long = [20 + i % 50 for i in range(70)]
    both = await asyncio.gather(
        engine.generate(long, SAMPLED, seed=1),
        engine.generate(ids, SAMPLED, seed=2, session="short"),
    )
    assert cache.columns == 96 + 16
    for prompt, completion in zip((long, ids), both, strict=True):
        assert_logprobs_are_those_of_a_full_pass(loaded, prompt, completion)
    await engine.close()


async def test_a_pass_that_fails_leaves_nobody_waiting(
    loaded: Loaded, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = LocalEngineConfig().build(loaded)
    monkeypatch.setattr(RowCache, "move", _no_memory)
    head = [20 + i % 50 for i in range(70)]
    asking = [engine.generate(head, SAMPLED, seed=seed) for seed in range(4)]
    found = await asyncio.wait_for(asyncio.gather(*asking, return_exceptions=True), 10)
    assert any(isinstance(each, EngineError) for each in found)
    monkeypatch.undo()
    assert len((await engine.generate(head, SAMPLED, seed=0)).token_ids) == 12
    await engine.close()


def _no_memory(*_: object, **__: object) -> None:
    raise MemoryError("no memory")
