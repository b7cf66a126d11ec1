"""Exact arithmetic on text that a model wrote: bounded in time and size, never `eval`."""

import ast
import operator
import re
from collections.abc import Callable
from fractions import Fraction
from typing import Any

from agentgym.tools import ToolError

_MAX_CHARS = 200
_MAX_EXPONENT = 16
_MAX_NUMBER = 10**15
_ALLOWED = re.compile(r"[0-9\s.+\-*/%()]*")
_NUMBER = re.compile(r"[+-]?[0-9]{1,30}(\.[0-9]{1,30})?")

_OPERATORS: dict[type[ast.AST], Callable[..., Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
    ast.UAdd: operator.pos,
    ast.USub: operator.neg,
}


def evaluate(expression: str) -> str:
    """Return the value as text: exact when it is whole, else with 12 significant digits.

    Raises:
        ToolError: this is no expression, or one too large.
    """
    if len(expression) > _MAX_CHARS:
        raise ToolError(f"the expression is longer than {_MAX_CHARS} characters")
    if not _ALLOWED.fullmatch(expression):
        raise ToolError("only numbers, parentheses and + - * / // % ** are allowed")
    try:
        value = _value(ast.parse(expression.strip(), mode="eval").body)
    except SyntaxError:
        raise ToolError("this is not an arithmetic expression") from None
    except ZeroDivisionError:
        raise ToolError("division by zero") from None
    return str(value) if value.denominator == 1 else f"{float(value):.12g}"


def is_number(text: str, answer: int) -> bool:
    """Return whether a text is this number and nothing else; `7.0` is 7."""
    text = text.strip()
    return _NUMBER.fullmatch(text) is not None and Fraction(text) == answer


def _value(node: ast.expr) -> Fraction:
    match node:
        case ast.Constant(value=int() | float() as number):
            value = Fraction(str(number))
        case ast.UnaryOp(op=op, operand=operand):
            value = _OPERATORS[type(op)](_value(operand))
        case ast.BinOp(left=left, op=op, right=right):
            value = _apply(op, _value(left), _value(right))
        case _:
            raise ToolError("this is not an arithmetic expression")
    if abs(value) > _MAX_NUMBER:
        raise ToolError(f"numbers beyond {_MAX_NUMBER:.0e} are not supported")
    return value


def _apply(op: ast.operator, left: Fraction, right: Fraction) -> Fraction:
    if isinstance(op, ast.Pow) and (right.denominator != 1 or abs(right) > _MAX_EXPONENT):
        raise ToolError(f"an exponent is a whole number from -{_MAX_EXPONENT} to {_MAX_EXPONENT}")
    return Fraction(_OPERATORS[type(op)](left, right))
