import asyncio
import json
import sys
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from itertools import islice
from random import Random

import pytest
from hypothesis import given, settings, strategies as st

from agentgym.env import Env, EnvStep, Script, first_tasks
from agentgym.envs.search import Search, SearchConfig
from agentgym.envs.search.corpus import corpus
from agentgym.envs.search.index import Index, index_of
from agentgym.envs.search.plan import Plan, solve
from agentgym.envs.search.relations import RELATIONS
from agentgym.envs.search.text import normalise
from agentgym.errors import TaskError
from agentgym.rollout.collect import collect, make_jobs
from agentgym.rollout.policy import MakePolicy, Policy
from agentgym.rollout.scripted import ScriptedPolicy, scripted_policies
from agentgym.types import Message, Task, ToolCall, Trajectory

pytestmark = pytest.mark.slow

TIERS = SearchConfig.tiers
WORLD = corpus(2400, 0)
TASK = next(SearchConfig().tasks("test"))
"""Who was born when: one article is enough."""


def call(name: str, **arguments: object) -> Message:
    return Message("assistant", tool_calls=(ToolCall(name, json.dumps(arguments), "a"),))


async def start(task: Task = TASK, **settings: object) -> Search:
    env = SearchConfig(**settings).build()
    await env.reset(task, seed=0)
    return env


async def say(env: Search, *messages: Message) -> list[str]:
    return [(await env.step(each)).messages[0].content for each in messages]


async def play(
    tier: str, policy: str | MakePolicy, *, number: int = 200, split: str = "test"
) -> list[Trajectory]:
    config = SearchConfig(tier=tier)
    make = scripted_policies(policy) if isinstance(policy, str) else policy
    jobs = make_jobs(
        first_tasks(config, split, number=number),
        group_size=1,
        run_seed=1,
        prefix="t",
        env=config.id,
    )
    return await collect(jobs, config=config, make_policy=make)


def mean(trajectories: Sequence[Trajectory], term: str) -> float:
    values = [step.reward_terms.get(term, 0.0) for each in trajectories for step in each.steps]
    return sum(values) / len(trajectories)


@pytest.mark.parametrize("tier", TIERS)
async def test_the_expert_finds_shows_and_cites_every_answer(tier: str) -> None:
    played = await play(tier, "scripted")
    assert all(each.end == "terminated" for each in played)
    for term in ("outcome", "evidence", "citation"):
        assert mean(played, term) >= 0.99


@pytest.mark.parametrize("tier", TIERS)
async def test_the_expert_needs_no_more_than_the_turns_and_calls_there_are(tier: str) -> None:
    played = await play(tier, "scripted", split="train")
    assert mean(played, "outcome") >= 0.99
    assert max(len(each.steps) for each in played) <= 12


CLUES = {
    word
    for relation in RELATIONS.values()
    for text in (relation.subject, relation.inverse, *relation.sentences)
    for word in text.removesuffix(".").split()
}


@pytest.mark.parametrize("tier", TIERS)
async def test_the_expert_never_looks_for_a_name_that_it_has_not_read(tier: str) -> None:
    for trajectory in await play(tier, "scripted", number=60):
        read = trajectory.task.prompt
        for step in trajectory.steps:
            for each in step.message.tool_calls:
                query = json.loads(each.arguments).get("query", "")
                assert all(word in read or word in CLUES for word in query.split()), query
            read += "".join(reply.content for reply in step.replies)


@pytest.mark.parametrize("tier", TIERS)
@pytest.mark.parametrize("policy", ["scripted:noop", "scripted:random"])
async def test_silence_and_chance_earn_nothing(tier: str, policy: str) -> None:
    played = await play(tier, policy, number=50)
    assert mean(played, "outcome") <= 0.02
    assert mean(played, "citation") == 0


@pytest.mark.parametrize("tier", TIERS)
async def test_the_teacher_is_worth_imitating_and_leaves_something_to_learn(tier: str) -> None:
    played = await play(tier, "scripted:teacher")
    assert 0.4 < mean(played, "outcome") < 0.85
    assert mean(played, "citation") < 0.95


# Shortcuts: ways to answer without doing what the question asks.


def final(text: str) -> Message:
    return Message("assistant", f"answer: {text}")


@cache
def commonest(tier: str) -> str:
    trained = islice(SearchConfig(tier=tier).tasks("train"), 1000)
    return Counter(str(task.answer) for task in trained).most_common(1)[0][0]


