"""Search over HTTP, against the real server of the corpus and against servers that misbehave."""

import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from agentgym.env import first_tasks
from agentgym.envs.search import SearchConfig
from agentgym.envs.search.corpus import corpus
from agentgym.envs.search.remote import RemoteRetriever
from agentgym.errors import ConfigError, EnvError
from agentgym.rollout.collect import collect, make_jobs
from agentgym.rollout.scripted import scripted_policies
from agentgym.types import Message, ToolCall

Answer = Callable[[BaseHTTPRequestHandler], None]
Serve = Callable[[Answer], str]
ARTICLE = {"document": {"id": "a1", "contents": '"A title"\nIts text.'}, "score": 2.5}


@pytest.fixture(scope="module")
def retriever() -> Iterator[str]:
    """The server of the corpus, as users start it."""
    command = [sys.executable, "-m", "agentgym.envs.search.serve", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        yield server.stdout.readline().split()[-1]
        server.terminate()


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Start a server that treats every request as it is told."""
    servers: list[ThreadingHTTPServer] = []

    def start(answer: Answer) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                answer(self)

            def log_message(self, format: str, *args: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        return f"http://127.0.0.1:{server.server_port}/retrieve"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def says(value: object, status: int = 200) -> Answer:
    body = value if isinstance(value, bytes) else json.dumps(value).encode()

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    return answer


async def ask(url: str, *, timeout_s: float = 5.0) -> list[tuple[str, str, str, float]]:
    remote = RemoteRetriever(url, timeout_s=timeout_s)
    try:
        hits = await remote.search("a title", 3)
    finally:
        await remote.close()
    return [(hit.article.id, hit.article.title, hit.article.text, hit.score) for hit in hits]


async def test_the_expert_earns_as_much_over_http(retriever: str) -> None:
    config = SearchConfig(retriever=retriever, tier="medium")
    tasks = first_tasks(config, "test", number=16)
    jobs = make_jobs(tasks, group_size=1, run_seed=1, prefix="t", env=config.id)
    played = await collect(jobs, config=config, make_policy=scripted_policies("scripted"))
    assert [each.outcome for each in played] == [1.0] * 16
    assert [each.steps[-1].reward_terms["citation"] for each in played] == [1.0] * 16


async def test_what_comes_over_http_is_what_the_index_finds(retriever: str) -> None:
    title = corpus(2400, 0).articles[3].title
    message = Message(
        "assistant", tool_calls=(ToolCall("search", json.dumps({"query": title}), "a"),)
    )
    texts = []
    for config in (SearchConfig(), SearchConfig(retriever=retriever)):
        env = config.build()
        await env.reset(next(config.tasks("test")), seed=0)
        texts.append((await env.step(message)).messages[0].content)
        await env.close()
    assert texts[0] == texts[1]
    assert title in texts[0]


def test_the_server_answers_as_search_r1_does(retriever: str) -> None:
    ask = {"queries": ["river", "qqqqqq"], "topk": 2, "return_scores": True}
    with httpx.Client() as client:
        first, second = client.post(retriever, json=ask).json()["result"]
        assert len(first) == 2
        assert first[0]["score"] >= first[1]["score"] > 0
        assert first[0]["document"]["contents"].startswith('"')
        assert second == []
        bare = client.post(retriever, json={"queries": ["river"]}).json()["result"][0]
        assert len(bare) == 5
        assert set(bare[0]) == {"id", "contents"}


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/search", b"{}", 404),
        ("/retrieve", b"{", 422),
        ("/retrieve", b'{"queries": "river"}', 422),
        ("/retrieve", b'{"queries": ["a"], "topk": 0}', 422),
        ("/retrieve", b'{"queries": ["a"], "topk": 1000}', 422),
        ("/retrieve", b"x" * (2 << 20), 413),
    ],
)
def test_the_server_refuses_what_it_cannot_read(
    retriever: str, path: str, body: bytes, status: int
) -> None:
    server = urlsplit(retriever)
    with socket.create_connection((server.hostname, server.port), timeout=10) as link:
        head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
        link.sendall(head.encode() + body[:1000])
        if len(body) < 1000:
            link.shutdown(socket.SHUT_WR)
        assert link.recv(1000).split()[1] == str(status).encode()


async def test_documents_of_other_servers_are_understood(serve: Serve) -> None:
    plain = {"document": {"contents": "Title only"}, "score": 1}
    found = await ask(serve(says({"result": [[ARTICLE, plain]]})))
    assert found[0] == ("a1", "A title", "Its text.", 2.5)
    assert found[1][1:] == ("Title only", "", 1.0)
    assert found[1][0]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b'{"result": [[{"docum',
        {"results": []},
        {"result": []},
        {"result": [[], []]},
        {"result": [[{"document": {}, "score": 1}]]},
        {"result": [[{"document": {"contents": 3}, "score": 1}]]},
        {"result": [[{"document": {"contents": "a"}, "score": "high"}]]},
        b"[" * 100_000,
        b"\xff\xfe\xff",
    ],
    ids=lambda body: repr(body)[:30],
)
async def test_an_answer_of_another_form_is_a_fault_that_shows_it(
    serve: Serve, body: object
) -> None:
    with pytest.raises(EnvError, match=r"answered .*expected"):
        await ask(serve(says(body)))


async def test_what_may_pass_is_asked_again(serve: Serve) -> None:
    asked: list[int] = []

    def answer(handler: BaseHTTPRequestHandler) -> None:
        asked.append(1)
        if len(asked) == 1:
            says({"detail": "busy"}, 503)(handler)
        elif len(asked) == 2:
            handler.close_connection = True  # and says nothing
        else:
            says({"result": [[ARTICLE]]})(handler)

    assert len(await ask(serve(answer))) == 1
    assert len(asked) == 3


async def test_a_refusal_is_not_asked_again(serve: Serve) -> None:
    asked: list[int] = []

    def answer(handler: BaseHTTPRequestHandler) -> None:
        asked.append(1)
        says({"detail": "no such index"}, 404)(handler)

    with pytest.raises(EnvError, match=r"status 404: .*no such index"):
        await ask(serve(answer))
    assert len(asked) == 1


async def test_a_slow_server_is_given_up(serve: Serve) -> None:
    def drip(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.end_headers()
        for _ in range(20):
            time.sleep(0.05)
            try:
                handler.wfile.write(b" ")
            except OSError:
                return

    began = time.monotonic()
    with pytest.raises(EnvError, match=r"no answer within 0\.1 s"):
        await ask(serve(drip), timeout_s=0.1)
    assert time.monotonic() - began < 3


async def test_an_endless_answer_is_cut_off(serve: Serve) -> None:
    def flood(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.end_headers()
        try:
            for _ in range(20):
                handler.wfile.write(b" " * (1 << 20))
        except OSError:
            return

    with pytest.raises(EnvError, match="more than 8 MiB"):
        await ask(serve(flood))


async def test_nobody_there_is_a_fault_with_the_address() -> None:
    with pytest.raises(EnvError, match=r"http://127\.0\.0\.1:9/retrieve failed"):
        await ask("http://127.0.0.1:9/retrieve", timeout_s=0.5)


async def test_a_lost_server_ends_the_episode_as_a_fault_and_not_as_a_failure() -> None:
    config = SearchConfig(retriever="http://127.0.0.1:9/retrieve", timeout_s=0.5)
    jobs = make_jobs(
        first_tasks(config, "test", number=1), group_size=1, run_seed=1, prefix="t", env=config.id
    )
    (played,) = await collect(jobs, config=config, make_policy=scripted_policies("scripted"))
    assert played.end == "error"
    assert "127.0.0.1:9" in played.reason


# Questions about another corpus


QUESTIONS = [
    {"question": f"Who wrote book {number}?", "golden_answers": ["Ann", "A. Oak"], "other": 1}
    for number in range(40)
]


def write(path: Path, *lines: object) -> Path:
    path.write_text(
        "\n".join(each if isinstance(each, str) else json.dumps(each) for each in lines)
    )
    return path


def test_questions_of_a_file_are_split_and_none_is_lost(tmp_path: Path) -> None:
    path = write(tmp_path / "q.jsonl", *QUESTIONS, "", QUESTIONS[0])
    config = SearchConfig(retriever="http://127.0.0.1:9/retrieve", questions=path)
    train, test = (list(config.tasks(split)) for split in ("train", "test"))
    assert len(train) + len(test) == 41
    assert test
    assert not {each.prompt for each in train} & {each.prompt for each in test}
    assert len({each.id for each in train + test}) == 41


async def test_a_question_of_a_file_is_answered(serve: Serve, tmp_path: Path) -> None:
    row = {"question": "Who?", "golden_answers": ["Ann"], "documents": ["a1"]}
    url = serve(says({"result": [[ARTICLE]]}))
    config = SearchConfig(retriever=url, questions=write(tmp_path / "q.jsonl", row))
    (task,) = [*config.tasks("train"), *config.tasks("test")]
    env = config.build()
    await env.reset(task, seed=0)
    for name, argument in (("search", {"query": "who"}), ("open", {"doc_id": "a1"})):
        call = ToolCall(name, json.dumps(argument), "a")
        step = await env.step(Message("assistant", tool_calls=(call,)))
    assert step.messages[0].content == "[a1] A title\nIts text."
    step = await env.step(Message("assistant", "answer: Ann [a1]"))
    assert step.reward == {"correct": 1.0, "evidence": 1.0, "citation": 1.0, "outcome": 1.0}
    await env.close()


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("{", r"q\.jsonl:2: .*JSON"),
        ({"question": "Who?"}, r"q\.jsonl:2: golden_answers"),
        ({"question": "Who?", "golden_answers": []}, r"q\.jsonl:2: golden_answers"),
        ({"question": "", "golden_answers": ["Ann"]}, r"q\.jsonl:2: question"),
        ({"question": "Who?", "golden_answers": "Ann"}, r"q\.jsonl:2: golden_answers"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, line: object, told: str) -> None:
    path = write(tmp_path / "q.jsonl", QUESTIONS[0], line)
    config = SearchConfig(retriever="http://127.0.0.1:9/retrieve", questions=path)
    with pytest.raises(ConfigError, match=told):
        list(config.tasks("train"))


def test_a_missing_file_and_a_missing_retriever_are_named(tmp_path: Path) -> None:
    config = SearchConfig(retriever="http://127.0.0.1:9/", questions=tmp_path / "none.jsonl")
    with pytest.raises(ConfigError, match="cannot be read"):
        list(config.tasks("test"))
    with pytest.raises(ValueError, match="need retriever"):
        SearchConfig(questions=tmp_path / "none.jsonl")
