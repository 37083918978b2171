"""The study from end to end: the jobs that are missing, then table, verdicts and figure from the ledger."""

from pathlib import Path

from interp.studies.difficulty.arms import of_part, seeds
from interp.studies.difficulty.config import DifficultyConfig
from interp.studies.difficulty.work import Job, key_of, work
from interp.studies.harness import Ledger, Record, do

LEDGER = "runs.jsonl"


def jobs(config: DifficultyConfig, runs: Path) -> list[Job]:
    """The base first, then part by part, each arm's seeds together; an arm of two parts once."""
    listed = {(None, 0): Job(None, 0, config, runs)}
    for part in config.parts:
        for seed_at in range(config.seeds):
            for arm in of_part(part):
                if seed_at < len(own := seeds(arm, config)):
                    listed.setdefault((arm, own[seed_at]), Job(arm, own[seed_at], config, runs))  # pyright: ignore
    return list(listed.values())


def collect(config: DifficultyConfig, out: Path, runs: Path) -> list[Record]:
    """Run what the ledger lacks; the records of all jobs, in order."""
    from interp.organism import shipped
    from interp.policy.directory import fingerprint_of

    policy = fingerprint_of(shipped())
    ledger = Ledger(out / LEDGER, lambda job: key_of(job, policy))
    everything = jobs(config, runs)
    do(everything, work, ledger, processes=config.processes, name="difficulty")
    return [ledger[job] for job in everything]