def most_frequent_answer(env: Env, task: Task, seed: int) -> Script:
    tier = env._config.tier  # type: ignore[attr-defined]
    return lambda conversation: final(commonest(tier))


def name_in_the_question(env: Env, task: Task, seed: int) -> Script:
    return lambda conversation: final(Random(seed).choice(task.payload["names"]))


def first_title_found(env: Env, task: Task, seed: int) -> Script:
    def script(conversation: Sequence[Message]) -> Message:
        if len(conversation) == 2:
            return call("search", query=task.prompt)
        return final(conversation[-1].content.split("] ")[1].split(":")[0])

    return script


def _of_the_first_article(
    choose: Callable[[list[str], Task, Random], str],
) -> Callable[..., Script]:
    """Search the whole question, open what comes first, and say something from it."""

    def make(env: Env, task: Task, seed: int) -> Script:
        def script(conversation: Sequence[Message]) -> Message:
            last = conversation[-1].content
            if len(conversation) == 2:
                return call("search", query=task.prompt)
            if len(conversation) == 4:
                return call("open", doc_id=last[1:6])
            id = last[1:6]
            told = [WORLD.mentions[id, each] for each in WORLD.by_id[id].facts]
            return final(choose(told, task, Random(seed)))

        return script

    return make


any_fact_of_the_first_article = _of_the_first_article(
    lambda told, task, chance: chance.choice(told)
)
fitting_fact_of_the_first_article = _of_the_first_article(
    lambda told, task, chance: chance.choice(
        [each for each in told if each.isdigit() == str(task.answer).isdigit()] or told
    )
)
every_fact_of_the_first_article = _of_the_first_article(lambda told, task, chance: " ".join(told))

NAMES = ["most frequent", "named", "first title", "any fact", "fitting fact", "every fact"]
SHORTCUTS = [
    (most_frequent_answer, (0.02, 0.02, 0.02)),
    (name_in_the_question, (0.0, 0.0, 0.0)),
    (first_title_found, (0.02, 0.02, 0.02)),
    (any_fact_of_the_first_article, (0.2, 0.05, 0.1)),
    (fitting_fact_of_the_first_article, (0.35, 0.05, 0.1)),
    (every_fact_of_the_first_article, (0.0, 0.0, 0.0)),
]


@pytest.mark.parametrize(("shortcut", "limits"), SHORTCUTS, ids=NAMES)
async def test_a_shortcut_hardly_pays(
    shortcut: Callable[[Env, Task, int], Script], limits: tuple[float, float, float]
) -> None:
    def make(env: Env, task: Task, seed: int) -> Policy:
        return ScriptedPolicy(shortcut(env, task, seed), level="shortcut")

    for tier, limit in zip(TIERS, limits, strict=True):
        assert mean(await play(tier, make, number=256), "outcome") <= limit


def uncompared(task: Task) -> float:
    """How often whoever takes any of those to choose among gets the answer."""
    plan = Plan.from_payload(task.payload)
    names, steps = plan.names, plan.steps
    if steps[0].verb == "find":
        value = WORLD.by_name[normalise(names[0])]
        names = tuple(each.name for each in WORLD.bearers[steps[0].relation, value.id])
        steps = steps[1:]
    found = [solve(Plan((name,), steps[1:]), WORLD) for name in names]
    return sum(each is not None and each.answer == task.answer for each in found) / len(found)


def test_choosing_without_comparing_fails_oftener_than_not() -> None:
    tasks = [*islice(SearchConfig(tier="hard").tasks("train"), 600)]
    chances = [uncompared(task) for task in tasks if task.payload["kind"] in ("compare", "choose")]
    assert len(chances) == 400
    assert 0.3 < sum(chances) / len(chances) < 0.55


async def test_results_show_ids_titles_and_first_sentences() -> None:
    env = await start(top_k=2)
    article = WORLD.articles[0]
    (text,) = await say(env, call("search", query=article.title.upper()))
    first, *others = text.splitlines()
    lead = article.text.split(". ")[0]
    assert first == f"[{article.id}] {article.title}: {lead}"
    assert len(others) == 1
    (text,) = await say(env, call("search", query=article.title, k=7))
    assert len(text.splitlines()) == 7


async def test_an_article_is_opened_by_the_id_of_a_result() -> None:
    env = await start()
    article = WORLD.articles[0]
    await say(env, call("search", query=article.title))
    for id in (article.id, f" [{article.id.upper()}] "):
        assert await say(env, call("open", doc_id=id)) == [
            f"[{article.id}] {article.title}\n{article.text}"
        ]


