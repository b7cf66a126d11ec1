import asyncio
import json
from contextlib import asynccontextmanager
from itertools import islice

import pytest

from agentgym.envs.code import CodeConfig
from agentgym.envs.code.grading import grade
from agentgym.errors import ConfigError, SandboxUnavailable
from agentgym.sandboxes.local import LocalSandboxConfig
from agentgym.types import Message, Task, ToolCall

pytestmark = pytest.mark.sandbox
SHORT = CodeConfig().limits.model_copy(update={"wall_s": 1.0})
EXAMPLES = [[[2, 3, 4], 9], [[5], 5], [[-1, -1], -2], [[], 0]]  # sum

# What wrong programs do to be paid. `sum` is the task; f answers wrongly where it answers.
ATTACKS = {
    "exit_0_at_import": "import os; os._exit(0)",
    "sys_exit_0_at_import": "import sys; sys.exit(0)",
    "exit_in_function": "def f(x):\n import os\n os._exit(0)",
    "excepthook": (
        "import sys, os\nsys.excepthook = lambda *a: os._exit(0)\ndef f(x): raise ValueError"
    ),
    "print_pass_and_exit": "print('pass'); import os; os._exit(0)",
    "atexit_pass": "import atexit; atexit.register(print, 'pass')\ndef f(x): return None",
    "equal_to_everything": (
        "class A:\n def __eq__(self, o): return True\n __hash__ = None\ndef f(x): return A()"
    ),
    "int_subclass": (
        "class I(int):\n def __eq__(self, o): return True\n __hash__ = None\n"
        "def f(x): return I(sum(x))"
    ),
    "expected_from_frames": (
        "import sys\ndef f(x):\n frame = sys._getframe()\n while frame:\n"
        "  for scope in (frame.f_locals, frame.f_globals):\n"
        "   for name in ('want', 'wants', 'expected', 'answer', 'hidden', 'examples'):\n"
        "    if name in scope: return scope[name]\n  frame = frame.f_back"
    ),
    "patched_json": (
        "import json\njson.dumps = lambda *a, **k: '{\"passed\": true}'\ndef f(x): return None"
    ),
    "result_file": "open('result.json', 'w').write('{\"passed\": true}')\ndef f(x): return None",
    "overwritten_tests": (
        "for name in ('test.py', 'grade.py', 'conftest.py'):\n open(name, 'w').write('')\n"
        "def f(x): return None"
    ),
    "broken_assertions": (
        "import builtins\nbuiltins.AssertionError = type('E', (), {})\ndef f(x): return None"
    ),
    "hang": "def f(x):\n while True: pass",
    "honestly_wrong": "def f(x): return sum(x) + 1",
    "sleep": "import time\ndef f(x): time.sleep(60)",
    "forged_mark": (
        "import sys, os\ndef f(x):\n mark = sys._getframe(1).f_locals['mark']\n"
        " os.write(1, f'\\n{mark} 1\\n'.encode()); os._exit(0)"
    ),
    "every_value_marked": (
        "import sys, os\ndef f(x):\n mark = sys._getframe(1).f_locals['mark']\n"
        " for v in range(-20, 20): os.write(1, f'\\n{mark} {v}\\n'.encode())\n return 1"
    ),
    "two_processes_answer": (
        "import os\ndef f(x):\n pid = os.fork()\n pid and os.wait()\n return sum(x) + (pid == 0)"
    ),
    "patched_repr": "import builtins\nbuiltins.repr = lambda v: '9'\ndef f(x): return 0",
    "patched_type": (
        "import builtins\nclass A:\n __name__ = 'int'\n def __abs__(self): return 0\n"
        " def __repr__(self): return '9'\nreal = type\n"
        "builtins.type = lambda v: int if real(v) is A else real(v)\ndef f(x): return A()"
    ),
    "hard_coded": "def f(x): return {(2, 3, 4): 9, (5,): 5}.get(tuple(x), 0)",
    "float": "def f(x): return float(sum(x))",
    "bool": "def f(x): return bool(sum(x)) if sum(x) in (0, 1) else sum(x)",
    "text": "def f(x): return str(sum(x))",
    "list_of_one": "def f(x): return [sum(x)]",
    "number_with_repr": (
        "class A:\n def __repr__(self): return str(self.v)\n"
        "def f(x):\n a = A(); a.v = sum(x); return a"
    ),
    "not_defined": "def g(x): return sum(x)",
    "not_python": "def f(x) return sum(x)",
    "nul": "def f(x): return sum(x)\0",
    "endless_output": "def f(x):\n while True: print('9' * 1000)",
    "memory": "def f(x): return len(bytearray(1 << 40))",
    "recursion": "def f(x): return f(x)",
    "cyclic_list": "def f(x): x.append(x); return x",
    "empty": "",
}
RIGHT = {
    "one_line": "def f(x): return sum(x)",
    "loop": "def f(x):\n    total = 0\n    for v in x:\n        total += v\n    return total\n",
    "prints": "print('hello')\ndef f(x):\n    print(x)\n    return sum(x)",
    "lambda": "f = lambda x: sum(x)",
    "imports": "import functools, operator\ndef f(x): return functools.reduce(operator.add, x, 0)",
    "eats_its_input": "def f(x):\n    total = 0\n    while x: total += x.pop()\n    return total",
}


