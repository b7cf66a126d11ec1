"""Packs what runs inside a sandbox as one text of Python, to stand before a call of it."""

import ast
import functools
from importlib.resources import files

_PACKAGE = "agentgym.grading.inside"
_BOOT = """
def _load(name, source):
    import sys
    module = sys.modules[name] = type(sys)(name)
    exec(source, module.__dict__)
    return module.__dict__
"""


@functools.cache
def bundle(*names: str) -> str:
    """Return a program that loads modules of `inside`, in order, and takes the last one's names."""
    loads = [f"_load({f'{_PACKAGE}.{name}'!r}, {_source(name)!r})" for name in names]
    loads[-1] = f"globals().update({loads[-1]})"
    return "\n".join([_BOOT, *loads, ""])


def _source(name: str) -> str:
    """Return a module without what only its readers need: it is compiled once for each process."""
    text = files(_PACKAGE).joinpath(f"{name}.py").read_text(encoding="utf-8")
    return ast.unparse(_Stripped().visit(ast.parse(text)))


class _Stripped(ast.NodeTransformer):
    """Drops docstrings and annotations."""

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.returns = None
        self.generic_visit(node)
        return _without_docstring(node)

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        self.generic_visit(node)
        return _without_docstring(node)

    def visit_arg(self, node: ast.arg) -> ast.AST:
        node.annotation = None
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST | None:
        if node.value is None:
            return None
        return ast.copy_location(ast.Assign([node.target], node.value), node)

    def visit_If(self, node: ast.If) -> ast.AST | None:
        is_for_types = isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        return None if is_for_types else self.generic_visit(node)


def _without_docstring(node: ast.FunctionDef | ast.ClassDef) -> ast.AST:
    if ast.get_docstring(node) is not None:
        node.body = node.body[1:] or [ast.Pass()]
    return node
