"""What sandboxes cost: every operation of a backend, beside programs that run without one."""

from agentgym.bench.sandboxes.measure import Row
from agentgym.bench.sandboxes.run import bench_sandboxes

__all__ = ["Row", "bench_sandboxes"]
