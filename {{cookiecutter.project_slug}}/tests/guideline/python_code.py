"""Python programs: constants that are secrets, and secrets that reach a log."""

import ast
import re
from collections.abc import Iterator

from tests.guideline.secret_text import is_secret_name, is_value_in_code, known_secret

LOG_METHODS = {
    "debug", "info", "warning", "warn", "error", "exception", "critical", "fatal", "log", "msg",
    "adebug", "ainfo", "awarning", "aerror", "trace", "success",
}  # fmt: skip
LOGGERS = re.compile(r"(?i)log(?:ger|ging)?$|^_?logs?$|structlog")
PRINTERS = {"print", "pprint", "echo", "secho"}
STREAMS = {"stdout", "stderr"}
# Functions that give on what they get; any other, such as len() or mask(), gives something else.
PASSING = {
    "str", "repr", "format", "dict", "list", "tuple", "set", "sorted", "dumps", "join", "strip",
    "encode", "decode", "getenv", "get", "model_dump", "replace", "vars", "copy", "items",
    "values", "lower", "upper",
}  # fmt: skip
# Calls whose constant argument is what they return, and where it stands.
CONSTANT_CALLS = {
    "SecretStr": 0, "SecretBytes": 0, "Secret": 0, "Field": 0, "str": 0, "bytes": 0, "b64decode": 0,
    "fromhex": 0, "getenv": 1, "get": 1, "setdefault": 1, "config": 1, "field": 9,
}  # fmt: skip
# In a language model's code, most tokens are pieces of text.
TEXT_TOKEN = re.compile(
    r"(?i)^tokens?$|(?:max|min|total|prompt|completion|input|output|num|n|pad|eos|bos|stop|special"
    r"|new|next|last|first|text|context|cached|used|mask|unk|sep|cls|id)_tokens?$"
)
MASKING = re.compile(r"(?i)mask|redact|scrub|censor|sanitiz|hide|obfuscat")
# Calls that wait for a person.
ASKING = {"input", "getpass", "confirm", "prompt"}
OPTIONS = {"options", "args", "arguments", "opts", "namespace"}
WHOLE_ENVIRONMENT = "environ"
Function = tuple[str, str]  # module and name


def parse(content: str) -> ast.Module | None:
    """Return a program's tree, None where it is no Python."""
    try:
        return ast.parse(content)
    except (SyntaxError, ValueError, RecursionError):
        return None


