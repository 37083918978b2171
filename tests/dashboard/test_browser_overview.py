"""The overview in a browser: the table of what training changed, its controls, sentences folded, names made short."""

import csv

import pytest

from dashboard.browser import expect
from dashboard.synthetic import make_report
from interp.dashboard.page import page


def table_of(page):
    return page.get_by_role("region", name="What training changed, run by run").get_by_role("table")


def test_the_table_has_a_row_for_each_run_and_control_with_intervals(plain):
    plain.show("v=overview")
    rows = table_of(plain.page).get_by_role("row")
    heads = table_of(plain.page).get_by_role("rowheader").all_inner_texts()
    changes = make_report()[0]["overview"]["changes"]
    assert len(heads) == len(changes) and "base again" in heads[3] and "control" in heads[3]
    assert "less easy" in heads[4] and "∗" in heads[2]  # the second run is not paired by problem
    cell = next(each for each in changes[1]["cells"] if each["measure"] == "pass_rate" and each["bucket"] == "easy")
    low, high = (f"{round(100 * cell[end])}".replace("-", "−") for end in ("low", "high"))
    assert f"[{low}, {high}]" in rows.nth(3).get_by_role("cell").first.inner_text()
    table_of(plain.page).get_by_role("link").first.click()
    assert plain.address["v"] == "rollouts" and plain.address["w"] == "run:0"


def test_sentences_are_folded_and_unfolded_by_the_keyboard(plain):
    plain.go("v=overview")
    finding = plain.page.get_by_text("Hard problems were learned")
    expect(finding).not_to_be_visible()
    plain.page.get_by_text("5 findings, each with its control").press("Enter")
    expect(finding).to_be_visible()


def test_the_csv_of_changes_has_a_line_for_each_number(plain, tmp_path):
    plain.go("v=overview")
    with plain.page.expect_download() as download:
        plain.page.get_by_role("button", name="Save CSV").first.click()
    download.value.save_as(tmp_path / "changes.csv")
    with (tmp_path / "changes.csv").open(newline="", encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    changes = make_report()[0]["overview"]["changes"]
    latents = sum(2 * len(row["latents"] or []) for row in changes)
    assert len(lines) == sum(len(row["cells"]) for row in changes) + latents
    assert float(lines[0]["value"]) == pytest.approx(changes[0]["cells"][0]["value"])


def test_long_names_of_runs_are_shown_without_what_they_share(visit, tmp_path):
    index, chunks = make_report(features=12, rollouts=20, tokens=12, checkpoints=3)
    for run, name in zip(index["runs"], ("hard-chains", "easy"), strict=True):
        run["name"] = f"qwen-grpo-{name}-seed-101/2026-11-30"
    for row in index["overview"]["changes"]:
        row["name"] = row["name"] if row["run"] is None else index["runs"][row["run"]]["name"]
    file = tmp_path / "long.html"
    file.write_text(page(index, chunks), encoding="utf-8")
    opened = visit("v=overview", file=file)
    expect(table_of(opened.page).get_by_role("link")).to_have_text(["…hard-chains…", "…easy…"])
    expect(table_of(opened.page).get_by_title(index["runs"][0]["name"])).to_be_visible()
