"""Benchmarks: how fast environments step, beside their own frameworks."""

from agentgym.bench.cases import CASES, Case
from agentgym.bench.envs import Row, bench_env
from agentgym.bench.natives import Native

__all__ = ["CASES", "Case", "Native", "Row", "bench_env"]
