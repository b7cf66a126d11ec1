import numpy as np
import pytest
import torch

from agentgym.engines.draw import draw

SIZES = [2, 300, 4096, 4097, 20_000]


def slowly(
    logits: torch.Tensor, uniform: float, temperature: float
) -> tuple[int, float, np.ndarray]:
    """Return what one row should give, all of it in float64, and its distribution function."""
    logprobs = (logits.double() / (temperature or 1)).log_softmax(-1).numpy()
    ends = np.exp(logprobs).cumsum()
    token = int(np.searchsorted(ends, uniform * ends[-1], side="right"))
    token = token if temperature else int(logits.argmax())
    return token, logprobs[token], ends


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("temperature", [0.0, 0.7, 1.0, 2.0])
def test_the_token_is_that_of_the_distribution_function(size: int, temperature: float) -> None:
    rng = np.random.default_rng(size)
    logits = torch.from_numpy(rng.normal(0, 3, (32, size))).float()
    uniforms = rng.random(32)
    uniforms[:2] = 0.0, np.nextafter(1.0, 0.0)
    found = draw(logits, uniforms, np.full(32, temperature))
    for row, (token, logprob) in enumerate(zip(*found, strict=True)):
        expected, _, ends = slowly(logits[row], uniforms[row], temperature)
        if token != expected:  # only where the number falls on the boundary of the two
            between = ends[min(token, expected)]
            assert abs(between - uniforms[row]) < 1e-6, (token, expected)
        exact = (logits[row].double() / (temperature or 1)).log_softmax(-1)[token]
        assert logprob == pytest.approx(float(exact), abs=2e-6)
        assert logprob == np.float32(logprob)


@pytest.mark.parametrize("size", SIZES)
def test_rows_of_a_batch_do_not_know_of_each_other(size: int) -> None:
    rng = np.random.default_rng(1)
    logits = torch.from_numpy(rng.normal(0, 3, (8, size))).float()
    uniforms, temperatures = rng.random(8), np.array([0.0, 0.5, 1.0, 2.0] * 2)
    together = draw(logits, uniforms, temperatures)
    for row in range(8):
        one = slice(row, row + 1)
        alone = draw(logits[one], uniforms[one], temperatures[one])
        assert alone.tokens[0] == together.tokens[row]
        assert alone.logprobs[0] == together.logprobs[row]


@pytest.mark.parametrize("size", SIZES)
def test_what_cannot_be_is_never_drawn(size: int) -> None:
    logits = torch.full((64, size), -torch.inf)
    possible = np.arange(64) % size
    logits[np.arange(64), possible] = 0.0
    uniforms = np.linspace(0, np.nextafter(1.0, 0.0), 64)
    found = draw(logits, uniforms, np.ones(64))
    assert (found.tokens == possible).all()
    assert (found.logprobs == 0).all()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_logits_that_are_no_numbers_have_no_logprob(size: int, wrong: float) -> None:
    logits = torch.zeros(2, size)
    logits[1, 1] = wrong
    found = draw(logits, np.array([0.5, 0.5]), np.ones(2))
    assert np.isfinite(found.logprobs[0])
    assert np.isnan(found.logprobs[1])
    assert ((found.tokens >= 0) & (found.tokens < size)).all()


def test_the_logits_are_left_as_they_were() -> None:
    logits = torch.zeros(2, 5)
    draw(logits, np.array([0.5, 0.1]), np.array([0.5, 1.0]))
    assert (logits == 0).all()


def test_frequencies_are_the_probabilities() -> None:
    logits = torch.tensor([[0.0, 1.0, 2.0, -1.0]]).repeat(20_000, 1)
    tokens = draw(logits, (np.arange(20_000) + 0.5) / 20_000, np.ones(20_000)).tokens
    expected = logits[0].softmax(-1).numpy()
    assert np.bincount(tokens, minlength=4) / 20_000 == pytest.approx(expected, abs=1e-4)
