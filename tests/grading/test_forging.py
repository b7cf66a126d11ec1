"""Replies of a solution that answers in the place of what it runs in."""

import pytest
from grading.judging import graded

from agentgym.sandbox import Sandboxes

pytestmark = pytest.mark.sandbox

FORGING = """
import os, sys
def double(x):
    frame = sys._getframe()
    while "mark" not in frame.f_locals:
        frame = frame.f_back
    harness = frame.f_locals["self"]
    from agentgym.grading.inside.plain import encode
    spell = lambda value: encode(value, most_bytes=1 << 20, spell=lambda inner: inner.said)
    class Object:
        def __init__(self, said):
            self.said = said
    os.write(harness._out, frame.f_locals["mark"] + {said})
    harness._out = os.open("/dev/null", os.O_WRONLY)
"""


@pytest.mark.parametrize(
    "said",
    [
        "b''",
        "b'\\xff' * 50",
        "spell(None)",
        "spell(('done', 'passed', ''))",
        "spell(('returned',))",
        "spell(('returned', 1, 2, 3, 4))",
        "spell(('returned', 0, [[1], [2]]))",
        "spell(('raised', ('SystemExit',), (0,), '', 3))",
        "spell(('raised', ('int',), (0,), '', 3))",
        "spell(('raised', ('AssertionError',), (0,), '', 3))",
        "spell(('raised', ('StopIteration',), (), '', 3))",
        "spell(('raised', ('a' * 99, 'm', 1, (('a', 'm', 1, ()),) * 9), (), '', 3))",
        "spell(('raised', ('x', 'm', [], ()), (), '', {}))",
        "spell(('returned', Object(('object', 1, ('int',))), []))",
        "spell(('returned', Object(('object', 1, ('ValueError',))), []))",
        "spell(('returned', Object(('class', ('int',))), []))",
        "spell(('raised', ('x', [], 1, ()), (), '', 3))",
        "spell(('raised', ('exit', 'sys', 1, ()), (0,), '', 3))",
        "spell(('raised', ('Skipped', 'agentgym.grading.inside.testing', 1, ()), (), '', 3))",
        "spell(('returned', Object(('same', 5)), []))",
        "spell(('returned', Object(('done', 'passed')), []))",
        "spell(('returned', Object(Object(Object(('same', 0)))), []))",
        "spell(('returned', Object(('object', 1, ('x\\0', 'm', 1, ()))), []))",
        "spell(('returned', Object(('object', 1, ('x', 'm', 1, (('bool',), ('int',))))), []))",
    ],
)
async def test_forged_replies_pass_nothing(sandboxes: Sandboxes, said: str) -> None:
    assert (await forged(sandboxes, said)).fraction == 0


async def test_a_forged_reply_is_believed_where_it_is_right(sandboxes: Sandboxes) -> None:
    """Without this, the ones above could be refused for being badly made."""
    assert (await forged(sandboxes, "spell(('returned', 2, []))")).passed


async def forged(sandboxes, said):
    tests = "from solution import double\ndef test_it():\n    assert double(1) == 2\n"
    return await graded(sandboxes, tests, solution=FORGING.replace("{said}", said))
