"""SQL stands in `queries.py` and `db/`, and its text is constant: values are parameters.

The check follows names: a statement may be a string, a constant of its module or of the one it is imported from, or put
together from such constants (also by choice between them), but nothing that is known only at run time may become part
of it. The few functions of `db/` that must name what the server itself has named are listed here.
"""

import ast
import re
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from pathlib import Path

import pytest

from tests.architecture.source import SERVER, modules, room_of, tree_of

QUOTING = "server.db.scope.quoted"
# Besides db/: makes and drops schemas and roles, whose stored names cannot be parameters.
MAY_NAME_IDENTIFIERS = {"tenants/queries.py"}

# Each is given names that the server made and stored, numbers of its settings, or the text of a migration.
MAY_VARY = {
    "db/installation.py": {"_own_schema", "_give_rights"},
    "db/migrations.py": {"apply_migrations"},
    "db/pool.py": {"_transaction"},
    "db/scope.py": {"scoped"},
}

COPIES = {"copy_from_query", "copy_from_table", "copy_to_table", "copy_records_to_table"}
RUNS_SQL = {"execute", "executemany", "executescript", "fetch", "fetchmany", "fetchrow", "fetchval", "prepare"} | COPIES
OPENS_CURSOR = "cursor"
PRIVATE = {"_execute", "_do_execute", "_executemany", "_copy_in", "_copy_out", "_protocol"}
BY_NAME = {"getattr", "eval", "exec", "compile", "__import__"}
BY_METHOD = {"methodcaller", "attrgetter"}
STATEMENT = re.compile(
    r"\s*(SELECT\s|INSERT\s+INTO\s|UPDATE\s+\S+\s+SET\s|DELETE\s+FROM\s|WITH\s+(RECURSIVE\s+)?\w+\s*(\([^)]*\))?\s+AS\s|"
    r"(CREATE|ALTER|DROP)\s+(TABLE|SCHEMA|ROLE|INDEX|FUNCTION|TYPE)\s|GRANT\s|REVOKE\s|SET\s+(LOCAL|ROLE)\s|LOCK\s+TABLE\s)"
)

Function = ast.FunctionDef | ast.AsyncFunctionDef
Container = ast.List | ast.Dict | ast.Set | ast.ListComp | ast.DictComp | ast.SetComp
Names = dict[str, list[ast.expr | None]]
"""What each name is set to; None for something that is not an expression to look at."""


def may_hold_sql(module: Path) -> bool:
    return room_of(module) == "db" or module.name == "queries.py"


def calls_that_run_sql(tree: ast.AST) -> Iterator[ast.Call]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and runs_sql(node.func.attr):
            yield node


def runs_sql(method: str) -> bool:
    return method in RUNS_SQL or method == OPENS_CURSOR


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


def test_sql_is_run_by_plain_calls_only() -> None:
    roundabout = [
        place(module, node)
        for module in modules()
        for node in ways_round_a_call(tree_of(module), holds_sql=may_hold_sql(module))
    ]
    assert not roundabout, "\n".join(roundabout)


def ways_round_a_call(tree: ast.Module, *, holds_sql: bool) -> Iterator[ast.expr]:
    """What runs SQL without being seen as a call that does: a method passed on or looked up, a driver's inside."""
    called = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(attr=name) if name in PRIVATE and not is_own(node):
                yield node
            case ast.Attribute(attr=name, ctx=ast.Load()) if id(node) not in called:
                if name in RUNS_SQL or (holds_sql and name == OPENS_CURSOR):
                    yield node
            case ast.Call(args=arguments) if looks_up(node.func):
                if holds_sql or any(isinstance(each, ast.Constant) and runs_sql(str(each.value)) for each in arguments):
                    yield node


def looks_up(function: ast.expr) -> bool:
    match function:
        case ast.Name(id=name):
            return name in BY_NAME | BY_METHOD
        case ast.Attribute(attr=name):
            return name in BY_METHOD
    return False


def is_own(node: ast.Attribute) -> bool:
    return isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")


def test_text_of_sql_is_constant() -> None:
    built = [
        place(module, call)
        for module in modules()
        if may_hold_sql(module)
        for call in calls_whose_sql_varies(
            tree_of(module), may_quote=may_quote(module), leaving_out=MAY_VARY.get(str(module), set())
        )
    ]
    assert not built, "\n".join(built)


def test_each_function_that_may_vary_its_sql_does() -> None:
    for module, names in MAY_VARY.items():
        tree = tree_of(Path(module))
        varying = {
            function.name
            for function in functions(tree)
            if any(id(call) in set(map(id, calls_that_run_sql(function))) for call in varying_calls_of(tree))
        }
        assert names <= varying, f"server/{module}: {sorted(names - varying)}"