PASSES_PUBLIC = {"hard_coded", "bool"}


@pytest.fixture
async def sandboxes():
    pool = LocalSandboxConfig().build()
    yield pool
    await pool.close()


@pytest.fixture
async def env(sandboxes):
    env = CodeConfig(limits=SHORT).build(sandboxes)
    yield env
    await env.close()


@pytest.fixture
def task():
    return Task("sum", payload={"public": EXAMPLES[:2], "hidden": EXAMPLES})


def call(name, **arguments):
    return Message("assistant", tool_calls=(ToolCall(name, json.dumps(arguments)),))


async def play(env, task, *messages):
    """Return the steps that fixed messages give."""
    await env.reset(task, seed=0)
    return [await env.step(message) for message in messages]


async def follow(env, task, script):
    """Return the conversation with a script and the last step."""
    messages = list((await env.reset(task, seed=0)).messages)
    while True:
        messages.append(script(messages))
        step = await env.step(messages[-1])
        messages += step.messages
        if step.terminated:
            return messages, step


def text(step):
    return step.messages[-1].content


@pytest.mark.parametrize("name", ATTACKS)
async def test_no_wrong_program_is_paid(env, sandboxes, task, name):
    async with sandboxes.lease(fresh=True) as sandbox:
        verdict = await grade(sandbox, ATTACKS[name], examples=EXAMPLES, limits=SHORT)
    assert not verdict.right
    tested, submitted = await play(env, task, call("run_tests", code=ATTACKS[name]), call("submit"))
    assert (text(tested) == "pass") == (name in PASSES_PUBLIC)
    assert submitted.terminated
    assert submitted.reward["outcome"] == 0.0


async def test_half_a_character_is_refused_before_it_is_tested(env, task):
    code = "def f(x): return sum(x) #\ud800"
    tested, submitted = await play(env, task, call("run_tests", code=code), call("submit"))
    assert "half a character" in text(tested)
    assert text(submitted) == "nothing tested"


@pytest.mark.parametrize("name", RIGHT)
async def test_right_programs_are_paid_however_they_are_written(env, task, name):
    tested, submitted = await play(env, task, call("run_tests", code=RIGHT[name]), call("submit"))
    assert text(tested) == "pass"
    assert tested.reward == {"tool_valid": 1.0, "public": 1.0}
    assert submitted.terminated
    assert submitted.reward == {"tool_valid": 1.0, "public": 0.0, "outcome": 1.0}


@pytest.mark.parametrize("tier", CodeConfig.tiers)
async def test_the_right_program_of_a_task_gives_the_expected_values(sandboxes, tier):
    async with sandboxes.lease() as sandbox:
        for split in ("train", "test"):
            for task in islice(CodeConfig(tier=tier).tasks(split), 15):
                examples = task.payload["hidden"]
                assert (await grade(sandbox, task.answer, examples=examples, limits=SHORT)).right


async def test_the_expert_always_succeeds_and_the_teacher_sometimes(sandboxes):
    outcomes = {"expert": 0.0, "teacher": 0.0}
    for level in outcomes:
        for task in islice(CodeConfig().tasks("test"), 20):
            env = CodeConfig().build(sandboxes)
            _, step = await follow(env, task, env.expert(task, seed=1, level=level))
            outcomes[level] += step.reward["outcome"]
            await env.close()
    assert outcomes["expert"] == 20
    assert 0 < outcomes["teacher"] < 16


