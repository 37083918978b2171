"""The rollouts in a browser: the list, the reader, its colourings, the group, links to all of them."""

import csv
import re

import numpy as np
import pytest

from dashboard.browser import expect
from dashboard.synthetic import make_report
from interp.dashboard.report import unpack


@pytest.fixture(scope="module")
def arrays():
    """Reads a chunk of the plain report by its name."""
    index, chunks = make_report()
    return lambda name: unpack(chunks[name], **index["chunks"][name])


@pytest.fixture(scope="module")
def columns(arrays):
    """The columns of the plain report."""
    return {name: arrays(chunk) for name, chunk in make_report()[0]["rollouts"]["columns"].items()}


def rows_of(page):
    return page.get_by_role("grid", name="Rollouts").locator("[data-row]")


def tokens_of(page):
    return page.get_by_role("listbox").get_by_role("option")


def colouring(page, name):
    return page.get_by_role("group", name="Colour tokens by").get_by_role("button", name=name)


def test_the_list_has_all_rollouts_and_search_keeps_those_with_the_text(plain):
    plain.go("v=rollouts")
    page = plain.page
    expect(page.get_by_role("grid", name="Rollouts")).to_have_attribute("aria-rowcount", "121")
    page.get_by_role("searchbox").fill("altogether")
    expect(page.get_by_role("grid", name="Rollouts").locator("mark").first).to_have_text("altogether")
    count = int(page.get_by_role("grid", name="Rollouts").get_attribute("aria-rowcount")) - 1
    assert 0 < count < 120
    assert plain.address["q"] == "altogether"
    page.get_by_role("searchbox").fill("no rollout says this")
    expect(page.get_by_text("No rollout fits")).to_be_visible()


def test_filters_keep_the_rollouts_of_a_bucket_and_can_be_removed(plain, columns):
    plain.go("v=rollouts")
    page = plain.page
    page.get_by_role("combobox", name="Filter by bucket").select_option(index=3)
    chip = page.get_by_role("list", name="Filters that are on").get_by_role("button").first
    expect(chip).to_be_visible()
    kept = int(page.get_by_role("grid", name="Rollouts").get_attribute("aria-rowcount")) - 1
    assert kept in {int((columns["bucket"] == bucket).sum()) for bucket in (0, 1, 2, 255)}
    chip.click()
    expect(page.get_by_role("grid", name="Rollouts")).to_have_attribute("aria-rowcount", "121")


def test_a_click_on_a_header_sorts_largest_first(plain, columns):
    plain.go("v=rollouts")
    page = plain.page
    page.get_by_role("columnheader", name="tokens").get_by_role("button").click()
    expect(page.get_by_role("columnheader", name="tokens")).to_have_attribute("aria-sort", "descending")
    first = int(rows_of(page).first.get_by_role("gridcell").first.inner_text())
    assert columns["length"][first] == columns["length"].max()


def test_a_click_opens_the_reader_with_every_token(plain, columns):
    plain.go("v=rollouts")
    page = plain.page
    rows_of(page).nth(2).get_by_role("gridcell").first.click()
    expect(page.get_by_role("article", name="Rollout 2")).to_be_visible()
    expect(tokens_of(page)).to_have_count(int(columns["length"][2]))
    assert plain.address["r"] == "2"


def test_every_colouring_of_a_trained_rollout_colours_its_tokens(plain, columns):
    row = int(np.flatnonzero((columns["source"] == 0) & (columns["correct"] == 1))[0])
    plain.go(f"v=rollouts&r={row}")
    page = plain.page
    expect(tokens_of(page).first).to_be_visible()
    looks = set()
    for name in ("activation", "entropy", "log-prob", "advantage", "credit", "KL", "live − base", "validity"):
        colouring(page, name).click()
        expect(colouring(page, name)).to_have_attribute("aria-pressed", "true")
        colours = tokens_of(page).evaluate_all("spans => spans.map(span => getComputedStyle(span).backgroundColor)")
        looks.add(tuple(colours))
    assert len(looks) == 8


