"""The configuration of a training that takes seconds."""

CONFIG = """\
seed = 1
[env]
id = "agentgym/KeyDoor-v0"
rules = false
max_turns = 8
[model]
device = "cpu"
[model.tiny]
layers = 1
width = 16
heads = 2
[rollout]
groups = 2
group_size = 2
[rollout.sampling]
max_tokens = 3
[train]
steps = 2
[checkpoint]
every = 1
"""
