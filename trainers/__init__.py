"""Training: shaping, credit, losses and the loop. Imports nothing, so that no torch comes with it."""
