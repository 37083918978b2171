"""The features in a browser: the matrix, one latent, two checkpoints compared, names and notes."""

import csv
import json
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


@pytest.fixture
def candidate(arrays):
    """A latent with a role, and its row."""
    rows = np.flatnonzero((arrays("role") > 0) & (arrays("facts.firing_rate") > 0.01))
    return int(arrays("latents")[rows[0]]), int(rows[0])


def matrix(page):
    return page.get_by_role("grid", name="Features by bucket and checkpoint")


def count(grid):
    return int(grid.get_attribute("aria-rowcount")) - 1


def column(page, name):
    return matrix(page).get_by_role("columnheader", name=name, exact=True)


def saved(page, button, path):
    with page.expect_download() as download:
        button.click()
    download.value.save_as(path)
    return path


# --- the matrix ----------------------------------------------------------------------------------------------------


def test_search_finds_a_latent_by_number_name_and_role(plain, arrays):
    plain.show("v=features")
    page, search = plain.page, plain.page.get_by_role("searchbox")
    search.fill("running total")
    expect(matrix(page)).to_have_attribute("aria-rowcount", "2")
    expect(matrix(page).get_by_role("link")).to_have_text(["10"])
    search.fill("598")
    expect(matrix(page).get_by_role("link")).to_have_text(["598"])
    search.fill("computation")
    expect(matrix(page)).to_have_attribute("aria-rowcount", str(1 + (arrays("role") == 2).sum()))
    search.fill("nothing is called this")
    expect(page.get_by_text("No latent fits")).to_be_visible()


def test_a_column_sorts_by_change_and_back(plain, arrays):
    plain.show("v=features&as=table")
    change = arrays("track.0.change")[-1, -1].astype(np.float32)
    last = matrix(plain.page).get_by_role("columnheader").last.get_by_role("button")
    first = matrix(plain.page).locator("[data-row='0']").get_by_role("link")
    at_first = first.inner_text()
    last.click()
    expect(first).to_have_text(str(arrays("latents")[np.nanargmax(change)]))
    last.click()
    expect(first).to_have_text(str(arrays("latents")[np.nanargmin(change)]))
    last.click()
    expect(first).to_have_text(at_first)


def test_latents_with_the_most_certain_changes_at_the_last_checkpoint_come_first(plain, arrays):
    plain.show("v=features")
    first = matrix(plain.page).locator("[data-row='0']").get_by_role("link")
    expect(first).to_be_visible()
    is_certain_BA = arrays("track.0.q")[-1] <= 0.05
    row = arrays("latents").tolist().index(int(first.inner_text()))
    assert is_certain_BA[:, row].sum() == is_certain_BA.sum(0).max() > 0


def test_a_cell_says_its_interval_q_floor_and_drift(plain, candidate, arrays):
    latent, row = candidate
    plain.show(f"v=features&q=latent {latent}")
    matrix(plain.page).locator("[data-row='0'] [role=gridcell]").last.hover()
    tip = plain.page.locator(".tip")
    expect(tip).to_contain_text(f"latent {latent}")
    text = tip.inner_text()
    q = arrays("track.0.q")[-1, -1, row]
    assert re.search(r"change [+−]?[\d.e−]+ \[[^\]]+\], q = ", text)
    assert "floor" in text and "dictionary explains" in text
    marked = "•" in matrix(plain.page).locator("[data-row='0'] [role=gridcell]").last.inner_text()
    assert marked == bool(q <= 0.05)


def test_filters_and_tracks_change_the_matrix(plain, arrays):
    plain.show("v=features")
    page = plain.page
    page.get_by_label("Role").select_option("shortcut")
    expect(matrix(page)).to_have_attribute("aria-rowcount", str(1 + (arrays("role") == 3).sum()))
    page.get_by_label("Role").select_option("")
    page.get_by_label("Verdict at the end").select_option("strengthened")
    strong = (arrays("track.0.verdict")[-1] == 0).any(0).sum()
    expect(matrix(page)).to_have_attribute("aria-rowcount", str(1 + strong))
    page.get_by_label("Run").select_option(label="easy")
    expect(matrix(page)).not_to_have_attribute("aria-rowcount", str(1 + strong))
    assert "track" in plain.address


def test_the_matrix_as_a_table_has_numbers(plain):
    plain.show("v=features")
    plain.page.get_by_label("Show").select_option("table")
    cell = matrix(plain.page).locator("[data-row='0'] [role=gridcell]").last
    expect(cell).to_have_text(re.compile(r"[\d–]"))


