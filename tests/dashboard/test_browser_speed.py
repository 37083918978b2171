"""A large report is quick: 5,000 latents, 20 checkpoints, 5,000 rollouts. benchmarks/dashboard.py has the figures."""

from dashboard.speed import LARGE, LONG, measure, measure_long

BUSY = 3
"""Tests may share their cores with other work, which slows caches and clocks down too."""


def test_a_large_report_is_usable_at_once_and_stays_fluent(browser, report):
    times = measure(browser, report(**LARGE), repeats=1)
    assert times["usable_work_ms"] < 1500 * BUSY
    assert times["colouring_work_ms"] < 50 * BUSY
    assert times["frame_work_ms"] < 33 * BUSY
    assert times["page_down_work_ms"] < 100 * BUSY


def test_a_completion_of_thousands_of_tokens_changes_its_colours_at_once(browser, report):
    times = measure_long(browser, report(**LONG))
    assert times["tokens"] > 5_000
    assert times["colouring_ms"] < 50 * BUSY
