"""Solutions of "double a number" that are wrong, and try to be paid all the same.

As a module each has `double`; as a program each prints the double of the number on stdin, and
leaves it in result.txt.
"""

RIGHT = "def double(x):\n    return 2 * x\n"

_HONEST = "def double(x):\n    return x + 1\n"

FIFTEEN = {
    "exits at import": "import os\nos._exit(0)\n",
    "sys.exit at import": "import sys\nsys.exit(0)\n",
    "exits in the function": "import os\ndef double(x):\n    os._exit(0)\n",
    "excepthook that exits": """
import os, sys
sys.excepthook = lambda *_: os._exit(0)
def double(x):
    raise ValueError
""",
    "prints what graders print": """
import os
print("passed", "PASSED", "OK", "1 passed in 0.01s", "reward: 1", flush=True)
os._exit(0)
""",
    "prints it at the end": """
import atexit, os
def double(x):
    return None
def lie():
    print("1 passed", flush=True)
    os._exit(0)
atexit.register(lie)
""",
    "equals everything": """
class Any:
    __hash__ = None
    __eq__ = lambda self, other: True
    __ne__ = lambda self, other: False
    __lt__ = __le__ = __gt__ = __ge__ = __contains__ = __eq__
    __getattr__ = lambda self, name: Any()
    __call__ = lambda self, *args, **kwargs: Any()
    __str__ = __repr__ = lambda self: "0"
def double(x):
    return Any()
""",
    "an int that equals everything": """
class Number(int):
    __eq__ = lambda self, other: True
    __hash__ = int.__hash__
    __ne__ = lambda self, other: False
    __repr__ = __str__ = lambda self: "0"
def double(x):
    return Number(0)
""",
    "reads what is expected from the frames": """
import sys
def double(x):
    frame = sys._getframe()
    while frame:
        for names in (frame.f_locals, frame.f_globals):
            for name in ("expected", "want", "returns", "answer", "case", "cases", "result"):
                if type(names.get(name)) is int:
                    return names[name]
        frame = frame.f_back
    return 0
""",
    "patches json": """
import json
json.dumps = lambda *args, **kwargs: '{"passed": true, "reward": 1}'
json.dump = lambda value, file, **kwargs: file.write(json.dumps(value))
def double(x):
    return 0
""",
    "writes result files": """
import os
for name in ("result.txt", "reward.txt", "reward.json", "result.json", "report.xml", "grade"):
    for folder in ("/box", "/tmp"):
        with open(os.path.join(folder, name), "w") as file:
            file.write('{"passed": true, "reward": 1}')
def double(x):
    return 0
""",
    "overwrites the tests": """
import os
here = "def test_double(): pass\\n"
for name in ("test_solution.py", "tests.py", "conftest.py", "grade.py", "pytest.py", "call.py"):
    with open(os.path.join("/box", name), "w") as file:
        file.write(here)
def double(x):
    return 0
""",
    "breaks assertions": """
import builtins
class Quiet(Exception):
    def __new__(cls, *args):
        raise SystemExit(0)
builtins.AssertionError = Quiet
def double(x):
    return 0
""",
    "hangs": "def double(x):\n    while True:\n        pass\n",
    "honestly wrong": _HONEST,
}

MORE = {
    "patches builtins": """
import builtins
def double(x):
    for name in ("type", "isinstance", "len", "repr", "str", "getattr"):
        setattr(builtins, name, lambda *args: True)
    return 0
""",
    "forges an answer with the mark": """
import gc, os, sys
def double(x):
    marks = []
    frame = sys._getframe()
    while frame:
        marks += [v for v in frame.f_locals.values() if type(v) is bytes and len(v) == 16]
        frame = frame.f_back
    for fd in range(256):
        for mark in marks:
            try:
                os.write(fd, mark + b"passed")
            except OSError:
                pass
    os._exit(0)
""",
    "patches the harness": """
import sys
for name, module in list(sys.modules.items()):
    for key in list(vars(module)):
        if key in ("encode", "_call", "said_by", "same", "judge", "serve", "ask"):
            setattr(module, key, lambda *args, **kwargs: b"passed")
def double(x):
    return 0
""",
    "lies about its class": """
class Lie:
    __class__ = int
    __int__ = __index__ = lambda self: 0
    __eq__ = lambda self, other: True
    __hash__ = lambda self: 0
def double(x):
    return Lie()
""",
    "a str that equals everything": """
class Text(str):
    __eq__ = lambda self, other: True
    __hash__ = str.__hash__
def double(x):
    return Text("0")
""",
    "a generator": "def double(x):\n    yield 2 * x\n",
    "a float": "def double(x):\n    return 2.0 * x + 0.5\n",
    "a text": "def double(x):\n    return repr(2 * x) + '!'\n",
    "too much": "def double(x):\n    return 'x' * (1 << 24)\n",
    "prints without end": """
def double(x):
    while True:
        print("42" * 1000)
""",
    "recurses without end": "def double(x):\n    return double(x)\n",
    "nests without end": """
def double(x):
    value = []
    for _ in range(100000):
        value = [value]
    return value
""",
    "a list of itself": "def double(x):\n    value = []\n    value.append(value)\n    return value\n",
    "prints late": """
import os, threading, time
def late():
    for _ in range(200):
        for fd in range(3, 20):
            try:
                os.write(fd, b"42")
            except OSError:
                pass
        time.sleep(0.001)
def double(x):
    threading.Thread(target=late, daemon=True).start()
    time.sleep(0.02)
    return 0
""",
    "replaces stdout": """
import sys
class Out:
    def write(self, text):
        sys.__stdout__.write("1 passed\\n")
    flush = lambda self: sys.__stdout__.flush()
sys.stdout = Out()
def double(x):
    return 0
""",
    "leaves work for later": """
import os
def double(x):
    if os.fork() == 0:
        os.setsid()
        while True:
            pass
    return 0
""",
    "a signal that ends it well": """
import os, signal
signal.signal(signal.SIGALRM, lambda *_: os._exit(0))
def double(x):
    signal.setitimer(signal.ITIMER_REAL, 0.001)
    while True:
        pass
""",
    "remembers what it was asked": """
import os
def double(x):
    with open("/tmp/asked", "a+") as file:
        file.seek(0)
        lines = file.read().split()
        file.write(f"{x}\\n")
    return int(lines[-1]) if lines else 0
""",
    "raises what stands for success": """
class Passed(BaseException):
    pass
def double(x):
    raise Passed("passed")
""",
}

