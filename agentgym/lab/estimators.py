"""Which estimators are compared: all that episodes are enough for, and some settings of them."""

from collections.abc import Iterable

from agentgym.trainers.credit import CREDITS, CreditConfig
from agentgym.trainers.credit.dr_grpo import DrGRPO
from agentgym.trainers.credit.gigpo import GiGPO
from agentgym.trainers.credit.reinforce_pp import ReinforcePP
from agentgym.trainers.credit.salt import SALT
from agentgym.trainers.credit.td_state import TDState
from agentgym.types import OUTCOME

VARIANTS: dict[str, CreditConfig] = {
    "gigpo gamma=1": GiGPO(gamma=1.0),
    "gigpo mean_norm": GiGPO(norm="mean_norm", base=DrGRPO()),
    "salt base=dr_grpo": SALT(base=DrGRPO()),
    "td_state gamma=1": TDState(gamma=1.0),
    "td_state base=dr_grpo": TDState(base=DrGRPO()),
    "reinforce_pp gamma=0.95": ReinforcePP(gamma=0.95),
}
"""What tells causes apart: without discount, without division, and discount without states."""


def compared(
    terms: tuple[str, ...] = (OUTCOME,),
) -> tuple[dict[str, CreditConfig], dict[str, tuple[str, ...]]]:
    """Return the estimators by name, and of those left out the columns and terms that they lack.

    Args:
        terms: the reward terms that the environment gives.
    """
    made = {name: kind() for name, kind in CREDITS.items()} | VARIANTS
    left_out = {name: lacks for name, each in made.items() if (lacks := _lacks(each, terms))}
    return {name: made[name] for name in made if name not in left_out}, left_out


def reconstructed(names: Iterable[str]) -> list[str]:
    """Return those of the estimators that may not be what their authors meant."""
    made = {name: kind() for name, kind in CREDITS.items()} | VARIANTS
    return [name for name in names if name in made and made[name].is_reconstructed]


def _lacks(credit: CreditConfig, terms: tuple[str, ...]) -> tuple[str, ...]:
    """Return optional columns; and the terms that a part reads, where it would find none of them."""
    read = [part.read_terms(terms) for part in credit.parts()]
    missing = [names for names in read if names and not {OUTCOME, *terms}.intersection(names)]
    return tuple(dict.fromkeys([*credit.columns, *(name for each in missing for name in each)]))
