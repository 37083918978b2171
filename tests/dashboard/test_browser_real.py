"""Dashboards of real results in a browser; and the synthetic reports of the other tests have the form of real ones."""

from typing import Any

import pytest

from dashboard.browser import expect
from dashboard.synthetic import make_report
from dashboard.test_building import make, results, whole  # noqa: F401 (fixtures)

pytestmark = pytest.mark.filterwarnings("ignore:.*its task is left out", "ignore:.*temperature is", "ignore:.*max_new")
OPTIONAL = (".overview.verdicts[]", ".rollouts.extras[]", ".rollouts.payments[]")
"""Parts that the real report of these tests has none of."""
VIEWS = (
    "overview",
    "features",
    "feature",
    "rollouts",
    "rollouts&r=1&t=2",
    "rollouts&r=3&pane=group",
    "compare",
    "notes",
)


def walk(visit, dashboard, path):
    opened = visit(file=dashboard.save(path / "report.html"))
    for view in VIEWS:
        opened.show(f"v={view}")
    return opened


def test_every_view_of_a_whole_report_is_shown(visit, whole, tmp_path):  # noqa: F811
    opened = walk(visit, whole, tmp_path)
    opened.show("v=features")
    rows = opened.page.get_by_role("grid", name="Features by bucket and checkpoint")
    expect(rows).to_have_attribute("aria-rowcount", str(1 + len(whole.latents())))
    opened.show("v=rollouts")
    count = whole.index["rollouts"]["count"]
    expect(opened.page.get_by_role("grid", name="Rollouts")).to_have_attribute("aria-rowcount", str(1 + count))


@pytest.mark.parametrize("names", [["run"], ["tracks"], ["rollouts"], ["run", "tracks", "roles"]], ids=" ".join)
def test_every_view_of_a_part_is_shown(visit, results, tmp_path, names):  # noqa: F811
    walk(visit, make(*(getattr(results, name) for name in names)), tmp_path)


def keys(value: Any, place: str = "") -> set[str]:
    """Where a report has which keys: those of the first entry stand for a list."""
    if isinstance(value, list):
        return keys(value[0], place + "[]") if value else set()
    if not isinstance(value, dict) or place in (".chunks", ".notes"):
        return set()
    return set().union(*(keys(each, f"{place}.{key}") | {f"{place}.{key}"} for key, each in value.items()), set())


def test_a_synthetic_report_has_the_form_of_a_real_one(whole):  # noqa: F811
    synthetic, _ = make_report()
    optional = {place for place in keys(synthetic) if place.startswith(OPTIONAL)}
    assert keys(synthetic) - optional == keys(whole.index)
