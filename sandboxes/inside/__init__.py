"""What runs inside a sandbox. Sent there as code, so that nothing need be installed.

These modules import each other by `from agentgym.sandboxes.inside.x import y` alone, and of the
standard library only what a bare CPython 3.9 has. Private modules (`_signal`, `_ctypes`,
`_socket`) stand for public ones because importing is most of what starting costs. They are in
reach of the programs they start, which run as the same user: what keeps those off is that PID 1
is not dumpable, that signals to it are ignored, and that a program has none of its file
descriptors. So no secret is ever sent in here.
"""
