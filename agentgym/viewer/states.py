"""The state map of a group: the states that its rollouts came through, and what they did there.

A step without a state key stands in a place of its own: what was done since the last known place.
Where no step has a key, the map is the prefix tree of the actions. Places and edges are numbered
by what they are, never by the order of the members.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from agentgym.table import Floats
from agentgym.types import Trajectory, digest

Kind = Literal["state", "path", "end"]

Advantages = Mapping[str, Sequence[float] | Floats]
"""By the id of a trajectory, one for each of its steps."""

_MOST_TEXT = 2000  # characters of an observation: a map is looked at, not read


@dataclass(frozen=True, slots=True)
class Node:
    """A place that rollouts came through."""

    kind: Kind
    """Known by its state key; by the actions that led there; or where rollouts ended."""
    key: str
    """Of a state its key; of a path a digest of it; of an end how it ended."""
    text: str
    """What was observed there, the beginning of it."""
    x: int
    """Layer: the fewest steps in which a member came there."""
    y: float
    """Place in its layer, around 0; no two nodes share x and y."""
    visits: int
    """How often members came there."""
    members: tuple[int, ...]
    """Who did, ascending."""
    value: float | None
    """Mean return of those members; None where none of them has one."""
    advantage: float | None
    """Mean advantage of the steps from there; None where none has one."""
    parts: float | None
    """How far winners, whose return is above the mean, act otherwise there than the rest do: from 0,
    the same actions as often, to 1, no action in common. None where only one of both came."""


@dataclass(frozen=True, slots=True)
class Edge:
    """One action from one place to another."""

    start: int
    """Number of the node that it leaves."""
    stop: int
    """Number of the node that it leads to."""
    action: str
    steps: tuple[tuple[int, int], ...]
    """(member, step) of those that took it, ascending."""
    advantage: float | None
    """Mean over those steps; None where none has one."""

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {
            "from": self.start,
            "to": self.stop,
            "action": self.action,
            "count": len(self.steps),
            "advantage": self.advantage,
            "steps": [list(each) for each in self.steps],
        }


@dataclass(frozen=True, slots=True)
class StateMap:
    """Nodes, layer by layer, and edges between them."""

    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {
            "nodes": [
                {"id": number, **{name: getattr(node, name) for name in Node.__dataclass_fields__}}
                for number, node in enumerate(self.nodes)
            ],
            "edges": [edge.to_json() for edge in self.edges],
        }


def map_states(
    members: Sequence[Trajectory],
    *,
    returns: Sequence[float | None],
    advantages: Advantages | None = None,
) -> StateMap:
    """Draw the map of a group.

    Args:
        members: its trajectories.
        returns: [G], of each; None: it has none, as a fault, and says nothing of any state.
        advantages: of its steps; those of other trajectories are not known.
    """
    known = advantages or {}
    places = _walk(members, returns, known)
    layers = {place: min(step for _, step in found.arrivals) for place, found in places.items()}
    moves = _moves(places)
    ys = _ordered(places, layers, moves)
    order = sorted(places, key=lambda place: (layers[place], ys[place]))
    numbers = {place: number for number, place in enumerate(order)}
    is_won = _judged(returns)
    nodes = [
        _node(place, places[place], layers[place], ys[place], returns, is_won) for place in order
    ]
    edges = [
        Edge(numbers[a], numbers[b], action, tuple(sorted(found.steps)), _mean(found.advantages))
        for (a, action, b), found in moves.items()
    ]
    edges.sort(key=lambda edge: (edge.start, edge.stop, edge.action))
    return StateMap(tuple(nodes), tuple(edges))


class _Place(NamedTuple):
    """What a node is known by; the key of a path is a digest of where it began and what was done."""

    kind: Kind
    key: str


@dataclass(slots=True)
class _Move:
    steps: list[tuple[int, int]] = field(default_factory=list)
    advantages: list[float] = field(default_factory=list)


@dataclass(slots=True)
class _Found:
    arrivals: list[tuple[int, int]] = field(default_factory=list)
    """(member, steps before)"""
    texts: list[tuple[int, str]] = field(default_factory=list)
    """(steps before, observation)"""
    moves: dict[tuple[str, _Place], _Move] = field(default_factory=lambda: defaultdict(_Move))
    """By action and where it led."""


def _walk(
    members: Sequence[Trajectory], returns: Sequence[float | None], advantages: Advantages
) -> dict[_Place, _Found]:
    """Follow each member from place to place."""
    places: dict[_Place, _Found] = defaultdict(_Found)
    for member, trajectory in enumerate(members):
        own = advantages.get(trajectory.id, ())
        route = list(_route(trajectory, is_scored=returns[member] is not None))
        observed = [trajectory.prompt, *(step.replies for step in trajectory.steps)]
        for step, place in enumerate(route):
            found = places[place]
            found.arrivals.append((member, step))
            text = "\n".join(message.content for message in observed[step])
            found.texts.append((step, text[:_MOST_TEXT]))
            if step < len(trajectory.steps):
                move = found.moves[trajectory.steps[step].action_key, route[step + 1]]
                move.steps.append((member, step))
                move.advantages.extend(map(float, own[step : step + 1]))
    return dict(places)


def _route(trajectory: Trajectory, *, is_scored: bool) -> Iterator[_Place]:
    """Yield the place before each step, and the one at the end."""
    place = _Place("path", "")
    for step in trajectory.steps:
        if step.state_key is not None:
            place = _Place("state", step.state_key)
        yield place
        place = _Place("path", digest(place.kind, place.key, step.action_key))
    last = trajectory.steps[-1].next_state_key if trajectory.steps else None
    if last is not None:
        yield _Place("state", last)
    else:
        has_outcome = is_scored and trajectory.end != "error"
        told = f", outcome {trajectory.outcome:.6g}" if has_outcome else ""
        yield _Place("end", f"{trajectory.end}{told}")


def _moves(places: Mapping[_Place, _Found]) -> dict[tuple[_Place, str, _Place], _Move]:
    return {
        (place, action, stop): move
        for place, found in places.items()
        for (action, stop), move in found.moves.items()
    }


def _ordered(
    places: Mapping[_Place, _Found],
    layers: Mapping[_Place, int],
    moves: Iterable[tuple[_Place, str, _Place]],
) -> dict[_Place, float]:
    """Place the nodes of each layer near those that lead to them, one apart."""
    before: dict[_Place, set[_Place]] = defaultdict(set)
    for start, _, stop in moves:
        if layers[start] < layers[stop]:
            before[stop].add(start)
    by_layer: dict[int, list[_Place]] = defaultdict(list)
    for place, layer in layers.items():
        by_layer[layer].append(place)
    ys: dict[_Place, float] = {}
    for _, here in sorted(by_layer.items()):
        weight = {place: _mean([ys[each] for each in before[place]]) or 0.0 for place in here}
        here.sort(key=lambda each: (weight[each], -len(places[each].arrivals), each))
        ys |= {place: index - (len(here) - 1) / 2 for index, place in enumerate(here)}
    return ys


def _judged(returns: Sequence[float | None]) -> dict[int, bool]:
    """Return whether each member that has a return is a winner."""
    known = {member: each for member, each in enumerate(returns) if each is not None}
    mean = _mean([*known.values()]) or 0.0
    return {member: each > mean + 1e-9 for member, each in known.items()}


def _parts(found: _Found, is_won: Mapping[int, bool]) -> float | None:
    """Return the distance of what winners and others do: half of the sum of the differences."""
    counts: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for (action, _), move in found.moves.items():
        for member, _ in move.steps:
            if member in is_won:
                counts[action][is_won[member]] += 1
    others, won = (sum(each[side] for each in counts.values()) for side in (0, 1))
    if not others or not won:
        return None
    return sum(sorted(abs(b / won - a / others) for a, b in counts.values())) / 2


def _node(
    place: _Place,
    found: _Found,
    x: int,
    y: float,
    returns: Sequence[float | None],
    is_won: Mapping[int, bool],
) -> Node:
    members = tuple(sorted({member for member, _ in found.arrivals}))
    advantages = [each for move in found.moves.values() for each in move.advantages]
    return Node(
        kind=place.kind,
        key=place.key,
        text=min(found.texts)[1],
        x=x,
        y=y,
        visits=len(found.arrivals),
        members=members,
        value=_mean([each for member in members if (each := returns[member]) is not None]),
        advantage=_mean(advantages),
        parts=_parts(found, is_won),
    )


def _mean(values: Sequence[float]) -> float | None:
    """Return the mean, the same in any order of the values."""
    return sum(sorted(values)) / len(values) if values else None
