"""A small study from end to end: it runs what is missing, resumes, judges again, and writes its result."""

import json
from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl
import pytest

from interp.artifacts import BadInput, Mismatch
from interp.plots import Point, dots
from interp.studies import STUDIES
from interp.studies.base import LEDGER, SUPPORTED, Claim, Figure, Study, Table, Verdict, deciding_fields, judge_above
from interp.studies.readings import EXACT
from interp.studies.results import Arm, share

SCORE = share("score", lambda record: record.get("score"))


def beats_base(results) -> Verdict:
    difference = results.difference("good", "base", SCORE)
    return judge_above([difference], {"good minus base": difference})


BETTER = Claim("better", "The good coin is better.", "Yes.", "Good minus base, by seed.", beats_base, ("A toy.",))


@dataclass(frozen=True)
class CoinConfig:
    seeds: int = 3
    first_seed: int = 1
    size: int = 10
    processes: int = 1


class Coins(Study[CoinConfig]):
    name = "coins"
    title = "Coins: is the good one better?"
    question = "Is the good coin better than the base?"
    summary = "The good coin is better."
    Config = CoinConfig
    committed = CoinConfig()
    claims = (
        Claim("better", "The good coin is better.", "Yes.", "Good minus base, by seed.", beats_base, ("A toy.",)),
    )
    measures = {"score": SCORE}  # noqa: RUF012
    background = "Nothing had been seen."

    def arms(self, config):
        return [
            Arm("base", "base"),
            *(Arm(name, {"name": name, **deciding_fields(config)}) for name in ("good", "bad")),
        ]

    def seeds(self, arm, config):
        return (None,) if arm.name == "base" else super().seeds(arm, config)

    def world_spec(self, config):
        return config.size

    def prepare(self, config, seed, directory):
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "world").write_text("ready")

    def run(self, arm, seed, config, directory):
        if seed is None:
            return {"score": 0.5}
        assert (directory / "world").read_text() == "ready", "worlds come before runs"
        with (directory / "log").open("a") as log:
            log.write(f"{arm.name}\n")
        return {"score": {"good": 0.9, "bad": 0.1}[arm.name] + seed / 1000}

    def method(self, config):
        return f"Coins of size {config.size}."

    def tables(self, results, config):
        return [Table("Scores", ("arm", "score"), [(arm, str(results.mean(arm, SCORE))) for arm in ("good", "bad")])]

    def figures(self, results, config):
        figure = dots({"": {"score": [Point("good", 0.9)]}}, y="score")
        return [Figure("Scores", "By arm.", figure, ("better",))]


@pytest.fixture
def out(tmp_path) -> Path:
    return tmp_path / "results" / "coins"


@pytest.fixture
def inline(monkeypatch) -> None:
    """Run jobs in this process: a pool takes seconds to start."""

    def run_jobs(jobs, work, finish, *, processes, name):
        for job in jobs:
            finish(job, work(job))

    monkeypatch.setattr("interp.studies.runner.run_jobs", run_jobs)


def test_a_study_runs_every_arm_and_seed_once_and_the_baseline_once(tmp_path, out):
    (judgement,) = Coins().execute(CoinConfig(), out, tmp_path / "runs")
    assert judgement.registered == SUPPORTED
    rows = [json.loads(line) for line in (out / LEDGER).read_text().splitlines()]
    assert sorted((row["arm"], str(row["seed"])) for row in rows) == sorted(
        [("base", "None"), *((arm, str(seed)) for arm in ("good", "bad") for seed in (1, 2, 3))]
    )


def test_figures_show_exact_intervals_of_shares(tmp_path, out, inline, monkeypatch):
    readings = []
    monkeypatch.setattr(Coins, "figures", lambda self, results, config: readings.append(results.reading) or [])
    Coins().execute(CoinConfig(), out, tmp_path / "runs")
    assert readings == [EXACT], "Student's interval of seeds that all have a share of 1 has no width"


def test_a_study_that_is_started_again_runs_what_is_missing(tmp_path, out, inline):
    Coins().execute(CoinConfig(seeds=1), out, tmp_path / "runs")
    Coins().execute(CoinConfig(seeds=2), out, tmp_path / "runs")
    logs = {log.parent.name: log.read_text().split() for log in tmp_path.glob("runs/*/*/log")}
    assert logs == {"1": ["good", "bad"], "2": ["good", "bad"]}


def test_a_result_of_other_runs_is_replaced_only_on_request(tmp_path, out, inline):
    study = Coins()
    study.execute(CoinConfig(seeds=2), out, tmp_path / "runs")
    with pytest.raises(Mismatch, match=r"holds a result of other runs: seeds \(expected 1, got 2\)"):
        study.execute(CoinConfig(seeds=1), out, tmp_path / "runs")
    with pytest.raises(Mismatch, match="first_seed"):
        study.execute(CoinConfig(seeds=2, first_seed=2), out, tmp_path / "runs", rejudge=True)
    assert json.loads((out / "result.json").read_text())["seeds"] == [1, 2]
    study.execute(CoinConfig(seeds=1), out, tmp_path / "runs", overwrite=True)
    assert json.loads((out / "result.json").read_text())["seeds"] == [1]
    study.execute(CoinConfig(seeds=2), out, tmp_path / "runs", rejudge=True)
    assert json.loads((out / "result.json").read_text())["seeds"] == [1, 2], "the ledger keeps every run"


