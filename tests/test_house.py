"""The house stands as designed: imports go downward, files hold one idea, nothing talks behind the user's back."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "interp"
FLOORS = {
    "artifacts": 0,
    "lazy": 0,
    "checks": 1,
    "device": 1,
    "display": 1,
    "plots": 1,
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
    "credit": 8,
    "grpo": 9,
    "report": 10,
    "studies": 10,
    "demo": 11,
    "cli": 12,
    "__main__": 13,
}
FILES = sorted(PACKAGE.rglob("*.py"))


def room_of(file: Path) -> str:
    return file.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported_rooms(file: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom):
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    return {name.split(".")[1] for name in names if name.startswith("interp.")} & set(FLOORS)


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(PACKAGE)))
def test_imports_go_downward_only(file):
    if file == PACKAGE / "__init__.py":
        return  # the door, from which every room is reached
    here = room_of(file)
    assert {room for room in imported_rooms(file) if room != here and FLOORS[room] >= FLOORS[here]} == set()


def test_every_room_has_a_floor():
    assert {room_of(file) for file in FILES} - {"__init__"} == set(FLOORS)


def functions() -> list[tuple[Path, ast.FunctionDef]]:
    return [(f, n) for f in FILES for n in ast.walk(ast.parse(f.read_text())) if isinstance(n, ast.FunctionDef)]


def test_files_hold_one_idea_and_functions_fit_a_screen():
    assert [str(file) for file in FILES if len(file.read_text().splitlines()) > 300] == []
    assert [f"{file}: {node.name}" for file, node in functions() if (node.end_lineno or 0) - node.lineno > 60] == []


def test_every_file_says_what_it_is_for():
    silent = [str(file) for file in FILES if ast.get_docstring(ast.parse(file.read_text())) is None]
    assert silent == [str(PACKAGE / "__main__.py")]


def test_nothing_is_evaluated_unpickled_or_taken_on_trust():
    nodes = [node for file in FILES for node in ast.walk(ast.parse(file.read_text()))]
    called = {node.func.id for node in nodes if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}
    assert not called & {"eval", "exec", "print", "__import__"}
    imported = {alias.name.split(".")[0] for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    assert not imported & {"pickle", "dill", "joblib", "requests", "urllib", "huggingface_hub"}
    text = "".join(file.read_text() for file in FILES)
    assert "trust_remote_code=True" not in text and "torch.load(" not in text
