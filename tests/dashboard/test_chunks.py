"""Chunks of a report: packed and compressed, stored once, read back as they were; and the page that holds them."""

import base64
import gzip
import hashlib
import json
import re

import numpy as np
import pytest

from interp.artifacts import BadInput
from interp.dashboard import Dashboard
from interp.dashboard.page import BOOT, page
from interp.dashboard.report import Report, pack, unpack

INDEX = {"title": "a", "notes": {}, "left_out": [], "chunks": {}}


@pytest.fixture
def static(tmp_path):
    (tmp_path / "dashboard.js").write_text('export default {render() {return "</script>"}}; a = /</g')
    (tmp_path / "dashboard.css").write_text("b { content: '</style>' }")
    return tmp_path


def read_back(report: Report, name: str):
    return unpack(report.chunks[name], **report.shapes[name])


@pytest.mark.parametrize("dtype", ["u1", "u2", "u4", "i4", "f4"])
def test_an_array_is_read_back_as_it_was(dtype):
    report = Report()
    report.add("x", [[1, 2, 3], [4, 5, 6]], dtype)
    assert report.shapes["x"] == {"dtype": dtype, "shape": [2, 3]}
    assert read_back(report, "x").tolist() == [[1, 2, 3], [4, 5, 6]]


def test_half_precision_keeps_three_digits_nan_and_the_largest_number():
    values = pack([0.1234, np.nan, 1e9, -np.inf, 1e-7], "f2")
    assert values[:1] == pytest.approx([0.1234], rel=1e-3)
    assert np.isnan(values[1]) and values[2] == 65504 and values[3] == -65504
    assert 0 < values[4] < 2e-7


def test_a_number_that_does_not_fit_is_a_mistake_of_ours():
    with pytest.raises(AssertionError, match="300 as u1"):
        Report().add("x", [300], "u1")


def test_json_has_null_for_nan_and_ascii_alone():
    report = Report()
    report.add_json("x", {"a": float("nan"), "b": "\u2028\ud83dé"})
    assert read_back(report, "x") == {"a": None, "b": "\u2028\ud83dé"}
    assert gzip.decompress(report.chunks["x"]).isascii()


def test_equal_chunks_are_stored_once_and_chunks_of_other_shapes_are_not_equal():
    report = Report()
    assert [report.add(name, [1, 2], "u1") for name in "ab"] == ["a", "a"]
    assert report.add("c", [[1, 2]], "u1") == "c"
    assert set(report.chunks) == set(report.shapes) == {"a", "c"}


def test_the_same_report_gives_the_same_bytes(static):
    pages = []
    for _ in range(2):
        report = Report()
        report.add("x", np.arange(1000), "u4")
        pages.append(page(INDEX | {"chunks": report.shapes}, report.chunks, static=static))
    assert pages[0] == pages[1]


def test_no_text_ends_a_script_element(static):
    hostile = "</script><script>alert(1)</script><!--<script>\u2028&amp;\ud83d"
    text = page(INDEX | {"title": hostile, "left_out": [hostile]}, {"x": b"1"}, static=static)
    text.encode()
    scripts = re.findall(r"<script([^>]*)>(.*?)</script>", text, re.DOTALL)
    assert [re.search(r'id="([^"]*)|data-chunk="x', attributes) is not None for attributes, _ in scripts] == [
        True, True, True, False,
    ]  # fmt: skip
    assert json.loads(scripts[0][1])["left_out"] == [hostile]
    assert base64.b64decode(scripts[1][1]) == b"1"
    assert scripts[2][1] == 'export default {render() {return "<\\/script>"}}; a = /</g'
    assert text.count("</style>") == 1 and "<!--" not in text


def test_the_policy_of_the_page_allows_its_own_lines_and_no_source(static):
    text = page(INDEX, {}, static=static)
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', text)
    assert policy is not None
    rules = dict(rule.split(" ", 1) for rule in policy[1].split("; "))
    digest = base64.b64encode(hashlib.sha256(BOOT.encode()).digest()).decode()
    assert rules["default-src"] == "'none'" and rules["script-src"] == f"'sha256-{digest}' blob:"
    assert f'<script type="module">{BOOT}</script>' in text
    assert not re.search(r"https?://", policy[1] + BOOT)


def test_a_page_without_its_front_end_says_how_to_get_it(tmp_path):
    with pytest.raises(BadInput, match="expected the front-end of the dashboard, got no such file: install interp"):
        page(INDEX, {}, static=tmp_path)


def test_a_report_that_exists_is_kept_unless_it_may_be_replaced(tmp_path, static, monkeypatch):
    monkeypatch.setattr("interp.dashboard.dashboard.page", lambda index, chunks: page(index, chunks, static=static))
    dashboard, file = Dashboard(INDEX, {}), tmp_path / "report.html"
    assert dashboard.save(file) == file
    file.write_text("mine")
    with pytest.raises(BadInput, match="exists already"):
        dashboard.save(file)
    assert file.read_text() == "mine"
    dashboard.save(file, overwrite=True)
    assert file.read_text().startswith("<!doctype html>")
    with pytest.raises(BadInput, match="expected a file for the report, got a directory"):
        dashboard.save(tmp_path, overwrite=True)
