"""The replay viewer: what happened in a run, and why it was credited so."""
