"""The reward ledger of an episode: every term, what shaping made of it, and every gate, by step.

All is computed by the trainer's own shaper, on the table that the episode was trained in, so that
the paid parts add up to its rewards. A gate looks at sums over the whole episode; its row here
tells where it stood after each step.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal

import numpy as np

from agentgym.table import Floats, StepTable
from agentgym.trainers.shaping.base import OUTCOME, ShaperConfig, column
from agentgym.trainers.shaping.gates import Above, AnyGate, NotZero, Score, Soft
from agentgym.trainers.shaping.outcome import Outcome
from agentgym.trainers.shaping.terms import Preset, Term, Terms
from agentgym.viewer.scene import AT_THE_END, Scene

State = Literal["not reached", "open", "blocked", "counted", "clipped", "unused"]
"""Of a term at a step: none of it was earned so far; some was, and it may still be paid; a gate is
closed; it is paid here; a part of it is; the rewards do not look at it."""


@dataclass(frozen=True, slots=True)
class TermRow:
    """One reward term over the steps of an episode, [T] each."""

    term: str
    weight: float | None
    """What it was multiplied by, its schedule included; None: the rewards do not look at it, or it
    has no one weight."""
    scope: str | None
    form: str | None
    """What of it is paid: `as_given`, `potential` and so on."""
    raw: tuple[float, ...]
    """As the environment gave it."""
    paid: tuple[float, ...]
    """Its part of the rewards."""
    states: tuple[State, ...]
    blocked_by: tuple[str, ...]
    """The conditions that are not met at the end of the episode."""


@dataclass(frozen=True, slots=True)
class GateRow:
    """One gate of one term."""

    term: str
    """What it holds back."""
    condition: str
    """In words: `outcome > 0`."""
    share: tuple[float, ...]
    """[T], how much of the term it would let through, had the episode ended after the step."""


@dataclass(frozen=True, slots=True)
class Ledger:
    """How the rewards of an episode came about."""

    terms: tuple[TermRow, ...]
    """In the order in which they are added up; unused ones last."""
    gates: tuple[GateRow, ...]
    rewards: tuple[float, ...]
    """[T], the sum of what was paid."""
    recorded: tuple[float, ...] | None
    """[T], what was trained on, where it differs from that."""

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values; with `total`, what each term paid in all."""
        return {
            "terms": [{**_plain(row), "total": sum(row.paid)} for row in self.terms],
            "gates": [_plain(row) for row in self.gates],
            "rewards": list(self.rewards),
            "total": sum(self.rewards),
            "recorded": None if self.recorded is None else list(self.recorded),
        }


def ledger(scene: Scene, episode: str, *, shaper: ShaperConfig | None = None) -> Ledger:
    """Return the ledger of an episode of a scene.

    Args:
        scene: where it was trained, or played.
        episode: its id.
        shaper: other than that of the run.

    Raises:
        KeyError: the scene does not have it.
        ConfigError: a reward is too large to compute with.
    """
    if episode not in scene.table.trajectory_ids:
        raise KeyError(episode)
    index = scene.table.trajectory_ids.index(episode)
    rows = slice(*scene.table.step_start[index : index + 2].tolist())
    shaping = shaper or scene.methods.shaping
    shaped = scene.shape(shaping)
    prefixes = _prefixes(scene.table, index, rows)
    terms = {each.term: each for each in _terms_of(shaping)}
    gates = [_gate_row(t, gate, prefixes) for t in terms.values() for gate in t.gates]
    found = [
        _term_row(
            scene, terms.get(name), name, paid[rows], rows, [g for g in gates if g.term == name]
        )
        for name, paid in shaped.terms.items()
    ]
    unused = [name for name in scene.table.term_names if name not in shaped.terms]
    return Ledger(
        terms=(*found, *(_unused_row(name, scene.table.term(name)[rows]) for name in unused)),
        gates=tuple(gates),
        rewards=_numbers(shaped.rewards[rows]),
        recorded=None if shaper else _recorded(scene, shaped.rewards, rows),
    )