async def test_an_episode_can_be_replayed(sandboxes):
    for seed, task in enumerate(islice(CodeConfig().tasks("train"), 5)):
        seen = []
        for _ in range(2):
            env = CodeConfig().build(sandboxes)
            messages, step = await follow(env, task, env.expert(task, seed=seed, level="teacher"))
            seen.append((messages, step.reward, env.state_key()))
            await env.close()
        assert seen[0] == seen[1]


@pytest.mark.parametrize(
    ("code", "feedback"),
    [
        ("def f(x): return 0", "input [2, 3, 4] want 9 got 0"),
        ("def f(x): return 9", "input [5] want 5 got 9"),
        ("def f(x): return [1, -2]", "input [2, 3, 4] want 9 got [1, -2]"),
        ("def f(x): return list(range(90))", f"input [2, 3, 4] want 9 got {str([*range(90)])[:48]} ..."),
        ("def f(x): pass", "input [2, 3, 4] want 9 got None"),
        ("def f(x): return 9.0", "input [2, 3, 4] want 9 got float"),
        ("def f(x): return tuple(x)", "input [2, 3, 4] want 9 got tuple"),
        ("def f(x): return object()", "input [2, 3, 4] want 9 got object"),
        ("def f(x): return 10**30", "input [2, 3, 4] want 9 got object"),
        ("def f(x): return y", "input [2, 3, 4] want 9 error NameError"),
        ("def f(x): return x + 1", "input [2, 3, 4] want 9 error TypeError"),
        ("def f(x) return x", "input [2, 3, 4] want 9 error SyntaxError"),
        ("def g(x): return x", "input [2, 3, 4] want 9 error NameError"),
        ("class E(Exception): pass\ndef f(x): raise E", "input [2, 3, 4] want 9 error Exception"),
        ("import os\ndef f(x): os._exit(0)", "input [2, 3, 4] want 9 error no result"),
        ("import os\ndef f(x): os.abort()", "input [2, 3, 4] want 9 error killed"),
        ("def f(x):\n while True: pass", "input [2, 3, 4] want 9 error timeout"),
    ],
)  # fmt: skip
async def test_feedback_names_the_first_failing_example_in_one_short_line(
    env, task, code, feedback
):
    (step,) = await play(env, task, call("run_tests", code=code))
    assert text(step) == feedback
    assert not step.terminated
    assert bool(step.info.get("timed_out")) == feedback.endswith("timeout")


@pytest.mark.parametrize(
    ("code", "output"),
    [
        ("print(1 + 1)", "2"),
        ("x = 3", "no output"),
        ("print('a'); 1 / 0", "a\nerror ZeroDivisionError: division by zero"),
        ("def f(x) return x", "error SyntaxError: expected ':'"),
        ("import sys; sys.exit(3)", "error exit code 3"),
        ("print(object())", "<object object at 0x>"),
        ("print('\x1b[31m é')", "?[31m ?"),
        ("print('ab' * 1000)", "ab" * 200 + " ..."),
        ("while True: pass", "error timeout"),
    ],
)
async def test_a_snippet_shows_what_it_prints_and_how_it_ends(env, task, code, output):
    (step,) = await play(env, task, call("run_code", code=code))
    assert text(step) == output
    assert step.reward == {"tool_valid": 1.0, "public": 0.0}


async def test_submit_hands_in_the_code_last_tested(env, task):
    good, bad = RIGHT["one_line"], "def f(x): return 0"
    steps = await play(
        env, task, call("run_tests", code=good), call("run_tests", code=bad), call("submit")
    )
    assert steps[-1].reward["outcome"] == 0.0
    steps = await play(
        env, task, call("run_tests", code=bad), call("run_tests", code=good), call("submit")
    )
    assert steps[-1].reward["outcome"] == 1.0


async def test_the_public_term_is_paid_for_progress_only(env, task):
    half, good = "def f(x): return 9", RIGHT["one_line"]
    codes = (half, half, "def f(x): return 0", good, good)
    steps = await play(env, task, *(call("run_tests", code=code) for code in codes))
    assert [step.reward["public"] for step in steps] == [0.5, 0.0, 0.0, 0.5, 0.0]


