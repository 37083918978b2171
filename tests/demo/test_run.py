"""The demo from end to end with little of everything: stopped and resumed, as text, as JSON, as a report."""

import json
import re

from demo_fixtures import STOPS, TinyDemo, run_tiny, saved_files

from interp.demo.stages import ARMS, BASE, CREDIT, RESAMPLED
from interp.grpo import Run

SECTIONS = ("The base", "GRPO", "A temporal SAE", "Roles", "Tracks", "Hard less medium", "Credit")


def sections_of(text: str) -> list[str]:
    """Titles of the numbered sections."""
    return re.findall(r"^\d ([^.]*)\.", text, re.MULTILINE)


def test_a_stopped_demo_keeps_every_stage_that_was_done(tiny_demo: TinyDemo):
    assert [output.code for output, _ in tiny_demo.stops] == [130] * len(STOPS) and tiny_demo.last.code == 0
    assert [len(sections_of(output.text)) for output, _ in tiny_demo.stops] == [1, 3]
    snapshots = [files for _, files in tiny_demo.stops]
    for before, after in zip(snapshots, [*snapshots[1:], saved_files(tiny_demo.out)], strict=True):
        assert {path: after[path] for path in before} == before
    assert len(snapshots[0]) < len(snapshots[1])


def test_all_stages_fit_on_a_screen_and_end_in_findings_and_the_report(tiny_demo: TinyDemo):
    lines = tiny_demo.last.text.splitlines()
    assert len(lines) <= 40 and max(map(len, lines)) <= 100
    assert tuple(sections_of(tiny_demo.last.text)) == SECTIONS
    assert [line[:10] for line in lines if line.startswith("Finding")] == [f"Finding {n}." for n in range(1, 6)]
    assert lines[-1].endswith(str(tiny_demo.out / "report.html"))


def test_the_base_is_measured_on_other_answers_than_decided_the_buckets(tiny_demo: TinyDemo):
    from interp.rollouts import Buckets, Rollouts

    (place,) = tiny_demo.out.glob("training-*")
    measured, rollouts = Buckets.load(place / "buckets" / "eval"), Rollouts.load(place / "answers" / BASE)
    bucket_of = {row.problem.id: row.bucket for row in measured}
    assert {row.level for row in rollouts} <= {"easy", "medium", "hard"}
    assert all(row.level == bucket_of[row.problem] for row in rollouts)
    purposes = {name: Rollouts.load(place / "answers" / name).config["purpose"] for name in (BASE, "base-again")}
    assert purposes == {BASE: "evaluate", "base-again": "evaluate base again"}
    assert {row.problem for row in rollouts}.isdisjoint(
        row.problem.id for row in Buckets.load(place / "buckets" / "train")
    )


def read_report(demo: TinyDemo) -> str:
    return (demo.out / "report.html").read_text()


# --- credit ----------------------------------------------------------------------------------------------------------


def test_a_finished_demo_is_opened_with_credit_by_features_beside_its_control(tiny_demo: TinyDemo):
    before = saved_files(tiny_demo.out)
    output = run_tiny(tiny_demo.out, "--json")
    assert output.code == 0 and {path: saved_files(tiny_demo.out)[path] for path in before} == before
    result = json.loads(output.text)
    assert set(result["evaluations"]) == {BASE, RESAMPLED, *ARMS, *CREDIT}
    assert {"fve", "l0", "ce_recovered"} <= set(result["dictionary"]) and {"summary", "table"} == set(result["roles"])
    assert set(result["tracks"]) == {"easy", "medium", "hard"} and "drift" in result["tracks"]["hard"]
    assert {"summary", "table", "relations", "behavior"} == set(result["comparison"])
    features, control = result["credit"]
    assert [row["success"] for row in features] == ["valid", "lucky"]
    assert {"p", "paid", "control_p", "control_paid"} < set(features[0]) and "control_p" not in control[0]
    assert result["findings"][-1].startswith("Credit by features: valid ")
    assert result["report"] == str(tiny_demo.out / "report.html") and "credit" in result["seconds"]


def test_the_report_says_what_both_arms_of_credit_read(tiny_demo: TinyDemo):
    index = json.loads(re.findall(r'id="report-index"[^>]*>(.*?)</script>', read_report(tiny_demo), re.DOTALL)[0])
    runs = ["easy", "medium", "hard", "hard-valid-only", "deep", "deep-parser", "deep-features", "deep-valid-only"]
    assert [run["name"] for run in index["runs"]] == runs
    assert len(index["features"]["tracks"]) > 0 and len(index["comparisons"]) == 1
    features, control = index["rollouts"]["payments"]
    assert features["scheme"]["sources"] == ["likelihood", "latents"]
    assert features["control"]["name"] == "likelihood + completeness"
    assert control["scheme"]["sources"] == ["likelihood", "completeness"] and control["control"] is None
    assert not any("What the credit of" in sentence for sentence in index["left_out"])


def test_credits_are_compared_at_one_unit_of_advantages(tiny_demo: TinyDemo):
    scales = {
        path.parent.name: Run.open(path.parent).config.scale for path in tiny_demo.out.glob("*/deep*/manifest.json")
    }
    assert scales == dict.fromkeys(("deep", "deep-parser", "deep-features", "deep-valid-only"), "none")


def test_without_training_the_base_alone_is_measured_beside_what_is_there(tiny_demo: TinyDemo):
    before = saved_files(tiny_demo.out)
    output = run_tiny(tiny_demo.out, "--train-steps", "0", "--seed", "1")
    assert output.code == 0 and sections_of(output.text) == ["The base"] and "report.html" in output.text
    assert before.items() < saved_files(tiny_demo.out).items()
