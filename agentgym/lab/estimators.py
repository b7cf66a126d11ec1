"""Which estimators are compared: all that need nothing but episodes, and some settings of them."""

from agentgym.trainers.credit import CREDITS, CreditConfig
from agentgym.trainers.credit.dr_grpo import DrGRPO
from agentgym.trainers.credit.gigpo import GiGPO
from agentgym.trainers.credit.reinforce_pp import ReinforcePP
from agentgym.trainers.credit.salt import SALT
from agentgym.trainers.credit.td_state import TDState

VARIANTS: dict[str, CreditConfig] = {
    "gigpo gamma=1": GiGPO(gamma=1.0),
    "gigpo mean_norm": GiGPO(norm="mean_norm", base=DrGRPO()),
    "salt base=dr_grpo": SALT(base=DrGRPO()),
    "td_state gamma=1": TDState(gamma=1.0),
    "td_state base=dr_grpo": TDState(base=DrGRPO()),
    "reinforce_pp gamma=0.95": ReinforcePP(gamma=0.95),
}
"""What tells causes apart: without discount, without division, and discount without states."""


def compared() -> tuple[dict[str, CreditConfig], dict[str, tuple[str, ...]]]:
    """Return the estimators by name, and of those left out the columns that they lack."""
    made = {name: kind() for name, kind in CREDITS.items()}
    left_out = {name: each.columns for name, each in made.items() if each.columns}
    return {name: made[name] for name in made if name not in left_out} | VARIANTS, left_out
