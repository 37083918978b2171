"""Terminal tables of an evaluation: level by level over steps, and coherence crossed with validity."""

from dataclasses import replace

import pytest

from interp.organism import shipped_path
from interp.policy import Policy, SampleConfig
from interp.report.evaluation import crossed, over_steps
from interp.rollouts import EvaluateConfig, Evaluation, Series, evaluate, roll_out
from interp.rollouts.evaluate import measure_rollouts
from interp.tasks import Chain


@pytest.fixture(scope="module")
def evaluation() -> Evaluation:
    series = Series.from_dirs({0: shipped_path(), 7: shipped_path()})
    config = EvaluateConfig(problems=4, levels=(2, 3, "deep"), group=4, k=(1, 4), max_new_tokens=60)
    return evaluate(series, Chain(), config, device="cpu", progress=False)


def test_a_series_is_shown_step_by_step_and_its_last_checkpoint_crossed(evaluation):
    lines = over_steps(evaluation).splitlines()
    assert lines[0].split()[:2] == ["level", "step"] and lines[0].endswith("valid pass@4")
    assert [line.split()[:2] for line in lines[2:]] == [[b, s] for b in ("shallow", "deep", "all") for s in ("0", "7")]
    assert str(evaluation.measures(7, by="level", group="deep")["pass_rate"]) in lines[5]
    table = crossed(evaluation)
    known = evaluation.measures(7)["coherent_valid"]
    assert table.startswith(f"Step 7: {known.n} of {evaluation.measures(7)['pass_rate'].n} rollouts")
    assert f"{known}  {round(known.value * known.n)}" in table


def test_where_no_validity_is_known_the_tables_say_so():
    policy, task = Policy.load(shipped_path(), device="cpu"), Chain()
    rollouts = roll_out(policy, task, task.problems("eval", 1, 1), SampleConfig(group=2), progress=False)
    rows = [replace(rollout, level=None, valid=None, coherent=None, lucky=None) for rollout in rollouts]
    estimates = {(0, *key): measures for key, measures in measure_rollouts(rows, [1]).items()}
    blank = Evaluation(estimates, policies={0: "f"}, config={"k": [1]})
    assert over_steps(blank).splitlines()[2].split()[:2] == ["all", "0"] and "pass@" not in over_steps(blank)
    assert crossed(blank).count("no data") == 4
