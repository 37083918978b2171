"""Mutants of a file: every small change that the operators below can make, and a seeded draw of them.

A mutant is one change of one expression or statement. What it replaces is cut out of the text: line numbers stay.

Left alone, because a test of them would only repeat their text: docstrings, type hints, messages of errors and of
warnings, progress bars, `__repr__` and its like, `__all__`, f-strings, `strict=` of a zip, and how figures look (their
texts, numbers and keyword arguments).
"""

import ast
import contextlib
import functools
import random
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, fields
from itertools import islice
from pathlib import Path
from typing import Any

ROOMS = ("grpo", "credit", "tracking", "features", "stats", "tsae")
COMPARISONS = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
ARITHMETIC = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult, ast.Pow: ast.Mult, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd,
}  # fmt: skip
TWINS = (
    ("min", "max"), ("sum", "mean"), ("any", "all"), ("argmin", "argmax"), ("floor", "ceil"), ("zeros", "ones"),
    ("minimum", "maximum"), ("amin", "amax"), ("cumsum", "cumprod"), ("low", "high"), ("append", "extend"),
)  # fmt: skip
TWIN = {a: b for pair in TWINS for a, b in (pair, pair[::-1])}
SYMMETRIC_CALLS = {"min", "max", "minimum", "maximum", "allclose", "isclose", "equal", "logical_and", "logical_or"}
SILENT_CALLS = {"tqdm", "with_progress", "warn", "info", "debug", "warning"}
"""Calls whose arguments are messages."""
LEFT_ALONE = {"strict", "stacklevel", "progress"}
"""Names of arguments: a check of what the code around a zip ensures, the address of a warning, a progress bar."""
LOOKS = {"string", "constant", "drop argument"}
"""Changes that alter only how a figure looks."""
EXPORTS = "__all__"
"""The name that tests of a package's exports have in their file."""
SHOWN_METHODS = {"__repr__", "__str__", "_repr_html_"}
SHAPES = {"Float", "Int", "Bool", "Num", "Shaped", "Literal"}
PROSE = 24
"""A string with a space and more characters than this is a text for readers."""


@dataclass(frozen=True)
class Mutant:
    """One change of a file. Lines count from 1, columns are in bytes, as in `ast`."""

    file: str
    function: str
    line: int
    operator: str
    start: tuple[int, int]
    end: tuple[int, int]
    before: str
    after: str
    lines: tuple[int, ...]
    """Lines whose execution means that a test could notice: of the statement, or of a function's body for a default."""
    at_import: bool = False
    """The change takes effect when the file is imported: in a constant, the body of a class, or a default."""
    names: tuple[str, ...] = ()
    """Names that a statement defines when the file is imported; its tests are those that use one of them."""

    @property
    def room(self) -> str:
        return self.file.split("/")[1]

    @property
    def key(self) -> str:
        """What the mutant is, wherever its line may have moved to."""
        return f"{self.file} {self.function}: {self.before} -> {self.after}"

    def applied_to(self, text: str) -> str:
        rows = text.encode().split(b"\n")
        (row, column), (end_row, end_column) = self.start, self.end
        head, tail = rows[row - 1][:column], rows[end_row - 1][end_column:]
        breaks, after = b"\n" * (end_row - row), self.after.encode()
        replaced = after[:-1] + breaks + after[-1:] if after.endswith(b")") else after + breaks
        return b"\n".join([*rows[: row - 1], head + replaced + tail, *rows[end_row:]]).decode()

    def as_record(self) -> dict[str, Any]:
        return asdict(self) | {"room": self.room, "key": self.key}

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> "Mutant":
        """The mutant of a record that was written to JSON."""
        values: dict[str, Any] = {field.name: record[field.name] for field in fields(cls)}
        values |= {name: tuple(value) for name, value in values.items() if isinstance(value, list)}
        return cls(**values)


# --- the changes of one node ---------------------------------------------------------------------------------------


