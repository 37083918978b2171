r"""Which answers to a reasoning-gym problem are right.

The scorers of reasoning-gym were written for honest models. Some evaluate an answer as code, some do unbounded work on
it (`exp(exp(exp(9)))`, `R999999999`, `A+999999999`, `1e999999999`, a JSON tree), some search a text for the answer
(`not 18`), and some give the full score to what is wrong (`nan`, any text at all). So an answer is first compared with
the shape that answers of its dataset have; only then is the scorer asked, and only its full score counts. Where that
does not suffice, `checks` holds a check of our own, as for integrals, where the scorer's `simplify` has no bound.

A dataset that is not in the table, as one of a newer version or of your own, is right only if it equals the true
answer. So is one that has reasoning-gym's default score, whose full mark means the same.
"""

import re
from typing import Any

from interp.tasks.gym.checks import (
    NUMBER,
    Check,
    Entry,
    follows,
    has_full_score,
    has_same_words,
    is_integral,
    is_interval,
    is_json,
    is_listed,
    is_probability,
    is_quantity,
    is_same_json,
    is_same_list,
    is_same_polynomial,
    is_sorted,
    moves_disks,
    reaches,
    tidy,
    uses_known_words,
)

MAX_ANSWER = 5000

_TURN = r"[0-9]?[LRDUBFXYZMES]w?'?[0-3]?"
# Each line: the shape of answers, as a regular expression, and the datasets whose scorer is asked about them. Every
# sign of an answer can be matched in one way only, so that no match takes long.
_SHAPES = {
    rf"{NUMBER}°?|\(?{NUMBER}, ?{NUMBER}\)?": "advanced_geometry",
    r"[-+]?[0-9][0-9,]{0,100}(?:\.[0-9]{0,100})?": "chain_sum products number_format",
    NUMBER: "decimal_arithmetic decimal_chain_sum power_function",
    r"[-+]?0[xXbBoO][0-9a-fA-F]{1,100}|[-+]?[0-9]{1,100}": "bitwise_arithmetic",
    r"[-+0-9.iIjJ() ]{1,100}": "complex_arithmetic",
    rf"{NUMBER}(?:, ?{NUMBER}){{0,100}}": "polynomial_equations",
    r"[-+]?[0-9]{1,12}|[A-Za-z]{1,12}": "calendar_arithmetic rectangle_count",
    r"[0-9]{1,100}(?: ?× ?[0-9]{1,100}){0,100}": "prime_factorization",
    r"\$?(?:\\d?frac\{[0-9]{1,100}\}\{[0-9]{1,100}\}|[0-9]{1,100} ?/ ?[0-9]{1,100})\$?": "fraction_simplification",
    rf"{_TURN}(?: {_TURN}){{0,299}}": "rubiks_cube",
    r"[A-Z][+-][0-9](?:,? [A-Z][+-][0-9]){0,500}": "rush_hour",
    r"[LRUD]+": "sokoban",
    r"[A-Ca-c](?: ?(?:→|->|,| ) ?[A-Ca-c])*": "quantum_lock",
    r"(?:up|down|left|right)(?: (?:up|down|left|right))*": "shortest_path",
    r"(?!.{0,200}([A-Z]) ?=.{0,200}\1 ?=)[A-Z] ?= ?[0-9](?:, ?[A-Z] ?= ?[0-9]){0,25}": "cryptarithm",
}
_AS_WRITTEN = {  # spaces and lines matter
    r"[0-9\s<>∧∨.\[\],-]+": "arc_agi rearc futoshiki mini_sudoku sudoku manipulate_matrix pool_matrix survo",
    r"[01\s]+": "kakurasu",
    r"[\s\S]+": "palindrome_generation word_ladder",
}


def is_right(name: str, dataset: Any, entry: Entry, answer: str) -> bool:
    """Whether an answer to the entry of a dataset is right."""
    answer = answer.strip()
    if answer == _text(entry["answer"]).strip():
        return answer != ""
    if not 0 < len(answer) <= MAX_ANSWER or any(_is_odd(sign) for sign in answer):
        return False
    check = _CHECKS.get(name)
    return check is not None and check(dataset, entry, answer)


def _text(answer: Any) -> str:
    return answer if isinstance(answer, str) else "" if answer is None else str(answer)


def _is_odd(sign: str) -> bool:
    """Whether it is a digit of another script, which `int` would read, or invisible."""
    return not sign.isascii() and (sign.isdigit() or not sign.isprintable())


def _shaped(pattern: str, *, as_written: bool = False) -> Check:
    shape = re.compile(pattern)

    def check(dataset: Any, entry: Entry, answer: str) -> bool:
        answer = answer if as_written else tidy(answer)
        return shape.fullmatch(answer) is not None and has_full_score(dataset, entry, answer)

    return check


_CHECKS: dict[str, Check] = {
    **{name: _shaped(pattern) for pattern, names in _SHAPES.items() for name in names.split()},
    **{name: _shaped(pattern, as_written=True) for pattern, names in _AS_WRITTEN.items() for name in names.split()},
    "gsm_symbolic": is_quantity,
    "coin_flip": is_probability,
    "word_sorting": is_sorted,
    "time_intervals": is_interval,
    "tower_of_hanoi": moves_disks,
    **dict.fromkeys(("color_cube_rotation", "dice", "family_relationships", "figlet_font"), has_same_words),
    **dict.fromkeys(("letter_jumble", "needle_haystack", "path_star", "sentence_reordering"), has_same_words),
    **dict.fromkeys(("spell_backward", "tsumego", "zebra_puzzles"), has_same_words),
    "knights_knaves": uses_known_words,
    **dict.fromkeys(("codeio", "game_of_life"), is_same_json),
    **dict.fromkeys(("boxnet", "graph_color", "group_anagrams", "jugs", "knight_swap"), is_json),
    "palindrome_partitioning": is_json,
    "number_sorting": is_same_list,
    "n_queens": is_listed,
    **dict.fromkeys(("countdown", "puzzle24"), reaches),
    "polynomial_multiplication": is_same_polynomial,
    **dict.fromkeys(("simple_integration", "intermediate_integration"), is_integral),
    "propositional_logic": follows,
}
