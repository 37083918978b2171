"""What the credit of a run had learned by a step, made again from what the run saved."""

from functools import cache
from typing import Any

import pytest
import torch
from conftest import tiny_policy
from features_fixtures import axes_dictionary
from grpo_fixtures import FirstWord, small_config, train_tiny

from interp.artifacts import BadInput, Mismatch
from interp.credit import FirstErrorReadout, ProcessAdvantage, RandomGate, ReadoutCredit, StepValidity, Uniform
from interp.grpo import Run
from interp.grpo.learned import explain_run, learned_credit, reads_for_credit
from interp.policy import SampleConfig
from interp.readouts import Labels, Latents, Likelihood, TextCounts, label_rollouts, with_base_rate
from interp.rollouts import roll_out

LIKELIHOOD, TEXT = Likelihood(), TextCounts(4)


@cache
def answers() -> list[Any]:
    """Successes of the base from before the run."""
    task = FirstWord()
    sampling = SampleConfig(group=4, max_new_tokens=8)
    rows = roll_out(tiny_policy(), task, task.problems("train", None, 12), sampling, purpose="labels", progress=False)
    return [row for row in rows if row.reward > 0]


def scheme(*sources: Any, **changes: Any) -> ReadoutCredit:
    """A scheme that begins with labels, as those of the studies do."""
    read = list(sources) or [LIKELIHOOD, TEXT]
    own = {"labels": with_base_rate(label_rollouts(read, tiny_policy(), answers()), 0.2, 4.0), "audits": 3}
    return ReadoutCredit(read, **({"threshold": 0.5} | own | changes))


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Run:
    config = small_config(scale="none", without_signal="go on")
    return train_tiny(tmp_path_factory.mktemp("learned") / "run", config, credit=scheme(), progress=False)


def test_every_checkpoint_is_explained_as_it_was_paid(run):
    explanation = explain_run(run, scheme())
    recorded = [row for step in run.checkpoint_steps() for row in run.rollouts(step) if row.gate is not None]
    gates = [row.gate for row in recorded]
    assert len({gate for gate in gates if 0 < gate < 1}) > 4, "the readout graded them"
    assert explanation.scheme.gate_B.tolist() == pytest.approx(gates, abs=1e-6)
    assert explanation.scheme.advantage_N is not None
    own = [advantage for row in recorded for advantage in row.advantages or ()]
    assert explanation.scheme.advantage_N.tolist() == pytest.approx(own, abs=1e-5)
    means = [sum(row.advantages or ()) / len(row.tokens) for row in recorded]
    assert explanation.table()["advantage"].to_list() == pytest.approx(means, abs=1e-5)
    assert explanation.table()["step"].unique().sort().to_list() == [0, 2, 4, 6]


def test_what_was_known_at_the_end_is_the_saved_state_and_by_a_step_what_was_audited_until_then(run):
    audited = run.table()["audited"].to_list()
    whole, early = learned_credit(run, scheme()), learned_credit(run, scheme(), step=2)
    assert [int(one.state()["n_audited"]) for one in (whole, early)] == [audited[-1], audited[2]]
    assert not torch.equal(whole.state()["fit.weight_F"], early.state()["fit.weight_F"])
    again = learned_credit(run, scheme(), step=5)  # fits are made at even steps: that of step 4 is in use
    assert torch.equal(again.state()["fit.weight_F"], learned_credit(run, scheme(), step=4).state()["fit.weight_F"])


def test_a_control_that_reads_some_of_the_sources_has_had_the_same_audits(run):
    control = learned_credit(run, scheme(LIKELIHOOD))
    own = learned_credit(run, scheme()).state()
    assert torch.equal(control.state()["x_AF"], own["x_AF"][:, :2])
    assert torch.equal(control.state()["is_valid_A"], own["is_valid_A"])
    explanation = explain_run(run, scheme(), control=RandomGate(scheme(LIKELIHOOD)), steps=[6])
    assert explanation.control is not None and explanation.control.sources == ("likelihood",)
    assert explanation.control.advantage_N is not None and explanation.scheme.sources == ("likelihood", "text")


def test_a_control_that_reads_nothing_pays_as_it_always_does(run):
    explanation = explain_run(run, scheme(), control=StepValidity(weights=False), steps=[0])
    assert explanation.control is not None
    valid = [row.valid for row in explanation.rollouts if row.reward > 0]
    paid = explanation.control.paid_B[[row.reward > 0 for row in explanation.rollouts]].tolist()
    assert paid == [float(bool(one)) for one in valid]


def test_other_sources_labels_runs_and_steps_are_refused(run, tmp_path):
    with pytest.raises(Mismatch, match="expected sources that the run read, Likelihood, TextCounts"):
        learned_credit(run, ReadoutCredit([LIKELIHOOD, Latents(axes_dictionary(tiny_policy().d_model, layer=1), 1)]))
    with pytest.raises(Mismatch, match="ridge of the run's own"):
        learned_credit(run, scheme(ridge=7.0))
    with pytest.raises(Mismatch, match="labels"):
        learned_credit(run, scheme(labels=Labels()))
    with pytest.raises(BadInput, match="expected steps with a checkpoint"):
        explain_run(run, scheme(), steps=[1])
    with pytest.raises(BadInput, match="expected a step from 0 to 6"):
        learned_credit(run, scheme(), step=7)
    plain = train_tiny(tmp_path / "plain", small_config(steps=1, save_every=1), progress=False)
    with pytest.raises(BadInput, match="whose credit learns"):
        learned_credit(plain, scheme())
    oracle = StepValidity()
    assert learned_credit(run, oracle) is oracle


def test_of_a_learning_scheme_that_is_no_readout_only_the_end_is_explained(tmp_path):
    credit = FirstErrorReadout([TEXT])
    run = train_tiny(tmp_path / "run", small_config(steps=2), credit=credit, progress=False)
    with pytest.raises(BadInput, match=r"expected the last step alone.*got \[0, 2\]: pass steps=\[2\]"):
        explain_run(run, credit)
    explanation = explain_run(run, credit, steps=[2])
    own = [advantage for row in run.rollouts(2) for advantage in row.advantages or ()]
    assert explanation.scheme.advantage_N is not None
    assert explanation.scheme.advantage_N.tolist() == pytest.approx(own, abs=1e-5)
    assert not reads_for_credit(run), "it reads steps, and its audits are no labels of whole answers"
    with pytest.raises(Mismatch, match="expected sources that the run read, nothing"):
        learned_credit(run, ReadoutCredit([TEXT]))


@pytest.mark.parametrize("credit", [ProcessAdvantage(StepValidity(weights=False)), RandomGate(StepValidity())])
def test_a_scheme_around_one_that_learns_nothing_is_explained_as_it_is(tmp_path, credit):
    run = train_tiny(tmp_path / "run", small_config(steps=1, save_every=1), credit=credit, progress=False)
    assert learned_credit(run, credit) is credit
    assert explain_run(run, credit).table()["step"].unique().sort().to_list() == [0, 1]


def test_a_scheme_that_the_run_was_not_trained_with_is_refused_with_what_differs(run, tmp_path):
    with pytest.raises(Mismatch, match=r"another settings.threshold \(expected 0.5, got 0.7\): make it as it was made"):
        explain_run(run, scheme(threshold=0.7))
    with pytest.raises(Mismatch, match=r"kind \(expected ReadoutCredit, got StepValidity\)"):
        explain_run(run, StepValidity())
    plain = train_tiny(tmp_path / "plain", small_config(steps=1, save_every=1), progress=False)
    assert explain_run(plain, Uniform(), steps=[0]).scheme.gate_B.unique().tolist() == [1]