def test_the_csv_has_a_line_for_each_latent_bucket_and_checkpoint(plain, tmp_path):
    plain.show("v=features")
    path = saved(plain.page, plain.page.get_by_role("button", name="Save CSV"), tmp_path / "features.csv")
    with path.open(newline="", encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    assert len(lines) == 200 * 3 * 4
    assert {"latent", "bucket", "step", "change", "low", "high", "q", "floor"} <= set(lines[0])


# --- a latent ------------------------------------------------------------------------------------------------------


def test_a_click_on_a_latent_opens_its_page(plain):
    plain.show("v=features")
    link = matrix(plain.page).locator("[data-row='0']").get_by_role("link")
    latent = link.inner_text()
    link.click()
    expect(plain.page.get_by_role("heading", name=f"Latent {latent}")).to_be_visible()
    assert plain.address == {"v": "feature", "f": latent}


@pytest.mark.parametrize("part, words", [
    ("Track by bucket", "change"),
    ("Gates, beside random latents", "contrast"),
    ("What ablating and doubling it does", "pass rate"),
    ("Rollouts where it is active, by quantile", "top"),
    ("Tokens that its decoder raises and lowers", "Raises"),
    ("Density", "tokens"),
    ("Neighbours by decoder cosine", "cosine"),
    ("Name and note", "Name"),
])  # fmt: skip
def test_a_latent_has_each_part(plain, candidate, part, words):
    plain.show(f"v=feature&f={candidate[0]}")
    expect(plain.page.get_by_role("region", name=part, exact=True)).to_contain_text(words)


def test_an_example_leads_to_its_rollout_and_token_and_back_to_the_latent(plain, candidate, arrays):
    latent, row = candidate
    plain.show(f"v=feature&f={latent}")
    plain.page.get_by_role("link", name="Read rollout").first.click()
    expect(plain.page.get_by_role("listbox")).to_be_visible()
    first = {"r": arrays("examples.rollout")[row, 0], "t": arrays("examples.position")[row, 0]}
    place = {"v": "rollouts", "by": "activation", "l": str(latent)}
    assert plain.address == place | {key: str(value) for key, value in first.items()}
    plain.page.get_by_role("link", name="its page").click()
    expect(plain.page.get_by_role("heading", name=f"Latent {latent}")).to_be_visible()


def test_the_examples_are_coloured_by_the_activation_of_the_latent(plain, candidate):
    plain.show(f"v=feature&f={candidate[0]}")
    peaks = plain.page.locator(".peak")
    expect(peaks.first).to_be_visible()
    colours = peaks.evaluate_all("all => all.map(each => getComputedStyle(each).backgroundColor)")
    others = plain.page.locator(".example [role=option]:not(.peak)")
    silent = others.evaluate_all("all => all.map(each => getComputedStyle(each).backgroundColor)")
    assert set(colours) - {max(set(silent), key=silent.count)} == set(colours)


def test_j_and_k_go_to_the_next_latent_and_back(plain):
    plain.show("v=feature&f=7")
    plain.page.keyboard.press("j")
    expect(plain.page.get_by_role("heading", name="Latent 10")).to_be_visible()
    plain.page.keyboard.press("k")
    expect(plain.page.get_by_role("heading", name="Latent 7")).to_be_visible()


def test_a_chart_is_saved_as_svg_png_and_csv(plain, candidate, tmp_path):
    plain.show(f"v=feature&f={candidate[0]}")
    chart = plain.page.get_by_role("region", name="Track by bucket").get_by_role("figure").first
    chart.hover()
    for kind, start in (("SVG", b"<svg"), ("PNG", b"\x89PNG"), ("CSV", b"")):
        path = saved(plain.page, chart.get_by_role("button", name=f"save {kind}"), tmp_path / kind)
        assert path.read_bytes().startswith(start) and path.stat().st_size > 100


# --- two checkpoints -----------------------------------------------------------------------------------------------


def test_a_comparison_has_behaviour_and_features_with_intervals(plain):
    plain.show("v=compare")
    page = plain.page
    expect(page.get_by_role("heading", name="hard against easy")).to_be_visible()
    rows = page.get_by_role("grid").first.locator("[data-row]")
    expect(rows).to_have_count(12)
    expect(page.get_by_role("img", name="Behaviour").or_(page.get_by_role("img").first).first).to_be_visible()
    assert re.search(r"\d \[\d", rows.first.inner_text())


# --- names and notes -----------------------------------------------------------------------------------------------


def test_a_name_is_kept_searched_and_saved(visit, tmp_path):
    opened = visit("v=feature&f=16")
    page = opened.page
    page.get_by_label("Name", exact=True).fill("left operand")
    page.get_by_label("Name", exact=True).press("Enter")
    expect(page.get_by_role("heading", name="Latent 16")).to_contain_text("left operand")
    page.reload()
    expect(page.get_by_role("heading", name="Latent 16")).to_contain_text("left operand")
    opened.show("v=features")
    page.get_by_role("searchbox").fill("left oper")
    expect(matrix(page).get_by_role("link")).to_have_text(["16"])
    opened.show("v=notes")
    notes = json.loads(saved(page, page.get_by_role("button", name="Save JSON"), tmp_path / "notes.json").read_text())
    assert notes["16"]["name"] == "left operand"
    assert notes["7"] == {"name": "equals sign", "note": "Before results."}
    assert notes["sets"] == [{"name": "arithmetic", "note": "Found by search.", "latents": [7, 10, 13]}]


def test_notes_are_read_from_a_file_that_was_saved(visit, tmp_path):
    (tmp_path / "notes.json").write_text(json.dumps({"22": {"name": "from a file", "note": ""}, "sets": []}))
    opened = visit("v=notes")
    opened.page.locator("input[type=file]").set_input_files(tmp_path / "notes.json")
    expect(opened.page.get_by_text("from a file").first).to_be_visible()
