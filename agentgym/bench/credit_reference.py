"""The reference implementation of GiGPO, verl-agent, where a checkout of it is at hand.

Its functions are loaded from the checkout and called as its trainer calls them; nothing of it is
here. Source: langfengQ/verl-agent, gigpo/core_gigpo.py.
"""

import os
import sys
from contextlib import ExitStack, redirect_stdout
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from io import StringIO
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, NamedTuple

import numpy as np

from agentgym.errors import ConfigError, MissingError
from agentgym.table import Floats, StepTable

CHECKOUT = "AGENTGYM_VERL_AGENT"
"""The environment variable that names the checkout."""

_FILE = Path("gigpo", "core_gigpo.py")
_RESPONSE_TOKENS = 1  # of a step: an advantage is spread over them


class Call(NamedTuple):
    """What the reference is called with: its batch, and columns beside it."""

    batch: Any
    rewards: Any
    mask: Any
    anchors: "np.ndarray[Any, Any]"
    group: "np.ndarray[Any, Any]"
    trajectory: "np.ndarray[Any, Any]"


class Reference:
    """GiGPO of the reference, `mean_norm`, by its own functions."""

    def __init__(self, module: ModuleType) -> None:
        self._module = module

    def prepare(self, table: StepTable, rewards: Floats) -> Call:
        """Lay a batch out as the reference has it; this is not measured."""
        import torch

        texts = np.array(table.state_keys, dtype=object)
        anchors = np.array(["".join(list(text)) for text in texts[table.state]], dtype=object)
        trajectory = np.array(table.trajectory_ids, dtype=object)[table.trajectory]
        totals = table.per_trajectory(rewards)[table.trajectory]
        mask = torch.ones(table.num_steps, _RESPONSE_TOKENS)
        return Call(
            batch=SimpleNamespace(
                batch={"input_ids": mask},
                non_tensor_batch={
                    "rewards": rewards.astype(np.float32),
                    "traj_uid": trajectory,
                    "env_step": table.step,  # read by DrMAS, which has the file too
                    "active_masks": np.ones(table.num_steps, dtype=np.float32),
                },
            ),
            rewards=torch.tensor(totals, dtype=torch.float32)[:, None],
            mask=mask,
            anchors=anchors,
            group=np.array([f"group {number}" for number in table.step_group], dtype=object),
            trajectory=trajectory,
        )

    def advantages(self, call: Call, *, gamma: float, similarity: float | None = None) -> Floats:
        """Return [S]: step returns, then both levels."""
        with redirect_stdout(StringIO()):  # it tells of its groups
            returns = self._module.compute_step_discounted_returns(call.batch, gamma)
            advantages, _ = self._module.compute_gigpo_outcome_advantage(
                token_level_rewards=call.rewards.clone(),
                step_rewards=returns,
                response_mask=call.mask,
                anchor_obs=call.anchors,
                index=call.group,
                traj_index=call.trajectory,
                mode="mean_norm",
                enable_similarity=similarity is not None,
                similarity_thresh=similarity or 0.5,
            )
        return np.asarray(advantages[:, 0].numpy(), dtype=np.float64)


def load_reference() -> Reference | None:
    """Return the reference that the environment variable names; None where it names none.

    Raises:
        ConfigError: there is no such file in the checkout.
        MissingError: it needs torch.
    """
    checkout = os.environ.get(CHECKOUT)
    if not checkout:
        return None
    path = Path(checkout).expanduser() / _FILE
    if not path.is_file():
        raise ConfigError(
            f"{CHECKOUT}={checkout} has no {_FILE}", hint="name a checkout of langfengQ/verl-agent"
        )
    if find_spec("torch") is None:
        raise MissingError("verl-agent needs torch", hint="pip install 'agentgym-framework[train]'")
    spec = spec_from_file_location("agentgym_reference_gigpo", path)
    assert spec is not None, "a .py has a loader"
    assert spec.loader is not None, "a .py has a loader"
    module = module_from_spec(spec)
    with ExitStack() as stack:
        if find_spec("verl") is None:  # it is imported for the name of a type alone
            stand_in = ModuleType("verl")
            stand_in.DataProto = object  # type: ignore[attr-defined]
            sys.modules["verl"] = stand_in
            stack.callback(sys.modules.pop, "verl")
        spec.loader.exec_module(module)
    return Reference(module)
