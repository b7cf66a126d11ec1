"""Reward functions that environments call: pure, on plain values. One method a file."""
