"""A group or an episode as one HTML file: the pages, and all answers that they would ask for.

The file needs no server and no network. What models wrote is in it as compressed base64 in a block
that is no program, and its policy lets nothing run but the pages' own script.
"""

import base64
import gzip
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode

from starlette.responses import Response

from agentgym.config.methods import parse_credits
from agentgym.errors import ConfigError
from agentgym.viewer.answers import encode
from agentgym.viewer.columns import OF_SEGMENT, OF_TOKENS, segment_lengths
from agentgym.viewer.lookup import find_episode, find_run
from agentgym.viewer.panels import MOST_STATES, read_panels
from agentgym.viewer.pieces import MOST
from agentgym.viewer.routes import Asked, Route, split_path
from agentgym.viewer.runs import OpenRun, OpenRuns

LARGEST = 64 << 20
"""Bytes of answers in one file."""

_PRIVATE: dict[str, Any] = {
    "path": "",
    "config": None,
    "info": None,
    "events": [],
    "alarms": [],
}  # of a run
_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>agentgym</title>
<style>{style}</style>
<div id="app"></div>
<script type="application/json" id="shared">{data}</script>
<script type="module">{script}</script>
</html>
"""

Json = dict[str, Any]


class Sharing:
    """The handler of `/share`; it asks the handlers of other addresses."""

    def __init__(
        self, runs: OpenRuns, routes: Sequence[Route], static: Mapping[str, bytes]
    ) -> None:
        self._runs = runs
        self._answering = routes
        self._static = static
        self.routes: Sequence[Route] = [Route("/share", self.share)]

    def share(self, asked: Asked) -> Response:
        """One HTML file, to be kept."""
        run = find_run(self._runs, asked.text("run"))
        credits = list(parse_credits([asked.text("credit")])) if asked.text("credit") else []
        episode, group = asked.text("episode"), asked.text("group")
        if bool(episode) == bool(group):
            raise ConfigError("say what to share", hint="either group=... or episode=...")
        page = f"/run/{run.name}/{'episode' if episode else 'group'}/{_part(episode or group)}"
        targets = _targets(run, self._members(run, episode, group), credits)
        found = self._gather(run, targets)
        body = make_page({"page": page, "answers": found}, self._static)
        headers = {"content-disposition": f'attachment; filename="{run.name}.html"'}
        return Response(body, media_type="text/html; charset=utf-8", headers=headers)

    def _members(self, run: OpenRun, episode: str, group: str) -> Json:
        """Return the group that is shared; of an episode, the others stand beside it in rows."""
        name = group or str(find_episode(run, episode).fields["group_id"])
        found = json.loads(self._ask(f"/api/runs/{run.name}/groups/{_part(name)}"))
        names = [episode] if episode else [each["id"] for each in found["members"]]
        return {"group": name, "episodes": names}

    def _gather(self, run: OpenRun, targets: Iterator[str]) -> Json:
        """Return the answers to some addresses: JSON as it is, bytes as base64."""
        summary = {**run.summary(), "path": "", "live": False}
        found: Json = {
            "/api/runs": [summary],
            f"/api/runs/{run.name}": {**run.detail(), **_PRIVATE, "live": False},
        }
        size = 0
        for target in targets:
            body = self._ask(target)
            size += len(body)
            if size > LARGEST:
                raise ConfigError(
                    f"this is more than {LARGEST >> 20} MiB", hint="share a single episode of it"
                )
            is_json = "/columns?" not in target
            found[target] = json.loads(body) if is_json else base64.b64encode(body).decode()
        return found

    def _ask(self, target: str) -> bytes:
        path, _, query = target.partition("?")
        for route in self._answering:
            names = route.match(split_path(path))
            if names is not None and route.method == "GET":
                answer = route.handler(Asked(names, dict(parse_qsl(query)), {}))
                assert isinstance(answer, Response)
                return bytes(answer.body)
        raise AssertionError(target)


def make_page(shared: Mapping[str, Any], static: Mapping[str, bytes]) -> bytes:
    """Return the file; `static` are the files of the pages.

    Raises:
        ConfigError: this build has no pages.
    """
    if "app.js" not in static:
        raise ConfigError("this build has no pages to share", hint="build them: make viewer")
    script = static["app.js"].decode().replace("</script", "<\\/script")
    style = static.get("app.css", b"").decode().replace("</style", "<\\/style")
    policy = (
        f"default-src 'none'; script-src {_digest(script)}; style-src {_digest(style)}; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )
    data = base64.b64encode(gzip.compress(encode(shared), mtime=0)).decode()
    return _PAGE.format(policy=policy, style=style, data=data, script=script).encode()


def _targets(run: OpenRun, members: Json, credits: Sequence[str]) -> Iterator[str]:
    """Yield the addresses that the pages ask for."""
    group = f"/api/runs/{run.name}/groups/{_part(members['group'])}"
    for query in ["", *(f"?{urlencode({'credit': label})}" for label in credits)]:
        yield f"{group}{query}"
        yield f"{group}/states{query}"
    for name in members["episodes"]:
        yield from _episode_targets(run, name)


def _episode_targets(run: OpenRun, name: str) -> Iterator[str]:
    address = f"/api/runs/{run.name}/episodes/{_part(name)}"
    yield address
    head = find_episode(run, name)
    for offset in range(0, read_panels(head, limit=0)["total"], MOST_STATES):
        yield f"{address}/panels?offset={offset}&limit={MOST_STATES}"
    names = ",".join([*OF_SEGMENT, *OF_TOKENS])
    for segment, length in enumerate(segment_lengths(head)):
        yield f"{address}/columns?names={names}&segment={segment}"
        for first in range(0, length, MOST):
            yield f"{address}/pieces?segment={segment}&first={first}&stop={first + MOST}"


def _part(name: str) -> str:
    """Return a name as a part of an address."""
    return quote(name.encode("utf-8", "backslashreplace"), safe="")


def _digest(text: str) -> str:
    found = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(found).decode()}'"
