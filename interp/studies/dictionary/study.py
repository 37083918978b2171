"""The study from end to end: the dictionaries that are missing, then verdicts, table and figures from the ledger."""

from pathlib import Path

from interp.studies.dictionary.analysis import Records
from interp.studies.dictionary.config import ARMS, RANDOM, DictionaryConfig
from interp.studies.dictionary.work import RESIDUAL, RESIDUAL_RANDOM, Job, key_of, work
from interp.studies.harness import Ledger, Record, do
from interp.studies.verdict import Judged

LEDGER = "runs.jsonl"


def study(config: DictionaryConfig, out: Path, runs: Path) -> list[Judged]:
    """`out` gets the result, `runs` the worlds. Killed and started again, it does what is missing."""
    from interp.studies.dictionary.result import write

    return write(Records(collect(config, out, runs)), config, out)


def jobs(config: DictionaryConfig, runs: Path) -> tuple[list[Job], list[Job]]:
    """The worlds, then the dictionaries, seed by seed, the gate's own arms first."""
    seeds = range(config.first_seed, config.first_seed + config.seeds)
    worlds = [Job(world, None, seed, config, runs) for seed in seeds for world in config.worlds]
    every = (*ARMS, RANDOM, RESIDUAL, RESIDUAL_RANDOM)
    arms = {"planted": ARMS, "organism": every}
    asked = [(world, arm) for arm in every for world in config.worlds if arm in arms[world]]
    return worlds, [Job(world, arm, seed, config, runs) for seed in seeds for world, arm in asked]


def collect(config: DictionaryConfig, out: Path, runs: Path) -> list[Record]:
    """Run what the ledger lacks; the records of all jobs, in order."""
    from interp.organism import shipped
    from interp.policy.directory import fingerprint_of

    policy = fingerprint_of(shipped())
    ledger = Ledger(out / LEDGER, lambda job: key_of(job, policy))
    worlds, dictionaries = jobs(config, runs)
    needed = {(job.world, job.seed) for job in dictionaries if job not in ledger}
    absent = [job for job in worlds if (job.world, job.seed) in needed]
    do(absent, work, ledger, processes=config.processes, name="worlds")
    do(dictionaries, work, ledger, processes=config.processes, name="dictionaries")
    return [ledger[job] for job in dictionaries]
