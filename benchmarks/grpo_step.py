"""A whole GRPO step (sample, verify, update) against TRL's GRPOTrainer: the same model, prompts, group, lengths, loss.

The shipped organism answers 32 problems 8 times each, in up to 96 tokens; the loss is GRPO's (a mean over completions,
no KL), the reward the task's own verdict, one update a batch. The arms take turns: after each step of TRL, in its own
`train`, comes one of ours. TRL is tried at several micro-batches and the best counts; nothing is logged or saved, and
no activation is recomputed. The learning rate is next to nothing, so that both policies, and with them the lengths,
stay as they are. Ours also draws its problems, keeps log-probabilities, entropies and token roles, and measures the
step; it leaves rows without advantage out of the update, which changes nothing in the gradient: `taught` is the share
of the rows that were left.

Peak memory is that of one step, in a fresh process, at a micro-batch of the same number of tokens, as the rollouts of
a step become more. Ours samples 64 rows at a time there; TRL has no such setting and samples them all at once. Beside
it stands the size of the rollouts themselves, which ours keeps on the CPU.

For a GPU there is a random Qwen3 of 0.5 B parameters in bfloat16 that writes up to 512 tokens, of mixed lengths, and is
rewarded where their number is even, so that hardly any group is without contrast. Ours moves float32 copies of the
weights there, TRL the bfloat16 weights themselves, which is less work.

    python benchmarks/grpo_step.py
    python benchmarks/grpo_step.py --device cuda --model random --memory-tokens 8192
    a dry run of that: python benchmarks/grpo_step.py --model random --layers 2 --width 128 --vocab 512
    --new-tokens 32 --prompts 4 --batches 8 16 --sizes 64 128 --repeats 1 --threads 1 --no-keep
"""

import copy
import gc
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

import torch
import transformers
import trl
import tyro
from common import RESULTS, Arm, line_chart, peak_memory, write_result
from datasets import Dataset
from transformers import PreTrainedTokenizerFast, PrinterCallback, Qwen3Config, Qwen3ForCausalLM

from interp.grpo import GRPOConfig, UpdateConfig
from interp.grpo.advantages import Collected, Collector
from interp.grpo.learner import Learner
from interp.grpo.metrics import measured
from interp.grpo.prompts import prompts_for
from interp.organism import shipped
from interp.policy import SampleConfig
from interp.policy.policy import Policy
from interp.report.terminal import grid
from interp.tasks import Chain
from interp.tasks.base import Problem, Task, Verdict, seeded

OURS, TRL = "interp", "TRL"
LR = 1e-8
"""Enough to be work, too little to be seen in the policy."""


@dataclass(frozen=True)
class Config:
    device: str = "cpu"
    model: Literal["organism", "random"] = "organism"
    bucket: Literal["easy", "medium", "hard", "mixed"] = "mixed"
    """Of the organism's problems. In each some groups have contrast and some have none."""
    prompts: int = 32
    group: int = 8
    new_tokens: int | None = None
    """At most so many in a completion. By default 96, and 512 for the random model."""
    batches: tuple[int, ...] = ()
    """Completions in a micro-batch of TRL: each is tried. By default 64, 128, 256; 16, 32, 64 for the random model."""
    micro_tokens: int = 4096
    """Tokens in a micro-batch of ours."""
    sizes: tuple[int, ...] = (64, 128, 256, 512, 1024, 2048)
    """Rollouts in a step whose peak memory is measured. None: no such measurement."""
    memory_tokens: int = 1024
    """Tokens in a micro-batch of either arm where memory is measured: few enough that the smallest size fills one."""
    memory_rows: int = 64
    """Completions that ours samples at once there."""
    repeats: int = 7
    threads: int = 2
    layers: int = 24
    """Of the random model: 24 make it 0.5 B."""
    width: int = 896
    """Of the random model, a multiple of 128."""
    vocab: int = 151_936
    """Of the random model."""
    keep: bool = True
    """Write the result. Not for a dry run."""


@dataclass(frozen=True)
class Setting:
    policy: Policy
    task: Task
    level: str | None
    new_tokens: int
    longest: int
    """Tokens in a prompt, at most."""
    batches: tuple[int, ...]

    def problems(self, n: int) -> list[Problem]:
        """What ours draws in a run of seed 0."""
        return self.task.problems("train", self.level, n)


@dataclass(frozen=True)
class Step:
    seconds: float
    sampling: float
    """Seconds of it until all completions were judged."""
    tokens: int
    """Sampled."""
    rollouts: int
    reward: float
    taught: float
    """Share of the rollouts in the forward and backward passes of the update."""


