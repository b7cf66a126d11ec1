"""A group or an episode as one HTML file: the pages, and all answers that they would ask for.

Answers are kept by the one form of their address that the pages write, too (`canonical`). Of what
pages ask in parts, the texts of tokens, their columns and why each weighs what it weighs, the file
has the whole.
"""

import base64
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import product
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, quote

from starlette.responses import Response

from agentgym.config.methods import parse_credits
from agentgym.errors import AgentGymError, ConfigError
from agentgym.viewer.analysis import explainer
from agentgym.viewer.answers import encode, told
from agentgym.viewer.columns import OF_SEGMENT, OF_TOKENS, segment_lengths
from agentgym.viewer.lens import TRAINED
from agentgym.viewer.lookup import find_episode, find_run
from agentgym.viewer.onefile import make_page
from agentgym.viewer.pieces import MOST
from agentgym.viewer.routes import Asked, NotFoundError, Route, split_path
from agentgym.viewer.runs import OpenRun, OpenRuns

LARGEST = 64 << 20
"""Bytes of answers in one file."""

MOST_CREDITS = 6
"""Estimators of one file: it has the difference of every two."""

MOST_EXPLAINED = 20_000
"""Tokens of one file of which it tells why they weigh what they weigh; the first ones."""

Json = dict[str, Any]

_TOLD = (
    "run",
    "env",
    "status",
    "credit",
    "shaping",
    "episodes",
    "step",
    "steps",
    "versions",
    "success",
    "started",
    "scalars",
    "metrics",
    "indexed",
)  # of a run; what else is told of it is of its machine, or of other episodes
_OF_TROUBLE = ("error", "hint", "why", "trouble")
_UNTOLD: Json = {
    "path": "",
    "config": None,
    "info": None,
    "live": False,
    **{name: [] for name in ("events", "alarms", "faults", "broken")},
}


class Shared(NamedTuple):
    """What a file is made of."""

    group: str
    episodes: Sequence[str]
    """Those that can be opened; the others of the group stand beside them in rows."""
    credits: Sequence[str]
    page: str


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
        body = self.make(
            run,
            group=asked.text("group"),
            episode=asked.text("episode"),
            credit=asked.text("credit"),
        )
        headers = {"content-disposition": f'attachment; filename="{run.name}.html"'}
        return Response(body, media_type="text/html; charset=utf-8", headers=headers)

    def make(self, run: OpenRun, *, group: str, episode: str, credit: str) -> bytes:
        """Return the file of a group or of an episode; the other one is empty.

        Args:
            run: what it is of.
            group: its name.
            episode: its id.
            credit: estimators that can be asked in it, as `--credit` of `agentgym recredit`.

        Raises:
            ConfigError: there is no such estimator, or one cannot be asked here; the file would be
                too large; both or none are named.
            NotFoundError: there is no such group or episode.
        """
        if bool(episode) == bool(group):
            raise ConfigError("say what to share", hint="either a group or an episode")
        shared = self._what(run, group, episode, _credits(credit))
        answers: Json = {}
        size = 0
        for address, found in self._answers(run, shared):
            answer = _without_path(found, run)
            size += len(encode(answer))
            if size > LARGEST:
                raise ConfigError(
                    f"the answers are more than {LARGEST >> 20} MiB",
                    hint="share a single episode of it" if group else "name fewer estimators",
                )
            answers[address] = answer
        content = {"page": shared.page, "credits": list(shared.credits), "answers": answers}
        return make_page(content, self._static)

    def _what(self, run: OpenRun, group: str, episode: str, credits: Sequence[str]) -> Shared:
        name = group or str(find_episode(run, episode).fields["group_id"])
        rows = self._ask(canonical(_members(run, name)))["rows"]
        if not rows:
            raise NotFoundError(f"no group {name[:80]!r} in {run.name}")
        page = f"/run/{run.name}/{'episode' if episode else 'group'}/{_part(episode or group)}"
        return Shared(name, [episode] if episode else [each["id"] for each in rows], credits, page)

    def _answers(self, run: OpenRun, shared: Shared) -> Iterator[tuple[str, Any]]:
        """Yield what the pages ask for, by canonical address."""
        detail = run.detail()
        of_run = {name: detail[name] for name in _TOLD} | _UNTOLD
        yield canonical(f"/api/runs/{run.name}"), of_run
        yield _members(run, shared.group), self._ask(_members(run, shared.group))
        group = f"/api/runs/{run.name}/groups/{_part(shared.group)}"
        lenses = [
            {"credit": credit, "minus": minus}
            for credit, minus in product(["", *shared.credits], ["", TRAINED, *shared.credits])
        ]
        for words in lenses:
            if words["credit"] and not words["minus"]:
                self._ask(canonical(group, words))  # fails where it cannot be asked here
            yield self._asked(group, words)
            yield self._asked(f"{group}/states", words)
            yield self._asked(f"/api/runs/{run.name}/lens", {**words, "group": shared.group})
        left = MOST_EXPLAINED
        for name in shared.episodes:
            for address, answer in self._of_episode(run, name, left):
                left -= len(answer.get("tokens", ())) if "/why?" in address else 0
                yield address, answer
            for words in lenses:
                yield self._advantages(f"/api/runs/{run.name}/episodes/{_part(name)}", words)

    def _of_episode(self, run: OpenRun, name: str, left: int) -> Iterator[tuple[str, Any]]:
        path = f"/api/runs/{run.name}/episodes/{_part(name)}"
        yield self._asked(path, {"parts": "said"})
        yield self._asked(f"{path}/tags", {})
        yield self._asked(f"{path}/ledger", {})
        yield f"{path}/panels", self._panels(path)
        names = [*OF_SEGMENT, *OF_TOKENS]
        for segment, length in enumerate(segment_lengths(find_episode(run, name))):
            of = {"segment": str(segment)}
            columns = self._bytes(canonical(f"{path}/columns", {**of, "names": ",".join(names)}))
            yield canonical(f"{path}/columns", of), base64.b64encode(columns).decode()
            for what in ("pieces", "truth"):
                yield canonical(f"{path}/{what}", of), self._of_tokens(path, what, segment, length)
            left -= length
            if left >= 0:
                address = canonical(f"/api/runs/{run.name}/why", {"episode": name, **of})
                yield address, _or_told(partial(_whys, run, name, segment, length))

    def _panels(self, path: str) -> Json:
        """Return what was drawn of all states of an episode."""
        rows: list[Json] = []
        while True:
            found = self._ask(canonical(f"{path}/panels", {"offset": str(len(rows))}))
            rows += found["rows"]
            if len(rows) >= found["total"]:
                return {"total": len(rows), "rows": rows}

    def _advantages(self, path: str, words: Mapping[str, str]) -> tuple[str, Any]:
        """Return an address and what an estimator gives each token, as base64; else why not."""
        address = canonical(f"{path}/advantages", words)
        try:
            return address, base64.b64encode(self._bytes(address)).decode()
        except AgentGymError as error:
            return address, told(error)

    def _asked(self, path: str, words: Mapping[str, str]) -> tuple[str, Any]:
        """Return an address and its answer; where there is none, why not."""
        address = canonical(path, words)
        return address, _or_told(partial(self._ask, address))

    def _of_tokens(self, path: str, what: str, segment: int, length: int) -> Json:
        """Return what `pieces` or `truth` tells of all tokens of a segment."""
        all_of_them: list[Any] = []
        for first in range(0, length, MOST):
            words = {"segment": str(segment), "first": str(first), "stop": str(first + MOST)}
            found: Json = self._ask(canonical(f"{path}/{what}", words))
            if found[what] is None:
                return found
            all_of_them += found[what]
        return {what: all_of_them, "first": 0, "of": length}

    def _ask(self, target: str) -> Any:
        return json.loads(self._bytes(target))

    def _bytes(self, target: str) -> bytes:
        path, _, query = target.partition("?")
        for route in self._answering:
            names = route.match(split_path(path))
            if names is not None and route.method == "GET":
                answer = route.handler(Asked(names, dict(parse_qsl(query)), {}))
                assert isinstance(answer, Response)
                return bytes(answer.body)
        raise AssertionError(target)


