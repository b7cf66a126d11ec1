"""What a module of tests uses of pytest, seen before it runs."""

import ast
from collections.abc import Iterator

from agentgym.grading.inside.testing import OFFERED


def not_offered(source: str) -> list[str]:
    """Return what of pytest is used and not offered to tests.

    What cannot be parsed uses nothing: where the tests run, Python may be another.
    """
    try:
        nodes = list(ast.walk(ast.parse(source)))
    except (SyntaxError, ValueError):
        return []
    imported = [each for node in nodes if isinstance(node, ast.Import) for each in node.names]
    aliases = {each.asname or each.name for each in imported if each.name == "pytest"}
    used = {name for node in nodes for name in _used(node, aliases)}
    return sorted(f"pytest.{name}" for name in used - OFFERED.keys())


def _used(node: ast.AST, aliases: set[str]) -> Iterator[str]:
    """Yield what one node uses."""
    match node:
        case ast.ImportFrom(module="pytest", names=names):
            yield from (each.name for each in names)
        case ast.Attribute(value=ast.Name(id=name), attr=attr) if name in aliases:
            yield attr