@dataclass(frozen=True)
class Even:
    """Random words of prompts of many lengths; rewarded is a completion of an even number of words."""

    vocab: int
    name: str = "even"

    def fingerprint(self) -> str:
        return f"even-{self.vocab}"

    def problem(self, split: str, level: int | str | None, index: int) -> Problem:
        rng = seeded("even", split, index)
        words = (f"w{at}" for at in rng.choices(range(2, self.vocab), k=32 + index % 97))
        return Problem(f"even/{split}/{index}", " ".join(words), "", split)

    def problems(self, split: str, level: int | str | None, n: int, *, start: int = 0) -> list[Problem]:
        return [self.problem(split, level, index) for index in range(start, start + n)]

    def verify(self, problem: Problem, completion: str) -> Verdict:
        even = len(completion.split()) % 2 == 0
        return Verdict(correct=even, rewarded=even, valid=None, format="direct")


def setting(config: Config) -> Setting:
    torch.set_num_threads(config.threads)
    if config.model == "organism":
        policy, task = Policy.load(shipped(), device=config.device), Chain()
        level = None if config.bucket == "mixed" else config.bucket
        longest = max(map(len, policy.encode([problem.prompt for problem in task.problems("train", level, 64)])))
        return Setting(policy, task, level, config.new_tokens or 96, longest, config.batches or (64, 128, 256))
    policy, task = Policy(random_model(config), words_of(config.vocab)), Even(config.vocab)
    return Setting(policy, task, None, config.new_tokens or 512, 32 + 96, config.batches or (16, 32, 64))


def random_model(config: Config) -> Qwen3ForCausalLM:
    """One token in 128 ends a completion."""
    torch.manual_seed(0)
    shape = Qwen3Config(
        vocab_size=config.vocab, hidden_size=config.width, intermediate_size=config.width * 38 // 7, head_dim=64,
        num_hidden_layers=config.layers, num_attention_heads=config.width // 64, num_key_value_heads=2,
        max_position_embeddings=4096,
        tie_word_embeddings=True, pad_token_id=1, eos_token_id=list(range(0, config.vocab, 128)),
    )  # fmt: skip
    with torch.device(config.device):
        kind = torch.bfloat16 if config.device == "cuda" else torch.float32
        return Qwen3ForCausalLM(shape).to(kind)  # pyright: ignore[reportArgumentType]


