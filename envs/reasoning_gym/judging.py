"""Scoring by reasoning-gym's own functions, although some evaluate what the model wrote.

Most compare texts and are asked at once. A few hand the answer to `eval`: they are asked about
literals only. A few can be made to count for ever, and a few hand the answer to sympy, which
evaluates it and then may compute for ever: these are asked in a process of its own that is killed
when it takes too long, those with sympy about formulas only.
"""

import ast
import builtins
import inspect
import re
import sys
from functools import lru_cache
from typing import Any, Literal, NamedTuple

from agentgym.envs.reasoning_gym.questions import Source, dataset, entry
from agentgym.envs.reasoning_gym.worker import TookTooLong, worker

Manner = Literal["compares", "evals", "counts", "computes"]
ASIDE: tuple[Manner, ...] = ("counts", "computes")
"""What is asked in a process of its own, and so may take seconds."""

_MAX_CHARS = 20_000  # twice the longest answer of any dataset
_MAX_FORMULA_CHARS = 1_000
_MAX_EXPONENT = 100
_MAX_TOWER = 2  # powers of powers
_ABSURD = re.compile(r"[eE][+-]?\d{4}")  # Fraction("1.e999999999") takes minutes

_FUNCTIONS = re.compile(
    "a?sin|a?cos|a?tan|cot|sec|csc|sinh|cosh|tanh|exp|log|ln|sqrt|Abs|erf|Ei|Si|Ci|li|Integral"
)
_NODES = (
    *(ast.Expression, ast.Constant, ast.Name, ast.Load, ast.Call, ast.BinOp, ast.UnaryOp),
    *(ast.Add, ast.Sub, ast.Mult, ast.Div, ast.Pow, ast.UAdd, ast.USub),
)


class Verdict(NamedTuple):
    """What an answer is worth."""

    score: float
    timed_out: bool = False


def judge(source: Source, place: int, answer: str) -> Verdict:
    """Score an answer; what the scoring function cannot take is worth nothing."""
    if not answer or len(answer) > _MAX_CHARS:
        return Verdict(0.0)
    made, how = dataset(source), manner(source)
    if how in ASIDE:
        if is_absurd(answer) or (how == "computes" and not is_formula(answer)):
            return Verdict(0.0)
        try:
            return Verdict(worker().score(source, answer, entry(source, place)))
        except TookTooLong:
            return Verdict(0.0, timed_out=True)
    if how == "evals" and not is_harmless(answer, made):
        return Verdict(0.0)
    return Verdict(score(made, answer, entry(source, place)))


def score(made: Any, answer: str, item: dict[str, Any]) -> float:
    """Ask the scoring function of a dataset. It raises where an answer has another shape."""
    try:
        return float(made.score_answer(answer, item))
    except Exception:  # noqa: BLE001  the model wrote what made it raise
        return 0.0


@lru_cache(maxsize=64)
def manner(source: Source) -> Manner:
    """Return what the scoring function of a dataset does with an answer."""
    code = inspect.getsource(type(dataset(source)).score_answer)
    if re.search(r"\b(parse_expr|sympify)\(", code):
        return "computes"
    if re.search(r"\b(Fraction|expand_moves)\(", code):  # 1e999999999 and R999999999
        return "counts"
    return "evals" if re.search(r"\b(eval|exec)\(", code) else "compares"


def is_absurd(text: str) -> bool:
    """Whether a text has a number whose exponent is beyond all answers, however it is written.

    >>> [is_absurd(text) for text in ("1e-9", "1.e9999", "1e9_999", "1e9,999")]
    [False, True, True, True]
    """
    return _ABSURD.search(re.sub(r"[,_\s]", "", text)) is not None


def is_harmless(text: str, made: Any) -> bool:
    """Whether `eval` of a text gives a literal or fails: no calls, no names that mean something.

    A name by itself is a plain word to a dataset whose answers are words. Some datasets strip an
    answer of more blanks than `eval` does, so that the text has to be harmless either way.
    """
    return all(_is_literal(each, made) for each in {text.lstrip(" \t"), text.strip()})


def _is_literal(text: str, made: Any) -> bool:
    try:
        tree = ast.parse(text, mode="eval")
    except (SyntaxError, ValueError):
        return True
    except (RecursionError, MemoryError):
        return False
    if isinstance(tree.body, ast.Name):
        function = type(made).score_answer
        names = {*function.__code__.co_varnames, *vars(sys.modules[function.__module__])}
        return tree.body.id not in names and not hasattr(builtins, tree.body.id)
    try:
        ast.literal_eval(tree)
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
        return False
    return True


def is_formula(text: str) -> bool:
    """Whether a text is arithmetic over numbers, short names and known functions, no more.

    >>> [is_formula(text) for text in ("2*x**3/3 + C", "exp(x)*sin(2*x)", "(3 + 5)*3")]
    [True, True, True]
    >>> [is_formula(text) for text in ("open('x')", "x.real", "9**9**9", "5!", "x[0]")]
    [False, False, False, False, False]
    """
    if len(text) > _MAX_FORMULA_CHARS or not text.isascii():
        return False
    try:
        tree = ast.parse(text, mode="eval")
        return all(_is_arithmetic(node) for node in ast.walk(tree)) and _tower(tree) <= _MAX_TOWER
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False


def _is_arithmetic(node: ast.AST) -> bool:
    match node:
        case ast.Constant():
            return isinstance(node.value, int | float)
        case ast.Name():
            return len(node.id) <= 2 or _FUNCTIONS.fullmatch(node.id) is not None
        case ast.Call():
            known = isinstance(node.func, ast.Name) and _FUNCTIONS.fullmatch(node.func.id)
            return bool(known) and not node.keywords
        case ast.BinOp(op=ast.Pow()):
            return _is_small(node.right)
    return isinstance(node, _NODES)


def _is_small(exponent: ast.AST) -> bool:
    return all(
        abs(node.value) <= _MAX_EXPONENT
        if isinstance(node, ast.Constant) and isinstance(node.value, int | float)
        else not isinstance(node, ast.Mult | ast.Pow)
        for node in ast.walk(exponent)
    )


def _tower(node: ast.AST) -> int:
    """Return how many powers stand in each other."""
    own = isinstance(node, ast.BinOp) and isinstance(node.op, ast.Pow)
    return own + max(map(_tower, ast.iter_child_nodes(node)), default=0)
