"""Training on a measured bucket: the same base, task, split and prompts as it was measured with, or a refusal."""

import warnings
from dataclasses import replace

import pytest
from grpo_fixtures import FirstWord, small_config

from interp.artifacts import BadInput, Mismatch, to_json
from interp.grpo.loop import _with_lr, train
from interp.grpo.measured import with_measured
from interp.policy import Policy, PromptFormat, SampleConfig
from interp.policy.prompts import PLAIN
from interp.rollouts import BucketConfig, Buckets, EvaluateConfig, Series, bucket, evaluate, roll_out
from interp.rollouts.buckets import MeasuredProblems

TASK = FirstWord()
PROBLEMS = TASK.problems("train", 1, 3)
CONFIG = small_config(group=2)
FORMAT = PromptFormat(suffix=" 1", stop=("7",))


@pytest.fixture(scope="module")
def base(tiny):
    return tiny["qwen3"]


def measured(base, problems=PROBLEMS, *, task=TASK, **config) -> MeasuredProblems:
    """Problems as if they had been measured with these settings."""
    settings = to_json(replace(BucketConfig(n=8, max_new_tokens=CONFIG.sampling.max_new_tokens), **config))
    return MeasuredProblems(
        problems, config=settings, made_from={"policy": base.fingerprint(), "task": task.fingerprint()}
    )


def test_problems_measured_in_the_same_way_leave_the_config_as_it_is(base):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert with_measured(CONFIG, measured(base), base, TASK) == CONFIG
        assert with_measured(CONFIG, list(measured(base)), base, TASK) == CONFIG


def test_the_run_asks_as_the_buckets_did(base):
    problems = measured(base, prefix="1 ", stop=("7",))
    assert with_measured(CONFIG, problems, base, TASK).prompt_format == PromptFormat(prefix="1 ", stop=("7",))
    with pytest.raises(Mismatch, match="differ from those of the buckets: prefix '1 ' there, '' here; suffix"):
        with_measured(replace(CONFIG, suffix=" 1"), measured(base, prefix="1 "), base, TASK)


def test_a_part_of_a_bucket_carries_what_it_was_measured_with(base):
    part = measured(base, prefix="1 ")[1:]
    assert part == PROBLEMS[1:] and with_measured(CONFIG, part, base, TASK).prefix == "1 "
    assert part[0] == PROBLEMS[1]


def test_another_base_or_task_is_refused(base, tiny):
    with pytest.raises(Mismatch, match="expected problems measured with this policy"):
        with_measured(CONFIG, measured(tiny["llama"]), base, TASK)
    with pytest.raises(Mismatch, match="expected problems measured with this task"):
        with_measured(CONFIG, measured(base, task=FirstWord("all")), base, TASK)


def test_problems_that_are_kept_to_measure_on_are_refused(base):
    mixed = [*PROBLEMS, *TASK.problems("eval", 1, 2)]
    with pytest.raises(BadInput, match=r"of the split train, got 2 of eval, .*--split train"):
        with_measured(CONFIG, measured(base, mixed), base, TASK)


@pytest.mark.parametrize("setting", [{"temperature": 0.5}, {"max_new_tokens": 4}])
def test_another_temperature_or_length_is_a_warning(base, setting):
    (name, value), *_ = setting.items()
    with pytest.warns(UserWarning, match=f"{name} is .* here and {value} in the buckets"):
        with_measured(CONFIG, measured(base, **setting), base, TASK)


def test_a_bucket_of_the_library_carries_what_it_was_measured_with(base, tmp_path):
    config = BucketConfig(n=8, max_new_tokens=3, **to_json(FORMAT) | {"stop": FORMAT.stop})
    buckets = bucket(base, TASK, PROBLEMS, config=config, progress=False)
    buckets.save(tmp_path / "b")
    name = next(name for name, count in buckets.counts().items() if count)
    problems = Buckets.load(tmp_path / "b").problems(name)
    assert problems == buckets.problems(name) and problems.made_from["policy"] == base.fingerprint()
    assert with_measured(CONFIG, problems, base, TASK).prompt_format == FORMAT


def test_a_run_records_its_prompts_and_later_stages_ask_in_the_same_way(base, tmp_path):
    config = small_config(steps=1, prompts=2, without_signal="go on", update={"lr": None})
    config = replace(config, suffix=FORMAT.suffix, stop=FORMAT.stop)
    run = train(base, TASK, 1, config=config, out=tmp_path / "run", progress=False)
    assert run.series.prompt_format == FORMAT and run.config.update.lr == 2e-4 and base.path is None
    rows = run.rollouts(1)
    assert all("7" not in row.completion for row in rows)
    plain, formatted = (tuple(base.encode([rows[0].prompt], each)[0]) for each in (PromptFormat(), FORMAT))
    assert rows[0].prompt_ids == formatted != plain
    sampling = SampleConfig(group=2, max_new_tokens=4)
    assert PromptFormat.stated_in(rows.config) == FORMAT and rows.config["sampling"]["group"] == config.sampling.group
    checkpoint = run.policy(device="cpu")
    assert with_measured(small_config(), 1, checkpoint, TASK).prompt_format == FORMAT
    again = roll_out(run.policy(device="cpu"), TASK, PROBLEMS, sampling, progress=False)
    assert PromptFormat.from_config(again.config) == FORMAT
    plain = roll_out(checkpoint, TASK, PROBLEMS, sampling, prompt_format=PromptFormat(), progress=False)
    assert PromptFormat.from_config(plain.config) == PromptFormat()
    measure = EvaluateConfig(group=2, k=(1,), max_new_tokens=4)
    evaluation = evaluate(run.series, TASK, measure, problems=PROBLEMS, device="cpu", progress=False)
    assert PromptFormat.from_config(evaluation.config) == FORMAT
    with pytest.warns(UserWarning, match="differ from those of the run of these checkpoints"):
        evaluate(run.series, TASK, replace(measure, prefix="1 "), problems=PROBLEMS, device="cpu", progress=False)


def test_a_learning_rate_for_small_models_is_a_warning_on_a_large_one():
    large = 135_000_000
    with pytest.warns(UserWarning, match="lr 0.0002 is far above 1e-05, which suits a model of 135,000,000 parameters"):
        assert _with_lr(small_config(update={"lr": 2e-4}), large).update.lr == 2e-4
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert _with_lr(small_config(update={"lr": 2e-4}), 200_000).update.lr == 2e-4
        assert _with_lr(small_config(update={"lr": None}), large).update.lr == 1e-5


def test_every_checkpoint_of_a_table_is_asked_in_the_format_of_its_config(tiny, tmp_path):
    """Another checkpoint of a run in the series must not be asked as its own run asked."""
    task, problems = FirstWord(), FirstWord().problems("eval", 1, 2)
    config = replace(small_config(steps=1, prompts=2, without_signal="go on"), suffix=" 1")
    run = train(tiny["qwen3"], task, 1, config=config, out=tmp_path / "run", progress=False)
    tiny["qwen3"].save(tmp_path / "other")
    asked = []
    real = Policy.encode

    def encode(self, texts, prompt_format=PLAIN):
        asked.append(prompt_format.suffix)
        return real(self, texts, prompt_format)

    series = Series.from_dirs([run.checkpoint(1), tmp_path / "other"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Policy, "encode", encode)
        evaluation = evaluate(
            series,
            task,
            EvaluateConfig(group=2, k=(1,), max_new_tokens=2),
            problems=problems,
            device="cpu",
            progress=False,
        )
    assert set(asked) == {""} and PromptFormat.from_config(evaluation.config) == PLAIN
