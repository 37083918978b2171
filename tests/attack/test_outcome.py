"""Endings are counted, failures are listed, and the page says what the files say."""

import json

from attack.outcome import HANG, OTHER, REFUSED, SILENT, TRACEBACK, WHOLE, Outcome, cases, load_results
from attack.report import as_markdown


def outcome_of(*endings: str) -> Outcome:
    outcome = Outcome("kills", seed=3)
    for ending in endings:
        outcome.add(ending, f"what was {ending}", "why", mb=2.04)
    return outcome


def test_endings_are_counted_and_only_bad_ones_are_listed():
    outcome = outcome_of(WHOLE, REFUSED, SILENT, OTHER, TRACEBACK, WHOLE)
    assert outcome.tried == 6 and outcome.failed == 2 and outcome.counts[WHOLE] == 2
    assert [(one.case, one.ending) for one in outcome.failures] == [(2, SILENT), (4, TRACEBACK)]
    assert outcome.peak_mb == 2.0


def test_cases_end_with_their_number_or_with_the_time():
    assert list(cases(Outcome("x", 0), 60.0, 3)) == [0, 1, 2]
    assert list(cases(Outcome("x", 0), -1.0, 3)) == []


def test_the_page_has_a_row_with_the_counts_and_a_line_for_each_failure(tmp_path):
    outcome_of(WHOLE, WHOLE, REFUSED, HANG).save(tmp_path)
    (result,) = load_results(tmp_path)
    assert result["name"] == "kills" and result["seed"] == 3 and result["date"] and "commit" in result
    page = as_markdown([result])
    row = next(line for line in page.splitlines() if line.startswith("| kills |"))
    assert row.split(" | ")[5:] == ["4", "2", "1", "0", "0", "0", "0", "1", "2 |"]
    assert "- kills 3, hang: `what was hang: why`" in page


def test_a_page_without_failures_has_nothing_to_mend(tmp_path):
    outcome_of(WHOLE).save(tmp_path)
    assert "To be mended" not in as_markdown(load_results(tmp_path))


def test_directories_without_checksums_are_counted_apart(tmp_path):
    outcome_of(OTHER, OTHER).save(tmp_path)
    page = as_markdown(load_results(tmp_path))
    assert "*kills*: 2 more read otherwise and had no checksums" in page and "To be mended" not in page


def test_mutants_have_a_table_of_their_own(tmp_path):
    room = {"room": "grpo", "mutants": 10, "killed": 9, "share": 0.9, "low": 0.55, "high": 0.99}
    one = {"file": "a.py", "line": 3, "before": "a | b", "after": "a & b", "judgement": "same", "reason": "bools"}
    (tmp_path / "mutants.json").write_text(json.dumps({"seed": 0, "rooms": [room], "survivors": [one]}))
    page = as_markdown(load_results(tmp_path))
    assert (
        "| grpo | 10 | 9 | 0.900 [0.550, 0.990] |" in page and "| a.py:3 | `a \\| b` | `a & b` | same bools |" in page
    )
