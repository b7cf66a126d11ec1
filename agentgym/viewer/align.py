"""Rollouts of one task side by side: equal decisions in one row.

A decision is a step's (state key, action key). Members are merged one after the other into rows:
the longest common subsequence of decisions first, then inside of the gaps that of states, and what
is left stands side by side from the top of its gap. The order of merging follows from the content
alone, so that the order of the members changes nothing but the order of the cells.
"""

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from agentgym.types import Step, Trajectory

Same = Literal["all", "some", "none"]

_MOST_CELLS = 1 << 28  # bits of one table, 32 MiB: beyond it only the ends of a gap are matched


class Decision(NamedTuple):
    """What is compared of a step; `state` is empty where it has no key."""

    state: tuple[str, ...]
    action: str


@dataclass(frozen=True, slots=True)
class AlignedRow:
    """One row: at most one step of every member."""

    cells: tuple[int | None, ...]
    """[G], the index of the step, or None."""
    same: Same
    """Whether all members, some, or no two of them decide alike here; of those that a fault ended
    before, nothing is asked."""
    folded: bool
    """Inside of the shared beginning, of which the last row stays open."""
    rejoins: bool
    """Members that had parted decide alike again."""

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {
            "cells": list(self.cells),
            "same": self.same,
            "folded": self.folded,
            "rejoins": self.rejoins,
        }


@dataclass(frozen=True, slots=True)
class Alignment:
    """All rows, from the top."""

    rows: tuple[AlignedRow, ...]
    diverge: int | None
    """The first row that not all members share; None: they are all alike."""
    reconverge: int | None
    """The first row after it that all share again."""

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {
            "rows": [row.to_json() for row in self.rows],
            "diverge": self.diverge,
            "reconverge": self.reconverge,
        }


def align(members: Sequence[Trajectory]) -> Alignment:
    """Put the steps of trajectories into rows; every step stands in one, in order.

    Equal members have equal cells, and what all begin with alike stands in one row each. Two
    members share as many rows as their longest common subsequence of decisions has. A member that
    a fault ended does not part from the others by that: it was no decision.
    """
    decisions = [tuple(map(decision, member.steps)) for member in members]
    known = sorted({each for member in decisions for each in member})
    numbers = {each: number for number, each in enumerate(known)}
    states = _number_states(known)
    numbered = [tuple(numbers[each] for each in member) for member in decisions]
    rows: list[_Row] = []
    different = sorted(set(numbered), key=lambda each: (-len(each), each))
    for who, each in enumerate(different):
        rows = _merge(rows, who, each, states)
    who_of = {each: who for who, each in enumerate(different)}
    columns = [who_of[each] for each in numbered]
    cells = [tuple(map(row.cells.get, columns)) for row in rows]
    faults = [place for place, member in enumerate(members) if member.end == "error"]
    return _aligned(cells, numbered, _last_rows(cells, faults))


def decision(step: Step) -> Decision:
    """Return what two steps must have in common to be the same decision."""
    return Decision(() if step.state_key is None else (step.state_key,), step.action_key)


_Member = tuple[int, ...]  # the numbers of its decisions, [T_i]


@dataclass(slots=True)
class _Row:
    cells: dict[int, int] = field(default_factory=dict)
    """Steps by the number of the member, as a long one takes long to be hashed."""
    decisions: set[int] = field(default_factory=set)


class _Gap(NamedTuple):
    """A run of steps, and the run of rows that it may go to; half-open."""

    step: int
    steps: int
    row: int
    rows: int


def _number_states(decisions: Sequence[Decision]) -> list[int]:
    """Return a number for the state of each decision; one without a key has its own."""
    known: dict[Hashable, int] = {}
    keys = (each.state or number for number, each in enumerate(decisions))
    return [known.setdefault(key, len(known)) for key in keys]


def _merge(rows: list[_Row], who: int, member: _Member, states: Sequence[int]) -> list[_Row]:
    """Put member number `who` into rows, adding some where it has more steps than there are."""
    exact = [row.decisions for row in rows]
    alike = [{states[each] for each in found} for found in exact]
    visited = [states[each] for each in member]
    merged: list[_Row] = []
    for gap in _gaps(member, exact, _Gap(0, len(member), 0, len(rows))):
        for part in _gaps(visited, alike, gap):
            merged += _packed(rows, who, member, part)
    return merged


def _packed(rows: list[_Row], who: int, member: _Member, gap: _Gap) -> Iterator[_Row]:
    """Put the steps of a gap side by side with its rows, from the top."""
    for offset in range(max(gap.steps - gap.step, gap.rows - gap.row)):
        row = rows[gap.row + offset] if gap.row + offset < gap.rows else _Row()
        if gap.step + offset < gap.steps:
            row.cells[who] = gap.step + offset
            row.decisions.add(member[gap.step + offset])
        yield row


