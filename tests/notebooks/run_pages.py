"""Run every page of the guide after the README, as they are read: part of `make test-notebooks`.

Not part of `make test`, which must stay short: pytest collects this file only if it is named.
"""

import pytest
from pages import PAGES, commands, expect_to_run, make_workshop, run_python


@pytest.fixture(scope="module")
def workshop(tmp_path_factory):
    return make_workshop(tmp_path_factory.mktemp("workshop"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_python_of_a_page_runs_from_top_to_bottom(page, workshop, monkeypatch, capsys, without_type_checks):
    monkeypatch.chdir(workshop)
    names = run_python(page)
    if page.stem == "own-data":
        out = capsys.readouterr().out
        assert "True True steps" in out and "[(True, True), (False, True)]" in out, "what its comments promise"
    assert "interp" in names


@pytest.mark.parametrize("command", commands(PAGES))
def test_every_command_of_the_pages_runs(command, workshop, monkeypatch, capsys, without_type_checks):
    monkeypatch.chdir(workshop)
    expect_to_run(command, monkeypatch, capsys)
