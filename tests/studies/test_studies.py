"""Studies: what seeds say, ledgers that resume, and rules that turn numbers into verdicts."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interp.artifacts import BadInput, fingerprint_config
from interp.studies.difficulty import arms
from interp.studies.difficulty.analysis import Records, level
from interp.studies.difficulty.arms import Arm
from interp.studies.difficulty.claims import CLAIMS
from interp.studies.difficulty.config import DifficultyConfig
from interp.studies.difficulty.prediction import contrast, positive_mass
from interp.studies.difficulty.result import write
from interp.studies.difficulty.study import jobs
from interp.studies.difficulty.verdicts import INCONCLUSIVE, NOT_SUPPORTED, SUPPORTED, judge
from interp.studies.difficulty.work import key_of, run_config
from interp.studies.estimates import Estimate, crossing, mean, smoothed, time_to_half
from interp.studies.harness import Ledger, do

# --- what seeds say ------------------------------------------------------------------------------------------------


def test_a_mean_has_students_interval_and_counts_the_seeds_it_is_of():
    found = mean([1.0, 2.0, 3.0, None])
    assert (found.value, found.n) == (2.0, 3)
    assert found.low == pytest.approx(2 - 4.30265 / 3**0.5, abs=1e-4)  # t(2 degrees of freedom) = 4.30265, deviation 1
    assert mean([0.5]) == Estimate(0.5, None, None, 1)
    assert mean([]) == Estimate(None, None, None, 0)


def test_an_estimate_lies_above_or_below_zero_only_with_its_whole_interval():
    assert Estimate(0.2, 0.1, 0.3, 5).above and not Estimate(0.2, -0.1, 0.5, 5).above
    assert Estimate(-0.2, -0.3, -0.1, 5).below and not Estimate(0.2, None, None, 1).above


def test_a_curve_crosses_zero_where_the_line_between_doses_does():
    at, share = crossing([0, 1, 2], seeded([3.0] * 5, [1.0] * 5, [-1.0] * 5), falling=True)
    assert (at.value, at.low, at.high, share) == (1.5, 1.5, 1.5, 1.0)
    nowhere, share = crossing([0, 1], seeded([3.0] * 5, [1.0] * 5), falling=True)
    assert nowhere.value is None and share == 0.0


def test_a_curve_that_crosses_the_other_way_does_not_count():
    rising = seeded([-1.0] * 5, [1.0] * 5)
    assert crossing([0, 1], rising, falling=True)[1] == 0.0
    assert crossing([0, 1], rising, falling=False)[0].value == 0.5


def seeded(*values: list[float]) -> list[dict[int, float]]:
    """By dose and by seed, from lists by dose."""
    return [dict(enumerate(row)) for row in values]


def test_seeds_are_drawn_with_their_whole_curves():
    shifts = [-0.4, -0.2, 0.0, 0.2, 0.4]  # each seed crosses at a place of its own, and steeply
    table = seeded(*([10 * (0.5 + shift - dose) for shift in shifts] for dose in (0.0, 0.5, 1.0)))
    at, _ = crossing([0.0, 0.5, 1.0], table, falling=True)
    assert at.value == pytest.approx(0.5) and at.low == pytest.approx(0.5 - 0.24, abs=0.05)


def test_a_crossing_that_hangs_on_the_seeds_has_no_interval():
    at, share = crossing([0, 1], seeded([1.0] * 5, [-9.0, 3.0, 3.0, 3.0, 3.0]), falling=True)
    assert 0.2 < share < 0.9 and at.low is None


@settings(max_examples=25)  # each is a whole bootstrap
@given(st.floats(0.1, 0.9), st.floats(0.01, 0.05))
def test_the_interval_of_a_crossing_holds_the_crossing(where, noise):
    doses = [0.0, 0.5, 1.0]
    values = seeded(*([where - dose + noise * sign for sign in (-1, -0.5, 0, 0.5, 1)] for dose in doses))
    at, share = crossing(doses, values, falling=True)
    assert share > 0.9 and at.value == pytest.approx(where)
    if at.low is not None and at.high is not None:
        assert at.low <= where + 1e-9 and where - 1e-9 <= at.high


def test_half_the_way_is_gone_when_it_is_gone_for_good():
    assert time_to_half([0, 10, 20], [0.0, 1.0, 2.0]) == 10
    assert time_to_half([0, 10, 20, 30], [0.0, 3.0, 0.0, 4.0]) == 25  # the first excursion did not last
    assert time_to_half([0, 10], [1.0, 1.0]) is None
    assert smoothed([1.0, 2.0, 3.0, 5.0, 3.0], 3) == [1.0, 2.0, pytest.approx(10 / 3), pytest.approx(11 / 3), 3.0]


# --- the harness ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Square:
    of: int
    log: str = ""


def squared(job: Square) -> dict[str, int]:
    if job.log:
        with Path(job.log).open("a") as handle:
            handle.write(f"{job.of}\n")
    return {"square": job.of**2}


def test_jobs_are_done_once_and_a_ledger_remembers_them(tmp_path):
    path, log = tmp_path / "ledger.jsonl", str(tmp_path / "log")
    wanted = [Square(n, log) for n in (1, 2, 3)]
    ledger = Ledger(path, lambda job: job.of)
    do(wanted[:2], squared, ledger, processes=1, name="squares")
    again = Ledger(path, lambda job: job.of)
    do(wanted, squared, again, processes=1, name="squares")
    assert [again[job]["square"] for job in wanted] == [1, 4, 9]
    assert Path(log).read_text().split() == ["1", "2", "3"]


@pytest.mark.parametrize("by", [signal.SIGKILL, signal.SIGINT])
def test_workers_end_with_the_process_that_began_them(tmp_path, by):
    code = (
        "from pathlib import Path; from test_studies import Square, asleep\n"
        "from interp.studies.harness import Ledger, do\n"
        "if __name__ == '__main__':\n"
        f"    jobs = [Square(n, {str(tmp_path / 'pid')!r}) for n in (1, 2, 3)]\n"
        f"    ledger = Ledger(Path({str(tmp_path / 'runs.jsonl')!r}), lambda job: job)\n"
        "    do(jobs, asleep, ledger, processes=1, name='asleep')\n"
    )
    (tmp_path / "main.py").write_text(code)
    path = os.pathsep.join([str(Path(__file__).parent), str(Path(__file__).parents[2])])
    parent = subprocess.Popen([sys.executable, str(tmp_path / "main.py")], env=os.environ | {"PYTHONPATH": path})
    pid = int(eventually(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text()))
    parent.send_signal(by)
    assert parent.wait(60) != 0
    assert eventually(lambda: not alive(pid))


def test_parts_that_do_not_exist_are_refused():
    with pytest.raises(BadInput, match="parts must be some of difficulty, credit, .*; got foo"):
        DifficultyConfig(parts=("luck", "foo"))


def asleep(job: Square) -> dict[str, int]:
    Path(job.log + ".partial").write_text(str(os.getpid()))
    Path(job.log + ".partial").rename(job.log)
    time.sleep(600)
    return {}


def eventually(holds, seconds: float = 60):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if found := holds():
            return found
        time.sleep(0.1)
    raise AssertionError("it did not come to pass")


def alive(pid: int) -> bool:
    status = Path(f"/proc/{pid}/stat")
    return status.exists() and status.read_text().rsplit(")", 1)[1].split()[0] != "Z"


# --- the difficulty study ------------------------------------------------------------------------------------------

DEPTHS = range(1, 11)


def record(arm: Arm | None, seed: int, valid: dict[int, float], *, lucky: float = 0.5) -> dict:
    final = {str(d): {"valid_rate": valid.get(d, 0.0), "pass_rate": 0.5} for d in DEPTHS}
    steps = list(range(41))
    watched = {
        str(s): {str(d): {"valid_rate": 0.5, "pass_rate": 0.5 - s / 100} for d in (1, 2, 3)} for s in (0, 20, 40)
    }
    training = {
        "step": steps,
        "direct_share": [min(1.0, 0.5 + s / 40) for s in steps],
        "length": [20.0 - s / 4 for s in steps],
    }
    more = {"lucky_share": [lucky] * 41, "mixed_groups": [20] * 41}
    return {
        "arm": str(arm) if arm else None,
        "seed": seed,
        "final": final,
        "watched": watched,
        "steps": training | more,
    }


def world(**ends: float) -> Records:
    """Records in which an arm ends at a valid rate at depths 1 to 3 (others 0), by its name; the base is at 0.3."""
    rows = [record(None, 0, dict.fromkeys((1, 2, 3), 0.3))]
    for name, end in ends.items():
        arm = KNOWN[name]
        lucky = 0.99 if arm.bucket == "hard" else 0.6
        for seed in (101, 102, 103, 104, 105):
            rows.append(record(arm, seed, {1: end, 2: end, 3: end + 0.003 * (seed - 103)}, lucky=lucky))
    return Records(rows)


KNOWN = {
    "easy": Arm("easy"),
    "medium": Arm("medium"),
    "hard": Arm("hard"),
    "hard_dr": Arm("hard", "dr-grpo"),
    "hard_valid": Arm("hard", credit="valid-only"),
    **{f"luck_{at}": arm for at, arm in enumerate(arms.luck("grpo"))},
    **{f"luck_token_{at}": arm for at, arm in enumerate(arms.luck("bnpo"))},
}


def verdicts(records: Records) -> dict[str, str]:
    return {judged.claim.name: judged.verdict for judged in judge(records)}


def test_a_change_is_against_the_base_at_the_same_depths():
    records = world(hard=0.1)
    assert records.change(Arm("hard"), (1, 2, 3)).value == pytest.approx(-0.2)
    assert records.change(Arm("hard"), (4, 5)).value == pytest.approx(0.0)
    assert level(records.base["final"], [1, 4], "valid_rate") == pytest.approx(0.15)


def test_claims_are_judged_by_their_rules():
    found = verdicts(world(easy=0.4, medium=0.6, hard=0.1, hard_dr=0.5, hard_valid=0.8))
    assert found["inverted-u"] == SUPPORTED and found["hard-harms"] == SUPPORTED
    assert found["harm-under-any-loss"] == NOT_SUPPORTED
    assert found["luck-is-the-channel"] == SUPPORTED
    found = verdicts(world(easy=0.7, medium=0.6, hard=0.5, hard_valid=0.4))
    assert found["inverted-u"] == NOT_SUPPORTED and found["hard-harms"] == NOT_SUPPORTED
    assert found["luck-is-the-channel"] == NOT_SUPPORTED


def test_what_was_not_run_is_inconclusive():
    assert set(verdicts(world()).values()) == {INCONCLUSIVE}


def test_the_dose_of_luck_is_where_the_change_crosses_zero():
    falling = {f"{kind}_{at}": 0.5 - 0.1 * at for kind in ("luck", "luck_token") for at in range(5)}
    rising = {name: 0.6 - end for name, end in falling.items()}
    assert verdicts(world(**rising))["dose-of-luck"] == NOT_SUPPORTED
    judged = next(j for j in judge(world(**falling)) if j.claim.name == "dose-of-luck")
    assert judged.verdict == SUPPORTED
    assert judged.measures["luck at the crossing, depths 1-3, rollout mean"].value == pytest.approx(0.5, abs=0.01)


def test_what_moves_first_is_told_in_steps():
    records = world(hard=0.1)
    halfway = records.halfway(Arm("hard"))
    assert halfway["pass_rate"] == [20.0] * 5  # from 0.5 to 0.1 over 40 steps, evenly
    assert halfway["valid_rate"] == [None] * 5  # it never moved
    assert halfway["direct_share"] == [10.0] * 5  # from 0.5 at step 0 to 1 at step 20
    assert records.lead(Arm("hard"), "direct_share", "pass_rate").value == 10
    assert records.fall(Arm("hard"), "pass_rate").value == pytest.approx(0.4)
    assert verdicts(records)["shortening-leads"] == SUPPORTED


def test_every_claim_has_a_prediction_and_a_rule():
    assert len({claim.name for claim in CLAIMS}) == len(CLAIMS) == len(verdicts(world()))
    assert all(claim.prediction and "upported" in claim.rule or "same rule" in claim.rule for claim in CLAIMS)


def test_arithmetic_predicts_the_masses_of_the_literature():
    """Section 1.5 of the facts: groups of 8."""
    for rate, mixed, standardised, centred in (
        (0.01, 0.077, 0.21, 0.07),
        (0.1, 0.570, 1.68, 0.63),
        (0.5, 0.992, 3.71, 1.75),
    ):
        assert contrast(rate, 8) == pytest.approx(mixed, abs=6e-4)
        assert positive_mass(rate, 8, standardised=True) == pytest.approx(standardised, abs=6e-3)
        assert positive_mass(rate, 8, standardised=False) == pytest.approx(centred, abs=6e-3)


def test_arms_that_serve_in_several_parts_are_run_once():
    config = DifficultyConfig()
    listed = jobs(config, Path("runs"))
    keys = [fingerprint_config(key_of(job, "policy")) for job in listed]
    assert len(set(keys)) == len(keys)
    assert len({job.out for job in listed if job.arm}) == len(listed) - 1  # the base is not trained
    main = [job.seed for job in listed if job.arm == Arm("hard")]
    assert sorted(main) == list(range(101, 109))  # eight seeds, though the dose-response asks for five of them
    assert len([job for job in listed if job.arm == Arm("medium", valid=0.5)]) == 5


def test_a_record_hangs_on_what_was_run_and_not_on_where_or_how_many():
    job = jobs(DifficultyConfig(), Path("runs"))[1]
    elsewhere = replace(job, runs=Path("other"), config=replace(job.config, seeds=3, processes=1))
    assert key_of(job, "p") == key_of(elsewhere, "p")
    assert key_of(job, "p") != key_of(replace(job, config=replace(job.config, steps=41)), "p")
    assert key_of(job, "p") != key_of(job, "q")


def test_dials_and_losses_reach_the_run():
    token_mean = next(job for job in jobs(DifficultyConfig(), Path("runs")) if job.arm == Arm("hard", "bnpo", luck=0.5))
    assert run_config(token_mean).objective().reduction == "token"
    assert token_mean.arm is not None and token_mean.arm.scheme().luck == 0.5  # pyright: ignore
    contrasted = next(job for job in jobs(DifficultyConfig(), Path("runs")) if job.arm and job.arm.contrast)
    assert run_config(contrasted).objective().redraw


def test_the_result_is_written_as_data_as_a_table_and_as_a_page_that_needs_no_network(tmp_path):
    records = world(easy=0.4, medium=0.6, hard=0.1)
    out = tmp_path / "difficulty"
    write(records, DifficultyConfig(), out)
    data = json.loads((out / "result.json").read_text())
    assert data["arms"]["hard, grpo"]["depths 1-3"]["value"] == pytest.approx(-0.2)
    assert data["verdict"]["hard-harms"] == SUPPORTED and data["seeds"] == [101, 102, 103, 104, 105]
    assert "| hard, grpo | 5 | -0.20" in (out / "README.md").read_text()
    page = (out / "figure.html").read_text()
    assert 'src="../plotly.min.js"' in page and "https://cdn" not in page and (tmp_path / "plotly.min.js").exists()
