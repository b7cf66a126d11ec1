"""What of the vLLM engine needs no vLLM: settings, words to and from it, its log."""

import os
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from engine_conformance import make_model
from hypothesis import given, strategies as st
from pydantic import TypeAdapter, ValidationError
from vllm_engines import CONFIG, loaded

from agentgym.engine import SamplingConfig
from agentgym.engines import AnyEngine
from agentgym.engines.vllm.arguments import check_model, check_platform, engine_arguments
from agentgym.engines.vllm.completion import (
    REQUEST_ARGUMENTS,
    sampling_arguments,
    scoring_arguments,
    spread,
    to_completion,
    to_scores,
)
from agentgym.engines.vllm.core import root_cause
from agentgym.engines.vllm.environment import environment
from agentgym.engines.vllm.settings import VllmEngineConfig
from agentgym.engines.vllm.shapes import ModelShapes
from agentgym.engines.vllm.versions import check_arguments, lacks
from agentgym.errors import ConfigError, EngineError, MissingError


def test_it_is_chosen_by_name() -> None:
    made = TypeAdapter(AnyEngine).validate_python({"name": "vllm", "max_batch": 4})
    assert made == VllmEngineConfig(max_batch=4)
    with pytest.raises(ValidationError, match="adapter"):
        VllmEngineConfig(adapter="somewhere", sync="nccl")


@pytest.mark.skipif(find_spec("vllm") is not None, reason="vLLM is installed")
async def test_without_vllm_a_start_says_what_to_install(tmp_path: Path) -> None:
    engine = CONFIG.build(loaded(tmp_path))
    with pytest.raises(MissingError, match="not installed") as told:
        await engine.start()
    assert "agentgym-framework[vllm]" in str(told.value.hint)
    with pytest.raises(EngineError, match="not started"):
        await engine.generate([5], SamplingConfig(), seed=0)
    with pytest.raises(EngineError, match="not running"):
        await engine.load_weights(None, version=1)
    await engine.close()
    await engine.close()
    with pytest.raises(EngineError, match="closed"):
        await engine.logprobs([5, 6])


def test_deterministic_is_one_request_at_a_time(tmp_path: Path) -> None:
    one = engine_arguments(CONFIG, loaded(tmp_path), deterministic=True, on_cpu=True)
    assert (one["max_num_seqs"], one["enable_prefix_caching"]) == (1, False)
    many = engine_arguments(CONFIG, loaded(tmp_path), deterministic=False, on_cpu=False)
    assert (many["max_num_seqs"], many["enable_prefix_caching"]) == (64, True)
    assert many["logprobs_mode"] == "processed_logprobs"


def test_what_the_platform_cannot_do_is_a_config_error() -> None:
    cpu = SimpleNamespace(
        device_name="cpu", is_sleep_mode_available=lambda: False, is_cuda_alike=lambda: False
    )
    check_platform(CONFIG, cpu)
    for change in ({"sleep": True}, {"sync": "ipc"}, {"sync": "nccl"}):
        with pytest.raises(ConfigError, match=r"engine\.s"):
            check_platform(CONFIG.model_copy(update=change), cpu)


@pytest.mark.parametrize(("size", "fits"), [(16, False), (48, False), (32, True), (128, True)])
def test_heads_that_a_cpu_cannot_compute_are_refused(size: int, fits: bool) -> None:
    text = SimpleNamespace(num_attention_heads=2, hidden_size=2 * size, head_dim=None)
    shape = SimpleNamespace(get_text_config=lambda: text)
    check_model(shape, on_cpu=False)
    if fits:
        check_model(shape, on_cpu=True)
    else:
        with pytest.raises(ConfigError, match=f"have {size} numbers"):
            check_model(shape, on_cpu=True)


@given(st.lists(st.integers(0, 2**63 - 1), unique=True, min_size=2))
def test_seeds_stay_apart(seeds: list[int]) -> None:
    found = {spread(seed) for seed in seeds}
    assert len(found) == len(seeds)
    assert all(0 <= each < 2**63 for each in found)


def test_seeds_that_differ_only_above_differ_in_their_low_bits() -> None:
    low = {spread(7 + (number << 40)) % 2**32 for number in range(10_000)}
    assert len(low) > 9_990
    for seed in (-1, 2**63):
        with pytest.raises(EngineError, match="seed"):
            spread(seed)


def test_every_argument_of_a_request_is_checked_at_start() -> None:
    asked = sampling_arguments(SamplingConfig(), limit=3, seed=1, stop=[2, 999, -4], vocabulary=10)
    assert asked["stop_token_ids"] == [2]
    assert {*asked, *scoring_arguments()} < set(REQUEST_ARGUMENTS)
    with pytest.raises(EngineError, match=r"temperature 0\.004"):
        sampling_arguments(
            SamplingConfig(temperature=0.004), limit=3, seed=1, stop=[], vocabulary=10
        )