def changes_of(node: ast.AST) -> Iterator[tuple[str, ast.AST, ast.AST | str]]:
    """Operator, node that is replaced, and its replacement."""
    match node:
        case ast.Compare(left, [operator, *rest], comparators) if type(operator) in COMPARISONS:
            yield "comparison", node, ast.Compare(left, [COMPARISONS[type(operator)](), *rest], comparators)
        case ast.BinOp(left, operator, right) if type(operator) in ARITHMETIC and not _is_text(left):
            yield "arithmetic", node, ast.BinOp(left, ARITHMETIC[type(operator)](), right)
        case ast.AugAssign(target, operator, value) if type(operator) in ARITHMETIC:
            yield "arithmetic", node, ast.AugAssign(target, ARITHMETIC[type(operator)](), value)
            yield "remove statement", node, "pass"
        case ast.BoolOp(operator, values):
            other = ast.Or() if isinstance(operator, ast.And) else ast.And()
            yield "and/or", node, ast.BoolOp(other, values)
            for index in range(len(values)):
                rest = [value for i, value in enumerate(values) if i != index]
                yield "drop operand", node, rest[0] if len(rest) == 1 else ast.BoolOp(operator, rest)
        case ast.If(test=ast.Name("progress")) | ast.IfExp(test=ast.Name("progress")):
            return
        case ast.If(test=test) | ast.IfExp(test=test):
            yield "negate condition", test, ast.UnaryOp(ast.Not(), test)
            yield "always true", test, ast.Constant(True)
            yield "always false", test, ast.Constant(False)
        case ast.comprehension(ifs=[test, *_]):
            yield "always true", test, ast.Constant(True)
        case ast.UnaryOp(ast.Not() | ast.USub() | ast.Invert(), operand) if not isinstance(operand, ast.Constant):
            yield "drop not or minus", node, operand
        case ast.Constant(bool() as value):
            yield "constant", node, ast.Constant(not value)
        case ast.Constant(int() as value):
            yield "constant", node, ast.Constant(value + 1)
            yield "constant", node, ast.Constant(value - 1)
        case ast.Constant(float() as value):
            yield "constant", node, ast.Constant(value * 2 if value else 1.0)
        case ast.Constant(str() as value) if value and not _is_prose(value):
            yield "string", node, ast.Constant(value + "X")
        case ast.Subscript(slice=ast.Slice(lower, upper, step)) if lower or upper:
            for bounds in ((None, upper), (lower, None)):
                if bounds != (lower, upper):
                    yield "slice bound", node, ast.Subscript(node.value, ast.Slice(*bounds, step), node.ctx)
        case ast.Return(value) if value is not None and not _is_none(value):
            yield "return None", node, ast.Return(ast.Constant(None))
        case ast.Raise() | ast.Expr(value=ast.Call()) | ast.Continue() | ast.Break() | ast.Delete():
            yield "remove statement", node, "pass"
        case ast.Assign(targets=[ast.Attribute() | ast.Subscript()]):
            yield "remove statement", node, "pass"
        case ast.Attribute(attr=name) if name in TWIN and isinstance(node.ctx, ast.Load):
            yield "twin", node, ast.Attribute(node.value, TWIN[name], node.ctx)
        case ast.Call(func, arguments, keywords):
            if isinstance(func, ast.Name) and func.id in TWIN:
                yield "twin", node, ast.Call(ast.Name(TWIN[func.id]), arguments, keywords)
            for index in range(0 if _name_of(func) in SYMMETRIC_CALLS else len(arguments) - 1):
                if ast.dump(arguments[index]) != ast.dump(arguments[index + 1]) and not _has_star(arguments):
                    swapped = [*arguments[:index], arguments[index + 1], arguments[index], *arguments[index + 2 :]]
                    yield "swap arguments", node, ast.Call(func, swapped, keywords)
            for keyword in keywords:
                if keyword.arg is not None and keyword.arg not in LEFT_ALONE:
                    rest = [other for other in keywords if other is not keyword]
                    yield "drop argument", node, ast.Call(func, arguments, rest)
        case _:
            return


