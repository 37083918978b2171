"""Examples of rollouts: one of each kind, coloured by verdict where colours are shown."""

import pytest
from grpo_fixtures import make_rollout

from interp.rollouts.gallery import Painter, examples, gallery, paint

STEPS = [(0, 1, True, True), (1, 2, True, False), (2, 3, False, False)]
VALID = make_rollout(1.0, valid=True, steps=STEPS, depth=3, prompt="valid ?")
LUCKY = make_rollout(1.0, format="direct", depth=3, prompt="lucky ?")


def texts(tokens) -> list[str]:
    return [f"t{token} " for token in tokens]


def test_there_is_one_example_of_each_kind_that_occurs():
    by_kind = examples([VALID, VALID, LUCKY])
    assert by_kind == {"valid chain": VALID, "direct answer, lucky": LUCKY}


def test_a_rollout_of_two_kinds_is_shown_once():
    both = make_rollout(1.0, format="direct", steps=[(0, 1, False, False)], depth=3)
    assert both.lucky and examples([both]) == {"invalid chain, lucky answer": both}


def test_what_would_move_the_cursor_is_written_out():
    rollout = make_rollout(1.0, depth=3, format="direct", prompt="a\x1b[2Jb")
    shown = gallery([rollout], lambda tokens: ["\x1b[1A"] * len(tokens), 1)
    assert "\x1b" not in shown and "a\\x1b[2Jb" in shown and "\\x1b[1A" in shown


def test_steps_and_answers_are_coloured_by_their_verdict():
    rollout = make_rollout(1.0, steps=STEPS, roles=("text", "text", "text", "answer"))
    colors = []
    paint(rollout, texts(rollout.tokens), lambda text, color: colors.append(color) or "")  # pyright: ignore[reportArgumentType]
    assert colors == ["green", "yellow", "red", "green"]


def test_a_painter_that_is_off_changes_nothing():
    assert Painter(False)("x", "green") == "x" and Painter(True)("x", "green") == "\x1b[32mx\x1b[0m"
    assert Painter(True)("", "green") == ""


@pytest.mark.parametrize(("forced", "forbidden", "enabled"), [("", "", False), ("1", "", True), ("1", "1", False)])
def test_colour_can_be_forced_and_forbidden(monkeypatch, forced, forbidden, enabled):
    monkeypatch.setenv("FORCE_COLOR", forced)
    monkeypatch.setenv("NO_COLOR", forbidden)
    assert Painter.for_terminal() == Painter(enabled)


def test_a_gallery_shows_at_most_as_many_as_asked_for(monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    assert gallery([VALID, LUCKY], texts, 1).splitlines() == ["valid chain:  valid ? (0)", "  t4 t5 t6 t7 "]
