"""Multi-hop questions over an invented world: search, open, answer with citations."""

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from agentgym.env import EnvConfig, Script, action_key
from agentgym.envs.rewards import Transcript, reward
from agentgym.envs.search.corpus import Article, corpus
from agentgym.envs.search.foreign import read_questions
from agentgym.envs.search.grading import citation_score, is_right, read_answer, recall
from agentgym.envs.search.index import LocalRetriever
from agentgym.envs.search.questions import make_tasks
from agentgym.envs.search.remote import RemoteRetriever
from agentgym.envs.search.scripts import SKILLS, script
from agentgym.envs.search.text import words
from agentgym.envs.tool_env import ToolEnv
from agentgym.errors import TaskError
from agentgym.tools import ToolError, tool
from agentgym.types import Message, Task, ToolCall, digest

_TOOL_TIMEOUT_S = 110.0  # above all tries of a remote retriever, whose silence is a fault
_MAX_QUERY_CHARS = 1000
_MAX_TITLE_CHARS = 200
_MAX_ID_CHARS = 64


class SearchConfig(EnvConfig):
    """Which world, which questions, and how they can be looked up."""

    id: ClassVar[str] = "agentgym/Search-v0"
    tiers: ClassVar[tuple[str, ...]] = ("easy", "medium", "hard")

    max_turns: int = 16
    tier: Literal["easy", "medium", "hard"] = "easy"
    """easy takes 1 or 2 hops, medium 2 or 3, hard 3 or 4, other names, and a choice among several."""
    documents: int = Field(default=2400, ge=2000, le=9999)
    """Articles of the corpus."""
    world: int = 0
    """Seed of the invented world: another has other names and other facts."""
    top_k: int = Field(default=5, ge=1, le=10)
    """Results of a search that does not say how many."""
    snippet_chars: int = Field(default=120, ge=0, le=1000)
    """Most characters of the first sentence that a result shows."""
    max_calls: int = Field(default=20, ge=1)
    """Calls of tools in an episode; those after them are refused."""
    retriever: str = Field(default="bm25", pattern=r"^(bm25|https?://.+)$")
    """bm25, or the URL of a server that answers like Search-R1's /retrieve over the same corpus."""
    timeout_s: float = Field(default=10.0, gt=0, le=30)
    """Of one try to reach that server; there are three."""
    questions: Path | None = None
    """A JSONL file of questions about another corpus, which the retriever then has to serve."""

    @model_validator(mode="after")
    def _check_questions(self) -> Self:
        if self.questions is not None and self.retriever == "bm25":
            raise ValueError(
                "questions about another corpus need retriever, the URL that serves it"
            )
        return self

    def tasks(self, split: str) -> Iterator[Task]:
        """Yield questions: train without end; test 256 about what train never asks about."""
        if self.questions is not None:
            return read_questions(self.questions, split)
        return make_tasks(self.tier, split, documents=self.documents, world=self.world)

    def build(self, sandboxes: object = None) -> "Search":
        """Make one environment; corpus and index are shared by all of this process."""
        return Search(self)


