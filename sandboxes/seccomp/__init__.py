"""Which system calls a program may make, for each backend in its own language."""
