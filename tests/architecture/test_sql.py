"""SQL stands in `queries.py` and `db/`, and outside `db/` its text is constant: values are parameters.

The check follows names: a statement may be a string, a constant of its module, or put together from such constants
(also by choice between them), but nothing that is known only at run time may become part of it.
"""

import ast
import re
from collections.abc import Iterator, Sequence
from copy import deepcopy
from pathlib import Path

import pytest

from tests.architecture.source import modules, room_of, tree_of

# Makes and drops schemas and roles, whose stored names cannot be parameters.
MAY_NAME_IDENTIFIERS = {"tenants/queries.py"}

RUNS_SQL = {"execute", "executemany", "fetch", "fetchmany", "fetchrow", "fetchval", "cursor", "prepare"}
STATEMENT = re.compile(
    r"\s*(SELECT\s|INSERT\s+INTO\s|UPDATE\s+\S+\s+SET\s|DELETE\s+FROM\s|WITH\s+(RECURSIVE\s+)?\w+\s*(\([^)]*\))?\s+AS\s|"
    r"(CREATE|ALTER|DROP)\s+(TABLE|SCHEMA|ROLE|INDEX|FUNCTION|TYPE)\s|GRANT\s|REVOKE\s|SET\s+(LOCAL|ROLE)\s|LOCK\s+TABLE\s)"
)

Function = ast.FunctionDef | ast.AsyncFunctionDef
Names = dict[str, list[ast.expr | None]]
"""What each name is set to; None for something that is not an expression to look at."""


def may_hold_sql(module: Path) -> bool:
    return room_of(module) == "db" or module.name == "queries.py"


def calls_that_run_sql(tree: ast.AST) -> Iterator[ast.Call]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in RUNS_SQL:
            yield node


def place(module: Path, node: ast.expr) -> str:
    return f"server/{module}:{node.lineno}: {ast.unparse(node)[:100]}"


def test_sql_is_run_only_where_queries_stand() -> None:
    elsewhere = [
        place(module, call)
        for module in modules()
        if not may_hold_sql(module)
        for call in calls_that_run_sql(tree_of(module))
    ]
    assert not elsewhere, "\n".join(elsewhere)


def test_sql_is_written_only_where_queries_stand() -> None:
    elsewhere = [
        place(module, node)
        for module in modules()
        if not may_hold_sql(module)
        for node in ast.walk(tree_of(module))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and STATEMENT.match(node.value)
    ]
    assert not elsewhere, "\n".join(elsewhere)


def test_text_of_sql_is_constant() -> None:
    built = [
        place(module, call)
        for module in modules()
        if may_hold_sql(module) and room_of(module) != "db"
        for call in calls_whose_sql_varies(tree_of(module), may_quote=str(module) in MAY_NAME_IDENTIFIERS)
    ]
    assert not built, "\n".join(built)


def calls_whose_sql_varies(tree: ast.Module, *, may_quote: bool = False) -> Iterator[ast.Call]:
    constants = names_set_in(tree.body)
    imported = {
        alias.asname or alias.name
        for node in tree.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if alias.name.isupper()
    }
    if may_quote:
        tree = WithoutQuoted().visit(deepcopy(tree))
    for function in functions(tree):
        names = constants | names_set_in(list(ast.walk(function))) | parameters_of(function)
        for call in calls_that_run_sql(function):
            if not call.args or not is_constant(call.args[0], names, imported):
                yield call


class WithoutQuoted(ast.NodeTransformer):
    """Puts a constant in place of every `quoted(...)`."""

    def visit_Call(self, node: ast.Call) -> ast.AST:
        if isinstance(node.func, ast.Name) and node.func.id == "quoted":
            return ast.copy_location(ast.Constant("name"), node)
        return self.generic_visit(node)


def functions(tree: ast.Module) -> list[Function]:
    return [node for node in ast.walk(tree) if isinstance(node, Function)]


def names_set_in(nodes: list[ast.stmt] | list[ast.AST]) -> Names:
    names: Names = {}
    for node in nodes:
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                names.setdefault(name, []).append(value)
            case ast.AnnAssign(target=ast.Name(id=name), value=value):
                names.setdefault(name, []).append(value)
            case ast.Name(id=name, ctx=ast.Store()) if not is_plainly_assigned(name, nodes):
                names.setdefault(name, []).append(None)
            case ast.AugAssign(target=ast.Name(id=name)):
                names.setdefault(name, []).append(None)
            case ast.comprehension(target=ast.Name(id=name), iter=value):
                names.setdefault(name, []).append(value)
    return names


