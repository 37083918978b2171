"""Numbers, sentences and findings of the demo, from results made by hand."""

import json
from types import SimpleNamespace
from typing import Any

import polars as pl
import pytest
from features_fixtures import axes_dictionary, make_roles, make_trial
from grpo_fixtures import make_rollout

from interp.demo.answers import ALL, Answers
from interp.demo.findings import findings
from interp.demo.numbers import estimate_of, percent, points
from interp.demo.plan import MINUTES, PRESETS, Plan
from interp.demo.stages import BASE, CONTROL, DEEP, EASY, FEATURES, HARD, MEDIUM, ORACLE, RESAMPLED
from interp.demo.study import CONTROLS_CLAIM, LIKELIHOOD_CLAIM, study_sentence
from interp.demo.text import Section, opening, passing_share, training_section, trust, up_and_down
from interp.rollouts import Rollouts
from interp.stats import Estimate
from interp.studies.credit import CreditStudy
from interp.studies.difficulty import DifficultyConfig
from interp.studies.features import FeaturesConfig
from interp.tasks import Chain

PROBLEMS = 10


def answers_of(easy: str, hard: str, step: int = 1) -> Answers:
    """Answers to ten problems of each bucket: v valid, l lucky, d direct and right, and w wrong. Each has two."""
    kinds: dict[str, dict[str, Any]] = {
        "v": {"reward": 1, "valid": True},
        "l": {"reward": 1},
        "d": {"reward": 1, "format": "direct"},
        "w": {"reward": 0},
    }
    rows = [
        make_rollout(**kinds[kind], level=bucket, problem=f"{bucket} {number}", sample=sample, step=step)
        for bucket, pattern in ((EASY, easy), (HARD, hard))
        for number in range(PROBLEMS)
        for sample, kind in enumerate(pattern)
    ]
    return Answers(Rollouts(rows, config={"step": step}, made_from={"policy": "a", "task": "b"}))


# --- numbers ---------------------------------------------------------------------------------------------------------


def test_a_share_is_a_percentage_with_its_interval():
    assert percent(Estimate(0.364, 0.309, 0.42, 40)) == "36 [31, 42]"
    assert percent(Estimate(float("nan"))) == "-"


def test_a_difference_of_shares_has_a_sign_and_is_in_points():
    assert points(estimate_of({"d": -0.214, "l": -0.28, "h": 0.02}, "d", "l", "h")) == "-21 [-28, 2]"
    assert points(estimate_of({"d": 0.1, "l": None, "h": None}, "d", "l", "h")) == "+10"
    assert points(estimate_of({"d": None}, "d", "l", "h")) == "-"


def test_rates_and_changes_are_by_bucket_and_over_all():
    base, trained = answers_of("vw", "lw"), answers_of("vv", "lw")
    assert [trained.rate(bucket, "valid_rate").value for bucket in (EASY, HARD, ALL)] == [1, 0, 0.5]
    assert [trained.change_from(base, bucket, "valid_rate").value for bucket in (EASY, HARD, ALL)] == [0.5, 0, 0.25]
    assert trained.change_from(base, ALL, "valid_rate").n == 2 * PROBLEMS
    assert base.lucky_share(HARD).value == 1 and base.lucky_share(EASY).value == 0


def test_each_latent_counts_once_however_many_contrasts_it_passes():
    passed = (make_trial(1, "shortcut", "direct"), make_trial(1, "reasoning", "valid chain"))
    failed = make_trial(2, "shortcut", "cue", passes_contrast=False)
    assert (passing_share([*passed, failed]).value, passing_share([*passed, failed]).n) == (0.5, 2)
    assert passing_share([]).n == 0


def test_latents_are_counted_unless_there_are_too_few_prompts():
    verdicts: Any = SimpleNamespace(counts=lambda: {"strengthened": 3, "weakened": 2, "too few prompts": 0})
    assert up_and_down(verdicts) == "3 up, 2 down"
    verdicts.counts = lambda: {"strengthened": 0, "weakened": 0, "too few prompts": 9}
    assert up_and_down(verdicts) == "-"


def test_checkpoints_on_which_the_dictionary_is_not_trusted_are_named():
    drift: Any = SimpleNamespace(steps=(0, 10, 20), verdict=lambda step: "refit" if step == 20 else "trust")
    assert trust(drift) == "not at step 20"
    drift.verdict = lambda step: "trust"
    assert trust(drift) == "at each step"


# --- sentences -------------------------------------------------------------------------------------------------------


def test_a_section_is_numbered_wrapped_and_its_table_indented():
    section = Section("Title", "word " * 30, pl.DataFrame({"group": ["deep"], "n": [3]}), "A note.")
    lines = section.render(2).splitlines()
    assert lines[0].startswith("2 Title. word") and max(map(len, lines)) <= 100 and lines[1].startswith("  word")
    assert lines[-3:] == ["  group  n", "  deep   3", "  A note."]


