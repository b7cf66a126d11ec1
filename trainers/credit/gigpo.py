"""GiGPO: groups of trajectories, and inside them groups of steps that share a state."""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from agentgym.trainers.credit.anchors import similar_anchors
from agentgym.trainers.credit.base import (
    CreditConfig,
    Floats,
    Ints,
    StepTable,
    Sureness,
    center_steps,
    discounted_returns,
    number_states,
)
from agentgym.trainers.credit.dr_grpo import DrGRPO
from agentgym.trainers.credit.trajectories import GRPO, AnyTrajectoryCredit


class GiGPO(CreditConfig):
    """An episode advantage plus one among the steps taken from the same state.

        A^E_i     = the trajectory's advantage: that of GRPO, unless `base` is another
        G_{i,t}   = sum_{k>=t} gamma^(k-t) r_{i,k}
        A^S_{i,t} = G_{i,t} - mean, divided by std + 1e-6, among the steps of the task's group with
                    an equal state
        A_{i,t}   = A^E_i + step_weight * A^S_{i,t}

    A state seen once, or without a key, has A^S = 0, and so has a step that sampled no token. A trajectory that returns to a state counts
    there each time, so a loop is compared with itself.

    The paper has two modes: `mean_std_norm` at both levels is the default; `mean_norm` is
    `norm = "mean_norm"` with `base.name = "dr_grpo"`.

    Anchors are equal state keys, or with `anchors = "similar"` states whose observations are
    alike: each joins the first of its group that it is similar to, in the order of the steps.

    Source: arXiv:2505.10978, equations 3 to 8, by way of its authors' code verl-agent (read, and
    its numbers reproduced). Deviations from that code: its episode statistics are over steps and
    keep the raw return of a group of one, and its similarity is with difflib's autojunk, by which
    two texts of 400 characters that differ in one have the ratio 0.50, and 0.9975 without: `compat`
    is all three. Its penalty for invalid actions is a reward term here, so that earlier steps pay
    for it, discounted, and all steps by the episode; there it is taken from the return and from the
    episode's return of its own step alone (`among_anchors` takes such returns).
    """

    name: Literal["gigpo"] = "gigpo"
    sureness: ClassVar[Sureness] = "run"
    switches: ClassVar[Mapping[str, str]] = {"gamma": "step_weight"}
    gamma: float = Field(default=0.95, gt=0, le=1)
    """Discount of the step returns; the episode's return has none."""
    step_weight: float = Field(default=1.0, ge=0)
    """0 is the base alone."""
    norm: Literal["mean_norm", "mean_std_norm"] = "mean_std_norm"
    """Subtract the mean among the steps of a state, and divide by the std or not."""
    base: AnyTrajectoryCredit = GRPO()
    """The trajectory's advantage."""
    anchors: Literal["exact", "similar"] = "exact"
    """Which steps are compared: those of equal states, or of similar observations."""
    similarity: float = Field(default=0.9, gt=0, le=1)
    """Of similar anchors: the least ratio of difflib, twice the matched letters over all."""
    compat: bool = False
    """As verl-agent: sets the base, which is GRPO, or with `mean_norm` Dr.GRPO, over steps and raw
    for a group of one; similarity is with difflib's autojunk."""

    @model_validator(mode="before")
    @classmethod
    def _fill_base_in(cls, given: Any) -> Any:
        if isinstance(given, dict) and given.get("compat") is True and "base" not in given:
            return {**given, "base": _reference(given.get("norm"))}
        return given

    @model_validator(mode="after")
    def _check_base(self) -> Self:
        if self.compat and self.base != _reference(self.norm):
            raise ValueError(
                f"compat has the base of verl-agent, {_reference(self.norm)!r}, and base is "
                f"{self.base!r}: leave one of them out"
            )
        return self

    def advantages(self, table: StepTable, rewards: Floats) -> Floats:
        """Add both levels."""
        episode = self.episode_advantages(table, rewards)
        return episode + self.step_weight * self.step_advantages(table, rewards)

    def episode_advantages(self, table: StepTable, rewards: Floats) -> Floats:
        """Return A^E for each step, [S]."""
        return self.base.advantages(table, rewards)

    def step_advantages(self, table: StepTable, rewards: Floats) -> Floats:
        """Return A^S for each step, [S]."""
        return self.among_anchors(table, discounted_returns(table, rewards, gamma=self.gamma))

    def among_anchors(self, table: StepTable, returns: Floats) -> Floats:
        """Compare step returns [S] among the steps of each anchor, giving [S]."""
        return center_steps(
            table, returns, self.number_anchors(table), scale=self.norm == "mean_std_norm"
        )

    def number_anchors(self, table: StepTable) -> Ints:
        """Number the anchors: [S], equal where steps are compared."""
        if self.anchors == "similar":
            return similar_anchors(table, similarity=self.similarity, autojunk=self.compat)
        return number_states(table)


def _reference(norm: object) -> GRPO | DrGRPO:
    """Return the base that verl-agent has."""
    kind = DrGRPO if norm == "mean_norm" else GRPO
    return kind(cross_steps=True, singletons="raw")
