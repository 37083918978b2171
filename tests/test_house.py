"""The rooms are as designed: imports go downward and in no circle, every file has a docstring, names are plain."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "interp"
FLOORS = {
    "artifacts": 0,
    "lazy": 0,
    "checks": 1,
    "costs": 1,
    "device": 1,
    "display": 1,
    "plots": 2,
    "images": 1,
    "stats": 1,
    "training_state": 1,
    "tasks": 2,
    "policy": 2,
    "rollouts": 3,
    "organism": 4,
    "activations": 4,
    "tsae": 5,
    "encoding": 6,
    "features": 7,
    "tracking": 8,
    "readouts": 8,
    "credit": 9,
    "monitors": 10,
    "grpo": 11,
    "studies": 12,
    "dashboard": 13,
    "demo": 14,
    "cli": 15,
    "__main__": 16,
}
FILES = sorted(PACKAGE.rglob("*.py"))
TREES = {file: ast.parse(file.read_text()) for file in FILES}
RETIRED_NAMES = {
    "AGAIN", "Asked", "Bearer", "Bench", "Consequences", "Course", "Dial", "Ground", "Grounds", "Judged", "Looked",
    "Opened", "Outcomes", "Party", "Pile", "Played", "Scene", "Settled", "Stage", "Trainee", "Trained", "again",
    "bearers_of", "drawn", "dull", "everywhere", "fined", "fine_from", "follow", "foot", "forget", "grouped", "height",
    "heights", "held", "here", "kept", "look", "made", "making", "marked", "mine", "most", "of_mean_one", "packaged",
    "parties_of", "permuted", "publish", "pushing", "scene", "seen", "settle", "stand_ins", "strangers", "taken",
    "take_up_gradients", "telling", "tells_apart", "there", "told", "twice", "untaught", "withstands",
}  # fmt: skip
"""Names of functions, classes, parameters and variables that said nothing to a reader who had not written them."""
RETIRED_PARAMETERS = RETIRED_NAMES | {"asked", "bar", "found", "known", "shown"}


def room_of(file: Path) -> str:
    return file.relative_to(PACKAGE).parts[0].removesuffix(".py")


def module_of(file: Path) -> str:
    """Dotted name: interp/rollouts/__init__.py is interp.rollouts."""
    parts = file.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def names_imported(node: ast.AST) -> set[str]:
    """Dotted names that an import statement imports."""
    if isinstance(node, ast.ImportFrom):
        return {f"{node.module}.{alias.name}" for alias in node.names}
    return {alias.name for alias in node.names} if isinstance(node, ast.Import) else set()


# --- imports -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(PACKAGE)))
def test_imports_go_downward_only(file):
    if file == PACKAGE / "__init__.py":
        return  # the door, from which every room is reached
    names = set().union(*map(names_imported, ast.walk(TREES[file])))
    rooms = {name.split(".")[1] for name in names if name.startswith("interp.")} & set(FLOORS)
    here = room_of(file)
    assert {room for room in rooms if room != here and FLOORS[room] >= FLOORS[here]} == set()


def test_every_room_has_a_floor():
    assert {room_of(file) for file in FILES} - {"__init__"} == set(FLOORS)


def statements_at_import(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Statements that run when a module is imported: not those of functions, nor those for type checkers."""
    for node in body:
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        yield node
        for inner in ("body", "orelse", "finalbody"):
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield from statements_at_import(getattr(node, inner, []))


def modules_imported_by(file: Path, modules: set[str]) -> set[str]:
    """Modules of the package that `file` imports when it is imported itself."""
    imported = set()
    for node in statements_at_import(TREES[file].body):
        for name in names_imported(node):
            while name and name not in modules:
                name = name.rpartition(".")[0]
            imported |= {name} - {""}
    return imported - {module_of(file)}


def find_circle(graph: dict[str, set[str]]) -> list[str]:
    """The first circle of a graph, or an empty list. A node is finished once nothing behind it leads back."""
    finished: set[str] = set()

    def visit(node: str, path: list[str]) -> list[str]:
        if node in path:
            return [*path[path.index(node) :], node]
        for next_node in sorted(graph.get(node, set()) - finished):
            if circle := visit(next_node, [*path, node]):
                return circle
        finished.add(node)
        return []

    return next(filter(None, (visit(node, []) for node in sorted(graph))), [])


def test_find_circle_finds_a_circle_but_not_a_diamond():
    assert find_circle({"a": {"b", "c"}, "b": {"d"}, "c": {"d"}}) == []
    assert find_circle({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c", "b"]


def test_no_files_import_each_other_in_a_circle():
    modules = {module_of(file) for file in FILES}
    assert find_circle({module_of(file): modules_imported_by(file, modules) for file in FILES}) == []


# --- what a file says and does -------------------------------------------------------------------------------------


def test_every_file_has_a_docstring():
    silent = [str(file) for file in FILES if ast.get_docstring(TREES[file]) is None]
    assert silent == [str(PACKAGE / "__main__.py")]


def test_the_package_never_evaluates_unpickles_prints_or_trusts_remote_code():
    nodes = [node for tree in TREES.values() for node in ast.walk(tree)]
    called = {node.func.id for node in nodes if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}
    assert not called & {"eval", "exec", "print", "__import__"}
    imported = {alias.name.split(".")[0] for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    assert not imported & {"pickle", "dill", "joblib", "requests", "urllib", "huggingface_hub"}
    text = "".join(file.read_text() for file in FILES)
    assert "trust_remote_code=True" not in text and "torch.load(" not in text


def names_defined(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """Every name that a file gives to a function, class or variable, with its line."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name, node.lineno
        elif isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.id if isinstance(node, ast.Name) else node.attr, node.lineno


def parameters_defined(tree: ast.Module) -> Iterator[tuple[str, int]]:
    return ((node.arg, node.lineno) for node in ast.walk(tree) if isinstance(node, ast.arg))


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(PACKAGE)))
def test_names_are_plain(file):
    retired = [f"{name}, line {line}" for name, line in names_defined(TREES[file]) if name in RETIRED_NAMES]
    retired += [f"{name}, line {line}" for name, line in parameters_defined(TREES[file]) if name in RETIRED_PARAMETERS]
    assert retired == []
