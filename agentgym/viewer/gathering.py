"""All that the pages would ask for of a group or an episode, for a file without a server.

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
from urllib.parse import quote

from agentgym.errors import AgentGymError
from agentgym.viewer.analysis import explainer
from agentgym.viewer.answers import encode, told
from agentgym.viewer.columns import OF_SEGMENT, OF_TOKENS, segment_lengths
from agentgym.viewer.lookup import find_episode
from agentgym.viewer.packed import Packed
from agentgym.viewer.panels import all_panels
from agentgym.viewer.pieces import MOST
from agentgym.viewer.runs import OpenRun
from agentgym.viewer.scene import TRAINED

MOST_EXPLAINED = 20_000
"""Tokens of one file of which it tells why they weigh what they weigh; the first ones."""

_LEAST = 12  # bytes of a token: its number, its log-probability, whether it was sampled, as base64

Json = dict[str, Any]
Ask = Callable[[str], bytes]
"""The JSON, or the bytes, that an address answers."""

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


class Gathering:
    """Asks for one answer after the other and puts each away, so that only one is held."""

    def __init__(self, run: OpenRun, shared: Shared, ask: Ask, answers: Packed) -> None:
        self._run = run
        self._shared = shared
        self._ask = ask
        self._answers = answers
        self._unexplained = MOST_EXPLAINED
        root = str(run.root)
        self._roots = encode(root)[1:-1], json.dumps(root).encode()[1:-1]

    def gather(self) -> None:
        """Put all answers away.

        Raises:
            ConfigError: they are more than may be put away, which is told as soon as it is known;
                an estimator cannot be asked here.
        """
        self._need_tokens()
        for address, found in self._all():
            self._answers.add(address, self._without_path(found))

    def _need_tokens(self) -> None:
        """Refuse, before anything is computed, episodes whose tokens alone are too many."""
        heads = [find_episode(self._run, name) for name in self._shared.episodes]
        self._answers.need(_LEAST * sum(sum(segment_lengths(head)) for head in heads))

    def _all(self) -> Iterator[tuple[str, bytes]]:
        """Yield what the pages ask for, by canonical address.

        Numbers come first: they are most of a large file, and take the least time.
        """
        run, shared = self._run, self._shared
        detail = run.detail()
        of_run = {name: detail[name] for name in _TOLD} | _UNTOLD
        yield canonical(f"/api/runs/{run.name}"), encode(of_run)
        yield members_of(run, shared.group), self._ask(members_of(run, shared.group))
        group = f"/api/runs/{run.name}/groups/{part(shared.group)}"
        for credit in shared.credits:
            self._ask(canonical(group, {"credit": credit}))  # fails where it cannot be asked here
        for name in shared.episodes:
            yield from self._numbers(name)
        for words in self._lenses:
            yield self._asked(group, words)
            yield self._asked(f"{group}/states", words)
            yield self._asked(f"/api/runs/{run.name}/lens", {**words, "group": shared.group})
        for name in shared.episodes:
            yield from self._words(name)

    @property
    def _lenses(self) -> Iterator[dict[str, str]]:
        credits = self._shared.credits
        for credit, minus in product(["", *credits], ["", TRAINED, *credits]):
            yield {"credit": credit, "minus": minus}

    def _numbers(self, name: str) -> Iterator[tuple[str, bytes]]:
        """Yield what is recorded of each token of an episode, and what estimators gave it."""
        path = f"/api/runs/{self._run.name}/episodes/{part(name)}"
        names = ",".join([*OF_SEGMENT, *OF_TOKENS])
        for segment, _ in self._segments(name):
            of = {"segment": segment}
            columns = self._as_base64(canonical(f"{path}/columns", {**of, "names": names}))
            yield canonical(f"{path}/columns", of), columns
        for words in self._lenses:
            address = canonical(f"{path}/advantages", words)
            yield address, _or_told(partial(self._as_base64, address))

    def _words(self, name: str) -> Iterator[tuple[str, bytes]]:
        """Yield what is said and drawn in an episode, and why its tokens weigh what they weigh."""
        path = f"/api/runs/{self._run.name}/episodes/{part(name)}"
        yield self._asked(path, {"parts": "said"})
        yield self._asked(f"{path}/tags", {})
        yield self._asked(f"{path}/ledger", {})
        yield f"{path}/panels", _or_told(partial(self._panels, name))
        for segment, length in self._segments(name):
            of = {"segment": segment}
            for what in ("pieces", "truth"):
                yield canonical(f"{path}/{what}", of), self._of_tokens(path, what, segment, length)
            if length <= self._unexplained:
                self._unexplained -= length
                address = f"/api/runs/{self._run.name}/why"
                told = _or_told(partial(self._whys, name, segment, length))
                yield canonical(address, {"episode": name, **of}), told

    def _segments(self, name: str) -> Iterator[tuple[str, int]]:
        """Yield the number and the length of each stream of tokens."""
        for segment, length in enumerate(segment_lengths(find_episode(self._run, name))):
            yield str(segment), length

    def _panels(self, name: str) -> bytes:
        """Return what was drawn of all states of an episode."""
        rows = _Listed(self._answers)
        for drawn in all_panels(find_episode(self._run, name)):
            rows.extend([drawn])
        return b'{"total":%d,"rows":%b}' % (len(rows), rows.to_json())

    def _of_tokens(self, path: str, what: str, segment: str, length: int) -> bytes:
        """Return what `pieces` or `truth` tells of all tokens of a segment."""
        tokens = _Listed(self._answers)
        for first in range(0, length, MOST):
            words = {"segment": segment, "first": str(first), "stop": str(first + MOST)}
            found = self._asked_for(canonical(f"{path}/{what}", words))
            if found[what] is None:
                return encode(found)
            tokens.extend(found[what])
        return b'{"%b":%b,"first":0,"of":%d}' % (what.encode(), tokens.to_json(), length)

    def _whys(self, name: str, segment: str, length: int) -> bytes:
        """Return why each token of a segment weighs what it weighs; what many have stands once."""
        places: dict[str, int] = {}
        answers = _Listed(self._answers)
        tokens = []
        why = explainer(self._run, name)
        for token in range(length):
            answer = why(token, segment=int(segment)).to_json()
            text = json.dumps(answer)
            if text not in places:
                places[text] = len(places)
                answers.extend([answer])
            tokens.append(places[text])
        return b'{"answers":%b,"tokens":%b}' % (answers.to_json(), encode(tokens))

    def _asked(self, path: str, words: Mapping[str, str]) -> tuple[str, bytes]:
        """Return an address and its answer; where there is none, why not."""
        address = canonical(path, words)
        return address, _or_told(partial(self._ask, address))

    def _asked_for(self, address: str) -> Any:
        return json.loads(self._ask(address))

    def _as_base64(self, address: str) -> bytes:
        return b'"%b"' % base64.b64encode(self._ask(address))

    def _without_path(self, answer: bytes) -> bytes:
        """Call the run by its name, not by its path, where an answer tells what went wrong."""
        if not any(root in answer for root in self._roots):
            return answer
        found = json.loads(answer)
        if not isinstance(found, dict):
            return answer
        return encode(found | {key: self._named(found[key]) for key in _OF_TROUBLE if key in found})

    def _named(self, told: Any) -> Any:
        if isinstance(told, list):
            return [self._named(each) for each in told]
        if isinstance(told, str):
            return told.replace(str(self._run.root), self._run.name)
        return told


class _Listed:
    """A list as the JSON that it will be, which takes less than what it is made of."""

    def __init__(self, room: Packed) -> None:
        self._room = room
        self._parts: list[bytes] = []
        self._length = self._size = 0

    def __len__(self) -> int:
        return self._length

    def extend(self, values: Sequence[Any]) -> None:
        """Add values.

        Raises:
            ConfigError: it would be larger than there is room for.
        """
        if values:
            self._parts.append(encode(values)[1:-1])
            self._length += len(values)
            self._size += len(self._parts[-1])
            self._room.need(self._size)

    def to_json(self) -> bytes:
        """Return all of it."""
        return b"[%b]" % b",".join(self._parts)


def canonical(path: str, words: Mapping[str, str] | None = None) -> str:
    """Return the one form of an address; `canonical` of the pages writes the same.

    >>> canonical("/api/runs/a/lens", {"group": "g*1", "credit": "gigpo,gamma=0.5", "minus": ""})
    '/api/runs/a/lens?credit=gigpo%2Cgamma%3D0.5&group=g%2A1'
    """
    given = sorted(f"{part(key)}={part(value)}" for key, value in (words or {}).items() if value)
    return f"{path}?{'&'.join(given)}" if given else path


def members_of(run: OpenRun, group: str) -> str:
    """Return the address of the members of a group."""
    return f"/api/runs/{run.name}/groups/{part(group)}/members"


def part(name: str) -> str:
    """Return a name as a part of an address."""
    return quote(name.encode("utf-8", "backslashreplace"), safe="")


def _or_told(make: Callable[[], bytes]) -> bytes:
    try:
        return make()
    except AgentGymError as error:
        return encode(told(error))
