"""The declarative shaper: a list of terms. The other shapers are short for such lists."""

from abc import abstractmethod
from functools import reduce
from typing import Literal, Self

import numpy as np
from pydantic import Field, ValidationError, model_validator

from agentgym.trainers.shaping.base import (
    Floats,
    Shaped,
    ShaperConfig,
    StepTable,
    WeightedTerm,
    at_the_end,
    column,
)
from agentgym.trainers.shaping.forms import AnyForm, AsGiven
from agentgym.trainers.shaping.gates import AnyGate
from agentgym.trainers.shaping.schedules import AnySchedule, Constant


class Term(WeightedTerm, frozen=True):
    """A reward term: what of it is paid, when, where, and from which time on."""

    form: AnyForm = AsGiven()
    """What is paid: the values, their change, or a function of their sum."""
    gates: tuple[AnyGate, ...] = ()
    """What must have gone well in the trajectory for it to count; several multiply."""
    gate_positive_only: bool = False
    """A closed gate lets negative rewards through, so that failing does not excuse them."""
    schedule: AnySchedule = Constant()
    """What the weight is multiplied by as training goes on."""

    @model_validator(mode="after")
    def _form_fits(self) -> Self:
        needed = self.form.scope
        if needed not in (None, self.scope):
            raise ValueError(f'the form "{self.form.name}" needs scope = "{needed}"')
        if self.gates and not self.form.takes_gates:
            raise ValueError(
                f'the form "{self.form.name}" keeps the optimum only without gates: leave them out'
            )
        if self.gate_positive_only and not self.gates:
            raise ValueError("gate_positive_only does nothing without gates")
        return self

    @property
    def needs(self) -> tuple[str, ...]:
        """The raw terms that it looks at: its own and those of its gates."""
        return (self.term, *(name for gate in self.gates for name in gate.needs))

    @property
    def follows_progress(self) -> bool:
        """Whether its schedule or its form does."""
        return self.schedule.follows_progress or self.form.follows_progress

    def share(self, table: StepTable) -> Floats:
        """Return how much of it counts in each trajectory, [M]."""
        shares = (gate.share(table) for gate in self.gates)
        return reduce(np.multiply, shares, np.ones(table.num_trajectories))

    def rewards(self, table: StepTable, *, progress: float, competence: float) -> Floats:
        """Return the weighted term where it is paid, before gates, [S]."""
        values = column(table, self.term)
        if self.scope == "trajectory":
            values = at_the_end(table, table.per_trajectory(values))
        weight = self.weight * self.schedule.factor(progress=progress, competence=competence)
        return weight * self.form.pay(table, values, progress=progress)


class Terms(ShaperConfig):
    """A sum of named terms, each with its own form, weight, schedule and gates.

        r_t = sum_k m_k w_k f_k(progress, competence) form_k(R_k)_t

    m_k is the product of the gates of term k in the trajectory, between 0 and 1; f_k its schedule.
    The other shapers but `outcome` are short for lists of such terms, and say where each piece
    comes from.
    """

    name: Literal["terms"] = "terms"
    terms: tuple[Term, ...] = Field(min_length=1)
    """The terms, each once."""

    @model_validator(mode="after")
    def _terms_are_unique(self) -> Self:
        names = [term.term for term in self.terms]
        twice = [name for name in dict.fromkeys(names) if names.count(name) > 1]
        if twice:
            raise ValueError(f"each term may stand in the list once only: {', '.join(twice)}")
        return self

    @property
    def needs(self) -> tuple[str, ...]:
        """The terms of the list and of its gates."""
        return tuple(dict.fromkeys(name for term in self.terms for name in term.needs))

    @property
    def follows_progress(self) -> bool:
        """Whether one of the terms does."""
        return any(term.follows_progress for term in self.terms)

    def __call__(self, table: StepTable, *, progress: float, competence: float = 0.0) -> Shaped:
        """Add the terms up."""
        rewards, gates, parts = np.zeros(table.num_steps), {}, {}
        for term in self.terms:
            values = term.rewards(table, progress=progress, competence=competence)
            if term.gates:
                gates[term.term] = term.share(table)
                kept = gates[term.term][table.trajectory] * values
                values = np.where(values < 0, values, kept) if term.gate_positive_only else kept
            parts[term.term] = values + 0.0  # a closed gate makes -0.0 of what is negative
            rewards += parts[term.term]
        return Shaped(rewards, gates, parts)


class Preset(ShaperConfig):
    """A shaper that is short for a list of terms."""

    @abstractmethod
    def as_terms(self) -> Terms:
        """Return the list."""

    @property
    def needs(self) -> tuple[str, ...]:
        """Those of the list."""
        return self.as_terms().needs

    @property
    def follows_progress(self) -> bool:
        """Whether the list does."""
        return self.as_terms().follows_progress

    def __call__(self, table: StepTable, *, progress: float, competence: float = 0.0) -> Shaped:
        """Shape by the list."""
        return self.as_terms()(table, progress=progress, competence=competence)

    @model_validator(mode="after")
    def _terms_fit(self) -> Self:
        try:
            self.as_terms()
        except ValidationError as error:  # told as this shaper's own
            message = error.errors()[0]["msg"].removeprefix("Value error, ")
            raise ValueError(message) from error
        return self
