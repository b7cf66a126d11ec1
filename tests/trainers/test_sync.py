"""Weights that did not arrive are found out, whatever the engine says."""

import copy
import math

import pytest
import torch

from agentgym.engines.local import LocalEngine
from agentgym.errors import AgentGymError
from agentgym.trainers.policy import TrainerPolicy
from agentgym.trainers.sync import Sync


class Forgetful(LocalEngine):
    """Says that it took the weights, and keeps those that it had."""

    is_forgetful = True

    async def load_weights(self, source, *, version):
        await super().load_weights(None if self.is_forgetful else source, version=version)


@pytest.fixture
def policy(tiny):
    return TrainerPolicy(tiny, temperature=0.5)


@pytest.fixture
async def engine(tiny):
    engine = Forgetful(copy.deepcopy(tiny), max_context=40)
    yield engine
    await engine.close()


def make_sync(policy, engine, **changes):
    return Sync(
        policy, engine, **({"dtype": "float32", "num_tokens": 29, "is_shared": False} | changes)
    )


def change(policy):
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter += torch.randn_like(parameter)


async def test_the_engine_says_what_the_trainer_says_and_that_it_moved(policy, engine):
    engine.is_forgetful = False
    sync = make_sync(policy, engine)
    await sync(0)
    assert sync.scalars()["sync/gap"] < 1e-4
    assert "sync/moved" not in sync.scalars()
    change(policy)
    await sync(1)
    assert sync.scalars()["sync/gap"] < 1e-4
    assert sync.scalars()["sync/moved"] > 0.01
    assert engine.version == 1


async def test_an_engine_that_keeps_old_weights_stops_the_run(policy, engine):
    sync = make_sync(policy, engine)
    await sync(0)
    change(policy)
    with pytest.raises(AgentGymError, match="does not hold the weights of step 1"):
        await sync(1)


async def test_the_limit_is_the_users_and_wide_for_narrow_types(policy, engine):
    change(policy)
    await make_sync(policy, engine, limit=100.0)(1)
    change(policy)
    with pytest.raises(AgentGymError, match=r"more than 0\.5"):
        await make_sync(policy, engine, dtype="bfloat16")(2)


async def test_nan_is_never_the_same(policy, engine):
    engine.is_forgetful = False
    sync = make_sync(policy, engine, limit=1e9)
    with torch.no_grad():
        next(policy.parameters())[:] = math.nan
    with pytest.raises(AgentGymError, match="by nan"):
        await sync(1)


async def test_a_shared_module_is_not_copied(policy, tiny):
    engine = LocalEngine(tiny, max_context=40)
    sync = make_sync(policy, engine, is_shared=True)
    await sync(7)
    assert engine.version == 7
    assert sync.scalars() == {}
    await engine.close()


def test_the_trainers_word_is_that_of_a_full_pass(policy, tiny):
    ids = [3, 1, 4, 1, 5]
    expected = tiny(input_ids=torch.tensor([ids])).logits.log_softmax(-1)[0, range(4), ids[1:]]
    torch.testing.assert_close(torch.tensor(policy.logprobs(ids)), expected)
