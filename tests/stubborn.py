"""A program that ends by no signal that can be ignored, and leaves a child behind."""

BUSY = """
import os, signal, time
for s in range(1, 65):
    try: signal.signal(s, signal.SIG_IGN)
    except (OSError, ValueError): pass
if os.fork() == 0: os.setsid()
while True: time.sleep(0.01)
"""