def output(**changes: Any) -> SimpleNamespace:
    logprobs = SimpleNamespace(token_ids=[4, 5], logprobs=[-1.0, -2.0])
    spans = [SimpleNamespace(version="3", start=0, end=1), SimpleNamespace(version="4", start=1)]
    given: dict[str, Any] = {
        "token_ids": [4, 5],
        "logprobs": logprobs,
        "finish_reason": "length",
        "weight_versions": spans,
    }
    return SimpleNamespace(**given | changes)


def test_an_answer_becomes_a_completion() -> None:
    completion = to_completion(output(), stop=[5])
    assert (completion.token_ids, completion.logprobs) == ((4, 5), (-1.0, -2.0))
    assert (completion.finish_reason, completion.versions) == ("stop", ((0, 3), (1, 4)))


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"finish_reason": "abort"}, "early"),
        ({"token_ids": []}, "early"),
        ({"token_ids": [4, 6]}, "not those of the tokens"),
        ({"logprobs": SimpleNamespace(token_ids=[4, 5], logprobs=[-1.0, float("nan")])}, "NaN"),
        ({"logprobs": SimpleNamespace(token_ids=[4, 5], logprobs=[-1.0, None])}, "NaN"),
        ({"logprobs": SimpleNamespace(token_ids=[4, 5], logprobs=[float("-inf"), 0.0])}, "NaN"),
        ({"logprobs": None}, "told no log-probabilities"),
    ],
)
def test_an_answer_that_is_no_completion_is_an_error(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(EngineError, match=told):
        to_completion(output(**changes), stop=[])


def test_scores_are_those_of_the_ids_that_were_asked_for() -> None:
    scores = SimpleNamespace(token_ids=[5, 6], logprobs=[-1.0, -2.0])
    assert to_scores(SimpleNamespace(prompt_logprobs=scores), [4, 5, 6]) == (-1.0, -2.0)
    for wrong in (None, SimpleNamespace(token_ids=[5, 7], logprobs=[-1.0, -2.0])):
        with pytest.raises(EngineError, match="prompt"):
            to_scores(SimpleNamespace(prompt_logprobs=wrong), [4, 5, 6])


@pytest.mark.parametrize(
    ("lines", "cause"),
    [
        (["INFO all is well"], None),
        (
            [
                "ERROR x ValueError: the layer does not fit",
                "ERROR y Exception: WorkerProc initialization failed due to an exception",
                "RuntimeError: Engine core initialization failed. See root cause above.",
            ],
            "ValueError: the layer does not fit",
        ),
        (
            ["ERROR Worker proc VllmWorker-0 died unexpectedly", "RuntimeError: cancelled"],
            "Worker proc VllmWorker-0 died",
        ),
        (["ERROR a.b torch.OutOfMemoryError: CUDA out"], "OutOfMemoryError: CUDA out"),
    ],
)
def test_a_log_tells_why(tmp_path: Path, lines: list[str], cause: str | None) -> None:
    log = tmp_path / "vllm.log"
    assert root_cause(log) is None
    log.write_text("\n".join(lines))
    assert root_cause(log) == cause


def test_the_environment_is_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THERE", "1")
    monkeypatch.delenv("NOT_THERE", raising=False)
    with environment({"THERE": "2", "NOT_THERE": "3"}):
        assert (os.environ["THERE"], os.environ["NOT_THERE"]) == ("2", "3")
        os.environ["SET_BY_VLLM"] = "4"
    assert os.environ["THERE"] == "1"
    assert not {"NOT_THERE", "SET_BY_VLLM"} & os.environ.keys()


def test_an_interface_is_compared_by_names() -> None:
    class Some:
        def call(self, a: int) -> None: ...

    assert lacks(Some, "call", ("a", "b")) == ["Some.call(b)"]
    assert lacks(Some, "more", ()) == ["Some.more"]
    if find_spec("vllm") is not None:
        with pytest.raises(MissingError, match="takes no zzz"):
            check_arguments(Some.call, ["a", "zzz"])


def test_shapes_are_those_of_the_folder(tmp_path: Path) -> None:
    model = make_model(tmp_path, "llama", tied=True)
    shapes = ModelShapes(tmp_path)
    shapes.learn()
    assert shapes.is_tied
    shapes.check(tmp_path)
    state = model.state_dict()
    shapes.check(state)
    assert "lm_head.weight" in state
    assert "lm_head.weight" not in shapes.once(state)
    with pytest.raises(EngineError, match="missing"):
        shapes.check({name: each for name, each in state.items() if "norm" not in name})
    with pytest.raises(ConfigError, match=r"config\.json"):
        ModelShapes(tmp_path / "nowhere").learn()
