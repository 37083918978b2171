"""`interp dashboard`: one file from the directories of results; an output that exists is kept."""

import pytest
from commands import refused, run_json, run_text

from interp.dashboard import dashboard as module


@pytest.fixture(autouse=True)
def small_page(monkeypatch):
    """A page without its program, which need not be built for these tests."""
    monkeypatch.setattr(module, "page", lambda index, chunks: f"<!doctype html>{index['title']}")


@pytest.fixture(scope="module")
def rollouts(tmp_path_factory):
    out = tmp_path_factory.mktemp("rollouts") / "deep"
    with pytest.MonkeyPatch.context() as patch:
        from commands import run

        assert run(patch, "roll-out", "--problems", "4", "--group", "2", "--out", out) == 0
    return out


def test_a_report_of_rollouts_of_the_shipped_organism_shows_their_texts(monkeypatch, capsys, rollouts, tmp_path):
    out = tmp_path / "report.html"
    printed = run_text(monkeypatch, capsys, "dashboard", rollouts, "--out", out, "--title", "Four chains")
    assert out.read_text() == "<!doctype html>Four chains"
    assert "8 rollouts" in printed and "Left out:" in printed and f"Saved in {out}" in printed
    assert "numbers of their tokens" not in printed


def test_the_result_is_one_json_object(monkeypatch, capsys, rollouts, tmp_path):
    out = tmp_path / "report.html"
    words = ("dashboard", rollouts, "--rollouts", "1", "--out", out)
    printed = run_json(monkeypatch, capsys, *words)
    assert printed["out"] == str(out) and printed["bytes"] == out.stat().st_size
    assert any("1 of 4 groups" in sentence for sentence in printed["left_out"])


def test_an_output_that_exists_is_kept_before_any_work(monkeypatch, capsys, rollouts, tmp_path):
    out = tmp_path / "report.html"
    out.write_text("mine")
    assert "exists already" in refused(monkeypatch, capsys, "dashboard", rollouts, "--out", out)
    assert out.read_text() == "mine"
    run_text(monkeypatch, capsys, "dashboard", rollouts, "--out", out, "--overwrite")
    assert out.read_text() != "mine"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "expected directories of results, got none"),
        (("/nowhere",), "got nothing there: is the path right?"),
        (("{rollouts}", "--rollouts", "-1"), "rollouts must not be negative"),
        (("{rollouts}", "--notes", "/nowhere.json"), "expected notes on latents, got no such file"),
        (("{rollouts}", "--title", ""), "expected a value after --title"),
        (("{organism}",), "got a directory of kind 'organism'"),
    ],
)
def test_bad_input_is_refused_in_one_line(monkeypatch, capsys, rollouts, tmp_path, words, message):
    from interp.organism import shipped_path

    places = {"rollouts": rollouts, "organism": shipped_path()}
    given = [word.format(**places) for word in words]
    assert message in refused(monkeypatch, capsys, "dashboard", *given, "--out", tmp_path / "report.html")
