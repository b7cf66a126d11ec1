"""The numbers of shapers and reward functions, as data: tests/vectors/credit.json."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from strategies import make_group, make_step

from agentgym.rewards.bleu import length_aware_bleu
from agentgym.rewards.carr import Rubric, rubric_reward
from agentgym.rewards.length import budget_reward, length_budget, overlong_penalty
from agentgym.rewards.par import par_reward
from agentgym.rewards.toolrl import correctness, toolrl_reward
from agentgym.table import StepTable, build_table
from agentgym.trainers.shaping.base import WeightedTerm
from agentgym.trainers.shaping.cgrpo import CGRPO
from agentgym.trainers.shaping.datarus import Datarus
from agentgym.trainers.shaping.forms import Budget, Overlong
from agentgym.trainers.shaping.gated import Gated, Level
from agentgym.trainers.shaping.progressive import Progressive, Stage
from agentgym.trainers.shaping.searchllm import SearchLLM
from agentgym.trainers.shaping.terms import Term, Terms

_PATH = Path(__file__).parents[1] / "vectors" / "credit.json"
VECTORS = {vector["id"]: vector for vector in json.loads(_PATH.read_text())["vectors"]}
FAMILIES = {"gra", "searchllm", "prs", "toolrl", "carr", "par", "tlts", "datarus"}

SEARCHLLM = ["searchllm.gate.all_ok", "searchllm.gate.half", "searchllm.gate.one_zero"]
TOOLRL = [
    "toolrl.correctness.exact",
    "toolrl.correctness.one_call_one_right_key",
    "toolrl.correctness.one_extra_call",
    "toolrl.correctness.reordered",
]
CGRPO_CASES = ["carr.cgrpo_reward.as_released", "carr.cgrpo_reward.paper"]
ONE_TEST_EACH = [
    "carr.rubric_bfs",
    "dapo.overlong",
    "datarus.cosine_curriculum",
    "gra.cascade",
    "gra.two_level",
    "par.reward",
    "prs.length_aware_bleu",
    "prs.stages",
    "tlts.budget",
    "tlts.length_reward",
    "toolrl.total",
]


def test_every_vector_of_these_methods_is_covered() -> None:
    expected = [name for name in VECTORS if name.split(".")[0] in FAMILIES]
    named = SEARCHLLM + TOOLRL + CGRPO_CASES + ONE_TEST_EACH
    assert sorted(named) == sorted([*expected, "dapo.overlong"])


def test_gated_two_level() -> None:
    vector = VECTORS["gra.two_level"]
    cases = [case["levels"] for case in vector["inputs"]["cases"]]
    table = _scored(cases)
    shaped = _gated(vector["inputs"]["gates"])(table, progress=0.0)
    assert _close(shaped.rewards, vector["expected"]["total"])
    assert shaped.gates.keys() == {"level1", "level2"}
    assert shaped.gates["level2"].tolist() == [1.0, 1.0, 0.0, 0.0]
    assert np.stack(list(shaped.terms.values()), axis=1).tolist() == vector["expected"]["kept"]

    direct = _gated([None, None, None])(table, progress=0.0)
    assert _close(direct.rewards, vector["expected"]["direct_accumulation"])
    assert direct.gates == {}


def test_gated_cascade() -> None:
    vector = VECTORS["gra.cascade"]
    table = _scored([vector["inputs"]["levels"]])
    shaped = _gated(vector["inputs"]["gates"])(table, progress=0.0)
    assert _close(shaped.rewards, [vector["expected"]["total"]])
    assert {name: gate.tolist() for name, gate in shaped.gates.items()} == {
        "level1": [1.0],
        "level2": [0.0],
    }
    assert [part.item() for part in shaped.terms.values()] == vector["expected"]["kept"]


@pytest.mark.parametrize("name", SEARCHLLM)
def test_searchllm(name: str) -> None:
    inputs, expected = VECTORS[name]["inputs"], VECTORS[name]["expected"]
    bottom, behaviour = inputs["bottom_line"], inputs["behaviour"]
    table = _scored([[*bottom, *behaviour]])
    names = [f"level{number}" for number in range(len(bottom) + len(behaviour))]
    weighted = zip(names[len(bottom) :], inputs["weights"], strict=True)
    shaper = SearchLLM(
        bottom_line=tuple(names[: len(bottom)]),
        behaviour=tuple(WeightedTerm(term=term, weight=weight) for term, weight in weighted),
        delta=inputs["delta"],
    )
    shaped = shaper(table, progress=0.0)
    assert _close(shaped.rewards, [expected["R"]])
    assert all(_close(gate, [expected["B"]]) for gate in shaped.gates.values())
    free = shaper.model_copy(update={"bottom_line": ()})(table, progress=0.0)
    assert _close(free.rewards, [expected["U"]])


def test_progressive_stages() -> None:
    vector = VECTORS["prs.stages"]
    table = _scored(vector["inputs"]["cases"])
    stages = [Stage(term=f"level{k}", weight=w) for k, w in enumerate(vector["inputs"]["weights"])]
    shaped = Progressive(stages=tuple(stages))(table, progress=0.0)
    assert _close(shaped.rewards, vector["expected"])
    assert shaped.gates["level2"].tolist() == [0.0, 0.0, 1.0, 1.0, 1.0]


@pytest.mark.parametrize("name", CGRPO_CASES)
def test_cgrpo(name: str) -> None:
    inputs = VECTORS[name]["inputs"]
    steps = [
        [make_step(outcome=each["outcome"], rubric=each["rubric"])] for each in inputs["group"]
    ]
    shaper = CGRPO(alpha=inputs["alpha"], compat="released" in name)
    shaped = shaper(build_table([make_group(*steps)]), progress=0.0)
    assert _close(shaped.rewards, VECTORS[name]["expected"])


def test_datarus() -> None:
    inputs, expected = VECTORS["datarus.cosine_curriculum"]["inputs"], []
    table = build_table([make_group([make_step(format=1.0, outcome=0.0)])])
    for step in inputs["steps"]:
        shaped = Datarus(until=0.5)(table, progress=step / (2 * inputs["T"]))
        expected.append(shaped.rewards.item())
    assert _close(np.array(expected), VECTORS["datarus.cosine_curriculum"]["expected"])


def test_length_budget() -> None:
    inputs, expected = VECTORS["tlts.budget"]["inputs"], VECTORS["tlts.budget"]["expected"]
    budgets = [
        length_budget(step / inputs["T"], start=inputs["B0"], decay=inputs["gamma"])
        for step in inputs["steps"]
    ]
    assert _close(np.array(budgets), expected)


def test_length_reward() -> None:
    vector = VECTORS["tlts.length_reward"]
    lengths, budget = vector["inputs"]["lengths"], vector["inputs"]["L"]
    rewards = [budget_reward(length, budget=budget) for length in lengths]
    assert _close(np.array(rewards), vector["expected"])
    form = Budget(start=budget)
    shaped = Terms(terms=(Term(term="level0", form=form),))(
        _scored([[length] for length in lengths]), progress=0.0
    )
    assert _close(shaped.rewards, vector["expected"])


def test_overlong() -> None:
    vector = VECTORS["dapo.overlong"]
    lengths = vector["inputs"]["lengths"]
    bounds = {"max_length": vector["inputs"]["max_len"], "cache": vector["inputs"]["cache"]}
    penalties = [overlong_penalty(length, **bounds) for length in lengths]
    assert _close(np.array(penalties), vector["expected"])
    term = Term(term="level0", form=Overlong(**bounds))
    shaped = Terms(terms=(term,))(_scored([[length] for length in lengths]), progress=0.0)
    assert _close(shaped.rewards, vector["expected"])


@pytest.mark.parametrize("name", TOOLRL)
def test_toolrl_correctness(name: str) -> None:
    inputs = VECTORS[name]["inputs"]
    found = correctness(inputs["ground_truth"], inputs["prediction"])
    assert found == pytest.approx(VECTORS[name]["expected"], abs=1e-5)


def test_toolrl_total() -> None:
    truth = [{"name": "open", "parameters": {"id": 1}}]
    call = '{"name": "open", "parameters": {"id": 1}}'
    cases: list[tuple[str, list[dict[str, Any]], bool]] = [
        (f"<think>t</think>\n<tool_call>\n{call}\n</tool_call>", truth, False),
        ("<think>t</think>\n<tool_call>\n{open 1}\n</tool_call>", truth, False),
        ("<response>1</response>", truth, False),
        (f"<think>t</think>\n<tool_call>\n{call}\n</tool_call>", [], True),
    ]
    found = [toolrl_reward(text, right, responds=responds) for text, right, responds in cases]
    assert found == VECTORS["toolrl.total"]["expected"]


def test_rubric_reward() -> None:
    vector = VECTORS["carr.rubric_bfs"]
    rubrics = [Rubric(**each) for each in vector["inputs"]["rubrics"]]
    reward = rubric_reward(rubrics, answer=vector["inputs"]["answer_entity"])
    assert reward == pytest.approx(vector["expected"])


def test_par() -> None:
    inputs = VECTORS["par.reward"]["inputs"]
    found = [
        par_reward(each, inputs["reference_rewards"], k=inputs["k"]) for each in inputs["rewards"]
    ]
    assert _close(np.array(found), VECTORS["par.reward"]["expected"])


def test_length_aware_bleu() -> None:
    vector = VECTORS["prs.length_aware_bleu"]
    found = [
        length_aware_bleu(answer, reference) for answer, reference in vector["inputs"]["pairs"]
    ]
    assert _close(np.array(found), vector["expected"])


def _scored(cases: Sequence[Sequence[float]]) -> StepTable:
    """Trajectories of one step whose terms `level0`, `level1` ... are given."""
    steps = (make_step(**{f"level{k}": each for k, each in enumerate(case)}) for case in cases)
    return build_table([make_group(*([step] for step in steps))])


def _gated(gates: Sequence[float | None]) -> Gated:
    return Gated(
        levels=tuple(Level(term=f"level{k}", threshold=gate) for k, gate in enumerate(gates))
    )


def _close(values: np.ndarray, expected: Sequence[float]) -> bool:
    """The vectors are given to 1e-5."""
    return np.allclose(values, expected, rtol=0.0, atol=1e-5)