def _is_none(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str))


def _is_prose(value: str) -> bool:
    return " " in value and len(value) > PROSE


def _has_star(arguments: list[ast.expr]) -> bool:
    return any(isinstance(argument, ast.Starred) for argument in arguments)


# --- a walk over a file --------------------------------------------------------------------------------------------


def mutants_of(file: str, text: str) -> list[Mutant]:
    """Every mutant of a file."""
    finder, body = _Finder(file, text), ast.parse(text).body
    finder.called_at_import = _called_at_import(body)
    finder.visit_body(body)
    return list({mutant.key + str(mutant.start): mutant for mutant in finder.mutants}.values())


def _called_at_import(body: list[ast.stmt]) -> set[str]:
    """Names that statements of a module call, functions and classes aside."""
    calls = (
        node.func
        for statement in body
        if not isinstance(statement, ast.FunctionDef | ast.ClassDef)
        for node in ast.walk(statement)
        if isinstance(node, ast.Call)
    )
    return {func.id for func in calls if isinstance(func, ast.Name)}


class _Finder:
    """Walks over a file, and knows in which function and statement it is."""

    def __init__(self, file: str, text: str) -> None:
        self.file, self.text, self.rows = file, text, text.encode().split(b"\n")
        self.is_figure = file.endswith("plots.py")
        self.mutants: list[Mutant] = []
        self.owners: list[str] = []
        self.in_function = False
        self.in_default = False
        self.called_at_import: set[str] = set()

    def visit_body(self, body: Iterable[ast.stmt]) -> None:
        for statement in body:
            self.visit_statement(statement)

    def visit_statement(self, node: ast.stmt) -> None:
        if isinstance(node, ast.FunctionDef):
            self._visit_function(node)
        elif isinstance(node, ast.ClassDef):
            self.owners.append(node.name)
            self.visit_body(node.body)
            self.owners.pop()
        elif self._is_left_alone(node):
            return
        else:
            blocks = [getattr(node, name, []) for name in ("body", "orelse", "finalbody")]
            blocks += [handler.body for handler in getattr(node, "handlers", [])]
            first_inner = min((inner.lineno for block in blocks for inner in block), default=None)
            last = node.end_lineno if first_inner is None else max(node.lineno, first_inner - 1)
            lines, names = tuple(range(node.lineno, (last or node.lineno) + 1)), self._names_at_import(node)
            self._add(node, lines, names)
            if isinstance(node, ast.Raise):
                return  # the rest is its message
            for child in ast.iter_child_nodes(node):
                if not isinstance(child, ast.stmt | ast.ExceptHandler) and child is not getattr(
                    node, "annotation", None
                ):
                    self._visit_expression(child, lines, names)
            for block in blocks:
                self.visit_body(block)

    def _visit_function(self, node: ast.FunctionDef) -> None:
        if node.name in SHOWN_METHODS:
            return
        self.owners.append(node.name)
        was_in_function, self.in_function = self.in_function, True
        inside = tuple(range(node.body[0].lineno, (node.end_lineno or node.lineno) + 1))
        positional = [*node.args.posonlyargs, *node.args.args]
        positional = positional[len(positional) - len(node.args.defaults) :]
        defaults = [
            *zip(positional, node.args.defaults, strict=True),
            *zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True),
        ]
        for argument, default in defaults:
            if default is not None and argument.arg not in LEFT_ALONE:
                self.in_default = True
                self._visit_expression(default, inside, ())
                self.in_default = False
        self.visit_body(node.body)
        self.in_function = was_in_function
        self.owners.pop()

    def _visit_expression(self, node: ast.AST, lines: tuple[int, ...], names: tuple[str, ...]) -> None:
        if isinstance(node, ast.JoinedStr):
            return
        if isinstance(node, ast.Call) and _name_of(node.func) in SILENT_CALLS:
            return
        if isinstance(node, ast.Subscript) and _name_of(node.value) in SHAPES:
            return
        if isinstance(node, ast.keyword) and node.arg in LEFT_ALONE:
            return
        self._add(node, lines, names)
        if isinstance(node, ast.arguments):  # of a lambda
            for default in [*node.defaults, *filter(None, node.kw_defaults)]:
                self._visit_expression(default, lines, names)
            return
        for child in ast.iter_child_nodes(node):
            self._visit_expression(child, lines, names)

    def _add(self, node: ast.AST, lines: tuple[int, ...], names: tuple[str, ...]) -> None:
        for operator, old, new in changes_of(node):
            if operator in LOOKS and (self.is_figure or "figure" in self.owners):
                continue
            start, end = (old.lineno, old.col_offset), (old.end_lineno, old.end_col_offset)  # type: ignore[attr-defined]
            after = new if isinstance(new, str) else ast.unparse(new)
            after = after if isinstance(old, ast.stmt) else f"({after})"
            before = ast.unparse(old)
            owner = ".".join(self.owners) or "(module)"
            at_import = self.in_default or not self.in_function or self.owners[0] in self.called_at_import
            self.mutants.append(
                Mutant(self.file, owner, start[0], operator, start, end, before, after, lines, at_import, names)
            )

    def _is_left_alone(self, node: ast.stmt) -> bool:
        match node:
            case ast.Import() | ast.ImportFrom() | ast.Assert() | ast.Expr(value=ast.Constant()):
                return True
            case ast.If(test=ast.Name("TYPE_CHECKING")):
                return True
            case ast.Assign(targets=[ast.Name("__all__")]):
                return True
        return False

    def _names_at_import(self, node: ast.stmt) -> tuple[str, ...]:
        if self.in_function:
            return ()
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        names = [name.id for target in targets if target for name in ast.walk(target) if isinstance(name, ast.Name)]
        return (EXPORTS,) if names == ["__getattr__"] else tuple(names)