def words_of(vocab: int) -> PreTrainedTokenizerFast:
    from tokenizers import Tokenizer, models, pre_tokenizers

    words = ["<eos>", "<pad>", *(f"w{at}" for at in range(2, vocab))]
    tokenizer = Tokenizer(models.WordLevel({word: at for at, word in enumerate(words)}, unk_token="<eos>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()  # pyright: ignore[reportAttributeAccessIssue]
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="<eos>", unk_token="<eos>", padding_side="left"
    )


class Ours:
    """`interp.grpo.train` without its directory."""

    def __init__(self, at: Setting, config: Config, *, prompts: int, rows: int, micro_tokens: int) -> None:
        sampling = SampleConfig(group=config.group, max_new_tokens=at.new_tokens, rows=rows)
        update = UpdateConfig(lr=LR, micro_tokens=micro_tokens)
        self.config = GRPOConfig(prompts=prompts, sampling=sampling, update=update, kl_every=0)
        drawing = prompts_for(at.task, at.level, steps=self.config.steps, seed=0)
        self.learner = Learner(at.policy, self.config)
        self.collector = Collector(at.task, drawing, self.config, None, "benchmark")
        self.at = self.drawn = 0

    def step(self) -> Step:
        start = time.perf_counter()
        collected = self.collect()
        sampled = time.perf_counter()
        metrics = measured(collected, self.config.sampling.group)
        self.learner.update(collected.batch, collected.advantages_BL, collected.train_BL, self.at)
        _finish()
        self.at, self.drawn = self.at + 1, collected.drawn
        return Step(
            seconds=time.perf_counter() - start,
            sampling=sampled - start,
            tokens=metrics["tokens"],
            rollouts=len(collected.rows),
            reward=metrics["reward"],
            taught=float((collected.advantages_BL != 0).any(1).float().mean()),
        )

    def collect(self) -> Collected:
        return self.collector.collect(self.learner.policy, self.at, self.drawn)


class Turns(transformers.TrainerCallback):
    """Notes each step of TRL, and lets the other arm take its turn after it. Between the two no time is lost count
    of: what the trainer does from one step to the next, loading its prompts above all, is its own."""

    def __init__(self, at: Setting, problems: list[Problem], between: Callable[[], object]) -> None:
        self.at, self.problems, self.between = at, problems, between
        self.steps: list[Step] = []
        self.began = self.judged = 0.0

    def verdicts(
        self, completions: list[str], completion_ids: list[list[int]], place: list[int], **_: Any
    ) -> list[float]:
        """The reward function."""
        judged = (self.at.task.verify(self.problems[i], text) for i, text in zip(place, completions, strict=True))
        self.rewards = [float(verdict.rewarded) for verdict in judged]
        self.tokens = sum(map(len, completion_ids))
        self.judged = time.perf_counter()
        return self.rewards

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        self.began = time.perf_counter()

    def on_step_end(self, *_: Any, **__: Any) -> None:
        _finish()
        self.steps.append(
            Step(
                seconds=time.perf_counter() - self.began,
                sampling=self.judged - self.began,
                tokens=self.tokens,
                rollouts=len(self.rewards),
                reward=statistics.fmean(self.rewards),
                taught=1.0,
            )
        )
        self.between()
        self.began = time.perf_counter()


def trainer(
    at: Setting, config: Config, prompts: int, batch: int, steps: int, between: Callable[[], object] = lambda: None
) -> tuple[Any, Turns]:
    problems = at.problems(prompts * steps)
    turns = Turns(at, problems, between)
    parts, rest = divmod(prompts * config.group, batch)
    assert not rest, f"TRL cuts a step into whole micro-batches: {batch} does not divide {prompts * config.group}"
    settings = trl.GRPOConfig(  # pyright: ignore[reportPrivateImportUsage]
        # of the comparison
        per_device_train_batch_size=batch, gradient_accumulation_steps=parts, steps_per_generation=parts,
        num_iterations=1, max_steps=steps, shuffle_dataset=False, num_generations=config.group,
        max_completion_length=at.new_tokens, temperature=1.0, top_p=1.0, top_k=0, loss_type="grpo",
        scale_rewards="group", epsilon=0.2, beta=0.0, learning_rate=LR, lr_scheduler_type="constant", weight_decay=0.0,
        max_grad_norm=1.0,
        # of the place
        use_cpu=config.device == "cpu", bf16=config.device == "cuda", dataloader_pin_memory=config.device == "cuda",
        # nothing that costs time
        gradient_checkpointing=False, logging_strategy="no", save_strategy="no", report_to="none", disable_tqdm=True,
        output_dir=str(Path(tempfile.gettempdir()) / "grpo-step"),
    )  # fmt: skip
    made = trl.GRPOTrainer(  # pyright: ignore[reportPrivateImportUsage]
        model=copy.deepcopy(at.policy.model),  # TRL changes the model it is given
        args=settings,
        reward_funcs=turns.verdicts,  # pyright: ignore[reportArgumentType]
        train_dataset=Dataset.from_list([{"prompt": p.prompt, "place": i} for i, p in enumerate(problems)]),
        processing_class=at.policy.tokenizer,
        callbacks=[turns],
    )
    made.remove_callback(PrinterCallback)
    return made, turns


def _finish() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def race(at: Setting, config: Config, batch: int) -> dict[str, dict[str, float]]:
    """Of each arm the medians of its steps, the first of them left out. TRL has micro-batches of `batch`."""
    gc.collect()  # a trainer is a knot of references: the last one still lies in memory
    ours = Ours(at, config, prompts=config.prompts, rows=1024, micro_tokens=config.micro_tokens)
    steps: list[Step] = []
    training, turns = trainer(
        at, config, config.prompts, batch, config.repeats + 1, between=lambda: steps.append(ours.step())
    )
    training.train()
    return {OURS: medians(steps[1:]), TRL: medians(turns.steps[1:])}


def medians(steps: list[Step]) -> dict[str, float]:
    told = {field.name: statistics.median(getattr(step, field.name) for step in steps) for field in fields(Step)}
    return told | {"length": statistics.fmean(step.tokens / step.rollouts for step in steps)}


def small(at: Setting, config: Config, rollouts: int) -> Ours:
    """Ours within the limits that memory is measured in."""
    prompts = rollouts // config.group
    return Ours(at, config, prompts=prompts, rows=config.memory_rows, micro_tokens=config.memory_tokens)


def our_memory(config: Config, rollouts: int) -> Arm:
    at = setting(config)
    small(at, config, config.group).step()  # what is loaded on first use is not the step's
    gc.collect()
    ours = small(at, config, rollouts)
    return lambda: ours.step().tokens


def trl_memory(config: Config, rollouts: int) -> Arm:
    at = setting(config)
    trainer(at, config, 1, config.group, steps=1)[0].train()
    gc.collect()
    training, turns = trainer(at, config, rollouts // config.group, small_batch(at, config), steps=1)

    def arm() -> float:
        training.train()
        return turns.steps[0].tokens

    return arm


def small_batch(at: Setting, config: Config) -> int:
    """Completions in a micro-batch of TRL that has as many tokens as ours, in a power of two."""
    return 2 ** ((config.memory_tokens // (at.longest + at.new_tokens)).bit_length() - 1)


def stored(collected: Collected) -> float:
    """MiB of the rollouts of a step: the tensors of the batch, and the rows with all they were judged to be."""
    holders = (collected, collected.batch, collected.settled, collected.settled.credit)
    tensors = [value for holder in holders for value in vars(holder).values() if isinstance(value, torch.Tensor)]
    seen: dict[int, int] = {}
    for row in (*collected.rows, *collected.batch.rows):
        for value in (row, *(getattr(row, field.name) for field in fields(row))):
            seen |= {id(part): sys.getsizeof(part) for part in (value, *(value if isinstance(value, tuple) else ()))}
    return (sum(tensor.nbytes for tensor in tensors) + sum(seen.values())) / 2**20


def memory(at: Setting, config: Config) -> dict[str, Any]:
    os.environ["MALLOC_MMAP_THRESHOLD_"] = str(2**16)  # glibc then gives back what is freed: a peak is what was alive
    makers = {OURS: our_memory, TRL: trl_memory}
    peaks = {arm: {n: round(peak_memory(make, config, n), 1) for n in config.sizes} for arm, make in makers.items()}
    held = {n: round(stored(small(at, config, n).collect()), 1) for n in config.sizes}
    lines = {**peaks, "the rollouts": held}
    if config.keep:
        title = f"Peak memory of one GRPO step, in micro-batches of {config.memory_tokens} tokens"
        figure = RESULTS / f"grpo-step-memory{'-gpu' if config.device == 'cuda' else ''}.svg"
        line_chart(figure, lines, title=title, across="rollouts in a step", up="MiB")
    return {
        "peak_memory_mib": peaks,
        "stored_rollouts_mib": held,
        "mib_per_thousand_rollouts": {name: growth(line) for name, line in lines.items()},
        "trl_batch_in_memory": small_batch(at, config),
    }


def growth(line: dict[int, float]) -> float:
    """From the middle size to the largest, where a step of ours has long filled its micro-batches."""
    sizes = sorted(line)
    start, end = sizes[len(sizes) // 2 - 1], sizes[-1]
    return round(1000 * (line[end] - line[start]) / (end - start), 2)


def main(config: Config) -> None:
    at = setting(config)
    remembered = memory(at, config) if config.sizes else {}
    races = {batch: race(at, config, batch) for batch in at.batches}
    best = min(races, key=lambda batch: races[batch][TRL]["seconds"])
    arms = races[best]
    rates = {name: 1 / arm["seconds"] for name, arm in arms.items()}
    if config.keep:
        write_result(
            "grpo-step", torch.device(config.device), "steps per second", rates, TRL,
            step={name: {key: round(value, 4) for key, value in arm.items()} for name, arm in arms.items()},
            trl_batch=best,
            trl_seconds_by_batch={batch: round(arms[TRL]["seconds"], 4) for batch, arms in races.items()},
            our_seconds_beside_them={batch: round(arms[OURS]["seconds"], 4) for batch, arms in races.items()},
            **remembered, config=config.__dict__,
        )  # fmt: skip
    columns = ["seconds", "sampling", "tokens", "length", "reward", "taught"]
    print(grid(["arm", *columns], [[name, *(f"{arm[key]:,.3f}" for key in columns)] for name, arm in arms.items()]))
    print(f"{rates[OURS] / rates[TRL]:.2f} times the steps of TRL at its best micro-batch, {best} of", end=" ")
    print(", ".join(f"{batch} ({arms[TRL]['seconds']:.3f} s)" for batch, arms in races.items()))
    for name, peaks in remembered.get("peak_memory_mib", {}).items():
        print(f"{name}: peak MiB", ", ".join(f"{peak} at {n} rollouts" for n, peak in peaks.items()))
    if remembered:
        print("MiB more per thousand rollouts:", remembered["mib_per_thousand_rollouts"])


if __name__ == "__main__":
    main(tyro.cli(Config))
