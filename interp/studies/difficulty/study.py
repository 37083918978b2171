"""The study from end to end: the runs that are missing, then verdicts, table and figures from the ledger."""

from pathlib import Path

from interp.studies.difficulty.analysis import Records
from interp.studies.difficulty.arms import of_part, seeds
from interp.studies.difficulty.config import DifficultyConfig
from interp.studies.difficulty.work import Job, key_of, work
from interp.studies.harness import Ledger, Record, do
from interp.studies.verdict import Judged

LEDGER = "runs.jsonl"


def study(config: DifficultyConfig, out: Path, runs: Path) -> list[Judged]:
    """`out` gets the result, `runs` the run directories. Killed and started again, it does what is missing."""
    from interp.studies.difficulty.result import write

    return write(Records(collect(config, out, runs)), config, out)


def jobs(config: DifficultyConfig, runs: Path) -> list[Job]:
    """The base first, then part by part, each arm's seeds in turn; an arm of two parts once."""
    listed = [Job(None, 0, config, runs)]
    for part in config.parts:
        arms = [(arm, seeds(arm, config)) for arm in of_part(part)]
        turns = range(max(len(own) for _, own in arms))
        listed += [Job(arm, own[turn], config, runs) for turn in turns for arm, own in arms if turn < len(own)]
    return list(dict.fromkeys(listed))


def collect(config: DifficultyConfig, out: Path, runs: Path) -> list[Record]:
    """Run what the ledger lacks; the records of all jobs, in order."""
    from interp.organism import shipped
    from interp.policy.directory import fingerprint_of

    policy = fingerprint_of(shipped())
    ledger = Ledger(out / LEDGER, lambda job: key_of(job, policy))
    everything = jobs(config, runs)
    do(everything, work, ledger, processes=config.processes, name="difficulty")
    return [ledger[job] for job in everything]
