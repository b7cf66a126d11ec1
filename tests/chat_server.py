"""A real HTTP server that answers `/chat/completions` as it is told to, and badly if it is told to."""

import json
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple, Self

from agentgym.env import EnvConfig, first_tasks
from agentgym.types import Message


class Asked(NamedTuple):
    """A request, as it came."""

    at: float
    headers: Mapping[str, str]
    body: dict[str, Any]

    @property
    def messages(self) -> list[dict[str, Any]]:
        return self.body["messages"]


@dataclass
class Answer:
    """What the server does. `declared` is the length it promises and then does not keep."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    declared: int | None = None
    after_s: float = 0.0
    drip_s: float | None = None
    """Seconds between single bytes."""
    says_nothing: bool = False
    """The connection is closed at once."""


Answers = Callable[[Asked, int], Answer]


def says(
    content: Any = "hello",
    *,
    calls: Any = None,
    finish: str = "stop",
    usage: Any = (7, 3),
    **message: Any,
) -> Answer:
    """Answer as OpenAI does."""
    message = {"role": "assistant", "content": content, **message}
    if calls is not None:
        message["tool_calls"] = calls
    answer = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "choices": [{"index": 0, "message": message, "finish_reason": finish}],
    }
    if isinstance(usage, tuple):
        usage = {"prompt_tokens": usage[0], "completion_tokens": usage[1], "total_tokens": 10}
    if usage is not None:
        answer["usage"] = usage
    return is_json(answer)


def is_json(value: Any, status: int = 200, **headers: str) -> Answer:
    return Answer(
        status, json.dumps(value).encode(), {"Content-Type": "application/json"} | headers
    )


def refuses(status: int, message: str = "no", code: str | None = None, **headers: str) -> Answer:
    """Refuse as OpenAI does."""
    return is_json(
        {"error": {"message": message, "type": "error", "code": code}}, status, **headers
    )


def call(name: str, arguments: Any = "{}", id: Any = "call_1") -> dict[str, Any]:
    return {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}


class ChatServer:
    """Serves in threads until it is left; keeps what it was asked."""

    def __init__(self, answers: Answers | Sequence[Answer], *, models: Any = None) -> None:
        """A sequence is answered in order, its last one again and again."""
        self.asked: list[Asked] = []
        self.most_at_once = 0
        self._answers = answers if callable(answers) else _in_order(answers)
        self._models = models
        self._at_once = 0
        self._lock = threading.Lock()
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.chat = self
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True
        )

    @property
    def port(self) -> int:
        return self._server.server_address[1]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def answer(self, asked: Asked) -> Answer:
        with self._lock:
            self.asked.append(asked)
            number = len(self.asked) - 1
            return self._answers(asked, number)

    def models(self) -> Answer:
        if self._models is None:
            return refuses(404)
        if isinstance(self._models, Answer):
            return self._models
        return is_json({"object": "list", "data": [{"id": name} for name in self._models]})

    def count(self, change: int) -> None:
        with self._lock:
            self._at_once += change
            self.most_at_once = max(self.most_at_once, self._at_once)


def _in_order(answers: Sequence[Answer]) -> Answers:
    return lambda asked, number: answers[min(number, len(answers) - 1)]


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128
    chat: ChatServer

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away is nothing to tell of."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_GET(self) -> None:
        self._send(self.server.chat.models())

    def do_POST(self) -> None:
        chat = self.server.chat
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path != "/v1/chat/completions":
            self._send(refuses(404, f"no {self.path}"))
            return
        chat.count(1)
        answer = chat.answer(Asked(time.monotonic(), dict(self.headers), body))
        time.sleep(answer.after_s)
        chat.count(-1)  # before the client can know, and ask again
        self._send(answer)

    def _send(self, answer: Answer) -> None:
        if answer.says_nothing:
            self.close_connection = True
            return
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name.replace("_", "-"), value)
        length = len(answer.body) if answer.declared is None else answer.declared
        self.send_header("Content-Length", str(length))
        self.end_headers()
        if answer.drip_s is None:
            self.wfile.write(answer.body)
        else:
            for byte in answer.body:
                self.wfile.write(bytes([byte]))
                time.sleep(answer.drip_s)
        if length != len(answer.body):
            self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:
        pass


def as_expert(config: EnvConfig, *, split: str = "test", number: int = 200) -> Answers:
    """Answer as the expert of an environment whose expert looks at nothing but the conversation."""
    tasks = {task.prompt: task for task in first_tasks(config, split, number=number)}

    def answers(asked: Asked, _: int) -> Answer:
        messages = [
            Message.from_openai({**each, "content": each["content"] or ""})
            for each in asked.messages
        ]
        task = next(tasks[each.content] for each in messages if each.content in tasks)
        said = config.build().expert(task)(messages)
        calls = [call(each.name, each.arguments, None) for each in said.tool_calls]
        return says(said.content or None, calls=calls or None)

    return answers
