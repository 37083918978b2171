"""Fifty hostile strings in every place that a string can stand: no script runs, nothing is loaded, all is text."""

import csv
import re

import pytest

from dashboard.browser import expect
from dashboard.hostile import HOSTILE
from dashboard.synthetic import make_report

PLACES = (
    "v=overview", "v=features", "v=feature&f=7", "v=feature&f=10", "v=rollouts", "v=rollouts&r=0&t=0", "v=rollouts&r=3",
    "v=rollouts&r=2&pane=group", "v=compare", "v=notes",
)  # fmt: skip
LINKS_ELSEWHERE = """links => links.map(link => link.getAttribute("href")).filter(href => !/^#(v=|main$)/.test(href))"""
UNSEEN = "[\x00-\x08\x0b-\x1f\x7f\u200b-\u200f\u202a-\u202e\u2066-\u2069\ufeff\ud800-\udfff]"
OPTIONS = {"features": 60, "rollouts": 60, "hostile": True}


@pytest.mark.parametrize("address", PLACES)
def test_nothing_in_a_hostile_report_runs_or_is_loaded(visit, address):
    opened = visit(address, **OPTIONS)
    page = opened.page
    expect(page.get_by_role("navigation", name="Views")).to_be_visible()
    page.locator("main").get_by_text("owned(").first.wait_for(state="attached")
    page.wait_for_timeout(150)  # for what an error handler or a redirect would still do
    assert page.url.startswith(opened.file.as_uri())
    assert page.locator("#report").locator("img, iframe, object, embed, base, meta, link, form, math").count() == 0
    assert page.locator("#report a").evaluate_all(LINKS_ELSEWHERE) == []


def test_every_view_is_shown_and_no_text_turns_or_hides_what_stands_beside_it(visit):
    """Marks of direction, control characters and halves of a pair are written out."""
    opened = visit(**OPTIONS)
    texts = ""
    for address in PLACES:
        opened.show(address)
        texts += opened.page.locator("#report").inner_text()
    assert "\\u202eright to left" in texts
    assert set(re.findall(UNSEEN, texts)) == set()


def test_a_hostile_title_is_text(visit):
    index, _ = make_report(**OPTIONS)
    opened = visit(**OPTIONS)
    assert index["title"] in HOSTILE and "<" in index["title"]
    expect(opened.page.get_by_role("heading", level=1)).to_have_text(index["title"])
    assert index["title"] in opened.page.title()


def test_each_hostile_string_can_be_searched_for(visit):
    """The search field and the address take any string."""
    opened = visit("v=rollouts", **OPTIONS)
    field = opened.page.get_by_role("searchbox")
    for text in HOSTILE:
        field.fill(text[:200])
        expect(opened.page.get_by_role("grid", name="Rollouts")).to_be_visible()
        opened.page.evaluate("q => { location.hash = new URLSearchParams({v: 'rollouts', q}); }", text[:200])
    expect(field).to_have_value(HOSTILE[-1][:200])


def test_no_cell_of_a_saved_csv_is_a_formula(visit, tmp_path):
    opened = visit("v=rollouts", **OPTIONS)
    with opened.page.expect_download() as download:
        opened.page.get_by_role("button", name="Save CSV").click()
    download.value.save_as(tmp_path / "rollouts.csv")
    with (tmp_path / "rollouts.csv").open(newline="", encoding="utf-8") as file:
        cells = [cell for line in csv.reader(file) for cell in line]
    formulas = [cell for cell in cells if re.match(r"[=+\-@\t\r]", cell) and not re.fullmatch(r"-?[\d.e-]+", cell)]
    assert len(cells) > 1000 and formulas == []


def test_a_hostile_name_given_by_the_reader_is_text(visit):
    opened = visit("v=feature&f=7", features=12, rollouts=20, tokens=12, checkpoints=3)
    page = opened.page
    page.get_by_label("Name", exact=True).fill("<img src=x onerror=owned(99)>")
    page.get_by_label("Name", exact=True).press("Tab")
    opened.go("v=notes")
    expect(page.get_by_text("<img src=x onerror=owned(99)>").first).to_be_attached()