async def test_only_what_was_found_can_be_opened() -> None:
    env = await start()
    step = await env.step(call("open", doc_id=TASK.payload["documents"][0]))
    assert step.messages[0].content.startswith("no search has found d")
    assert step.reward == {"tool_valid": 0.0}
    assert (await env.truncate())["evidence"] == 0


async def test_calls_after_the_last_are_refused() -> None:
    env = await start(max_calls=2)
    gold = TASK.payload["documents"][0]
    texts = await say(env, *[call("search", query=TASK.prompt)] * 2, call("open", doc_id=gold))
    assert texts[2] == "no calls are left; answer now"
    many = Message("assistant", tool_calls=call("open", doc_id=gold).tool_calls * 50)
    assert (await env.step(many)).reward == {"tool_valid": 0.0}
    assert (await env.truncate())["evidence"] == 0


async def test_terms_are_given_however_the_episode_ends() -> None:
    env = await start()
    gold = TASK.payload["documents"]
    await say(env, call("search", query=TASK.prompt), call("open", doc_id=gold[0]))
    assert await env.truncate() == {
        "correct": 0.0,
        "evidence": 1.0,
        "citation": 0.0,
        "outcome": 0.0,
    }
    step = await env.step(Message("assistant", f"answer: {TASK.answer} [{gold[0]}]"))
    assert step.terminated
    assert step.reward == {"correct": 1.0, "evidence": 1.0, "citation": 1.0, "outcome": 1.0}


async def test_a_right_answer_without_reading_has_no_evidence_and_no_citation() -> None:
    env = await start()
    step = await env.step(
        Message("assistant", f"answer: {TASK.answer} [{TASK.payload['documents'][0]}]")
    )
    assert step.reward == {"correct": 1.0, "evidence": 0.0, "citation": 0.0, "outcome": 1.0}


async def test_other_names_of_the_answer_are_right() -> None:
    task = next(task for task in SearchConfig().tasks("train") if len(task.payload["accepted"]) > 1)
    for name in task.payload["accepted"]:
        env = await start(task)
        assert (await env.step(final(name))).reward["outcome"] == 1.0


HOSTILE = [
    "",
    " \n\t",
    "...",
    "\0",
    "\x1b[2J",
    "\u202e\ufffe",
    "a" * 1_000_000,
    "' OR 1=1 --",
    "(((",
]


@pytest.mark.parametrize("query", HOSTILE, ids=lambda query: repr(query[:8]))
async def test_a_hostile_query_is_answered(query: str) -> None:
    env = await start()
    step = await env.step(call("search", query=query))
    assert not step.terminated
    assert len(step.messages[0].content) < 8000
    await env.step(call("open", doc_id=query))
    assert env.action_key(call("search", query=query))
    assert env.state_key()


@given(st.text())
@settings(max_examples=200)
def test_the_index_takes_any_text_and_the_order_of_words_changes_nothing(query: str) -> None:
    index = index_of(2400, 0)
    hits = index.search(query, 5)
    assert len(hits) <= 5
    if len(query) < 60:
        assert hits == index.search(" ".join(reversed(query.split())) + " " + query, 5)
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)


def test_equal_scores_come_in_the_order_of_the_articles() -> None:
    articles = [replace(WORLD.articles[0], id=f"d{number:04d}") for number in range(1, 40)]
    found = Index(articles).search(articles[0].title, 10)
    assert [hit.article.id for hit in found] == [f"d{number:04d}" for number in range(1, 11)]


def test_a_word_that_no_article_has_finds_nothing() -> None:
    assert index_of(2400, 0).search("qqqqqq", 5) == []


async def test_a_search_that_finds_nothing_says_so() -> None:
    assert await say(await start(), call("search", query="qqqqqq")) == ["no results"]


@pytest.mark.parametrize("k", [0, 11, -1, 2.5, "5"])
async def test_a_number_of_results_out_of_bounds_is_refused(k: object) -> None:
    step = await (await start()).step(call("search", query="river", k=k))
    assert step.reward == {"tool_valid": 0.0}


async def test_the_state_is_what_was_opened_and_what_was_found_last() -> None:
    env = await start()
    keys = [env.state_key()]
    title = WORLD.articles[0].title
    for message in (
        call("search", query=title),
        call("search", query=f"  {title.lower()} "),
        call("open", doc_id="d0001"),
        call("open", doc_id="d0001"),
        call("search", query=WORLD.articles[7].title),
    ):
        await env.step(message)
        keys.append(env.state_key())
    assert keys[1] == keys[2]
    assert keys[3] == keys[4]
    assert len(set(keys)) == 4


