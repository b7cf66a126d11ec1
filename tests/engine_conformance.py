"""What every engine must do, against the slow obvious way: the whole stream through the model.

A test module subclasses `EngineConformance` and offers the fixture `subject`.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from agentgym.engine import Engine, SamplingConfig
from agentgym.errors import EngineError
from agentgym.types import Completion

VOCABULARY = 320
MAX_CONTEXT = 128
PROMPTS = [[5, 6, 7], [9], list(range(20, 60)), [11, 12, 13, 14, 15, 16, 17], [280, 2, 45]]
GREEDY = SamplingConfig(temperature=0, max_tokens=12)
SAMPLED = SamplingConfig(temperature=1, max_tokens=12)
LONG = SamplingConfig(max_tokens=MAX_CONTEXT)
GAP = 1e-3  # nats, the most that engine and trainer may differ by in float32


def make_model(folder: Path, kind: str, *, tied: bool) -> Any:
    """A random transformers model with heads of 32 numbers, far from uniform, and its folder."""
    import transformers

    shape: dict[str, Any] = {
        "vocab_size": VOCABULARY,
        "hidden_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "intermediate_size": 96,
        "head_dim": 32,
        "max_position_embeddings": MAX_CONTEXT,
        "tie_word_embeddings": tied,
    }
    config = {
        "llama": transformers.LlamaConfig,
        "qwen2": transformers.Qwen2Config,
        "qwen3": transformers.Qwen3Config,
    }[kind](**shape)
    config.bos_token_id = config.eos_token_id = config.pad_token_id = None
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()
    model.load_state_dict(altered(model, seed=0))
    model.save_pretrained(folder)
    return model


def altered(model: Any, *, seed: int, by: float = 0.2) -> dict[str, torch.Tensor]:
    """Weights of the same names, moved; tied ones stay tied."""
    generator = torch.Generator().manual_seed(seed)
    moved: dict[int, torch.Tensor] = {}
    state = {}
    for name, tensor in model.state_dict().items():
        if tensor.data_ptr() not in moved:
            noise = torch.randn(tensor.shape, generator=generator)
            moved[tensor.data_ptr()] = tensor + by * noise
        state[name] = moved[tensor.data_ptr()]
    return state


def untied(model: Any, weights: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The weights, each of them once."""
    twice = {"lm_head.weight"} if model.config.tie_word_embeddings else set()
    return {name: tensor for name, tensor in weights.items() if name not in twice}


@dataclass
class Subject:
    """An engine under test and the model whose weights it begins each test with."""

    engine: Engine
    model: Any
    """Stays as it is."""

    async def use(self, weights: Mapping[str, torch.Tensor], *, version: int) -> "Reference":
        """Load weights, and return what computes with them."""
        await self.engine.load_weights(weights, version=version)
        return Reference(self.model, weights)


@dataclass
class Reference:
    """A model with weights laid over it, computing without any cache."""

    model: Any
    weights: Mapping[str, torch.Tensor]

    @torch.no_grad()
    def logits(self, token_ids: Sequence[int]) -> torch.Tensor:
        weights = untied(self.model, self.weights)
        asked = {"input_ids": torch.tensor([token_ids]), "use_cache": False}
        output = torch.func.functional_call(self.model, weights, kwargs=asked)
        return output.logits[0]

    def logprobs(self, token_ids: Sequence[int], temperature: float = 1.0) -> torch.Tensor:
        """[L - 1], of each id after the first."""
        table = (self.logits(token_ids)[:-1] / temperature).log_softmax(-1)
        return table.gather(-1, torch.tensor(token_ids)[1:, None])[:, 0]

    def greedy(self, prompt: Sequence[int], tokens: int) -> list[int]:
        ids = list(prompt)
        for _ in range(tokens):
            ids.append(int(self.logits(ids)[-1].argmax()))
        return ids[len(prompt) :]

    def check(
        self,
        prompt: Sequence[int],
        completion: Completion,
        temperature: float = 1.0,
        *,
        first: int = 0,
    ) -> None:
        """The completion has this model's log-probabilities from its token `first` on."""
        ids = [*prompt, *completion.token_ids]
        expected = self.logprobs(ids, temperature)[len(prompt) - 1 + first :]
        np.testing.assert_allclose(completion.logprobs[first:], expected, atol=GAP)