def varying_calls_of(tree: ast.Module) -> list[ast.Call]:
    return list(calls_whose_sql_varies(tree))


def may_quote(module: Path) -> bool:
    return room_of(module) == "db" or str(module) in MAY_NAME_IDENTIFIERS


def test_only_one_function_is_called_quoted() -> None:
    for module in modules():
        if may_quote(module) and str(module) != "db/scope.py":
            assert not names_set_in(list(ast.walk(tree_of(module)))).keys() & {"quoted"}, module
            origin = origins_of(tree_of(module)).get("quoted", QUOTING)
            assert origin == QUOTING, module


TreeOf = Callable[[str], ast.Module | None]


def tree_named(dotted: str) -> ast.Module | None:
    """The tree of a module of the server; None for any other."""
    path = SERVER.parent / dotted.replace(".", "/")
    for file in (path.with_suffix(".py"), path / "__init__.py"):
        if dotted.startswith("server.") and file.is_file():
            return tree_of(file.relative_to(SERVER))
    return None


def calls_whose_sql_varies(
    tree: ast.Module, *, may_quote: bool = False, leaving_out: set[str] | None = None, tree_of: TreeOf = tree_named
) -> Iterator[ast.Call]:
    if may_quote:
        tree = WithoutQuoted().visit(deepcopy(tree))
    constants = constants_of(tree)
    imported = constants_imported(tree, tree_of)
    unsafe = containers_that_may_change(tree)
    allowed = {
        id(call)
        for function in functions(tree)
        if function.name in (leaving_out or set())
        for call in calls_that_run_sql(function)
    }
    inside = {id(call) for function in functions(tree) for call in calls_that_run_sql(function)}
    for function in [None, *functions(tree)]:
        names = constants if function is None else merged(constants, names_of(function))
        for call in calls_that_run_sql(tree if function is None else function):
            if id(call) in allowed or (function is None and id(call) in inside):
                continue
            if not has_constant_sql(call, {**names, **unsafe}, imported):
                yield call


def has_constant_sql(call: ast.Call, names: Names, imported: set[str]) -> bool:
    """Whether the statement, and with copying every word that stands beside the values, is constant."""
    assert isinstance(call.func, ast.Attribute)
    first = call.args[:1] if call.func.attr != "copy_from_query" or call.args else []
    beside = [each.value for each in call.keywords if each.arg in STATEMENTS or call.func.attr in COPIES]
    beside = [each for each in beside if not is_data(each, call)]
    texts = [*first, *beside]
    return bool(texts) and all(is_constant(text, names, imported) for text in texts)


STATEMENTS = {"query", "sql", "command", "where", "schema_name", None}
DATA_OF_COPIES = {"source", "output", "records", "timeout"}


def is_data(value: ast.expr, call: ast.Call) -> bool:
    return any(each.value is value and each.arg in DATA_OF_COPIES for each in call.keywords)


class WithoutQuoted(ast.NodeTransformer):
    """Puts a constant in place of every `quoted(...)`."""

    def visit_Call(self, node: ast.Call) -> ast.AST:
        if isinstance(node.func, ast.Name) and node.func.id == "quoted":
            return ast.copy_location(ast.Constant("name"), node)
        return self.generic_visit(node)


def functions(tree: ast.Module) -> list[Function]:
    return [node for node in ast.walk(tree) if isinstance(node, Function)]


def constants_of(tree: ast.Module) -> Names:
    """What stands at the top of a module. What a function declares global is no constant."""
    declared = {name for node in ast.walk(tree) if isinstance(node, ast.Global) for name in node.names}
    return merged(names_set_in(at_the_top(tree)), {name: [None] for name in declared})


def origins_of(tree: ast.Module) -> dict[str, str]:
    """Where what is imported at the top comes from, by the name it has here."""
    return {
        alias.asname or alias.name: f"{node.module}.{alias.name}"
        for node in tree.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }


def constants_imported(tree: ast.Module, tree_of: TreeOf) -> set[str]:
    """Which imported names are those of constants where they come from."""
    found = set()
    for name, origin in origins_of(tree).items():
        module, _, original = origin.rpartition(".")
        source = tree_of(module) if original.isupper() else None
        if source is not None:
            names = {**constants_of(source), **containers_that_may_change(source)}
            if is_constant(ast.Name(original), names, constants_imported(source, tree_of)):
                found.add(name)
    return found


def names_of(function: Function) -> Names:
    """What is set in a function, its parameters included."""
    return merged(names_set_in(list(ast.walk(function))), parameters_of(function))


def merged(one: Names, other: Names) -> Names:
    """A name that is set in both has the values of both: which of them holds is not followed."""
    return {name: one.get(name, []) + other.get(name, []) for name in one.keys() | other.keys()}