class Search(ToolEnv):
    """`outcome` is 1.0 for the right answer; `evidence` and `citation` are only recorded."""

    system: ClassVar[str] = (
        "Find the answer with the tools: search finds articles, open shows one. Some names are "
        "nearly equal, so look at the titles. End with one line, in which the ids are those of "
        "the articles that show the answer:\nanswer: NAME [id] [id]"
    )

    def __init__(self, config: SearchConfig) -> None:
        self._config = config
        self._retriever: LocalRetriever | RemoteRetriever
        if config.retriever == "bm25":
            self._retriever = LocalRetriever(config.documents, config.world)
        else:
            self._retriever = RemoteRetriever(config.retriever, timeout_s=config.timeout_s)

    def start(self, task: Task, *, seed: int) -> None:
        """Begin with nothing found."""
        self._check(task)
        self._found: dict[str, Article] = {}
        self._opened: list[str] = []
        self._results: list[str] = []
        self._calls = 0

    @tool(timeout_s=_TOOL_TIMEOUT_S)
    async def search(self, query: str, k: Annotated[int | None, Field(ge=1, le=10)] = None) -> str:
        """Search the articles; the best results come first.

        Args:
            query: A few words, such as a name.
            k: How many results.
        """
        self._count_call()
        if len(query) > _MAX_QUERY_CHARS:
            raise ToolError(f"the query is longer than {_MAX_QUERY_CHARS} characters")
        if not words(query):
            raise ToolError("the query has no words")
        hits = await self._retriever.search(query, k or self._config.top_k)
        articles = {hit.article.id: hit.article for hit in hits}
        self._found |= articles
        self._results = list(articles)
        return "\n".join(map(self._result, articles.values())) or "no results"

    @tool(inline=True)
    def open(self, doc_id: str) -> str:
        """Read an article that a search has found.

        Args:
            doc_id: The id of the article, such as d0042.
        """
        self._count_call()
        id = _id(doc_id)
        if id not in self._found:
            raise ToolError(f"no search has found {id[:_MAX_ID_CHARS]}")
        if id not in self._opened:
            self._opened.append(id)
        article = self._found[id]
        return f"[{id}] {_one_line(article.title)}\n{article.text}"

    @reward
    async def correct(self, transcript: Transcript) -> float:
        """Whether the final answer is one of the accepted names and nothing else."""
        answer = read_answer(transcript.final_text)
        return float(is_right(answer, self.task.payload["accepted"]))

    @reward(weight=0)
    async def evidence(self) -> float:
        """The share of the articles needed that were opened."""
        return recall(self._opened, self.task.payload["documents"])

    @reward(weight=0)
    async def citation(self, transcript: Transcript) -> float:
        """F1 of the articles cited; one that was not opened is cited wrongly."""
        cited = read_answer(transcript.final_text).citations
        return citation_score(cited, opened=self._opened, gold=self.task.payload["documents"])

    def state_key(self) -> str:
        """Identify the task, what has been opened and what the last search found."""
        return digest(self.task.id, sorted(self._opened), self._results)

    def action_key(self, message: Message) -> str:
        """Identify an action: the words of a query in any order, an id, or the answer."""
        if not message.tool_calls:
            answer = read_answer(message.content)
            return digest("answer", answer.text, sorted(answer.citations))
        return digest([_call_key(call) for call in message.tool_calls])

    def expert(self, task: Task, *, seed: int = 0, level: str = "expert") -> Script:
        """Return the `expert`, or the imperfect `teacher`."""
        if level not in SKILLS or self._config.questions is not None:
            return super().expert(task, seed=seed, level=level)
        facts = corpus(self._config.documents, self._config.world)
        return script(task, facts, skill=SKILLS[level], seed=seed)

    async def snapshot(self) -> bytes:
        """Return the conversation and what was found in it."""
        state = {
            "task": asdict(self.task),
            "messages": [message.to_openai() for message in self.transcript.messages],
            "found": [asdict(article) for article in self._found.values()],
            "opened": self._opened,
            "results": self._results,
            "calls": self._calls,
        }
        return json.dumps(state).encode()

    async def restore(self, blob: bytes) -> None:
        """Continue from a snapshot, in this environment or a new one of the same configuration."""
        state = json.loads(blob)
        await self.reset(Task(**state["task"]), seed=0)
        self.transcript.messages = [Message.from_openai(each) for each in state["messages"]]
        self._found = {each["id"]: Article(**each) for each in state["found"]}
        self._opened, self._results = state["opened"], state["results"]
        self._calls = state["calls"]

    async def close(self) -> None:
        """Close the connection to a remote retriever."""
        await self._retriever.close()

    def _check(self, task: Task) -> None:
        """Refuse a task that cannot be answered here."""
        payload = task.payload if isinstance(task.payload, dict) else {}
        if not {"accepted", "documents"} <= payload.keys():
            raise TaskError(
                f"task {task.id} has no accepted answers and documents in its payload",
                hint="take tasks from SearchConfig().tasks(split)",
            )
        if self._config.questions is not None:
            return
        facts = corpus(self._config.documents, self._config.world)
        if payload.get("corpus") != facts.id:
            raise TaskError(
                f"task {task.id} asks about the corpus {payload.get('corpus')!r:.40}, "
                f"this one is {facts.id!r}",
                hint="env.documents and env.world must be those that the task was made with",
            )

    def _count_call(self) -> None:
        self._calls += 1
        if self._calls > self._config.max_calls:
            raise ToolError("no calls are left; answer now")

    def _result(self, article: Article) -> str:
        """Show title and first sentence, which tells what it is and none of the facts."""
        sentence = _one_line(article.text.split(". ", 1)[0])
        title = _one_line(article.title)[:_MAX_TITLE_CHARS]
        return f"[{article.id}] {title}: {sentence[: self._config.snippet_chars]}"


def _call_key(call: ToolCall) -> Any:
    try:
        arguments = json.loads(call.arguments)
        if call.name == "search":
            k = arguments.get("k")  # anything else is refused, and may be nested beyond JSON
            return ["search", sorted(set(words(arguments["query"]))), k if type(k) is int else None]
        if call.name == "open":
            return ["open", _id(arguments["doc_id"])]
    except (ValueError, RecursionError, TypeError, KeyError, AttributeError):
        pass
    return action_key(Message("assistant", tool_calls=(call,)))


def _id(text: str) -> str:
    """Return an id as it is kept; a model may copy it with its brackets."""
    return text.strip().removeprefix("[").removesuffix("]").strip().casefold()


def _one_line(text: str) -> str:
    return " ".join(text.split())