def test_the_control_is_the_last_row_of_the_table_of_training(tmp_path):
    answers = {BASE: answers_of("vw", "lw", 0), RESAMPLED: answers_of("vw", "lw", 0), EASY: answers_of("vv", "lw")}
    section = training_section(answers, Plan.of_preset("tiny", tmp_path))
    assert section.table is not None and section.table["trained on"].to_list() == [EASY, RESAMPLED]
    assert section.table["easy: valid"].to_list()[0].startswith("+50 [")
    assert section.table["hard: pass"].to_list()[1].startswith("+0 [")


def test_the_study_of_credit_is_told_from_its_result_and_from_nothing_else(tmp_path):
    file = tmp_path / "result.json"
    assert study_sentence(file).endswith("has not been run here.")
    assert {LIKELIHOOD_CLAIM, CONTROLS_CLAIM} <= {claim.name for claim in CreditStudy.claims}

    def measure(claim: str, control: str, value: float) -> dict[str, object]:
        estimate = {"value": value, "low": value - 0.06, "high": value + 0.06, "n": 6}
        return {f"{claim}: likelihood + latents minus {control}: recovery, all depths": {"exact shares": estimate}}

    controls = {"likelihood + text": 0.01, "likelihood + completeness": -0.04, "text alone": 0.3}
    measures = measure(LIKELIHOOD_CLAIM, "likelihood", 0.08)
    measures |= {name: one for arm, x in controls.items() for name, one in measure(CONTROLS_CLAIM, arm, x).items()}
    verdicts = {LIKELIHOOD_CLAIM: {"verdict": "supported"}, CONTROLS_CLAIM: {"verdict": "inconclusive"}}
    file.write_text(json.dumps({"verdicts": verdicts, "measures": measures}))
    assert study_sentence(file) == (
        "The study, over bases: features beat the likelihood: supported (+8 [2, 14] points of the way from plain to "
        "the oracle); and every control: inconclusive (to likelihood + completeness: -4 [-10, 2])."
    )
    file.write_text(json.dumps({"verdicts": {}, "measures": {}}))
    assert study_sentence(file) == (
        "The study, over bases: features beat the likelihood: not judged; and every control: not judged."
    )


def test_there_are_five_findings_each_with_intervals_however_it_comes_out():
    answers = {name: answers_of("vd", "lw") for name in (BASE, RESAMPLED, EASY, MEDIUM, HARD, ORACLE)}
    roles = make_roles(make_trial(7, "shortcut"), tsae=axes_dictionary(4, layer=0))
    without_credit = list(findings(answers, roles))
    credit = {
        DEEP: answers_of("lw", "lw"), FEATURES: answers_of("vv", "lw"), CONTROL: answers_of("vv", "vw"),
    }  # fmt: skip
    sentences = list(findings(answers | credit, roles))
    assert len(sentences) == 5 and sentences[:4] == without_credit, "without credit there is no finding of it"
    assert all("[" in sentence for sentence in sentences)
    lucky = percent(answers[BASE].lucky_share(HARD))
    assert sentences[0] == f"Lucky, of right answers to hard problems: base {lucky}, base again {lucky}%."
    assert sentences[4].startswith("Credit by features: valid +50 [")
    assert "points over plain, -25 [" in sentences[4]


# --- sizes -----------------------------------------------------------------------------------------------------------


def test_the_full_preset_has_the_sizes_of_the_studies():
    sizes, training, latents = PRESETS["full"](), DifficultyConfig(), FeaturesConfig()
    assert (sizes.steps, sizes.prompts, sizes.group) == (training.steps, training.prompts, training.group)
    assert (sizes.fit_tokens, sizes.width, sizes.fit_steps) == (latents.tokens, latents.width, latents.fit_steps)
    assert sizes.seed == training.first_seed and sizes.roles.problems == latents.earn_problems


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_finds_the_problems_and_the_checkpoints_that_it_asks_for(preset, tmp_path):
    """A dry run of what `--preset full` would begin with: nothing is sampled."""
    plan, task = Plan.of_preset(preset, tmp_path), Chain()
    measured = {split: task.problems(split, None, plan.sizes.measured) for split in ("train", "eval", "probe")}
    assert all(len({problem.id for problem in problems}) == plan.sizes.measured for problems in measured.values())
    assert plan.training.steps // plan.training.save_every == plan.sizes.checkpoints
    assert plan.answering.seed == plan.roles.test_seed == plan.sizes.seed
    assert not plan.training_dir.exists() and plan.dictionary_dir.parent == tmp_path


def test_every_preset_says_how_long_it_takes(tmp_path):
    assert set(PRESETS) == set(MINUTES)
    assert f"About {MINUTES['full']} minutes" in opening(Plan.of_preset("full", tmp_path))


def test_what_decides_a_result_decides_its_place(tmp_path):
    plan = Plan.of_preset("demo", tmp_path)
    other_fit, other_seed = (Plan.of_preset("demo", tmp_path, **change) for change in ({"fit_steps": 7}, {"seed": 9}))
    assert other_fit.training_dir == plan.training_dir and other_fit.dictionary_dir != plan.dictionary_dir
    assert other_seed.training_dir != plan.training_dir and other_seed.dictionary_dir != plan.dictionary_dir