def names_set_in(nodes: list[ast.AST]) -> Names:
    names: Names = {}
    for node in nodes:
        for name, value in settings_of(node, nodes):
            names.setdefault(name, []).append(value)
    return names


def settings_of(node: ast.AST, beside: list[ast.AST]) -> Iterator[tuple[str, ast.expr | None]]:
    match node:
        case (
            ast.Assign(targets=[ast.Name(id=name)], value=value)
            | ast.AnnAssign(target=ast.Name(id=name), value=value)
            | ast.comprehension(target=ast.Name(id=name), iter=value)
        ):
            yield name, value
        case ast.Name(id=name, ctx=ast.Store()) if not is_plainly_assigned(name, beside):
            yield name, None
        case (
            ast.AugAssign(target=ast.Name(id=name))
            | ast.MatchAs(name=str(name))
            | ast.MatchStar(name=str(name))
            | ast.MatchMapping(rest=str(name))
            | ast.ExceptHandler(name=str(name))
            | ast.FunctionDef(name=name)
            | ast.AsyncFunctionDef(name=name)
            | ast.ClassDef(name=name)
        ):
            yield name, None


def at_the_top(tree: ast.Module) -> list[ast.AST]:
    """All that a module does when it is imported: everything but the insides of functions and classes."""
    found: list[ast.AST] = []
    waiting: list[ast.AST] = [*tree.body]
    while waiting:
        node = waiting.pop()
        found.append(node)
        if not isinstance(node, Function | ast.ClassDef | ast.Lambda):
            waiting += ast.iter_child_nodes(node)
    return found


def is_plainly_assigned(name: str, nodes: list[ast.AST]) -> bool:
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


def containers_that_may_change(tree: ast.Module) -> Names:
    """Names of lists and the like that hold others, or are used otherwise than by reading, joining, going through."""
    parents = {child: node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}
    containers = {name: value for name, value in assignments(tree) if isinstance(value, Container)}
    nested = [
        name for name, value in containers.items() if sum(isinstance(each, Container) for each in ast.walk(value)) > 1
    ]
    used = [node for node in ast.walk(tree) if isinstance(node, ast.Name) and node.id in containers]
    changed = [node.id for node in used if isinstance(node.ctx, ast.Load) and not only_reads(node, parents)]
    return {name: [None] for name in [*nested, *changed]}


def assignments(tree: ast.Module) -> Iterator[tuple[str, ast.expr | None]]:
    for node in ast.walk(tree):
        match node:
            case ast.Assign(targets=targets, value=value):
                yield from ((target.id, value) for target in targets if isinstance(target, ast.Name))
            case (
                ast.AnnAssign(target=ast.Name(id=name), value=value)
                | ast.NamedExpr(target=ast.Name(id=name), value=value)
            ):
                yield name, value


def only_reads(node: ast.Name, parents: dict[ast.AST, ast.AST]) -> bool:
    match parents[node]:
        case ast.Subscript(ctx=ast.Load()) | ast.comprehension() | ast.For() | ast.Compare() | ast.Starred():
            return True
        case ast.Call(func=ast.Attribute(attr=method)) as call:
            return node in call.args and (method == "join" or runs_sql(method))
    return False


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
        case ast.JoinedStr(values=parts) | ast.Tuple(elts=parts) | ast.List(elts=parts):
            return parts
        case ast.FormattedValue(value=part, format_spec=form):
            return [part] if form is None else [part, form]
        case ast.BinOp(left=one, op=ast.Add(), right=other) | ast.IfExp(body=one, orelse=other):
            return [one, other]
        case ast.Call(func=ast.Attribute(value=text, attr="join" | "split"), args=parts, keywords=[]):
            return [text, *parts]
    return parts_of_many(node)


def parts_of_many(node: ast.expr | None) -> Sequence[ast.expr] | None:
    match node:
        case ast.Dict(keys=keys, values=values):
            known = [key for key in keys if key is not None]
            return [*known, *values] if len(known) == len(keys) else None
        case (
            ast.Subscript(value=ast.Name() as part)
            | ast.ListComp(elt=part)
            | ast.GeneratorExp(elt=part)
            | ast.Starred(value=part)
        ):
            return [part]
    return None


def elsewhere(**sources: str) -> TreeOf:
    """Modules that a test makes up, by their names."""
    return lambda dotted: ast.parse(sources[dotted]) if dotted in sources else None


A = elsewhere(a="COLUMNS = 'id, name'\nimport os\nWHAT = os.environ['WHAT']\nPARTS = ['a']\nPARTS.append(WHAT)")