def condition(gate: AnyGate) -> str:
    """Return what a gate asks for, in words."""
    if isinstance(gate, Above):
        return f"{gate.term} {'>' if gate.strict else '>='} {gate.threshold:g}"
    if isinstance(gate, NotZero):
        return f"{gate.term} != 0"
    if isinstance(gate, Score):
        return f"as far as {gate.term}"
    assert isinstance(gate, Soft)
    return f"as far as {', '.join(gate.terms)} together (delta {gate.delta:g})"


class _Prefixes(StepTable):
    """The steps of one trajectory, each of which stands for the episode up to it."""

    def per_trajectory(self, values: Floats) -> Floats:
        """Return the sums over the prefixes, [T]."""
        return np.cumsum(values)


def _prefixes(table: StepTable, index: int, rows: slice) -> StepTable:
    values = {each.name: getattr(table, each.name) for each in fields(StepTable) if each.init}
    by_step = ("trajectory", "step", "state", "next_state", "action", "terms")
    cut = {name: values[name][rows] for name in by_step}
    count = rows.stop - rows.start
    cut["trajectory"] = np.arange(count)
    cut["token_start"] = table.token_start[rows.start : rows.stop + 1]
    cut["step_start"] = np.arange(count + 1)
    cut["group"] = np.arange(count)
    cut["terminated"] = np.full(count, table.terminated[index])
    cut["trajectory_ids"] = table.trajectory_ids[index : index + 1] * count
    return _Prefixes(**{**values, **dict.fromkeys(_OPTIONAL), **cut})


_OPTIONAL = tuple(each.name for each in fields(StepTable) if each.default is None)


def _terms_of(shaping: ShaperConfig) -> Sequence[Term]:
    """Return the list that a shaper is short for; one of another kind has none."""
    if isinstance(shaping, Outcome):
        return (Term(term=OUTCOME, scope="step"),)
    if isinstance(shaping, Preset):
        return shaping.as_terms().terms
    return shaping.terms if isinstance(shaping, Terms) else ()


def _gate_row(term: Term, gate: AnyGate, prefixes: StepTable) -> GateRow:
    return GateRow(term.term, condition(gate), _numbers(gate.share(prefixes)))


def _term_row(
    scene: Scene,
    term: Term | None,
    name: str,
    paid: Floats,
    rows: slice,
    gates: Sequence[GateRow],
) -> TermRow:
    raw = column(scene.table, name)[rows]
    due = paid if term is None else _due(scene, term)[rows]
    share = np.prod([gate.share for gate in gates], axis=0) if gates else np.ones(len(raw))
    return TermRow(
        term=name,
        weight=None if term is None else term.weight * term.schedule.factor(**_now(scene)),
        scope=None if term is None else term.scope,
        form=None if term is None else term.form.name,
        raw=_numbers(raw),
        paid=_numbers(paid),
        states=tuple(map(_state, np.cumsum(raw != 0).tolist(), due, paid, share.tolist())),
        blocked_by=tuple(gate.condition for gate in gates if gate.share[-1] == 0),
    )


def _due(scene: Scene, term: Term) -> Floats:
    """Return what a term would pay without its gates, [S]."""
    return term.rewards(scene.table, **_now(scene))


def _now(scene: Scene) -> dict[str, float]:
    """Return where schedules stand."""
    return {name: scene.schedules.get(name, at) for name, at in AT_THE_END.items()}


def _state(reached: int, due: float, paid: float, share: float) -> State:
    if due != 0:
        if paid == due:
            return "counted"
        return "clipped" if paid != 0 else "blocked"
    if not reached:
        return "not reached"
    return "open" if share > 0 else "blocked"


def _unused_row(name: str, raw: Floats) -> TermRow:
    zeros, states = (0.0,) * len(raw), tuple[State, ...](["unused"] * len(raw))
    return TermRow(name, None, None, None, _numbers(raw), zeros, states, ())


def _recorded(scene: Scene, rewards: Floats, rows: slice) -> tuple[float, ...] | None:
    if scene.update is None or np.array_equal(rewards[rows], scene.update.rewards[rows]):
        return None
    return _numbers(scene.update.rewards[rows])


def _numbers(values: Floats) -> tuple[float, ...]:
    return tuple(values.tolist())


def _plain(row: TermRow | GateRow) -> dict[str, Any]:
    return {each.name: _listed(getattr(row, each.name)) for each in fields(row)}


def _listed(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