def _gaps(keys: Sequence[int], rows: Sequence[set[int]], gap: _Gap) -> Iterator[_Gap]:
    """Cut a gap at what both sides have in common: a match is a gap of one step and one row."""
    step, row = gap.step, gap.row
    for a, b in [*_matches(keys, rows, gap), (gap.steps, gap.rows)]:
        if step < a or row < b:
            yield _Gap(step, a, row, b)
        if a < gap.steps and b < gap.rows:
            yield _Gap(a, a + 1, b, b + 1)
        step, row = a + 1, b + 1


def _matches(keys: Sequence[int], rows: Sequence[set[int]], gap: _Gap) -> list[tuple[int, int]]:
    """Return a longest list of pairs (step, row), rising in both, whose row has the step's key."""
    step, steps, row, stop = gap
    head: list[tuple[int, int]] = []
    while step < steps and row < stop and keys[step] in rows[row]:
        head.append((step, row))
        step, row = step + 1, row + 1
    tail: list[tuple[int, int]] = []
    while step < steps and row < stop and keys[steps - 1] in rows[stop - 1]:
        steps, stop = steps - 1, stop - 1
        tail.append((steps, stop))
    return [*head, *_longest(keys, rows, _Gap(step, steps, row, stop)), *reversed(tail)]


def _longest(keys: Sequence[int], rows: Sequence[set[int]], gap: _Gap) -> list[tuple[int, int]]:
    """Return such a list for a gap, with the rows as the bits of one number.

    Line i has bit j where row j makes the subsequence of the first i steps longer.

    Source: Crochemore et al., "A fast and practical bit-vector algorithm for the longest common
    subsequence problem", 2001; its vectors are these inverted.
    """
    step, steps, row, stop = gap
    if step == steps or row == stop or (steps - step) * (stop - row) > _MOST_CELLS:
        return []
    everything = line = (1 << (stop - row)) - 1
    places = _places(rows[row:stop], set(keys[step:steps]))
    lines = [0]
    for key in keys[step:steps]:
        here = line & places.get(key, 0)
        line = ((line + here) | (line - here)) & everything
        lines.append(line ^ everything)
    pairs: list[tuple[int, int]] = []
    i, j = steps - step, stop - row
    while j := (lines[i] & ((1 << j) - 1)).bit_length():
        while lines[i - 1] >> (j - 1) & 1:
            i -= 1
        i, j = i - 1, j - 1
        pairs.append((step + i, row + j))
    return pairs[::-1]


def _places(rows: Sequence[set[int]], keys: set[int]) -> dict[int, int]:
    """Return for each key the rows that have it, as bits."""
    places: dict[int, int] = {}
    for bit, found in enumerate(rows):
        for key in found & keys:
            places[key] = places.get(key, 0) | 1 << bit
    return places


def _last_rows(cells: Sequence[Sequence[int | None]], members: Iterable[int]) -> dict[int, int]:
    """Return the last row that each of some members stands in; -1: it stands in none."""
    last = dict.fromkeys(members, -1)
    for number, row in enumerate(cells):
        last |= {member: number for member in last if row[member] is not None}
    return last


def _aligned(
    cells: Sequence[tuple[int | None, ...]], members: Sequence[_Member], ended: Mapping[int, int]
) -> Alignment:
    """Say what the rows have in common; members that `ended` in a row are not asked after it."""
    same: list[Same] = []
    for number, row in enumerate(cells):
        asked = [i for i in range(len(members)) if number <= ended.get(i, number)]
        same.append(_same([row[i] for i in asked], [members[i] for i in asked]))
    diverge = next((i for i, each in enumerate(same) if each != "all"), None)
    last = len(cells) if diverge is None else diverge
    after = range(last + 1, len(cells))
    return Alignment(
        rows=tuple(
            AlignedRow(row, same[i], folded=i < last - 1, rejoins=again)
            for i, (row, again) in enumerate(zip(cells, _rejoins(cells, members), strict=True))
        ),
        diverge=diverge,
        reconverge=next((i for i in after if same[i] == "all"), None),
    )


def _same(cells: Sequence[int | None], members: Sequence[_Member]) -> Same:
    found = [each[step] for each, step in zip(members, cells, strict=True) if step is not None]
    different = len(set(found))
    if different == 1 and len(found) == len(cells):
        return "all"
    return "some" if different < len(found) else "none"


def _rejoins(cells: Sequence[Sequence[int | None]], members: Sequence[_Member]) -> Iterator[bool]:
    """Tell of each row whether members decide alike that stood elsewhere, or otherwise, before."""
    before = [(-1, -1)] * len(members)
    for number, row in enumerate(cells):
        came_from: dict[int, tuple[int, int]] = {}
        again = False
        for index, step in enumerate(row):
            if step is not None:
                here = members[index][step]
                again |= came_from.setdefault(here, before[index]) != before[index]
                before[index] = (number, here)
        yield again