def varies(source: str) -> bool:
    tree = ast.parse(source)
    return bool(list(calls_whose_sql_varies(tree, tree_of=A))) or bool(list(ways_round_a_call(tree, holds_sql=True)))


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
        "async def f(db, rows):\n    await db.copy_records_to_table('a', records=rows, columns=['x'])",
        "async def f(db, x):\n    await db.fetch('SELECT 1', x, timeout=x)",
        "async def f(db, x):\n    await db.fetch(query='SELECT 1')",
    ],
)
def test_statement_made_of_constants_passes(source: str) -> None:
    assert not varies(source)


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
        # A helper that makes the text, and one that runs it.
        "def where(x):\n    return f'WHERE {x}'\nasync def f(db, x):\n    await db.fetch('SELECT 1 ' + where(x))",
        "async def run(db, sql):\n    await db.fetch(sql)\nasync def f(db, x):\n    await run(db, f'SELECT {x}')",
        "run = lambda db, x: db.fetch(x)",
        "import asyncio\nasyncio.run(db.fetch(asked))",
        # The method by another way.
        "async def f(db, x):\n    run = db.fetch\n    await run(x)",
        "async def f(db, x):\n    await getattr(db, 'fetch')(x)",
        "async def f(db, x, how):\n    await getattr(db, how)(x)",
        "from functools import partial\nasync def f(db, x):\n    await partial(db.execute, x)()",
        "from operator import methodcaller\nasync def f(db, x):\n    await methodcaller('fetch', x)(db)",
        "async def f(db, x):\n    await db._protocol.query(x, 1)",
        "async def f(db, x):\n    await db._execute(x, (), 0, 1)",
        # All that asyncpg runs.
        "async def f(db, x):\n    await (await db.prepare(x)).fetch()",
        "async def f(db, x):\n    await db.copy_from_query(x, output='o')",
        "async def f(db, x, o):\n    await db.copy_from_query(query=x, output=o)",
        "async def f(db, x):\n    await db.copy_to_table('a', source='s', where=x)",
        "async def f(db, x):\n    await db.copy_records_to_table('a', records=[], schema_name=x)",
        "async def f(db, x):\n    await db.copy_from_table(x, output='o')",
        "async def f(db, x):\n    db.cursor(x)",
        "async def f(db, x):\n    await db.fetch(query=x)",
        "async def f(db, x):\n    await db.fetch(**x)",
        # Names that only look constant.
        "from a import WHAT\nasync def f(db):\n    await db.fetch(f'SELECT {WHAT}')",
        "from a import PARTS\nasync def f(db):\n    await db.fetch(' '.join(PARTS))",
        "from b import COLUMNS\nasync def f(db):\n    await db.fetch(f'SELECT {COLUMNS}')",
        "SQL = 'SELECT 1'\ndef g(x):\n    global SQL\n    SQL = x\nasync def f(db):\n    await db.fetch(SQL)",
        "SQL = 'SELECT 1'\nasync def f(db, x):\n    match x:\n        case SQL:\n            await db.fetch(SQL)",
        "SQL = 'SELECT 1'\nasync def f(db):\n    try:\n        g()\n    except E as SQL:\n        await db.fetch(SQL)",
        "A = which()\nSQL = f'SELECT {A}'\nasync def f(db):\n    A = 'a'\n    await db.fetch(SQL)",
        "async def f(db, x):\n    sql = 'SELECT 1'\n    sql, _ = x\n    await db.fetch(sql)",
        "SQL = 'SELECT 1'\nSQL, _ = which()\nasync def f(db):\n    await db.fetch(SQL)",
        "SQL = 'SELECT 1'\nif debug:\n    SQL = which()\nasync def f(db):\n    await db.fetch(SQL)",
        # Lists and the like that grow.
        "async def f(db, x):\n    parts = ['SELECT 1']\n    parts.append(x)\n    await db.fetch(' '.join(parts))",
        "async def f(db, x):\n    parts = ['SELECT 1']\n    add(parts, x)\n    await db.fetch(' '.join(parts))",
        "async def f(db, x):\n    a = ['SELECT 1']\n    b = a\n    b.append(x)\n    await db.fetch(' '.join(a))",
        "A = {'a': 'id'}\nasync def f(db, x):\n    A['a'] = x\n    await db.fetch(f'SELECT {A[x]}')",
        "A = {'a': 'id'}\nasync def f(db, x):\n    A.update(a=x)\n    await db.fetch(f'SELECT {A[x]}')",
        "A = {'a': ['id']}\nasync def f(db, x):\n    A['a'].append(x)\n    await db.fetch(' '.join(A['a']))",
        "async def f(db, x):\n    await db.fetch(' '.join({x: 'SELECT 1'}))",
        "async def f(db, x):\n    await db.fetch(f'SELECT 1{0:{x}}')",
    ],
)
def test_statement_with_a_varying_part_is_found(source: str) -> None:
    assert varies(source)
