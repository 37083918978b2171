"""The commands that write, at sizes that take a second, each with its inputs.

A stage is run by its command, as a user types it. Two functions stand in for one: a study needs a study of a second
(`coins`), and an organism is measured on few problems.
"""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from attack.coins import CoinConfig, Coins
from attack.processes import command

SAMPLING = ("--group", "4", "--max-new-tokens", "10", "--device", "cpu")
BUILDING = (
    "--task.depths",
    "1",
    "3",
    "--task.shallow",
    "1",
    "--task.middle",
    "2",
    "--task.deep",
    "3",
    "--steps",
    "100",
    "--batch",
    "64",
    "--lr",
    "0.02",
)
SHAPE = ("--shape.d-model", "32", "--shape.layers", "2", "--shape.heads", "2", "--shape.kv-heads", "1")
SHAPE = (*SHAPE, "--shape.d-head", "8", "--shape.d-mlp", "64", "--shape.context", "64", "--threads", "1")
FEW = ("--levels", "1", "2", "--problems", "12", "--rollout-problems", "2", "--max-candidates", "2")
FEW = (*FEW, "--random-latents", "2", "--matched-latents", "2", "--injection-texts", "8", "--min-auroc", "0.55")


@dataclass(frozen=True)
class Place:
    """A directory in which every artifact has a place, and the seed they are made with."""

    root: Path
    seed: int = 0

    def __getattr__(self, name: str) -> Path:
        """The directory of an artifact: `place.store`."""
        if name.startswith("_"):
            raise AttributeError(name)
        return self.root / name.replace("_", "-")


@dataclass(frozen=True)
class Stage:
    """A command that writes one directory."""

    name: str
    words: Callable[[Place, int], tuple[object, ...]]
    """The command's words without --out, given its inputs and a seed."""
    resumes: bool
    """Whether a repeated call opens or continues what is there. The others refuse it."""
    prepare: Callable[[], None] = lambda: None
    """Called in the child before the command."""
    work: Callable[[Place, int, Path], Callable[[], Any]] | None = None
    """What is run in place of a command."""

    def run(self, inputs: Place, seed: int, out: Path) -> Callable[[], Any]:
        """The stage as a function that writes into `out`."""
        if self.work is not None:
            return self.work(inputs, seed, out)
        words = self.words(inputs, seed)

        def work() -> Any:
            self.prepare()
            return command(*words, "--out", out, "--json")()

        return work


def few_measurements() -> None:
    """Measure an organism on next to nothing."""
    from interp.organism import training

    measure = training.measure
    training.measure = lambda policy, task, **_: measure(policy, task, problems=2, samples=2, progress=False)


def _coins(inputs: Place, seed: int, out: Path) -> Callable[[], Any]:
    def work() -> Any:
        from interp.studies import runner

        def run_here(jobs: Any, work: Any, finish: Any, *, processes: int, name: str) -> None:
            for job in jobs:
                finish(job, work(job))

        runner.run_jobs = run_here  # a pool takes seconds to start
        try:
            judgements = Coins().execute(CoinConfig(first_seed=seed), out, out.with_name(f"{out.name}-runs"))
        except OSError as error:  # as the command line does
            sys.stderr.write(f"interp: {error}\n")
            sys.exit(2)
        return [one.verdicts for one in judgements]

    return work


def _policy(place: Place) -> tuple[object, ...]:
    return ("--policy", place.organism)


def _tsae(place: Place, seed: int) -> tuple[object, ...]:
    sizes = ("--preset", "matryoshka", "--width", "64", "--k", "4", "--steps", "6", "--batch", "64")
    return (
        "tsae",
        "--store",
        place.store,
        *sizes,
        "--save-every",
        "2",
        "--threads",
        "1",
        "--device",
        "cpu",
        "--seed",
        seed,
    )


def _grpo(place: Place, seed: int) -> tuple[object, ...]:
    sizes = ("--steps", "3", "--prompts", "4", "--save-every", "1", "--kl-every", "2", "--levels", "1", "2")
    return ("grpo", *_policy(place), *sizes, *SAMPLING, "--threads", "1", "--seed", seed)


def _readout(place: Place, seed: int) -> tuple[object, ...]:
    """Of the shipped organism: the one of this place has no valid success to tell from a lucky one."""
    task = ("--task.depths", "1", "3", "--task.shallow", "1", "--task.middle", "2", "--task.deep", "3")
    sizes = ("--problems", "4", "--group", "4", "--test-problems", "2", "--test-group", "4", "--device", "cpu")
    return ("readout", "--read", "likelihood", "text", *task, *sizes, "--seed", seed)


def _tracking(place: Place, seed: int) -> tuple[object, ...]:
    sizes = ("--levels", "1", "2", "--problems", "6", "--loss-rollouts", "4")
    return ("--tsae", place.dictionary, *sizes, *SAMPLING, "--seed", seed)


STAGES: Mapping[str, Stage] = {
    stage.name: stage
    for stage in (
        Stage(
            "organism",
            lambda p, s: ("organism", "build", "--seed", s, "--save-every", 40, *BUILDING, *SHAPE),
            False,
            prepare=few_measurements,
        ),
        Stage("grpo", _grpo, True),
        Stage("roll-out", lambda p, s: ("roll-out", *_policy(p), "--problems", "6", *SAMPLING, "--seed", s), False),
        Stage(
            "bucket",
            lambda p, s: (
                *("bucket", *_policy(p), "--problems", "9", "--n", "8"),
                *("--max-new-tokens", "10", "--device", "cpu", "--seed", s),
            ),
            False,
        ),
        Stage(
            "evaluate",
            lambda p, s: (
                *("evaluate", "--series", p.run, "--problems", "3", "--levels", "1", "2", "--k", "1", "2"),
                *(*SAMPLING, "--seed", s),
            ),
            False,
        ),
        Stage(
            "collect",
            lambda p, s: (
                *("collect", "--series", p.run, "--steps", "0", "3", "--layers", "1", "--tokens", "1200"),
                *("--shard-tokens", "300", *SAMPLING, "--seed", s),
            ),
            True,
        ),
        Stage("tsae", _tsae, True),
        Stage(
            "roles",
            lambda p, s: ("roles", "--tsae", p.dictionary, *_policy(p), *FEW, *SAMPLING, "--seed", s, "--test-seed", s),
            False,
        ),
        Stage("readout", _readout, False),
        Stage("track", lambda p, s: ("track", "--series", p.run, "--steps", "3", *_tracking(p, s)), True),
        Stage(
            "compare",
            lambda p, s: ("compare", p.run / "checkpoint-2", p.run / "checkpoint-3", *_tracking(p, s)),
            True,
        ),
        Stage("study", lambda p, s: (), True, work=_coins),
    )
}
"""Every stage by name, in an order in which the inputs of each come before it."""