@pytest.mark.parametrize("by, name, array", [
    ("entropy", "entropy", "entropy"), ("logprob", "log-prob", "logprob"), ("advantage", "advantage", "advantage"),
    ("credit", "credit", "credit"),
])  # fmt: skip
def test_a_token_says_its_number_in_the_colouring(plain, columns, arrays, by, name, array):
    row, token = int(np.flatnonzero(columns["source"] == 0)[0]), 3
    block = next(block for block in make_report()[0]["rollouts"]["blocks"] if block["first"] == row)
    value = float(arrays(block["arrays"][array])[token])
    plain.show(f"v=rollouts&r={row}&t={token}&by={by}")
    said = plain.page.locator(".tokenline [aria-live]").inner_text().replace("−", "-")
    assert float(re.search(f"{name} [+]?(-?[\\d.]+(?:e-\\d+)?)", said)[1]) == pytest.approx(value, abs=6e-4)


def test_a_colouring_without_data_says_why(plain, columns):
    row = int(np.flatnonzero(columns["source"] == 1)[0])
    plain.go(f"v=rollouts&r={row}&by=entropy")
    page = plain.page
    expect(colouring(page, "credit")).to_have_attribute("aria-disabled", "true")
    colouring(page, "credit").click(force=True)  # it can be pressed, to hear why not
    expect(colouring(page, "entropy")).to_have_attribute("aria-pressed", "true")
    expect(page.get_by_role("status").filter(has_text="credit")).to_have_count(1)


def test_the_first_error_is_marked_and_can_be_gone_to(plain, columns):
    row = int(np.flatnonzero(columns["first_error"] > 2)[0])
    error = int(columns["first_error"][row])
    plain.go(f"v=rollouts&r={row}")
    plain.page.get_by_role("button", name=f"first error at token {error}").click()
    assert plain.address["t"] == str(error)
    expect(plain.page.locator(".first-error")).to_have_attribute("data-i", str(error))


def test_the_group_shows_the_siblings_of_a_rollout(plain, columns):
    row = int(np.flatnonzero(columns["source"] == 0)[0])
    same = [columns[name] == columns[name][row] for name in ("problem", "checkpoint", "source")]
    siblings = int(np.logical_and.reduce(same).sum())
    plain.go(f"v=rollouts&r={row}&pane=group")
    group = plain.page.get_by_role("article", name=f"Rollout {row}")
    siblings_of = group.get_by_role("region", name="Siblings")
    expect(siblings_of.get_by_role("row")).to_have_count(siblings + 1)
    expect(group.get_by_text("mean", exact=False).first).to_be_visible()


def test_a_link_opens_rollout_token_and_colouring(visit):
    opened = visit("v=rollouts&r=5&t=7&by=entropy")
    expect(colouring(opened.page, "entropy")).to_have_attribute("aria-pressed", "true")
    expect(opened.page.locator("[role=option][aria-selected=true]")).to_have_attribute("data-i", "7")
    expect(opened.page.get_by_role("article", name="Rollout 5")).to_be_visible()


def test_a_rollout_can_be_read_with_the_keyboard_alone(visit):
    opened = visit("v=rollouts")
    page, keys = opened.page, opened.page.keyboard
    rows_of(page).first.wait_for()
    keys.press("j")
    expect(page.get_by_role("article", name="Rollout 0")).to_be_visible()
    keys.press("j")
    expect(page.get_by_role("article", name="Rollout 1")).to_be_visible()
    keys.press("k")
    expect(page.get_by_role("article", name="Rollout 0")).to_be_visible()
    keys.press("2")
    expect(colouring(page, "entropy")).to_have_attribute("aria-pressed", "true")
    keys.press("ArrowRight")
    keys.press("ArrowRight")
    assert opened.address["t"] == "1"
    keys.press("g")
    expect(page.get_by_role("button", name="Group")).to_have_attribute("aria-pressed", "true")
    keys.press("/")
    expect(page.get_by_role("searchbox")).to_be_focused()
    keys.press("Escape")
    keys.press("?")
    expect(page.get_by_role("dialog")).to_be_visible()
    keys.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)


def test_the_csv_has_a_line_for_every_listed_rollout(plain, tmp_path):
    plain.go("v=rollouts")
    with plain.page.expect_download() as download:
        plain.page.get_by_role("button", name="Save CSV").click()
    download.value.save_as(tmp_path / "rollouts.csv")
    with (tmp_path / "rollouts.csv").open(newline="", encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    assert [int(line["row"]) for line in lines] == list(range(120))


def test_pieces_of_a_code_point_are_shown_as_their_bytes(plain):
    plain.go("v=rollouts&r=3")
    expect(tokens_of(plain.page).nth(0)).to_have_text("\\xf0")
    expect(tokens_of(plain.page).nth(7)).to_have_text("\\xff")
