"""Comparisons in a browser: the numbers that the page works out itself agree with scipy, filters and links work."""

import csv

import numpy as np
import pytest
from scipy import stats

from dashboard.browser import expect
from dashboard.synthetic import make_report
from interp.dashboard.report import unpack

MANY = {"features": 12, "rollouts": 300, "tokens": 12, "checkpoints": 3}
"""Many problems: fifteen that every checkpoint answers."""


def parts_of(**options):
    """The index of a report, and a function that gives a chunk as an array."""
    index, chunks = make_report(**options)
    return index, lambda name: unpack(chunks[name], **index["chunks"][name])


def columns_of(index, array):
    return {name: array(chunk) for name, chunk in index["rollouts"]["columns"].items() if name != "answer"}


@pytest.fixture(scope="module")
def parts():
    return parts_of()


def saved_rows(page, path, table=0):
    with page.expect_download() as download:
        page.get_by_role("button", name="Save CSV", exact=True).nth(table).click()
    download.value.save_as(path)
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_two_checkpoints_are_compared_problem_by_problem(visit, tmp_path):
    column = columns_of(*parts_of(**MANY))
    a, b = 0, int(column["checkpoint"][column["source"] == 0].max())
    means = []
    for checkpoint in (a, b):
        rows = (column["checkpoint"] == checkpoint) & (column["source"] != 2)
        problem, correct = column["problem"][rows], column["correct"][rows]
        means.append({each: correct[problem == each].mean() for each in np.unique(problem)})
    both = sorted(means[0].keys() & means[1].keys())
    differences = np.array([means[1][each] - means[0][each] for each in both])
    test = stats.ttest_1samp(differences, 0)
    interval = test.confidence_interval()
    assert len(both) >= 8

    opened = visit(f"v=compare&c=rollouts&a={a}&b={b}", **MANY)
    expect(opened.page.get_by_text("each problem counted once")).to_be_visible()
    rows = saved_rows(opened.page, tmp_path / "paired.csv")
    row = next(row for row in rows if (row["measure"], row["bucket"]) == ("pass rate", "all"))
    assert int(row["problems"]) == len(both)
    found = [float(row[name]) for name in ("difference", "low", "high", "p")]
    np.testing.assert_allclose(found, [differences.mean(), interval.low, interval.high, test.pvalue], rtol=1e-6)
    p = [float(row["p"]) for row in rows if row["p"]]
    q = [float(row["q"]) for row in rows if row["p"]]
    np.testing.assert_allclose(q, stats.false_discovery_control(p), rtol=1e-6)


def test_fewer_than_eight_problems_get_no_interval_and_a_sentence(plain, tmp_path):
    plain.go("v=compare&c=rollouts")
    expect(plain.page.get_by_text("With fewer than 8 there are no intervals")).to_be_visible()
    assert {row["low"] for row in saved_rows(plain.page, tmp_path / "few.csv")} == {""}


def test_a_relation_keeps_its_latents_and_the_control_stands_beside(plain, parts):
    index, array = parts
    latents = index["comparisons"][0]["latents"]
    relation, q, control = (array(latents[name]) for name in ("relation", "q", "control"))
    plain.go("v=compare&c=0")
    page = plain.page
    grid = page.get_by_role("grid", name="latents, ")
    expect(grid).to_have_attribute("aria-rowcount", str(relation.shape[1] + 1))
    differ = int((q[0] <= 0.05).sum())
    expect(page.get_by_text("tested latents differ")).to_contain_text(f"{differ} of {int(np.isfinite(q[0]).sum())}")
    expect(page.get_by_text("tested latents differ")).to_contain_text(f"A sampled again: {control[0]}")
    only = index["comparisons"][0]["relations"].index("only in A")
    page.get_by_role("combobox", name="relation").select_option(str(only))
    expect(grid).to_have_attribute("aria-rowcount", str(int((relation[0] == only).sum()) + 1))
    latent = grid.get_by_role("link").first.inner_text()
    grid.get_by_role("link").first.click()
    expect(page.locator("main")).to_have_attribute("data-view", "feature")
    assert plain.address["f"] == latent


def test_the_group_says_why_a_rollout_has_its_advantage(plain, parts):
    """Rewards less their mean are recorded, without a division: the page says so, with the numbers."""
    column = columns_of(*parts)
    for row in np.flatnonzero((column["source"] == 0) & (column["lucky"] == 1)):
        group = np.logical_and.reduce(
            [column[name] == column[name][row] for name in ("problem", "checkpoint", "source")]
        )
        kept = column["reward"][group] * column["gate"][group]
        if len(kept) > 2 and kept.std() > 0:
            break
    mine = column["reward"][row] * column["gate"][row]
    text = lambda value: f"{value:.3f}".rstrip("0").rstrip(".").replace("-", "−")  # noqa: E731
    plain.go(f"v=rollouts&r={row}&pane=group")
    group_view = plain.page.get_by_role("article", name=f"Rollout {row}")
    expect(group_view).to_contain_text(f"The gate kept {text(column['gate'][row])} of its reward")
    rule = f"({text(mine)} − {text(kept.mean())}) / {text(kept.std(ddof=1))}"
    expect(group_view).to_contain_text(rule)
    expect(group_view).to_contain_text("the reward less the mean, not divided by the deviation (as in Dr. GRPO)")
