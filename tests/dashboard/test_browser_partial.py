"""Reports that lack something: each view says what, and everything else goes on."""

import pytest

from dashboard.browser import expect
from dashboard.synthetic import PARTS, make_report
from interp.dashboard.page import page

VIEWS = (
    "overview",
    "features",
    "feature&f=7",
    "rollouts",
    "rollouts&r=2",
    "rollouts&r=2&pane=group",
    "compare",
    "notes",
)
SMALL = {"features": 12, "rollouts": 20, "tokens": 12, "checkpoints": 3}


READER = ("rollouts&r=2", "rollouts&r=2&pane=group")
VIEWS_OF = {
    **dict.fromkeys(("changes", "findings", "learning", "role counts", "verdicts"), ("overview",)),
    **dict.fromkeys(("roles", "tracks", "floors", "drift", "trials"), ("features", "feature&f=7")),
    **dict.fromkeys(("lens", "neighbors", "density", "examples"), ("feature&f=7",)),
    **dict.fromkeys(("credit", "base", "steps", "extras"), READER),
    "comparisons": ("compare",),
    "notes": ("features", "notes"),
}
"""Where a part is shown; features and rollouts are everywhere."""


def without(*parts):
    return tuple(part for part in PARTS if part not in parts)


@pytest.mark.parametrize("part", PARTS)
def test_the_views_of_a_part_stand_without_it(visit, part):
    opened = visit(**SMALL, parts=without(part))
    for view in VIEWS_OF.get(part, VIEWS):
        opened.show(f"v={view}")
        assert opened.page.locator("main").inner_text().strip()


@pytest.mark.parametrize("part, view, words", [
    ("features", "features", "no features"),
    ("tracks", "features", "no tracks"),
    ("rollouts", "rollouts", "no rollouts"),
    ("comparisons", "compare", "no comparison"),
])  # fmt: skip
def test_a_view_says_what_it_lacks(visit, part, view, words):
    opened = visit(f"v={view}", **SMALL, parts=without(part))
    expect(opened.page.locator("main").get_by_text(words).first).to_be_visible()


def test_a_report_of_nothing_is_shown_with_what_was_left_out(visit):
    opened = visit(**SMALL, parts=())
    for view in VIEWS:
        opened.show(f"v={view}")
    opened.page.get_by_role("button", name="left out").click()
    expect(opened.page.get_by_role("dialog").get_by_role("listitem")).to_have_count(len(PARTS) + 1)


def test_a_report_of_another_schema_is_refused_in_a_sentence(visit, tmp_path):
    index, chunks = make_report(**SMALL)
    file = tmp_path / "newer.html"
    file.write_text(page(index | {"schema": 2}, chunks), encoding="utf-8")
    opened = visit(file=file)
    expect(opened.page.get_by_role("alert")).to_contain_text("schema 2")
    expect(opened.page.get_by_role("alert")).to_contain_text("Make the report again")


def test_a_damaged_chunk_fails_its_view_alone(visit, tmp_path):
    index, chunks = make_report(**SMALL)
    file = tmp_path / "damaged.html"
    file.write_text(page(index, chunks | {"problems": b"no gzip"}), encoding="utf-8")
    opened = visit("v=rollouts", file=file)
    expect(opened.page.get_by_role("alert")).to_contain_text("damaged")
    opened.go("v=features")
    expect(opened.page.get_by_role("grid").first).to_be_visible()


@pytest.mark.parametrize("address", [
    "v=nowhere", "v=feature&f=999999", "v=feature&f=-1", "v=feature", "v=rollouts&r=999",
    "v=rollouts&r=1&t=5000&by=nothing",
    "f=<img>&v=%00", "v=rollouts&w=%7B&sort=x", "v=rollouts&l=5&r=0", "v=features&track=99&sort=nothing:down&q=%5B(",
])  # fmt: skip
def test_an_address_that_leads_nowhere_shows_a_view_all_the_same(visit, address):
    opened = visit(address, **SMALL)
    expect(opened.page.locator("main")).to_be_visible()
    expect(opened.page.get_by_text("This view cannot be shown")).to_have_count(0)
    assert opened.page.locator("main").inner_text().strip()


def test_a_prompt_of_50000_characters_is_folded_and_can_be_read(visit):
    opened = visit("v=rollouts&r=0", **SMALL, prompt_length=50_000)
    prompt = opened.page.get_by_role("article", name="Rollout 0")
    prompt.get_by_text("Prompt, 50").click()
    assert len(opened.page.get_by_role("region", name="The whole prompt").inner_text()) > 49_000