@pytest.fixture
def base(subject: Subject) -> Reference:
    return Reference(subject.model, subject.model.state_dict())


@asynccontextmanager
async def deadline(seconds: float = 60) -> AsyncIterator[None]:
    async with asyncio.timeout(seconds):
        yield


async def talk(
    engine: Engine, name: str, turns: int, *, sampling: SamplingConfig = SAMPLED
) -> list[tuple[list[int], Completion]]:
    """One episode: the prompt and completion of each turn."""
    ids = [3 + len(name), *name.encode()]
    record = []
    for turn in range(turns):
        completion = await engine.generate(ids, sampling, seed=turn, session=name)
        record.append((list(ids), completion))
        ids += [*completion.token_ids, 30 + turn, 31, 32]
    await engine.release(name)
    return record


async def until(condition: Callable[[], bool]) -> None:
    async with deadline():
        while not condition():  # noqa: ASYNC110  nobody sets an event
            await asyncio.sleep(0.01)


class EngineConformance:
    """The behaviours. Everything but `subject` is the same for all engines."""

    async def test_greedy_is_the_argmax_of_full_passes(
        self, subject: Subject, base: Reference
    ) -> None:
        asked = [subject.engine.generate(prompt, GREEDY, seed=0) for prompt in PROMPTS]
        for prompt, completion in zip(PROMPTS, await asyncio.gather(*asked), strict=True):
            assert list(completion.token_ids) == base.greedy(prompt, 12)
            base.check(prompt, completion)

    @pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
    async def test_logprobs_are_those_of_the_tempered_distribution(
        self, subject: Subject, base: Reference, temperature: float
    ) -> None:
        sampling = SamplingConfig(temperature=temperature, max_tokens=12)
        asked = [subject.engine.generate(prompt, sampling, seed=1) for prompt in PROMPTS]
        for prompt, completion in zip(PROMPTS, await asyncio.gather(*asked), strict=True):
            base.check(prompt, completion, temperature)

    async def test_tokens_are_drawn_with_their_probabilities(
        self, subject: Subject, base: Reference
    ) -> None:
        """Over 600 draws of one token, the mean of its probability is the expected one."""
        one = SamplingConfig(temperature=1.5, max_tokens=1)
        asked = [subject.engine.generate([5, 6], one, seed=seed) for seed in range(600)]
        drawn = [completion.token_ids[0] for completion in await asyncio.gather(*asked)]
        probabilities = (base.logits([5, 6])[-1] / 1.5).softmax(-1).double()
        expected = (probabilities**2).sum()
        error = ((probabilities * (probabilities - expected) ** 2).sum() / 600).sqrt()
        assert abs(float(probabilities[drawn].mean() - expected)) < 4 * float(error)

    async def test_episodes_at_once_have_the_logprobs_of_full_passes(
        self, subject: Subject, base: Reference
    ) -> None:
        asked = [talk(subject.engine, "e" * n, turns=4) for n in range(1, 13)]
        for record in await asyncio.gather(*asked):
            for prompt, completion in record:
                base.check(prompt, completion)

    async def test_hundreds_of_calls_at_once_are_answered(
        self, subject: Subject, base: Reference
    ) -> None:
        prompts = [[5 + seed % 300, seed % 7] for seed in range(300)]
        asked = [subject.engine.generate(p, SAMPLED, seed=s) for s, p in enumerate(prompts)]
        completions = await asyncio.gather(*asked)
        for prompt, completion in list(zip(prompts, completions, strict=True))[::50]:
            base.check(prompt, completion)

    async def test_a_seed_gives_the_same_tokens_and_another_seed_others(
        self, subject: Subject
    ) -> None:
        seeds = (1, 1, 2, 1 + 2**32, 2**62 + 1, 2**63 - 1)
        drawn = [await subject.engine.generate([5], SAMPLED, seed=seed) for seed in seeds]
        assert drawn[0] == drawn[1]
        assert len({completion.token_ids for completion in drawn}) == len(seeds) - 1

    async def test_a_stop_token_ends_a_completion_and_belongs_to_it(
        self, subject: Subject, base: Reference
    ) -> None:
        tokens = base.greedy(PROMPTS[2], 12)
        stop = [tokens[4], VOCABULARY + 5, -1]
        completion = await subject.engine.generate(PROMPTS[2], GREEDY, seed=0, stop=stop)
        assert list(completion.token_ids) == tokens[: tokens.index(tokens[4]) + 1]
        assert completion.finish_reason == "stop"
        cut = await subject.engine.generate(PROMPTS[2], GREEDY, seed=0)
        assert (len(cut.token_ids), cut.finish_reason) == (12, "length")

    async def test_a_completion_ends_where_the_context_does(
        self, subject: Subject, base: Reference
    ) -> None:
        prompt = [7] * (MAX_CONTEXT - 3)
        completion = await subject.engine.generate(prompt, SAMPLED, seed=0)
        assert (len(completion.token_ids), completion.finish_reason) == (3, "length")
        base.check(prompt, completion)

    @pytest.mark.parametrize(
        "prompt",
        [[], [1] * MAX_CONTEXT, [-1], [VOCABULARY], [10**12]],
        ids=["empty", "full", "negative", "unknown", "huge"],
    )
    async def test_a_prompt_that_cannot_be_answered_is_an_error_and_nothing_else(
        self, subject: Subject, prompt: list[int]
    ) -> None:
        for ask in (subject.engine.logprobs, lambda p: subject.engine.generate(p, GREEDY, seed=0)):
            with pytest.raises(EngineError):
                await ask(prompt)
        await subject.engine.generate([5], GREEDY, seed=0)

    async def test_given_tokens_have_the_logprobs_of_a_full_pass(
        self, subject: Subject, base: Reference
    ) -> None:
        for ids in ([5, 6, 7, 8, 9, 10], [3, 3], [4], list(range(MAX_CONTEXT - 1))):
            found = await subject.engine.logprobs(ids)
            np.testing.assert_allclose(found, base.logprobs(ids), atol=GAP)

    async def test_new_weights_change_version_and_results(
        self, subject: Subject, base: Reference
    ) -> None:
        for version in (1, 2, 7):
            new = await subject.use(altered(subject.model, seed=version), version=version)
            assert subject.engine.version == version
            for prompt, completion in await talk(subject.engine, "s", turns=2, sampling=GREEDY):
                assert completion.versions == ((0, version),)
                assert list(completion.token_ids) == new.greedy(prompt, 12)
                new.check(prompt, completion)
        found = torch.tensor(await subject.engine.logprobs(PROMPTS[2]))
        assert (found - base.logprobs(PROMPTS[2])).abs().max() > 0.1

    async def test_requests_under_way_go_on_with_new_weights_and_lose_no_token(
        self, subject: Subject, base: Reference
    ) -> None:
        tasks = [
            asyncio.create_task(subject.engine.generate([5 + s], LONG, seed=s)) for s in range(6)
        ]
        await asyncio.sleep(0.05)
        new = await subject.use(altered(subject.model, seed=1), version=1)
        spans = set()
        for seed, task in enumerate(tasks):
            completion = await task
            assert len(completion.token_ids) == MAX_CONTEXT - 1
            (*old, (first, version)) = completion.versions
            assert version == 1
            assert old in ([], [(0, 0)])
            new.check([5 + seed], completion, first=first)
            if first:
                np.testing.assert_allclose(
                    completion.logprobs[:first],
                    base.logprobs([5 + seed, *completion.token_ids])[:first],
                    atol=GAP,
                )
            spans.add(first > 0)
        assert True in spans

    async def test_weights_taken_while_paused_wait_for_resume(self, subject: Subject) -> None:
        tasks = [
            asyncio.create_task(subject.engine.generate([5 + s], LONG, seed=s)) for s in range(4)
        ]
        await asyncio.sleep(0.02)
        await subject.engine.pause()
        new = await subject.use(altered(subject.model, seed=3), version=3)
        await asyncio.sleep(0.2)
        assert not any(task.done() for task in tasks)
        await subject.engine.resume()
        async with deadline():
            for seed, task in enumerate(tasks):
                completion = await task
                assert completion.versions[-1][1] == 3
                new.check([5 + seed], completion, first=completion.versions[-1][0])

    async def test_the_version_may_move_alone(self, subject: Subject, base: Reference) -> None:
        await subject.engine.load_weights(None, version=4)
        completion = await subject.engine.generate(PROMPTS[0], GREEDY, seed=0)
        assert completion.versions == ((0, 4),)
        base.check(PROMPTS[0], completion)

    async def test_weights_come_from_a_folder_too(self, subject: Subject, tmp_path: Path) -> None:
        weights = altered(subject.model, seed=5)
        save_file(untied(subject.model, weights), tmp_path / "model.safetensors")
        await subject.engine.load_weights(tmp_path, version=5)
        new = Reference(subject.model, weights)
        found = await subject.engine.logprobs(PROMPTS[2])
        np.testing.assert_allclose(found, new.logprobs(PROMPTS[2]), atol=GAP)
        (tmp_path / "model.safetensors").write_bytes(b"cut")
        with pytest.raises(EngineError, match="cannot be read"):
            await subject.engine.load_weights(tmp_path, version=6)
        with pytest.raises(EngineError, match=r"no \*\.safetensors"):
            await subject.engine.load_weights(tmp_path / "nowhere", version=6)
        assert await subject.engine.logprobs(PROMPTS[2]) == found

    @pytest.mark.parametrize("spoilt", ["unknown", "missing", "shape", "nothing"])
    async def test_weights_that_do_not_fit_are_an_error_and_change_nothing(
        self, subject: Subject, base: Reference, spoilt: str
    ) -> None:
        weights = altered(subject.model, seed=6)
        if spoilt == "unknown":
            weights["model.more"] = torch.zeros(3)
        elif spoilt == "missing":
            del weights["model.norm.weight"]
        elif spoilt == "shape":
            weights["model.norm.weight"] = torch.zeros(3)
        else:
            weights = {}
        with pytest.raises(EngineError, match="do not fit"):
            await subject.engine.load_weights(weights, version=9)
        assert subject.engine.version == 0
        completion = await subject.engine.generate(PROMPTS[0], GREEDY, seed=0)
        assert completion.versions == ((0, 0),)
        base.check(PROMPTS[0], completion)

    async def test_a_model_that_computes_nan_is_an_error_and_may_be_mended(
        self, subject: Subject
    ) -> None:
        weights = altered(subject.model, seed=7)
        broken = weights | {"model.norm.weight": torch.full((64,), float("nan"))}
        await subject.engine.load_weights(broken, version=1)
        for sampling in (GREEDY, SAMPLED):
            with pytest.raises(EngineError, match="NaN"):
                await subject.engine.generate([5], sampling, seed=0)
        mended = await subject.use(weights, version=2)
        mended.check([5], await subject.engine.generate([5], SAMPLED, seed=0))

    async def test_cancelled_requests_leave_others_untouched(
        self, subject: Subject, base: Reference
    ) -> None:
        tasks = [
            asyncio.create_task(subject.engine.generate([5 + s], LONG, seed=s)) for s in range(12)
        ]
        await asyncio.sleep(0.03)
        for task in tasks[::2]:
            task.cancel()
        async with deadline():
            for seed in range(1, 12, 2):
                base.check([5 + seed], await tasks[seed])
        assert all(task.cancelled() for task in tasks[::2])

    async def test_nothing_moves_while_paused(self, subject: Subject) -> None:
        await subject.engine.pause()
        task = asyncio.create_task(subject.engine.generate([5], SAMPLED, seed=0))
        await asyncio.sleep(0.2)
        assert not task.done()
        await subject.engine.resume()
        async with deadline():
            assert len((await task).token_ids) == 12

    async def test_an_engine_that_slept_answers_with_the_weights_it_is_given(
        self, subject: Subject
    ) -> None:
        await subject.engine.sleep()
        task = asyncio.create_task(subject.engine.generate([5], SAMPLED, seed=0))
        await asyncio.sleep(0.1)
        await subject.engine.wake()
        new = await subject.use(altered(subject.model, seed=8), version=8)
        async with deadline():
            await task
        new.check([5], await subject.engine.generate([5], SAMPLED, seed=0))

    async def test_starting_again_does_nothing(self, subject: Subject, base: Reference) -> None:
        await subject.engine.start()
        base.check([5], await subject.engine.generate([5], SAMPLED, seed=0))
