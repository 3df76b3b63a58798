"""The Python reference: what each room offers, as Markdown, from signatures and docstrings."""

import ast
import importlib
import inspect
import re
import textwrap
from collections.abc import Iterator
from types import ModuleType

ROOMS = ("schemas", "miners", "zoo", "learners")
ALSO = {"miners": ("miners.huggingface", "miners.local", "miners.snapshot")}
"""Modules whose `mine` has options that `miners.mine` hands on."""
WIDEST = 100  # letters of a signature that stands on one line
SECTIONS = {"Args:": "Arguments", "Attributes:": "Attributes", "Returns:": "Returns", "Raises:": "Raises"}
SECTIONS |= {"Source:": "Source", "Yields:": "Yields"}
ITEM = re.compile(r"(?P<name>[\w.*, ]+): (?P<text>.*)", re.DOTALL)
Function = ast.FunctionDef | ast.AsyncFunctionDef


def python_reference() -> str:
    """Every name that a room offers, as Markdown."""
    head = "# Python\n\nGenerated from signatures and docstrings; do not edit. `from zoo import build`, and so on.\n"
    return "\n".join([head, *(_room(importlib.import_module(name)) for name in ROOMS)])


def _room(module: ModuleType) -> str:
    offered = [_offered(module.__name__, name, getattr(module, name)) for name in module.__all__]
    others = map(importlib.import_module, ALSO.get(module.__name__, ()))
    offered += [_offered(other.__name__, "mine", other.mine) for other in others]
    return f"## {module.__name__}\n\n{inspect.getdoc(module)}\n\n" + "\n".join(offered)


def _offered(room: str, name: str, found: object) -> str:
    node = _definition(found)
    if isinstance(node, ast.ClassDef):
        return f"### {room}.{name}\n\n" + "\n".join(_class(name, node))
    return f"### {room}.{name}\n\n{_signature(node)}\n{_described(ast.get_docstring(node))}"


def _definition(found: object) -> ast.ClassDef | Function:
    if not (inspect.isclass(found) or inspect.isfunction(found)):
        raise TypeError(f"{found!r} is neither a class nor a function; say here how it is documented")
    node = ast.parse(textwrap.dedent(inspect.getsource(found))).body[0]
    assert isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)  # noqa: S101 - for the type checker
    return node


def _class(name: str, node: ast.ClassDef) -> Iterator[str]:
    bases = ", ".join(ast.unparse(base) for base in node.bases)
    yield f"```python\nclass {name}{f'({bases})' if bases else ''}\n```\n"
    yield _described(ast.get_docstring(node))
    if fields := list(_fields(node)):
        yield "\n".join(fields) + "\n"
    for method in node.body:
        if isinstance(method, Function) and not method.name.startswith("_"):
            yield f"#### {name}.{method.name}\n\n{_signature(method)}\n{_described(ast.get_docstring(method))}"


def _fields(node: ast.ClassDef) -> Iterator[str]:
    """A line for each field that has a type, with the text below it."""
    for field, following in zip(node.body, [*node.body[1:], None], strict=True):
        if isinstance(field, ast.AnnAssign) and not ast.unparse(field.target).startswith("_"):
            default = f" = {ast.unparse(field.value)}" if field.value and len(ast.unparse(field.value)) < WIDEST else ""
            text = following.value if isinstance(following, ast.Expr) else None
            said = f": {_in_line(str(text.value))}" if isinstance(text, ast.Constant) else ""
            yield f"- `{ast.unparse(field.target)}: {_unquoted(field.annotation)}{default}`{said}"


def _signature(node: ast.ClassDef | Function) -> str:
    assert isinstance(node, Function)  # noqa: S101 - for the type checker
    plain = [part for part in _parameters(node.args) if part not in ("self", "cls")]
    gives = f" -> {_unquoted(node.returns)}" if node.returns else ""
    kinds = [ast.unparse(each) for each in node.decorator_list]
    if "property" in kinds or "cached_property" in kinds:
        return f"```python\n{node.name}{gives.replace(' -> ', ': ')}\n```\n"
    line = f"{node.name}({', '.join(plain)}){gives}"
    if len(line) > WIDEST:
        line = f"{node.name}(\n" + "".join(f"    {part},\n" for part in plain) + f"){gives}"
    return f"```python\n{line}\n```\n"


def _parameters(arguments: ast.arguments) -> Iterator[str]:
    positional = [*arguments.posonlyargs, *arguments.args]
    defaults = [None] * (len(positional) - len(arguments.defaults)) + list(arguments.defaults)
    for number, (argument, default) in enumerate(zip(positional, defaults, strict=True), 1):
        yield _parameter(argument, default)
        if number == len(arguments.posonlyargs):
            yield "/"
    if arguments.vararg:
        yield f"*{_parameter(arguments.vararg, None)}"
    elif arguments.kwonlyargs:
        yield "*"
    for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        yield _parameter(argument, default)
    if arguments.kwarg:
        yield f"**{_parameter(arguments.kwarg, None)}"


def _parameter(argument: ast.arg, default: ast.expr | None) -> str:
    kind = f": {_unquoted(argument.annotation)}" if argument.annotation else ""
    return f"{argument.arg}{kind}" + (f"{' = ' if kind else '='}{ast.unparse(default)}" if default else "")


def _unquoted(annotation: ast.expr | None) -> str:
    return ast.unparse(annotation).strip("'") if annotation else ""


def _described(text: str | None) -> str:
    """A docstring as Markdown: sections become lists, examples become code."""
    parts: list[str] = []
    for paragraph in (text or "").split("\n\n"):
        head, _, rest = paragraph.partition("\n")
        if head.strip() in SECTIONS:
            parts.append(f"**{SECTIONS[head.strip()]}**\n\n{_items(textwrap.dedent(rest))}")
        elif paragraph.lstrip().startswith(">>>"):
            parts.append(f"```python\n{textwrap.dedent(paragraph)}\n```")
        else:
            parts.append(_in_line(paragraph))
    return "\n\n".join(parts) + "\n"


def _items(text: str) -> str:
    """`name: what it is` a line, further lines indented, as a list; other text as it is."""
    entries = re.split(r"\n(?=\S)", text)
    matched = [ITEM.fullmatch(entry) for entry in entries]
    if not all(matched):
        return _in_line(text)
    return "\n".join(f"- `{found['name']}`: {_in_line(found['text'])}" for found in matched if found)


def _in_line(text: str) -> str:
    """A paragraph on one line; what is code for reStructuredText is code for Markdown."""
    return " ".join(text.split()).replace("``", "`")
