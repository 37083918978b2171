"""What reading adds to a step of GRPO: credit by each readout, beside plain GRPO, in one run.

    plain                     nothing is read
    likelihood                the base reads every success
    likelihood + latents      and a dictionary encodes what is read before the answer is announced
    likelihood + residual     the same residuals without a dictionary
    text                      counts of tokens: no policy reads

The arms take turns at every step, on the same problems with the same draws: the learning rate is close to zero, so the
policies stay as they are. `reading` is the time in the credit scheme: reading, auditing, fitting, paying. A whole step
may take less than a plain one all the same, since rows that are paid nothing are left out of the update; so what
reading adds is stated as a share of a plain step. Schemes begin with labels of the base and their edits, as in the
studies, so that a fit costs what it costs there. Directions of the dictionary are random, and its latents are active on
20% of tokens down to one in 100,000, as those of a fitted one: nothing else of it takes time. Peak memory is that of
one step, in a fresh process.

    organism   the shipped base, 32 x 8 rollouts of deep problems
    model      a Hugging Face directory, 2 x 4 rollouts of word problems, LoRA adapters; rewarded is an even number of
               words, and valid is one that four divides

    python benchmarks/credit.py                   python benchmarks/credit.py --parts model --model DIRECTORY
"""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import tyro
from common import peak_memory, provenance, result_path, stored_part

from interp.artifacts import versions as versions_of
from interp.artifacts import write_json
from interp.credit import Credit, CreditScheme, ReadoutCredit, RolloutBatch
from interp.display import text_columns
from interp.grpo import GRPOConfig, UpdateConfig
from interp.grpo.batches import Collector
from interp.grpo.learner import Learner
from interp.grpo.metrics import step_metrics
from interp.grpo.sources import problem_source
from interp.organism import load_task, shipped_path
from interp.policy import Policy, SampleConfig
from interp.readouts import (
    BEFORE_MARKER,
    Latents,
    Likelihood,
    Place,
    Residual,
    Source,
    TextCounts,
    label_rollouts,
    lucky_edits,
    read_rollouts,
    with_base_rate,
)
from interp.rollouts import Rollout, roll_out
from interp.tasks.base import Problem, Span, Task, Verdict
from interp.tasks.words import Words
from interp.tsae import TSAE

MODEL = Path(__file__).parent.parent / "build" / "real" / "smollm2"
PLAIN = "plain"
ARMS = (PLAIN, "likelihood", "likelihood + latents", "likelihood + residual", "text")
LR = 1e-8
MOST, LEAST = 0.2, 1e-5
"""Shares of tokens on which the most and the least active latents are active. The others lie between, evenly in their
logarithms."""


@dataclass(frozen=True)
class Config:
    parts: tuple[str, ...] = ("organism", "model")
    model: Path = MODEL
    threads: int = 2
    steps: int = 8
    """Steps of the organism that are timed, after one to warm up."""
    model_steps: int = 2
    new_tokens: int = 32
    """Tokens in a completion of the model, at most."""
    label_problems: int = 120
    """Problems of the organism whose answers, and their edits, are labels from before the run."""
    model_label_problems: int = 8
    memory: bool = True
    """Measure peak memory, each arm in its own process."""
    keep: bool = True
    """Write the result; not for a dry run."""


@dataclass(frozen=True)
class CountedWords(Task):
    """Word problems, of which a completion with an even number of words is rewarded. Its last two words announce and
    give the answer."""

    stories: Words = Words()

    @property
    def name(self) -> str:
        return "counted-words"

    def fingerprint(self) -> str:
        return f"counted {self.stories.fingerprint()}"

    def problem(self, split: str, level: int | str | None, index: int) -> Problem:
        return self.stories.problem(split, level, index)

    def problems(self, split: str, level: int | str | None, n: int, *, start: int = 0) -> list[Problem]:
        return self.stories.problems(split, level, n, start=start)

    def verify(self, problem: Problem, completion: str) -> Verdict:
        words = completion.split()
        is_even, last = len(words) % 2 == 0, len(completion.rstrip())
        before = completion.rstrip().rfind(" ")
        has_both = len(words) > 2 and before > 0 and completion[before - 1] != " "
        spans = (Span(before - 1, before, "marker"), Span(before + 1, last, "answer")) if has_both else ()
        return Verdict(is_even, is_even, is_even and len(words) % 4 == 0, "prose", spans=spans)