def is_plainly_assigned(name: str, nodes: list[ast.stmt] | list[ast.AST]) -> bool:
    stored = sum(isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and node.id == name for node in nodes)
    assigned = 0
    for node in nodes:
        match node:
            case (
                ast.Assign(targets=[ast.Name(id=target)])
                | ast.AnnAssign(target=ast.Name(id=target))
                | ast.comprehension(target=ast.Name(id=target))
            ):
                assigned += target == name
    return stored == assigned


def parameters_of(function: Function) -> Names:
    arguments = function.args
    every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg]
    return {argument.arg: [None] for argument in every if argument}


def is_constant(node: ast.expr | None, names: Names, imported: set[str]) -> bool:
    if isinstance(node, ast.Name) and node.id in names:
        others = {name: values for name, values in names.items() if name != node.id}
        return all(is_constant(value, others, imported) for value in names[node.id])
    if isinstance(node, ast.Name):
        return node.id in imported
    parts = parts_of(node)
    return parts is not None and all(is_constant(part, names, imported) for part in parts)


def parts_of(node: ast.expr | None) -> Sequence[ast.expr] | None:
    """What an expression is put together from; None where that is not plain to see."""
    match node:
        case ast.Constant():
            return []
        case ast.JoinedStr(values=parts) | ast.Tuple(elts=parts) | ast.List(elts=parts) | ast.Dict(values=parts):
            return parts
        case ast.FormattedValue(value=part) | ast.Subscript(value=ast.Name() as part):
            return [part]
        case ast.BinOp(left=one, op=ast.Add(), right=other) | ast.IfExp(body=one, orelse=other):
            return [one, other]
        case ast.Call(func=ast.Attribute(value=text, attr="join" | "split"), args=parts):
            return [text, *parts]
        case ast.ListComp(elt=part) | ast.GeneratorExp(elt=part) | ast.Starred(value=part):
            return [part]
    return None


@pytest.mark.parametrize(
    "source",
    [
        "async def f(db):\n    await db.fetch('SELECT 1')",
        "_FIND = 'SELECT 1'\nasync def f(db):\n    await db.fetch(_FIND, 1)",
        "from a import COLUMNS\n_FIND = f'SELECT {COLUMNS}'\nasync def f(db):\n    await db.fetch(_FIND)",
        "_ORDERS = {'a': 'name', 'b': 'id'}\nasync def f(db, by):\n    await db.fetch(f'SELECT {_ORDERS[by]}')",
        "_C = {'a': 'x, y'}\nasync def f(db, s):\n    o = ', '.join(f'{c} ASC' for c in [*_C[s].split(', '), 'id'])\n"
        "    await db.fetch(f'SELECT 1 ORDER BY {o}')",
        "A = 'SELECT 1'\nasync def f(db, x):\n    sql = A if x else 'SELECT 2'\n    await db.fetch(sql)",
    ],
)
def test_statement_made_of_constants_passes(source: str) -> None:
    assert not list(calls_whose_sql_varies(ast.parse(source)))


@pytest.mark.parametrize(
    "source",
    [
        "async def f(db, x):\n    await db.fetch(x)",
        "async def f(db, x):\n    await db.fetch(f'SELECT {x}')",
        "async def f(db, x):\n    await db.fetch('SELECT %s' % x)",
        "async def f(db, x):\n    await db.fetch('SELECT {}'.format(x))",
        "async def f(db, x):\n    sql = 'SELECT '\n    sql += x\n    await db.fetch(sql)",
        "async def f(db, xs):\n    await db.fetch(' '.join(x for x in xs))",
        "async def f(db, x):\n    await db.execute(f'DROP SCHEMA {quoted(x)}')",
        "async def f(db, xs):\n    for sql in xs:\n        await db.fetch(sql)",
        "SQL = 'SELECT 1'\nasync def f(db, SQL):\n    await db.fetch(SQL)",
        "from a import columns\nasync def f(db):\n    await db.fetch(f'SELECT {columns}')",
        "A = {'x': 'SELECT 1'}\nasync def f(db, a):\n    await db.fetch(A.get(a, a))",
        "async def f(db, x):\n    await db.fetch(sql := x)",
    ],
)
def test_statement_with_a_varying_part_is_found(source: str) -> None:
    assert list(calls_whose_sql_varies(ast.parse(source)))