def canonical(path: str, words: Mapping[str, str] | None = None) -> str:
    """Return the one form of an address; `canonical` of the pages writes the same.

    >>> canonical("/api/runs/a/lens", {"group": "g*1", "credit": "gigpo,gamma=0.5", "minus": ""})
    '/api/runs/a/lens?credit=gigpo%2Cgamma%3D0.5&group=g%2A1'
    """
    given = sorted(f"{_part(key)}={_part(value)}" for key, value in (words or {}).items() if value)
    return f"{path}?{'&'.join(given)}" if given else path


def _without_path(answer: Any, run: OpenRun) -> Any:
    """Call the run by its name, and not by its path, where an answer tells what went wrong."""
    if not isinstance(answer, dict):
        return answer

    def named(told: Any) -> Any:
        if isinstance(told, list):
            return [named(each) for each in told]
        return told.replace(str(run.root), run.name) if isinstance(told, str) else told

    return answer | {key: named(answer[key]) for key in _OF_TROUBLE if key in answer}


def _or_told(make: Callable[[], Json]) -> Json:
    try:
        return make()
    except AgentGymError as error:
        return told(error)


def _credits(text: str) -> list[str]:
    found = list(parse_credits([text])) if text else []
    if len(found) > MOST_CREDITS:
        raise ConfigError(f"at most {MOST_CREDITS} estimators, got {len(found)}")
    return found


def _members(run: OpenRun, group: str) -> str:
    return f"/api/runs/{run.name}/groups/{_part(group)}/members"


def _whys(run: OpenRun, name: str, segment: int, length: int) -> Json:
    """Return why each token of a segment weighs what it weighs; what is said of many stands once."""
    answers: dict[str, int] = {}
    tokens = []
    why = explainer(run, name)
    for token in range(length):
        text = json.dumps(why(token, segment=segment).to_json())
        tokens.append(answers.setdefault(text, len(answers)))
    return {"answers": [json.loads(each) for each in answers], "tokens": tokens}


def _part(name: str) -> str:
    """Return a name as a part of an address."""
    return quote(name.encode("utf-8", "backslashreplace"), safe="")