# --- what is timed -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Setting:
    """A base with its task, and what the schemes begin with."""

    base: Policy
    task: Task
    level: str | None
    layer: int
    width: int
    """Latents of the dictionary."""
    config: GRPOConfig
    steps: int
    labelled: Sequence[Rollout]


def setting_of(part: str, config: Config, *, is_labelled: bool = True) -> Setting:
    torch.set_num_threads(config.threads)
    if part == "organism":
        base, task = Policy.load(shipped_path(), device="cpu"), load_task(shipped_path())
        sampling, update, prompts = SampleConfig(group=8, rows=256), UpdateConfig(lr=LR), 32
        labelled = successes(base, task, config.label_problems if is_labelled else 0, sampling)
        labelled += lucky_edits(base, task, labelled)
        level, layer, width, steps = "deep", 2, 1024, config.steps
    else:
        base, task = Policy.load(config.model, device="cpu"), CountedWords()
        sampling = SampleConfig(group=4, max_new_tokens=config.new_tokens, rows=64)
        update, prompts = UpdateConfig(lr=LR, micro_tokens=1024, lora_rank=8), 2
        labelled = successes(base, task, config.model_label_problems if is_labelled else 0, sampling)
        level, layer, width, steps = None, base.n_layers // 2, 4096, config.model_steps
    grpo = GRPOConfig(steps=steps + 1, prompts=prompts, sampling=sampling, update=update, scale="none")
    return Setting(base, task, level, layer, width, grpo, steps, labelled)


def successes(base: Policy, task: Task, n: int, sampling: SampleConfig) -> list[Rollout]:
    """The rewarded answers of the base to `n` problems."""
    problems = task.problems("train", None, n)
    rows = roll_out(base, task, problems, sampling, purpose="labels", progress=False).rows if n else []
    return [row for row in rows if row.reward > 0]


class TimedCredit:
    """A scheme, and the seconds that it takes."""

    def __init__(self, scheme: ReadoutCredit) -> None:
        self.scheme, self.seconds, self.cpu_seconds = scheme, 0.0, 0.0

    def __call__(self, batch: RolloutBatch) -> Credit:
        return self._timed(lambda: self.scheme(batch))

    def observe(self, batch: RolloutBatch) -> None:
        self._timed(lambda: self.scheme.observe(batch))

    def fresh(self) -> "TimedCredit":
        return TimedCredit(self.scheme.fresh())

    def state(self) -> Any:
        return self.scheme.state()

    def load_state(self, state: Any) -> None:
        self.scheme.load_state(state)

    def _timed(self, work: Callable[[], Any]) -> Any:
        start, cpu = time.perf_counter(), time.process_time()
        result = work()
        self.seconds += time.perf_counter() - start
        self.cpu_seconds += time.process_time() - cpu
        return result


def sources_of(arm: str, case: Setting) -> list[Source]:
    match arm:
        case "likelihood":
            return [Likelihood()]
        case "likelihood + latents":
            return [Likelihood(), Latents(random_latents(case), case.layer)]
        case "likelihood + residual":
            return [Likelihood(), Residual(case.layer)]
    return [TextCounts()]


def random_latents(case: Setting) -> TSAE:
    """Random directions, active on given shares of what is read of the labelled answers, if there are any."""
    place = Place(case.layer, BEFORE_MARKER)
    x_SD, _ = read_rollouts(case.base, case.labelled, [place], logprobs=False).residuals_at(*place)
    d = case.base.d_model
    encoder_DF = torch.randn(d, case.width, generator=torch.Generator().manual_seed(0)) / d**0.5
    zeros_F = torch.zeros(case.width)
    share_F = MOST * (LEAST / MOST) ** torch.linspace(0, 1, case.width)
    ordered_SF = (x_SD @ encoder_DF).sort(0, descending=True).values
    threshold_F = ordered_SF.gather(0, (share_F * len(x_SD)).long()[None])[0] if len(x_SD) else zeros_F + 1
    return TSAE(encoder_DF, zeros_F, encoder_DF.T.clone(), torch.zeros(d), threshold_F, (case.width,), layer=case.layer)


def scheme_of(arm: str, case: Setting) -> TimedCredit | None:
    if arm == PLAIN:
        return None
    sources = sources_of(arm, case)
    if not case.labelled:
        return TimedCredit(ReadoutCredit(sources))
    labels = with_base_rate(label_rollouts(sources, case.base, case.labelled), 0.03, 32)
    return TimedCredit(ReadoutCredit(sources, labels=labels))