async def test_the_order_in_which_articles_were_opened_is_no_other_state() -> None:
    keys = set()
    for order in (1, -1):
        env = await start()
        (text,) = await say(env, call("search", query=WORLD.articles[0].title))
        ids = [line[1:6] for line in text.splitlines()][:2]
        await say(env, *(call("open", doc_id=id) for id in ids[::order]))
        keys.add(env.state_key())
    assert len(keys) == 1


async def test_equal_actions_have_equal_keys() -> None:
    env = await start()

    def key(message: Message) -> str:
        return env.action_key(message)

    assert key(call("search", query="Mill Town")) == key(call("search", query="town,  MILL"))
    assert key(call("search", query="mill")) != key(call("search", query="mill", k=3))
    assert key(call("open", doc_id="d0001")) == key(call("open", doc_id="[D0001]"))
    assert key(final("The Owl [d0001]")) == key(Message("assistant", "**Answer:** owl. [d0001]"))
    assert key(final("Owl")) != key(final("Swift"))
    broken = ToolCall("search", "{", "a")
    assert key(Message("assistant", tool_calls=(broken,))) != key(call("search", query="mill"))
    deepest = sys.getrecursionlimit()
    for k in ("[" * depth + "]" * depth for depth in range(deepest - 200, deepest)):
        deep = ToolCall("search", f'{{"query": "mill", "k": {k}}}', "a")
        assert key(Message("assistant", tool_calls=(deep,)))
    assert key(call("search", query=[1])) != key(call("open", doc_id={}))


@pytest.mark.parametrize("after", [0, 1, 2, 3])
async def test_a_restored_episode_goes_on_like_the_first(after: int) -> None:
    task = first_tasks(SearchConfig(), "test", number=2)[1]
    env = await start(task)
    script = env.expert(task)
    conversation = list(env.transcript.messages)
    for _ in range(after):
        conversation.append(script(conversation))
        conversation += (await env.step(conversation[-1])).messages
    blob = await env.snapshot()
    other = SearchConfig().build()
    await other.restore(blob)
    assert other.state_key() == env.state_key()
    finish: list[list[EnvStep]] = [[], []]
    while not (finish[0] and finish[0][-1].terminated):
        message = script(conversation)
        finish[0].append(await env.step(message))
        finish[1].append(await other.step(message))
        conversation += [message, *finish[0][-1].messages]
    assert finish[0] == finish[1]
    assert finish[0][-1].reward["outcome"] == 1.0
    assert await env.snapshot() == await other.snapshot()


@pytest.mark.parametrize(
    ("task", "reason"),
    [
        (Task("2 + 2", answer=4), "no accepted answers"),
        (Task("2 + 2", payload=["x"]), "no accepted answers"),
        (next(SearchConfig(world=1).tasks("test")), "asks about the corpus"),
        (next(SearchConfig(documents=2001).tasks("test")), "asks about the corpus"),
    ],
    ids=["no payload", "a list", "another world", "another size"],
)
async def test_a_task_of_another_corpus_is_refused(task: Task, reason: str) -> None:
    with pytest.raises(TaskError, match=reason):
        await start(task)


async def test_episodes_at_once_do_not_see_each_other() -> None:
    config = SearchConfig(documents=2100, world=5)
    tasks = first_tasks(config, "train", number=64)
    jobs = make_jobs(tasks, group_size=2, run_seed=1, prefix="t", env=config.id)
    played = await collect(jobs, config=config, make_policy=scripted_policies("scripted"))
    assert mean(played, "outcome") == 1.0


async def test_making_the_index_leaves_the_loop_free() -> None:
    config = SearchConfig(documents=9000, world=6)
    task = next(config.tasks("test"))
    env = config.build()
    await env.reset(task, seed=0)
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(0.01)
            ticks += 1

    ticking = asyncio.create_task(tick())
    await env.step(call("search", query="river"))
    ticking.cancel()
    assert ticks >= 5


async def test_a_search_takes_no_thread_once_the_index_is_made() -> None:
    env = await start()
    await env.step(call("search", query="river"))
    before = {thread.ident for thread in threading.enumerate()}
    await env.step(call("search", query="river"))
    assert {thread.ident for thread in threading.enumerate()} <= before


def test_names_of_the_world_are_spelled_for_any_keyboard() -> None:
    accented = [each.name for each in WORLD.entities if not each.name.isascii()]
    assert accented
    assert all(normalise(name).isascii() for name in accented)
