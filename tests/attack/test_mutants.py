"""Mutants are small changes of code, drawn by a seed; texts for readers and how figures look are left alone."""

import ast

from attack.mutants_draw import Mutant, draw, mutants_of

FILE = "interp/stats/example.py"
TEXT = '''"""A text."""
LIMIT = 3


def clip(x: float, most: int = 2) -> float:
    """Another text."""
    if x > most and x:
        raise ValueError(f"expected {most}, got {x}")
    return min(
        x,
        LIMIT,
    )
'''


def changes() -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for mutant in mutants_of(FILE, TEXT):
        found.setdefault(mutant.operator, set()).add(f"{mutant.before} -> {mutant.after}")
    return found


def test_every_operator_makes_its_changes_and_no_text_is_changed():
    assert changes() == {
        "constant": {"3 -> (4)", "3 -> (2)", "2 -> (3)", "2 -> (1)"},
        "comparison": {"x > most -> (x >= most)"},
        "and/or": {"x > most and x -> (x > most or x)"},
        "drop operand": {"x > most and x -> (x)", "x > most and x -> (x > most)"},
        "negate condition": {"x > most and x -> (not (x > most and x))"},
        "always true": {"x > most and x -> (True)"},
        "always false": {"x > most and x -> (False)"},
        "remove statement": {"raise ValueError(f'expected {most}, got {x}') -> pass"},
        "return None": {"return min(x, LIMIT) -> return None"},
        "twin": {"min(x, LIMIT) -> (max(x, LIMIT))"},
    }


def test_a_mutant_is_another_program_with_the_same_lines():
    for mutant in mutants_of(FILE, TEXT):
        changed = mutant.applied_to(TEXT)
        assert ast.dump(ast.parse(changed)) != ast.dump(ast.parse(TEXT))
        assert changed.count("\n") == TEXT.count("\n")
        assert Mutant.from_record(mutant.as_record()) == mutant


def test_constants_and_defaults_take_effect_at_import():
    at_import = {mutant.before for mutant in mutants_of(FILE, TEXT) if mutant.at_import}
    assert at_import == {"3", "2"}


def test_a_draw_repeats_with_its_seed_and_leaves_out_what_has_been_drawn(tmp_path):
    for room in ("grpo", "credit", "tracking", "features", "stats", "tsae"):
        (tmp_path / "interp" / room).mkdir(parents=True)
        (tmp_path / "interp" / room / "example.py").write_text(TEXT)
    first, same, other = (draw(tmp_path, 12, seed) for seed in (0, 0, 1))
    assert first == same != other and len(first) == 12
    assert {mutant.room for mutant in first} == {"grpo", "credit", "tracking", "features", "stats", "tsae"}
    drawn = frozenset(mutant.key for mutant in first)
    assert not drawn & {mutant.key for mutant in draw(tmp_path, 12, 0, drawn)}