def _name_of(node: ast.AST) -> str:
    return getattr(node, "id", getattr(node, "attr", ""))


# --- the draw ------------------------------------------------------------------------------------------------------


def draw(tree: Path, count: int, seed: int, without: frozenset[str] = frozenset()) -> list[Mutant]:
    """`count` mutants of the rooms, by the lines that each room has: a line at random, then one of its mutants. The
    keys of `without` are not drawn."""
    texts = {
        room: {str(path.relative_to(tree)): path.read_text() for path in sorted((tree / "interp" / room).rglob("*.py"))}
        for room in ROOMS
    }
    by_room = {room: _by_line(texts[room], without) for room in ROOMS}
    total = sum(map(len, by_room.values()))
    drawn: list[Mutant] = []
    for room, by_line in by_room.items():
        rng = random.Random(f"{seed} {room}")
        places = rng.sample(sorted(by_line), len(by_line))
        picks = (_pick(by_line[place], texts[room][place[0]], rng) for place in places)
        drawn += islice(filter(None, picks), round(count * len(by_line) / total))
    random.Random(seed).shuffle(drawn)  # so that a run cut short by its budget is a draw too
    return drawn


def _by_line(texts: dict[str, str], without: frozenset[str]) -> dict[tuple[str, int], list[Mutant]]:
    by_line: dict[tuple[str, int], list[Mutant]] = defaultdict(list)
    for file, text in texts.items():
        for mutant in mutants_of(file, text):
            if mutant.key not in without:
                by_line[mutant.file, mutant.line].append(mutant)
    return by_line


def _pick(mutants: list[Mutant], text: str, rng: random.Random) -> Mutant | None:
    """One of the mutants of a line that changes what the file does, if there is one."""
    for mutant in rng.sample(mutants, len(mutants)):
        with contextlib.suppress(SyntaxError):
            if _shape(mutant.applied_to(text)) != _shape(text):
                return mutant
    return None


@functools.lru_cache(maxsize=2)
def _shape(text: str) -> str:
    return ast.dump(ast.parse(text))
