"""What a report says of credit by a readout: what was read and paid, by hand and of a tiny run."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import tiny_policy
from grpo_fixtures import FirstWord, make_rollout, small_config, train_tiny

import interp
from interp.artifacts import BadInput
from interp.credit import CreditExplanation, ReadoutCredit
from interp.credit.explanation import SchemePayments
from interp.dashboard.config import DashboardConfig
from interp.dashboard.payments import add_payments, places_among
from interp.dashboard.readings import Reading
from interp.dashboard.report import Report, unpack
from interp.dashboard.rollouts import QUESTIONS, TRAINING, Batch
from interp.grpo import Run, explain_run
from interp.readouts import Likelihood, Readout, TextCounts, label_rollouts

QUIET = {"progress": False, "device": "cpu"}
CONFIG = DashboardConfig(questions=0, probe=0, rollouts=2)


def side(name: str, lengths: list[int], sources: tuple[str, ...]) -> SchemePayments:
    """Numbers that tell where they come from: the rollout, or the token in all."""
    B, N, S = len(lengths), sum(lengths), len(sources)
    rows_B, tokens_N = torch.arange(B).double(), torch.arange(N).double()
    return SchemePayments(
        name,
        "base",
        sources,
        p_B=rows_B / 10,
        at_mean_B=rows_B - 5,
        by_source_BS=rows_B[:, None].repeat(1, S) + torch.arange(S) / 10,
        in_prompt_BS=torch.full((B, S), torch.nan).double(),
        by_token_NS=tokens_N[:, None].repeat(1, S) + torch.arange(S) / 10,
        logprob_N=-tokens_N,
        gate_B=rows_B / 10,
        paid_B=rows_B / 10,
        added_B=rows_B / 100,
        advantage_N=-tokens_N,
    )


def test_shown_rollouts_carry_their_numbers_and_others_have_none():
    rows = [make_rollout(1, length=n, sample=at) for at, n in enumerate((2, 3, 1))]
    lengths = [2, 3, 1]
    explanation = CreditExplanation(rows, side("a", lengths, ("x", "y")), side("b", lengths, ("x",)))
    other = make_rollout(1, length=2, problem="other")
    readings = [Reading(Batch(0, QUESTIONS, rows[:1])), Reading(Batch(1, TRAINING, [rows[2], other, rows[1]]))]
    report = Report()
    (entry,) = add_payments(report, readings, [explanation])

    def read(name: str) -> Any:
        return unpack(report.chunks[name], **report.shapes[name])

    assert read(entry["rows"]).tolist() == [1, 3], "the answer to a question was not paid, the other not explained"
    values = read(entry["scheme"]["values"])
    assert values[0] == pytest.approx([0.2, 0.2, 0.2, -3, 0.02, 2.0, 2.1]) and values[1, 3] == -4
    tokens = entry["scheme"]["tokens"]["1"]
    assert list(entry["scheme"]["tokens"]) == ["1"]
    assert read(tokens["read"])[:, 0].tolist() == pytest.approx([5, np.nan, np.nan, 2, 3, 4], nan_ok=True)
    assert read(tokens["advantage"]).tolist() == pytest.approx([-5, np.nan, np.nan, -2, -3, -4], nan_ok=True)
    assert entry["control"]["sources"] == ["x"] and read(entry["control"]["tokens"]["1"]["read"]).shape == (6, 1)
    assert add_payments(report, readings[:1], [explanation]) == [] and "explained for" in report.left_out[-1]


def test_two_rollouts_of_one_key_are_told_apart_by_their_tokens_and_then_by_their_advantages():
    short, long = make_rollout(1, length=2), make_rollout(1, length=3)
    assert places_among([long], [short, long]) == [1] and places_among([long, short], [short, long]) == [1, 0]
    assert places_among([make_rollout(1, length=2, tokens=(7, 8)), short], [short]) == [None, 0], (
        "another text of this key"
    )
    low, high = (make_rollout(1, length=2, advantages=(a, a)) for a in (0.1, 0.9))
    assert places_among([high], [low, high]) == [1]
    assert places_among([short, short, short], [short, short]) == [0, 1, None]


# --- a tiny run ------------------------------------------------------------------------------------------------------


def scheme(*sources: Any) -> ReadoutCredit:
    return ReadoutCredit(sources or [Likelihood(), TextCounts(4)], audits=3, threshold=0.5)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    config = small_config(steps=2, scale="none", without_signal="go on")
    path: Path = tmp_path_factory.mktemp("payments") / "run"
    return train_tiny(path, config, task=FirstWord(), credit=scheme(), progress=False)


def test_a_run_with_a_readout_says_what_is_missing_until_it_is_explained(run):
    missing = "What the credit of run read is left out: give interp.grpo.explain_run"
    bare = interp.dashboard(run, config=CONFIG, **QUIET)
    assert any(sentence.startswith(missing) for sentence in bare.left_out)
    assert bare.index["rollouts"]["payments"] == []
    explanation = explain_run(run, scheme(), control=scheme(Likelihood()))
    report = interp.dashboard(run, explanation, config=CONFIG, **QUIET)
    assert not any(sentence.startswith(missing) for sentence in report.left_out)
    (entry,) = report.index["rollouts"]["payments"]
    rows, values = report.chunk(entry["rows"]), report.chunk(entry["scheme"]["values"])
    gates = report.chunk(report.index["rollouts"]["columns"]["gate"])[rows]
    assert len(rows) == 16 and values[:, entry["columns"].index("gate")] == pytest.approx(gates, abs=1e-6)
    advantage = [report.chunk(block["arrays"]["advantage"]) for block in report.index["rollouts"]["blocks"]]
    own = [report.chunk(each["advantage"]) for each in entry["scheme"]["tokens"].values()]
    assert np.concatenate(own) == pytest.approx(np.concatenate(advantage), abs=2e-3)
    assert (entry["scheme"]["name"], entry["control"]["name"]) == ("likelihood + text", "likelihood")


def test_credit_that_has_a_name_is_explained_without_its_scheme(run, tmp_path):
    from interp.credit import make_scheme

    config = small_config(steps=1, save_every=1, scale="none", without_signal="go on")
    named = train_tiny(tmp_path / "named", config, credit=make_scheme("likelihood-text"), progress=False)
    report = interp.dashboard(named, run, config=CONFIG, explain_credit=True, **QUIET)
    (entry,) = report.index["rollouts"]["payments"]
    assert (entry["scheme"]["name"], entry["control"]["name"]) == ("likelihood + text", "likelihood")
    assert [sentence[:27] for sentence in report.left_out if "credit" in sentence] == ["What the credit of run read"]


def test_credit_that_began_with_a_readout_is_explained_by_it_and_its_control_begins_with_the_same_labels(tmp_path):
    sources, base = [Likelihood(), TextCounts()], tiny_policy()
    rows = [make_rollout(1, length=3, tokens=(5 + i, 6, 7), valid=i % 2 == 0, sample=i) for i in range(8)]
    readout = Readout(tuple(sources), label_rollouts(sources, base, rows))
    readout.save(tmp_path / "readout")
    config = small_config(steps=1, save_every=1, scale="none", without_signal="go on")
    credit = ReadoutCredit.of(readout, audits=3, threshold=0.25)
    paid = train_tiny(tmp_path / "paid", config, credit=credit, progress=False)
    for given in (readout, tmp_path / "readout"):
        report = interp.dashboard(paid, given, config=CONFIG, explain_credit=True, **QUIET)
        (entry,) = report.index["rollouts"]["payments"]
        assert (entry["scheme"]["name"], entry["control"]["name"]) == ("likelihood + text", "likelihood")
    other = Readout(tuple(sources), label_rollouts(sources, base, rows[:6]))
    report = interp.dashboard(paid, other, config=CONFIG, explain_credit=True, **QUIET)
    assert report.index["rollouts"]["payments"] == [], "the run did not begin with this one"


def test_a_process_advantage_that_has_a_name_is_explained_and_a_first_error_is_left_out_by_name(tmp_path):
    from interp.credit import make_scheme

    config = small_config(steps=1, save_every=1, scale="none", without_signal="go on")
    process, first_error = (
        train_tiny(tmp_path / name, config, credit=make_scheme(name), progress=False)
        for name in ("process-likelihood-text", "first-error-likelihood")
    )
    report = interp.dashboard(process, first_error, config=CONFIG, explain_credit=True, **QUIET)
    (entry,) = report.index["rollouts"]["payments"]
    names = [entry[side]["name"] for side in ("scheme", "control")]
    assert names == ["ProcessAdvantage of likelihood + text", "ProcessAdvantage of likelihood"]
    added = report.chunk(entry["scheme"]["values"])[:, entry["columns"].index("added")]
    assert np.isfinite(added).all() and len(set(added.tolist())) > 2
    missing = [sentence for sentence in report.left_out if "credit" in sentence]
    assert missing == ["What the credit of first-error-likelihood read in steps is left out: no explanation says it."]


def test_a_report_opens_where_it_is_told_to_and_knows_the_rows_of_rollouts(run):
    report = interp.dashboard(run, config=CONFIG, **QUIET)
    shown = [row for row in run.rollouts(2) if _is_shown(report, row)]
    assert len(shown) == 8, "two groups of four"
    columns = {name: report.chunk(report.index["rollouts"]["columns"][name]) for name in ("sample", "reward")}
    rows = [report.row_of(row) for row in shown]
    assert columns["sample"][rows].tolist() == [row.sample for row in shown] and len(set(rows)) == 8
    assert columns["reward"][rows].tolist() == [row.reward for row in shown]
    opened = report.at("v=rollouts&r=3")
    assert opened.index["start"] == "v=rollouts&r=3" and "start" not in report.index
    assert '"start":"v=rollouts\\u0026r=3"' in opened.as_html()


def test_where_a_step_asks_a_problem_twice_each_rollout_has_its_own_row_and_payment(tmp_path):
    task = FirstWord()
    config = small_config(steps=1, save_every=1, prompts=5, scale="none", without_signal="go on")
    problems = task.problems("train", None, 2)
    twice = train_tiny(tmp_path / "twice", config, task=task, problems=problems, credit=scheme(), progress=False)
    rollouts = [row for step in (0, 1) for row in twice.rollouts(step)]
    keys = {interp.dashboard.rollout_key(row): row.tokens for row in rollouts}
    assert len(keys) < len(rollouts) and any(keys[interp.dashboard.rollout_key(row)] != row.tokens for row in rollouts)
    explanation = explain_run(twice, scheme())
    report = interp.dashboard(twice, explanation, config=DashboardConfig(questions=0, probe=0, rollouts=5), **QUIET)
    rows = [report.row_of(row) for row in rollouts]
    assert sorted(set(rows)) == rows
    (entry,) = report.index["rollouts"]["payments"]
    gates = report.chunk(report.index["rollouts"]["columns"]["gate"])[report.chunk(entry["rows"])]
    paid = report.chunk(entry["scheme"]["values"])[:, entry["columns"].index("gate")]
    assert len(gates) == len(explanation.rollouts) and paid == pytest.approx(gates, abs=1e-6)


def _is_shown(report: Any, row: Any) -> bool:
    try:
        return report.row_of(row) >= 0
    except BadInput:
        return False
