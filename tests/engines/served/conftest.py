from collections.abc import Iterator
from pathlib import Path

import pytest
from served_engine import Serving, serving


@pytest.fixture(scope="session")
def server(folder: Path) -> Iterator[Serving]:
    """Two replicas that decode one request at a time; tests that kill one wait until it is back."""
    limits = ("limits.probe_s=2", "limits.probe_every_s=0.2", "limits.failures=20")
    with serving(folder, "--deterministic", *limits, replicas=2) as found:
        yield found