def secrets(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield (line, name) of every constant that is a secret; the name of what holds it."""
    for node in ast.walk(tree):
        for name, value in _held(node):
            if is_secret_name(name):
                for line, text in _constants(value):
                    if is_value_in_code(text, name):
                        yield line, name
        if (
            isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and known_secret(node.value)
        ):
            yield node.lineno, "a text of this form"


def _held(node: ast.AST) -> Iterator[tuple[str, ast.expr]]:
    """Yield the names that a node gives values to."""
    if isinstance(node, ast.Assign):
        for target in node.targets:
            if isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
                yield from zip(map(_name, target.elts), node.value.elts, strict=False)
            else:
                yield _name(target), node.value
    elif isinstance(node, ast.AnnAssign | ast.NamedExpr) and node.value:
        yield _name(node.target), node.value
    elif isinstance(node, ast.keyword) and node.arg:
        yield node.arg, node.value
    elif isinstance(node, ast.Dict):
        yield from ((_name(key), value) for key, value in zip(node.keys, node.values, strict=True))
    elif isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.Eq | ast.NotEq):
        yield _name(node.left), node.comparators[0]
        yield _name(node.comparators[0]), node.left
    elif isinstance(node, ast.Call) and _name(node.func) in {"getenv", "get", "setdefault"}:
        if len(node.args) > 1:
            yield _name(node.args[0]), node.args[1]
    elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
        arguments = [*node.args.posonlyargs, *node.args.args]
        defaults = node.args.defaults
        yield from (
            (one.arg, value)
            for one, value in zip(
                arguments[len(arguments) - len(defaults) :], defaults, strict=True
            )
        )
        for one, value in zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True):
            if value:
                yield one.arg, value


def _name(node: ast.AST | None) -> str:
    """Return the last name of an expression: of ``a.b``, ``a["b"]`` and ``"b"``, it is b."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return node.attr
    if isinstance(node, ast.Subscript):
        return _name(node.slice)
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    return ""


def _constants(node: ast.expr) -> Iterator[tuple[int, str]]:
    """Yield the texts that an expression of constants comes to."""
    whole = _folded(node)
    if whole is not None:
        yield node.lineno, whole
    elif isinstance(node, ast.Dict):
        for value in node.values:
            yield from _constants(value)
    elif isinstance(node, ast.List | ast.Tuple | ast.Set):
        for value in node.elts:
            yield from _constants(value)
    elif isinstance(node, ast.BoolOp):
        for value in node.values:
            yield from _constants(value)
    elif isinstance(node, ast.IfExp):
        yield from _constants(node.body)
        yield from _constants(node.orelse)
    elif isinstance(node, ast.Call) and _name(node.func) in CONSTANT_CALLS:
        place = CONSTANT_CALLS[_name(node.func)]
        given = [one.value for one in node.keywords if one.arg in {"default", "default_factory"}]
        for value in [*node.args[place : place + 1], *given]:
            yield from _constants(value.body if isinstance(value, ast.Lambda) else value)


def _folded(node: ast.expr) -> str | None:
    if isinstance(node, ast.Constant):
        if isinstance(node.value, bytes):
            return node.value.decode(errors="replace")
        return node.value if isinstance(node.value, str) else None
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        left, right = _folded(node.left), _folded(node.right)
        return left + right if left is not None and right is not None else None
    if isinstance(node, ast.JoinedStr) and all(
        isinstance(one, ast.Constant) for one in node.values
    ):
        return "".join(str(one.value) for one in node.values if isinstance(one, ast.Constant))
    return None


def logged_secrets(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield (line, name) of every secret that is printed or given to a logger."""
    functions = ast.FunctionDef | ast.AsyncFunctionDef
    for scope in [tree, *(node for node in ast.walk(tree) if isinstance(node, functions))]:
        nodes = list(_without_functions(scope, scope))
        given = [
            pair
            for node in nodes
            if isinstance(node, ast.Assign | ast.AnnAssign | ast.NamedExpr)
            for pair in _held(node)
        ]
        tainted: set[str] = set()
        while more := {name for name, value in given if _carries(value, tainted)} - tainted:
            tainted |= more
        for node in nodes:
            if isinstance(node, ast.Call) and _writes_log(node.func):
                for value in [*node.args, *(one.value for one in node.keywords)]:
                    if found := _carries(value, tainted):
                        yield node.lineno, found


def _writes_log(function: ast.expr) -> bool:
    if isinstance(function, ast.Name):
        return function.id in PRINTERS
    if not isinstance(function, ast.Attribute):
        return False
    owner = function.value
    if function.attr in LOG_METHODS:
        source = owner.func if isinstance(owner, ast.Call) else owner
        while isinstance(source, ast.Attribute) and not LOGGERS.search(source.attr):
            source = source.value.func if isinstance(source.value, ast.Call) else source.value
        return bool(LOGGERS.search(_name(source)))
    if function.attr in PRINTERS:
        return True
    return function.attr in {"write", "writelines"} and _name(owner) in STREAMS


def _carries(node: ast.AST, tainted: set[str]) -> str:
    """Return the name of a secret that an expression gives away, else nothing."""
    if isinstance(node, ast.Call):
        name = _name(node.func)
        if name == "get_secret_value":
            return "get_secret_value()"
        if name not in PASSING:
            return ""
        if name in {"getenv", "get"}:
            return _name(node.args[0]) if node.args and _is_key(_name(node.args[0])) else ""
        inside: list[ast.AST] = [*node.args, *(one.value for one in node.keywords)]
        inside += [node.func.value] if isinstance(node.func, ast.Attribute) else []
        return next((found for one in inside if (found := _carries(one, tainted))), "")
    if isinstance(node, ast.Name | ast.Attribute):
        name = _name(node)
        is_local = isinstance(node, ast.Name) and name in tainted
        return name if is_local or _is_key(name) or name == WHOLE_ENVIRONMENT else ""
    if isinstance(node, ast.Subscript):
        key = node.slice if isinstance(node.slice, ast.Constant) else None
        return (_name(key) if _is_key(_name(key)) else "") or (
            "" if key and _name(node.value) == WHOLE_ENVIRONMENT else _carries(node.value, tainted)
        )
    if isinstance(node, ast.Constant | ast.Compare | ast.Lambda):
        return ""
    if isinstance(node, ast.IfExp):
        return _carries(node.body, tainted) or _carries(node.orelse, tainted)
    if isinstance(node, ast.GeneratorExp | ast.ListComp | ast.SetComp):
        return _carries(node.elt, tainted)
    children = ast.iter_child_nodes(node)
    return next((found for one in children if (found := _carries(one, tainted))), "")


def _is_key(name: str) -> bool:
    if name.lower() == "authorization":
        return True
    # A constant in capitals that speaks of secrets is a pattern or a label, not a secret.
    return is_secret_name(name) and not TEXT_TOKEN.search(name)


def configured_processors(tree: ast.AST) -> Iterator[tuple[int, bool]]:
    """Yield (line, masked) of every list of processors that structlog is configured with."""
    nodes = list(ast.walk(tree))
    assignments = (node for node in nodes if isinstance(node, ast.Assign | ast.AnnAssign))
    lists = dict(pair for node in assignments for pair in _held(node))
    for node in nodes:
        if isinstance(node, ast.Call):
            is_configure = _name(node.func) in {"configure", "configure_once"}
            for one in node.keywords:
                if one.arg == "foreign_pre_chain" or (one.arg == "processors" and is_configure):
                    yield one.value.lineno, _masks(one.value, lists, 0)


def _without_functions(node: ast.AST, whole: ast.AST) -> Iterator[ast.AST]:
    """Yield the nodes of a tree, without those of the functions in it."""
    yield node
    for child in ast.iter_child_nodes(node):
        if child is whole or not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from _without_functions(child, whole)


def _masks(node: ast.AST, lists: dict[str, ast.expr], depth: int) -> bool:
    for one in ast.walk(node):
        if isinstance(one, ast.Name | ast.Attribute) and MASKING.search(_name(one)):
            return True
        value = lists.get(one.id) if isinstance(one, ast.Name) else None
        if value is not None and depth < len(lists) and _masks(value, lists, depth + 1):
            return True
    return False


def asks(programs: dict[str, ast.Module], name: str) -> bool:
    """Tell whether what a person types is waited for, where a name is read.

    That is in each function that reads it from the options of a command line; where none does, in
    any that knows it.

    Args:
        programs: by their modules' names, those that call each other.
        name: of a variable or an attribute.
    """
    called: dict[Function, set[Function]] = {}
    knowing: set[Function] = set()
    reading: set[Function] = set()
    for module, tree in programs.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom):
                source = (node.module or "").rpartition(".")[2]
                called |= {
                    (module, one.asname or one.name): {(source, one.name)} for one in node.names
                }
            elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                inside = list(ast.walk(node))
                calls = (one.func for one in inside if isinstance(one, ast.Call))
                called[module, node.name] = {_called(one, module) for one in calls}
                if any(_name(one) == name for one in inside if not isinstance(one, ast.Constant)):
                    knowing.add((module, node.name))
                if any(_is_option(one, node.args, name) for one in inside):
                    reading.add((module, node.name))
    asking = {one for names in called.values() for one in names if one[1] in ASKING}
    while more := {one for one, names in called.items() if names & asking} - asking:
        asking |= more
    return reading <= asking if reading else bool(knowing & asking)


def _is_option(node: ast.AST, parameters: ast.arguments, name: str) -> bool:
    """Tell whether an expression is of this name among the options that a function is given."""
    if not isinstance(node, ast.Attribute) or node.attr != name:
        return False
    given = {
        one.arg
        for one in parameters.args
        if one.arg in OPTIONS or (one.annotation and "Namespace" in ast.unparse(one.annotation))
    }
    return _name(node.value) in given


def _called(function: ast.expr, module: str) -> Function:
    if isinstance(function, ast.Attribute) and _name(function.value) not in {"self", "cls"}:
        return _name(function.value), function.attr
    return module, _name(function)
