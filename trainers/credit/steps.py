"""Estimators that look inside of trajectories, step by step."""

from typing import Annotated

from pydantic import Field

from agentgym.trainers.credit.g2po import G2PO
from agentgym.trainers.credit.gigpo import GiGPO
from agentgym.trainers.credit.graft import GRAFT
from agentgym.trainers.credit.graph_gpo import GraphGPO
from agentgym.trainers.credit.hgpo import HGPO
from agentgym.trainers.credit.igpo import IGPO
from agentgym.trainers.credit.istar import IStar
from agentgym.trainers.credit.portool import PORTool
from agentgym.trainers.credit.prorag import ProRAG
from agentgym.trainers.credit.salt import SALT
from agentgym.trainers.credit.td_state import TDState
from agentgym.trainers.credit.turn_gae import TurnGAE
from agentgym.trainers.credit.ui_s1 import UIS1

AnyStepCredit = Annotated[
    GiGPO
    | HGPO
    | GraphGPO
    | G2PO
    | GRAFT
    | SALT
    | TDState
    | PORTool
    | IGPO
    | IStar
    | ProRAG
    | UIS1
    | TurnGAE,
    Field(discriminator="name"),
]
"""Any of them, by its `name`."""