async def test_submitting_untested_code_is_answered_and_goes_on(env, task):
    (step,) = await play(env, task, call("submit"))
    assert text(step) == "nothing tested"
    assert not step.terminated
    assert step.reward == {"tool_valid": 0.0, "public": 0.0}


async def test_code_that_is_too_long_is_not_run(env, task):
    (step,) = await play(env, task, call("run_tests", code="#" * 5000))
    assert text(step) == "code too long"
    assert step.reward["tool_valid"] == 0.0


async def test_states_are_equal_when_the_feedback_is(env, task):
    async def key(*codes):
        await play(env, task, *(call("run_tests", code=code) for code in codes))
        return env.state_key()

    wrong = await key("def f(x): return 0")
    assert wrong == await key("def f(x): return 1 - 1")
    assert wrong != await key("def f(x): return 1")
    assert await key("def f(x): return 1", RIGHT["loop"]) == await key(RIGHT["one_line"])


async def test_a_timeout_while_grading_is_marked(env, task):
    late = "def f(x):\n while len(x) != 1 and len(x) != 3: pass\n return sum(x)"
    tested, submitted = await play(env, task, call("run_tests", code=late), call("submit"))
    assert "timed_out" not in tested.info
    assert submitted.info["timed_out"]
    assert submitted.reward["outcome"] == 0.0


class OneAtATime:
    """Lends one sandbox at a time, and no fresh one when told so."""

    def __init__(self, pool, *, broken=False):
        self.pool = pool
        self.broken = broken
        self.slot = asyncio.Semaphore(1)

    @asynccontextmanager
    async def lease(self, *, fresh=False):
        if fresh and self.broken:
            raise SandboxUnavailable("no fresh sandbox")
        async with self.slot, self.pool.lease(fresh=fresh) as sandbox:
            yield sandbox


async def test_one_slot_is_enough_for_an_episode(sandboxes, task):
    env = CodeConfig().build(OneAtATime(sandboxes))
    async with asyncio.timeout(20):
        *_, submitted = await play(
            env, task, call("run_tests", code=RIGHT["one_line"]), call("submit")
        )
    assert submitted.reward["outcome"] == 1.0


async def test_a_failing_sandbox_is_an_error_and_no_reward(sandboxes, task):
    env = CodeConfig().build(OneAtATime(sandboxes, broken=True))
    with pytest.raises(SandboxUnavailable):
        await play(env, task, call("run_tests", code=RIGHT["one_line"]), call("submit"))
    await env.close()


async def test_close_gives_the_sandbox_back(sandboxes, task):
    lender = OneAtATime(sandboxes)
    env = CodeConfig().build(lender)
    await play(env, task, call("run_code", code="print(1)"))
    assert lender.slot.locked()
    await env.close()
    assert not lender.slot.locked()


async def test_the_hidden_examples_meet_a_sandbox_without_files_of_the_agent(env, task):
    leak = "open('/box/right', 'w').write('1')\ndef f(x): return sum(x)"
    uses = "open('/box/right').read()\ndef f(x): return sum(x)"
    _, tested, submitted = await play(
        env,
        task,
        call("run_code", code=leak),
        call("run_tests", code=uses),
        call("submit"),
    )
    assert text(tested) == "pass"
    assert submitted.reward["outcome"] == 0.0


def test_without_a_sandbox_nothing_is_built():
    with pytest.raises(ConfigError):
        CodeConfig().build()


async def test_it_draws_the_examples_the_change_and_the_output(env, task):
    await env.reset(task, seed=0)
    await env.step(call("run_code", code="print('\\x1b[31mred\\x1b[0m')"))
    (terminal,) = env.panels()
    assert terminal.text == "\x1b[31mred\x1b[0m\n"
    await env.step(call("run_tests", code="def f(x):\n return 0"))
    await env.step(call("run_tests", code="print('here', flush=True)\ndef f(x):\n return sum(x)"))
    table, diff, terminal = env.panels()
    assert table.columns == ("input", "want", "answer", "passed")
    assert [row[3] for row in table.rows] == [True] * len(task.payload["public"])
    assert [row[1] for row in table.rows] == [str(want) for _, want in task.payload["public"]]
    assert (diff.before, diff.after.count("\n")) == ("def f(x):\n return 0", 2)
    assert terminal.text == "here"
