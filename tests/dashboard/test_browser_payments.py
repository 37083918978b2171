"""Credit by a readout in a browser: the table beside the control, the colours of what was read, and what is missing."""

import re

import numpy as np
import pytest

from dashboard.browser import expect
from dashboard.synthetic import PARTS, make_report
from interp.dashboard.page import page
from interp.dashboard.report import unpack


@pytest.fixture(scope="module")
def paid():
    """The first success that was paid: its row, and its numbers by name."""
    index, chunks = make_report()
    payments = index["rollouts"]["payments"][0]

    def read(name):
        return unpack(chunks[name], **index["chunks"][name])

    correct = read(index["rollouts"]["columns"]["correct"])
    rows, values = read(payments["rows"]), read(payments["scheme"]["values"])
    at = int(np.flatnonzero(correct[rows])[0])
    return int(rows[at]), dict(zip([*payments["columns"], "likelihood", "latents"], values[at].tolist(), strict=True))


def colouring(page, name):
    return page.get_by_role("group", name="Colour tokens by").get_by_role("button", name=name)


def numbers_of(row):
    cells = row.get_by_role("cell").all_inner_texts()[1:]
    return [float(cell.replace("−", "-").replace("+", "")) for cell in cells if cell != "–"]


def test_what_was_read_and_paid_stands_beside_the_control_and_adds_up(plain, paid):
    row, numbers = paid
    plain.show(f"v=rollouts&r={row}")
    table = plain.page.get_by_role("region", name="What the credit read and paid")
    expect(table.get_by_role("row")).to_have_count(3)
    p, gate, paid_here, _, log_odds, at_mean, likelihood, latents = numbers_of(table.get_by_role("row").nth(1))
    assert [p, gate, paid_here, at_mean] == pytest.approx(
        [numbers[name] for name in ("p", "gate", "paid", "at_mean")], abs=6e-4
    )
    assert log_odds == pytest.approx(at_mean + likelihood + latents, abs=2e-3)
    expect(table.get_by_role("row").nth(2)).to_contain_text("control likelihood")
    assert len(numbers_of(table.get_by_role("row").nth(2))) == 7, "the control does not read latents"


def test_tokens_are_coloured_by_what_was_read_and_by_what_the_control_would_have_given(plain, paid):
    plain.show(f"v=rollouts&r={paid[0]}&t=4")
    page = plain.page
    colouring(page, "read").click()
    expect(colouring(page, "read")).to_have_attribute("aria-pressed", "true")
    read = page.get_by_role("listbox").get_by_role("option").evaluate_all("spans => spans.map(one => one.className)")
    assert len(set(read)) > 3
    said = page.locator(".tokenline [aria-live]").inner_text()
    assert re.search(r"read [+−][\d.]+", said)
    panel = page.get_by_role("region", name="Token 4")
    for name in ("read: likelihood", "read: latents", "control read: likelihood", "control's advantage"):
        expect(panel.get_by_text(name, exact=True)).to_be_visible()
    page.get_by_label("Further colourings").select_option("control")
    expect(page.locator(".shade-legend")).to_contain_text("from the control of the credit")
    other = page.get_by_role("listbox").get_by_role("option").evaluate_all("spans => spans.map(one => one.className)")
    assert other != read


def test_a_report_without_it_says_why_nothing_is_shown(visit, paid):
    opened = visit(f"v=rollouts&r={paid[0]}", parts=tuple(part for part in PARTS if part != "payments"))
    expect(colouring(opened.page, "read")).to_have_attribute("aria-disabled", "true")
    expect(opened.page.get_by_role("region", name="What the credit read and paid")).to_have_count(0)
    colouring(opened.page, "read").click(force=True)
    expect(opened.page.get_by_role("status").filter(has_text="no explanation was given")).to_have_count(1)
    expect(opened.page.get_by_label("Further colourings").get_by_role("option")).to_have_count(2)


def test_a_report_opens_at_its_start_unless_an_address_says_where(visit, tmp_path):
    index, chunks = make_report()
    file = tmp_path / "started.html"
    file.write_text(page({**index, "start": "v=rollouts&r=5&by=entropy"}, chunks), encoding="utf-8")
    opened = visit(file=file)
    expect(opened.page.get_by_role("article", name="Rollout 5")).to_be_visible()
    expect(colouring(opened.page, "entropy")).to_have_attribute("aria-pressed", "true")
    other = visit("v=rollouts&r=6", file=file)
    expect(other.page.get_by_role("article", name="Rollout 6")).to_be_visible()
