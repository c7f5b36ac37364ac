"""What the tests of the code base itself look for. Each finder takes source text and returns line numbers."""

import ast
from collections.abc import Iterator

VERDICTS = frozenset({"allclose", "array_equal", "equal", "isclose", "issubset", "is_file", "exists"})
"""Calls that return a verdict, which nobody may throw away."""
CHECKERS = ("assert", "check", "raises", "warns", "fail", "testing", "expect")
"""Parts of the names of calls that make a test fail."""


def silent_verdicts(source: str) -> list[int]:
    """Statements that compare, or call for a verdict, and throw it away."""
    tree = ast.parse(source)
    expected = {id(node) for block in _blocks_that_expect(tree) for node in ast.walk(block)}
    return [
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr)
        and id(node) not in expected
        and (isinstance(node.value, ast.Compare) or _last_name(node.value) in VERDICTS)
    ]


def unraised_errors(source: str) -> list[int]:
    """Statements that build an exception and do not raise it."""
    return [
        node.lineno
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Call)
        and _last_name(node.value).endswith(("Error", "Exception", "unknown_name"))
    ]


def long_functions(source: str, *, limit: int) -> list[tuple[str, int]]:
    """Functions whose body, without the docstring, has more lines than the limit."""
    found = []
    for function in _functions(ast.parse(source)):
        body = function.body[1:] if ast.get_docstring(function) is not None else function.body
        lines = body[-1].end_lineno - body[0].lineno + 1 if body and body[-1].end_lineno else 0
        if lines > limit:
            found.append((function.name, lines))
    return found


def wide_signatures(source: str, *, limit: int) -> list[tuple[str, int]]:
    """Functions with more parameters than the limit, ``self`` and ``cls`` not counted."""
    found = []
    for function in _functions(ast.parse(source)):
        every = [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]
        count = sum(argument.arg not in {"self", "cls"} for argument in every)
        if count > limit:
            found.append((function.name, count))
    return found


def toothless_tests(source: str) -> list[str]:
    """Test functions that check nothing: no assertion, and no call of what checks, be it in this file."""
    functions = list(_functions(ast.parse(source)))
    checking = {function.name for function in functions if any(_checks(node) for node in ast.walk(function))}
    return [
        function.name
        for function in functions
        if function.name.startswith("test_")
        and function.name not in checking
        and not any(isinstance(node, ast.Call) and _last_name(node.func) in checking for node in ast.walk(function))
    ]


def exports(source: str) -> list[str] | None:
    """The names in ``__all__`` as they stand there; none where the module has no such list."""
    for node in ast.parse(source).body:
        if isinstance(node, ast.Assign) and any(isinstance(target, ast.Name) and target.id == "__all__" for target in node.targets):
            return list(ast.literal_eval(node.value))
    return None


def _functions(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def _blocks_that_expect(tree: ast.Module) -> Iterator[ast.With]:
    for node in ast.walk(tree):
        if isinstance(node, ast.With) and any(_last_name(item.context_expr) in {"raises", "warns"} for item in node.items):
            yield node


def _checks(node: ast.AST) -> bool:
    if isinstance(node, ast.Assert):
        return True
    return isinstance(node, ast.Call) and any(word in ast.unparse(node.func).lower() for word in CHECKERS)


def _last_name(node: ast.expr) -> str:
    if isinstance(node, ast.Call):
        return _last_name(node.func)
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