class StepArm:
    """Steps of GRPO with the credit of an arm."""

    def __init__(self, arm: str, case: Setting) -> None:
        self.config, self.credit = case.config, scheme_of(arm, case)
        problems = problem_source(case.task, case.level, steps=case.config.steps, seed=0)
        credit: CreditScheme | None = self.credit
        self.collector = Collector(case.task, problems, case.config, credit, arm, case.base)
        self.learner = Learner(case.base, case.config)

    def run(self, step: int) -> dict[str, float]:
        """Seconds of one step, and of the credit in it."""
        before = (self.credit.seconds, self.credit.cpu_seconds) if self.credit else (0.0, 0.0)
        start, cpu = time.perf_counter(), time.process_time()
        batch = self.collector.collect(self.learner.policy, step, step * self.config.prompts)
        step_metrics(batch, self.config.sampling.group)
        self.learner.update(batch.rollout_batch, batch.advantages_BL, batch.loss_mask_BL, step)
        measured = {"step": time.perf_counter() - start, "step_cpu": time.process_time() - cpu}
        after = (self.credit.seconds, self.credit.cpu_seconds) if self.credit else (0.0, 0.0)
        trained = (batch.advantages_BL != 0).any(1).double().mean()
        successes = sum(row.reward > 0 for row in batch.rollouts) / len(batch.rollouts)
        reading = {"reading": after[0] - before[0], "reading_cpu": after[1] - before[1]}
        return measured | reading | {"rows_trained": float(trained), "successes": successes}


# --- measuring -----------------------------------------------------------------------------------------------------


def measure(part: str, config: Config) -> dict[str, Any]:
    case = setting_of(part, config)
    arms, steps = {arm: StepArm(arm, case) for arm in ARMS}, {arm: list[dict[str, float]]() for arm in ARMS}
    for step in range(case.steps + 1):
        for name, arm in arms.items():
            measured = arm.run(step)
            if step:
                steps[name].append(measured)
    means = {name: {key: statistics.mean(row[key] for row in rows) for key in rows[0]} for name, rows in steps.items()}
    plain = means[PLAIN]
    adds = {name: round(mean["reading"] / plain["step"], 4) for name, mean in means.items() if name != PLAIN}
    adds_cpu = {
        name: round(mean["reading_cpu"] / plain["step_cpu"], 4) for name, mean in means.items() if name != PLAIN
    }
    memory = {arm: round(peak_memory(memory_arm, arm, part, config), 1) for arm in ARMS} if config.memory else {}
    return {
        "unit": "seconds per step",
        "arms": {name: {key: round(value, 5) for key, value in mean.items()} for name, mean in means.items()},
        "reading adds, share of a plain step": adds,
        "the same in CPU seconds": adds_cpu,
        "peak_memory_mib": memory,
        "labels": len(case.labelled),
        "parameters": sum(p.numel() for p in case.base.model.parameters()),
        "measured": provenance(torch.device("cpu")),
    }


def memory_arm(arm: str, part: str, config: Config) -> Callable[[], float]:
    """One step of an arm, for `peak_memory`."""
    steps = StepArm(arm, setting_of(part, config, is_labelled=False))  # labels are read before the step
    return lambda: steps.run(0)["step"]


def main(config: Config) -> None:
    results = {part: measure(part, config) for part in config.parts}
    rows = [
        [part, arm, f"{one['step']:.3f}", f"{one['reading']:.4f}",
         f"{result['reading adds, share of a plain step'].get(arm, 0):.1%}",
         f"{result['the same in CPU seconds'].get(arm, 0):.1%}", str(result["peak_memory_mib"].get(arm, "-"))]
        for part, result in results.items()
        for arm, one in result["arms"].items()
    ]  # fmt: skip
    print(text_columns(["part", "arm", "step", "reading", "adds", "adds, CPU", "peak MiB"], rows))
    if config.keep:
        device = torch.device("cpu")
        parts = {name: results.get(name) or stored_part("credit", device, name, {}) for name in ("organism", "model")}
        settings = asdict(config) | {"model": config.model.name}
        versions = versions_of("interp", "torch", "transformers")
        write_json(result_path("credit", device), {"name": "credit", "versions": versions, **parts, "config": settings})


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
