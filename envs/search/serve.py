"""Serves the articles of an invented world as Search-R1's retrieval server does.

python -m agentgym.envs.search.serve --port 8000
"""

import argparse
import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Annotated, Any

from pydantic import BaseModel, Field, ValidationError

from agentgym.envs.search.env import SearchConfig
from agentgym.envs.search.index import Hit, Index, index_of

_MAX_BYTES = 1 << 20
_MAX_RESULTS = 100


class _Request(BaseModel):
    """What a client sends."""

    queries: Annotated[list[str], Field(max_length=1000)]
    topk: Annotated[int, Field(ge=1, le=_MAX_RESULTS)] | None = None
    return_scores: bool = False


class _Handler(BaseHTTPRequestHandler):
    """Answers POST /retrieve."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else each answer waits 40 ms for the client to acknowledge
    index: Index
    top_k: int

    def do_POST(self) -> None:
        """Search every query."""
        if self.path != "/retrieve":
            return self._answer(404, {"detail": "there is only POST /retrieve"})
        try:
            size = int(self.headers["Content-Length"] or -1)
        except (TypeError, ValueError):
            size = -1
        if not 0 <= size <= _MAX_BYTES:
            self.close_connection = True  # what follows is not read
            return self._answer(413, {"detail": f"expected a body of at most {_MAX_BYTES} bytes"})
        try:
            request = _Request.model_validate_json(self.rfile.read(size))
        except ValidationError as error:
            return self._answer(422, {"detail": error.errors(include_input=False)})
        k = request.topk or self.top_k
        found = [self.index.search(query, k) for query in request.queries]
        results = [[_item(hit, scored=request.return_scores) for hit in hits] for hits in found]
        return self._answer(200, {"result": results})

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing for each request."""

    def _answer(self, status: int, value: dict[str, Any]) -> None:
        body = json.dumps(value, default=str).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class _Server(ThreadingHTTPServer):
    request_queue_size = 128  # as many episodes as a rollout has under way


def _item(hit: Hit, *, scored: bool) -> dict[str, Any]:
    article = hit.article
    document = {"id": article.id, "contents": f'"{article.title}"\n{article.text}'}
    return {"document": document, "score": hit.score} if scored else document


def main() -> None:
    """Read the arguments and serve until interrupted."""
    default = SearchConfig()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000, help="0: any that is free")
    parser.add_argument("--documents", type=int, default=default.documents)
    parser.add_argument("--world", type=int, default=default.world)
    parser.add_argument("--top-k", type=int, default=default.top_k)
    args = parser.parse_args()
    _Handler.index = index_of(args.documents, args.world)
    _Handler.top_k = args.top_k
    with _Server((args.host, args.port), _Handler) as server:
        host, port = str(server.server_address[0]), server.server_address[1]
        sys.stdout.write(f"serving {args.documents} articles at http://{host}:{port}/retrieve\n")
        sys.stdout.flush()
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            return


if __name__ == "__main__":
    main()