def test_a_record_depends_on_its_arm_and_not_on_how_many_runs_there_are(tmp_path):
    def keys(base: str = "base", **settings) -> dict:
        jobs = Coins().jobs(CoinConfig(**settings), tmp_path)
        return {(job.arm.name, job.seed): Coins().ledger_key(job, base) for job in jobs}

    plain, more = keys(), keys(seeds=9, processes=2)
    assert plain.items() <= more.items() and len(more) == 2 * 9 + 1
    assert keys(size=11)["bad", 3] != plain["bad", 3] and keys("other base")["bad", 3] != plain["bad", 3]
    assert keys(size=11)["base", None] == plain["base", None], "the baseline has no size"


def test_runs_of_another_world_have_a_directory_of_their_own(tmp_path):
    first, other = (Coins().jobs(CoinConfig(size=size), tmp_path)[-1].directory for size in (10, 11))
    assert first.parent != other.parent and first.name == other.name == "3"


def test_judging_again_runs_nothing(tmp_path, out, inline):
    study = Coins()
    with pytest.raises(BadInput, match="expected records of this config and base in .*runs.jsonl, got none"):
        study.execute(CoinConfig(), out, tmp_path / "runs", rejudge=True)
    study.execute(CoinConfig(seeds=2), out, tmp_path / "runs")
    before = (out / LEDGER).read_bytes()
    (judgement,) = study.execute(CoinConfig(), out, tmp_path / "runs", rejudge=True)
    assert (out / LEDGER).read_bytes() == before
    assert judgement.by_reading["as registered"].measures["good minus base"].n == 2, "two seeds of three are there"


def test_rows_of_the_first_format_serve_the_committed_config_alone(tmp_path, out, monkeypatch):
    monkeypatch.setattr(Coins, "base_fingerprint", lambda self, config: "base")
    monkeypatch.setattr("interp.studies.base.COMMITTED_BASE", "base")
    out.mkdir(parents=True)
    rows = [
        {"arm": "good", "seed": 1, "score": 0.8},
        {"arm": "good", "seed": 2, "score": 0.9},
        {"arm": "lost", "seed": 1},
    ]
    (out / LEDGER).write_text("".join(json.dumps({"key": f"{n}", "record": row}) + "\n" for n, row in enumerate(rows)))
    results = Coins().load_results(CoinConfig(), out)
    assert results.mean("good", SCORE).value == pytest.approx(0.85)
    with pytest.raises(BadInput, match="got none"):
        Coins().load_results(CoinConfig(size=11), out)


def test_the_result_is_written_as_data_as_a_table_and_as_a_page_that_needs_no_network(tmp_path, out, inline):
    study = Coins()
    study.execute(CoinConfig(), out, tmp_path / "runs")
    data = json.loads((out / "result.json").read_text())
    assert data["verdicts"]["better"]["as registered"] == SUPPORTED and data["seeds"] == [1, 2, 3]
    assert data["measures"]["better: good minus base"]["as registered"]["value"] == pytest.approx(0.402)
    assert data["arms"]["bad"]["score"]["n"] == 3 and data["config"]["size"] == 10
    assert set(data["measures"]["better: good minus base"]) == {"as registered", "exact shares", "any shape"}
    text = (out / "README.md").read_text()
    for part in ("Coins of size 10.", "Good minus base, by seed.", "A toy.", "## Scores", "Nothing had been seen."):
        assert part in text
    numbers = pl.read_csv(out / "numbers.csv")
    assert set(numbers["of"]) == {"claim", "arm"}
    (row,) = numbers.filter((pl.col("of") == "arm") & (pl.col("name") == "good")).to_dicts()
    assert row["value"] == data["arms"]["good"][row["measure"]]["value"] and row["n"] == 3
    page = (out / "figure.html").read_text()
    assert 'src="../plotly.min.js"' in page and "https://cdn" not in page
    assert "<br>The good coin is better. <b>Supported</b> as registered; supported corrected" in page


@pytest.mark.parametrize("study", STUDIES.values(), ids=STUDIES)
def test_every_claim_has_a_name_of_its_own_a_prediction_and_a_rule(study):
    assert len({claim.name for claim in study.claims}) == len(study.claims)
    assert all(claim.text and claim.prediction for claim in study.claims)
    assert all(
        "upported" in claim.rule or "The same" in claim.rule or "same rule" in claim.rule for claim in study.claims
    )


@pytest.mark.parametrize("study", STUDIES.values(), ids=STUDIES)
def test_every_run_of_a_study_has_a_key_of_its_own(study, tmp_path):
    jobs = study.jobs(study.Config(), tmp_path)
    keys = {json.dumps(study.ledger_key(job, "base"), sort_keys=True) for job in jobs}
    assert len(keys) == len(jobs) > 0
    fewer = study.jobs(replace(study.Config(), processes=1), tmp_path)
    assert keys == {json.dumps(study.ledger_key(job, "base"), sort_keys=True) for job in fewer}
