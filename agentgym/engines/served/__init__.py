"""Engines behind HTTP: one protocol of ours, and any engine can stand behind it."""
