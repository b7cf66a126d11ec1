"""What every hostile program begins with."""

import platform

from agentgym.sandboxes.seccomp import table

PRELUDE = """
import os, sys, socket, signal, time, ctypes, errno, fcntl, struct
libc = ctypes.CDLL(None, use_errno=True)
def attempt(what, f, *a):
    try: got = f(*a)
    except (OSError, ValueError) as e: print("refused", what, type(e).__name__, e.args[:1])
    else: print("BREACH", what, got)
def syscall(name, *a):
    ctypes.set_errno(0)
    return libc.syscall(ctypes.c_long(CALLS[name]), *(ctypes.c_long(x) if isinstance(x, int) else x for x in a))
def call(name, *a):
    got = syscall(name, *a)
    print("BREACH" if got != -1 else "refused", name, got, errno.errorcode.get(ctypes.get_errno()))
def ignore_all():
    for number in range(1, 65):
        try: signal.signal(number, signal.SIG_IGN)
        except (OSError, ValueError): pass
def alone():
    return sorted(int(name) for name in os.listdir("/proc") if name.isdigit()) == [1, os.getpid()]
"""
"""`attempt` and `call` print BREACH where something was possible that must not be, and what
stopped it otherwise; `syscall` makes a system call by name."""

SCAN = """
import re
wanted = re.compile({needle!r}.encode())
with open("/proc/self/maps") as maps, open("/proc/self/mem", "rb", 0) as memory:
    for line in maps.read().splitlines():
        start, end = (int(x, 16) for x in line.split()[0].split("-"))
        if line.split()[1][0] == "r" and "[v" not in line:
            memory.seek(start)
            found = wanted.findall(memory.read(end - start))
            if found: print("BREACH memory", line, len(found))
print("scanned")
"""
"""Searches all memory of a program, which is a fork of the worker, for the needle: a regular
expression that does not find itself."""


def program(code: str) -> str:
    """Return the whole program."""
    calls = {name: number for name, number in _calls().items() if name in code}
    return f"CALLS = {calls!r}\n{PRELUDE}\n{code}"


def _calls() -> dict[str, int]:
    rows = table.all_of([*table.ALLOWED.values(), *table.REFUSED.values()])
    every = table.all_of([rows, table.ABSENT, table.CONDITIONAL])
    return table.numbers(every, platform.machine())
