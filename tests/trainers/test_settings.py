import subprocess
import sys

import pytest
from hypothesis import given, strategies as st

from agentgym.trainers.settings import OptimConfig


@given(st.integers(0, 20), st.sampled_from(["constant", "cosine", "linear"]), st.integers(1, 50))
def test_the_rate_rises_then_never_rises_again(warmup, decay, total):
    config = OptimConfig(lr=2.0, warmup_steps=warmup, decay=decay, min_lr_ratio=0.25)
    rates = [config.rate(step, total) for step in range(total)]
    rising, falling = rates[:warmup], rates[warmup:]
    assert rising == sorted(rising)
    assert falling == sorted(falling, reverse=True)
    assert all(0 < rate <= 2.0 for rate in rates)
    assert all(rate >= 0.5 for rate in falling)
    if falling:
        assert falling[0] == 2.0


@pytest.mark.parametrize("decay", ["cosine", "linear"])
def test_a_decay_ends_at_its_floor(decay):
    config = OptimConfig(lr=1.0, decay=decay, min_lr_ratio=0.1)
    assert config.rate(100, 100) == pytest.approx(0.1)


def test_the_settings_need_no_torch():
    code = (
        "import sys; sys.modules['torch'] = None; sys.modules['transformers'] = None;"
        "import agentgym.trainers.settings, agentgym.trainers.losses, agentgym.trainers.evaluate"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
