"""The record on disk: `run.py` the directory, `episodes.py` trajectories, `notes.py` annotations.

Everything is append-only or replaced atomically, so that a run that was killed opens like one
that finished. `frames.py` is the grammar of a shard.
"""