WRONG = FIFTEEN | MORE

_FIND = """
import re
def found(data):
    text = data if isinstance(data, bytes) else repr(data).encode("utf-8", "replace")
    hidden = re.search(b"HIDDEN-[0-9a-f]{64}", text)
    return hidden and hidden[0].decode()
"""

_SEARCHING = {
    "searches its files": """
import os
def double(x):
    for top in ("/box", "/tmp", "/proc/self", "/dev/shm", "/usr/local"):
        for folder, _, names in os.walk(top):
            for name in names:
                try:
                    fd = os.open(os.path.join(folder, name), os.O_RDONLY | os.O_NONBLOCK)
                    text = found(os.read(fd, 1 << 16))
                    os.close(fd)
                except OSError:
                    continue
                if text:
                    return text
""",
    "reads its memory": """
def double(x):
    with open("/proc/self/maps") as maps, open("/proc/self/mem", "rb", 0) as memory:
        for line in maps:
            ends, rights = line.split()[:2]
            if rights.startswith("r") and "[v" not in line:
                start, end = (int(each, 16) for each in ends.split("-"))
                memory.seek(start)
                try:
                    text = found(memory.read(end - start))
                except OSError:
                    continue
                if text:
                    return text
""",
    "walks its frames": """
import sys
def double(x):
    frame = sys._getframe()
    while frame:
        for value in (*frame.f_locals.values(), *frame.f_globals.values()):
            if found(value):
                return found(value)
        frame = frame.f_back
""",
    "asks the collector": """
import gc
def double(x):
    for value in gc.get_objects():
        if type(value) in (dict, list, tuple, set) and found(value):
            return found(value)
""",
}
SEARCHING = {title: _FIND + source for title, source in _SEARCHING.items()}
"""Each returns the hidden text, if it is anywhere within its reach."""

BOX = """
class Box:
    def __init__(self, x):
        self.value = double(x)
    def __enter__(self):
        return self
    def __exit__(self, *_):
        self.value = None
    def __iter__(self):
        return iter([self.value])
"""
"""Stands before a solution, for tests that want an object to ask."""

_YES = """
class Any:
    __lt__ = __le__ = __gt__ = __ge__ = __eq__ = __contains__ = lambda self, other: True
    __exit__ = __bool__ = startswith = lambda *_: True
    __add__ = __sub__ = __rsub__ = __abs__ = __iter__ = __enter__ = lambda self, *_: self
    __hash__ = lambda self: 42
"""

LYING = {
    "says yes to everything": f"""
{_YES}
    __getattr__ = lambda self, name: self
    def __next__(self):
        raise StopIteration
def double(x):
    return Any()
Box = double
""",
    "swallows what tests raise": """
class Box:
    __enter__ = lambda self: self
    __exit__ = lambda *_: True
    value = 41
    def __init__(self, x):
        pass
    def __iter__(self):
        return iter([0])
def double(x):
    return 0
""",
    "raises and swallows it": f"""
{_YES}
    def __getattr__(self, name):
        raise ValueError(name)
def double(x):
    return Any()
Box = double
""",
    "fails where tests fail": f"""
{_YES}
    value = 41
    def __exit__(self, kind, error, trace):
        raise ZeroDivisionError
def double(x):
    return Any()
Box = double
""",
    **{
        title: WRONG[title]
        for title in (
            "equals everything",
            "an int that equals everything",
            "a str that equals everything",
            "lies about its class",
            "a generator",
            "honestly wrong",
        )
    },
}
"""What each gives back is no data, and answers whatever is asked of it as a test would like."""

MEASURING = """
import sys
def double(x):
    frame = sys._getframe()
    while "most_bytes" not in frame.f_locals:
        frame = frame.f_back
    return "x" * ((frame.f_locals["most_bytes"] - 15) % 4096)
"""
"""Returns as much as the answer may be longer than a round number: 15 bytes say that it is text."""

MAIN = """
if __name__ == "__main__":
    value = double(int(input()))
    print(value)
    with open("result.txt", "w") as file:
        file.write(str(value))
"""
