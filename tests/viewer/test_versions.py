import math

import numpy as np
import pytest
from strategies import make_group, make_step

from agentgym.types import Completion
from agentgym.viewer.versions import ribbon


def episode(*versions, logprob=-1.0):
    """Three tokens a step, sampled by these versions."""
    steps = [make_step(num_tokens=3) for _ in versions]
    for step, each in zip(steps, versions, strict=True):
        step.completion = Completion(
            token_ids=(1, 2, 3), logprobs=(logprob,) * 3, finish_reason="stop", versions=each
        )
    return make_group(steps).trajectories[0]


def test_lag_counts_from_the_oldest_token():
    first, second = ribbon(episode(((0, 4),), ((0, 4), (2, 6))), trained=7)
    assert (first.sampled, first.switches, first.lag) == ((4,), (), 3)
    assert (second.sampled, second.switches, second.lag) == ((4, 6), ((2, 6),), 3)
    assert first.trained == 7


def test_ratio_and_divergence_by_hand():
    """Ratios 2, 1/2 and one that is not known: their mean is 1.25; k3 is the mean of
    2 - 1 - ln 2 = 0.3069 and 1/2 - 1 + ln 2 = 0.1931, which is 0.25."""
    noted = np.array([-1 + math.log(2), -1 - math.log(2), np.nan], dtype=np.float64)
    (found,) = ribbon(episode(((0, 0),)), trained=0, trainer_logprobs=noted)
    assert found.ratio == pytest.approx(1.25)
    assert found.kl == pytest.approx(0.25)


def test_each_step_has_its_own_tokens():
    noted = np.array([-1.0] * 3 + [-1 + math.log(3)] * 3)
    first, second = ribbon(episode(((0, 0),), ((0, 0),)), trained=0, trainer_logprobs=noted)
    assert (first.ratio, first.kl) == (1.0, 0.0)
    assert second.ratio == pytest.approx(3.0)


def test_what_was_not_trained_on_has_no_ratio():
    (found,) = ribbon(episode(((0, 3),)), trained=3, trainer_logprobs=np.full(3, np.nan))
    assert (found.ratio, found.kl, found.lag) == (None, None, 0)
    (played,) = ribbon(episode(((0, 3),)))
    assert (played.trained, played.lag, played.ratio) == (None, None, None)
    assert played.to_json() == {
        "sampled": (3,),
        "switches": (),
        "trained": None,
        "lag": None,
        "ratio": None,
        "kl": None,
    }


def test_steps_without_tokens_have_no_versions():
    trajectory = make_group([make_step(num_tokens=0), make_step(num_tokens=1)]).trajectories[0]
    trajectory.steps.append(make_step())
    trajectory.steps[-1].completion = None
    noted = np.array([-1.0])
    empty, one, none = ribbon(trajectory, trained=1, trainer_logprobs=noted)
    assert (empty.sampled, none.sampled, empty.lag, none.ratio) == ((), (), None, None)
    assert one.ratio == 1.0


def test_a_hopeless_ratio_stays_a_number():
    (found,) = ribbon(episode(((0, 0),), logprob=-1000.0), trained=0, trainer_logprobs=np.zeros(3))
    assert math.isfinite(found.ratio)
    assert math.isfinite(found.kl)


def test_too_few_noted_tokens_are_read_as_far_as_they_go():
    (found,) = ribbon(episode(((0, 0),)), trained=0, trainer_logprobs=np.array([-1.0]))
    assert found.ratio == 1.0
