"""A real HTTP server in the place of `agentgym serve`, which answers as it is told to: badly."""

import json
import time
from typing import Any

from chat_server import Answer, Answers, Asked, ChatServer, _Handler, is_json

from agentgym.engine import Loaded
from agentgym.engines.served.client import ServedEngine
from agentgym.engines.served.identity import fingerprint, vocabulary_of
from agentgym.engines.served.settings import ServedEngineConfig
from agentgym.engines.served.wire import PROTOCOL

TOKEN = "0123456789abcdef"


def completes(
    token_ids: Any = (5, 6),
    logprobs: Any = (-0.5, -1.5),
    finish_reason: Any = "length",
    versions: Any = ((0, 0),),
    **more: Any,
) -> Answer:
    """Answer as a replica does."""
    return is_json(
        {
            "token_ids": token_ids,
            "logprobs": logprobs,
            "finish_reason": finish_reason,
            "versions": versions,
            **more,
        }
    )


def refuses(status: int, error: str = "no", **headers: str) -> Answer:
    return is_json({"error": error, "hint": None, "kind": "engine"}, status, **headers)


def goes_away() -> Answer:
    return Answer(says_nothing=True)


class EngineServer(ChatServer):
    """Tells a good status unless told otherwise, and answers the rest as it is told to."""

    def __init__(self, answers: "Answers | list[Answer]", *, status: Any = None) -> None:
        super().__init__(answers)
        self.told = status or {}
        self._server.RequestHandlerClass = _EngineHandler

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def models(self) -> Answer:
        return is_json(self.told) if isinstance(self.told, dict) else self.told

    def describe(self, loaded: Loaded, **keys: Any) -> None:
        """Tell that a model is served."""
        self.told = {
            "state": "up",
            "protocol": PROTOCOL,
            "model": "m",
            "max_context": loaded.max_context,
            "vocabulary": vocabulary_of(loaded)._asdict(),
            "fingerprint": fingerprint(loaded.folder),
            "deterministic": False,
            "dtype": "float32",
            "version": 0,
            "weights": None,
            "weights_dir": "/tmp",
            **keys,
        }

    def engine(self, loaded: Loaded, **keys: Any) -> ServedEngine:
        config = ServedEngineConfig(url=self.url, token_env="ENGINE_SERVER_TOKEN", **keys)
        return config.build(loaded)


class _EngineHandler(_Handler):
    def do_POST(self) -> None:  # noqa: N802
        body = self.rfile.read(int(self.headers["Content-Length"] or 0))
        if self.path == "/sees":
            self._send(is_json({"sees": True}))
            return
        server = self.server.chat
        asked = Asked(time.monotonic(), dict(self.headers), json.loads(body or b"{}"))
        server.count(1)
        answer = server.answer(asked)
        time.sleep(answer.after_s)
        server.count(-1)
        self._send(answer)
