"""Every view for everybody: axe-core finds no serious fault, light and dark, and no mouse is needed."""

import re
from importlib.resources import files

import pytest

from dashboard.browser import expect

ADDRESSES = (
    "v=overview", "v=features", "v=feature&f=7", "v=rollouts", "v=rollouts&r=2&t=3&by=entropy",
    "v=rollouts&r=20&pane=group", "v=compare", "v=notes",
)  # fmt: skip
RUN_AXE = """async (rules) => {
  const result = await axe.run(document, {resultTypes: ["violations"], ...(rules && {runOnly: rules})});
  return result.violations
    .filter(fault => ["serious", "critical"].includes(fault.impact))
    .map(fault => [fault.id, fault.help, ...fault.nodes.slice(0, 3).map(node => node.html.slice(0, 160))].join(" | "));
}"""


@pytest.fixture(scope="module")
def axe():
    """The program of axe-core."""
    package = pytest.importorskip("axe_playwright_python", reason="axe-playwright-python is not installed")
    return (files(package) / "axe.min.js").read_text(encoding="utf-8")


def background(page):
    """Red, green and blue behind the page."""
    colour = page.locator(".interp").evaluate("element => getComputedStyle(element).backgroundColor")
    return [int(part) for part in re.findall(r"\d+", colour)[:3]]


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_axe_finds_no_serious_fault_in_any_view(visit, axe, dark):
    opened = visit(dark=dark, features=20, rollouts=40, tokens=12, checkpoints=3)
    opened.page.evaluate(axe)
    faults = {}
    for address in ADDRESSES:
        opened.show(address)
        faults[address] = opened.page.evaluate(RUN_AXE, ["color-contrast"] if dark else None)  # no other rule sees it
    assert {address: list_ for address, list_ in faults.items() if list_} == {}


def test_the_page_is_dark_where_the_browser_asks_for_it_and_light_where_the_reader_chooses(visit):
    opened = visit(dark=True)
    assert max(background(opened.page)) < 80
    opened.page.get_by_role("combobox", name="Theme").select_option("light")
    assert min(background(opened.page)) > 200


def test_the_first_press_of_tab_offers_to_skip_to_the_content(visit):
    opened = visit()
    opened.page.get_by_role("navigation", name="Views").wait_for()
    opened.page.keyboard.press("Tab")
    expect(opened.page.get_by_role("link", name="Skip to the content")).to_be_focused()
    opened.page.keyboard.press("Enter")
    expect(opened.page.locator("main")).to_be_focused()


def test_a_feature_is_found_and_opened_with_the_keyboard_alone(visit):
    opened = visit("v=features")
    page, keys = opened.page, opened.page.keyboard
    page.get_by_role("grid").first.wait_for()
    keys.press("/")
    expect(page.get_by_role("searchbox")).to_be_focused()
    keys.type("equals sign")
    expect(page.get_by_role("grid").first.locator("[data-row]")).to_have_count(1)
    keys.press("Escape")
    keys.press("j")
    keys.press("Enter")
    expect(page.locator("main")).to_have_attribute("data-view", "feature")
    assert opened.address["f"] == "7"
