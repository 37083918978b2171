"""A whole GRPO step (sample, verify, update) against TRL's GRPOTrainer: the same model, prompts, group, lengths, loss.

The shipped organism samples 8 completions of up to 96 tokens for each of 32 problems. The loss is GRPO's (a mean over
completions, no KL), the reward is the task's verdict, with one update per batch. The arms take turns: after each step
of TRL, in its own `train`, comes one of ours. TRL is tried at several micro-batches, and the best counts. Nothing is
logged or saved, and no activation is recomputed. The learning rate is close to zero, so both policies, and their
lengths, stay as they are. Our step also draws its problems, keeps log-probabilities, entropies and token roles, and
computes metrics. It leaves rows without advantage out of the update, which does not change the gradient: `rows_trained`
is the share of rows that remain.

Peak memory is that of one step, in a fresh process, at a micro-batch of the same number of tokens, for more and more
rollouts per step. Ours samples 64 rows at a time there; TRL has no such setting and samples all at once. The size of
the rollouts themselves, which ours keeps on the CPU, is given for comparison.

For a GPU there is a random Qwen3 of 0.5 B parameters in bfloat16 that samples up to 512 tokens, with mixed lengths. It
is rewarded for an even number of words, so that nearly every group has different rewards. Ours steps float32 copies of
the weights there, TRL the bfloat16 weights themselves, which is less work.

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

from interp.display import text_columns
from interp.grpo import GRPOConfig, UpdateConfig
from interp.grpo.batches import Collector, StepBatch
from interp.grpo.learner import Learner
from interp.grpo.metrics import step_metrics
from interp.grpo.sources import problem_source
from interp.organism import shipped_path
from interp.policy import SampleConfig
from interp.policy.policy import Policy
from interp.tasks import Chain
from interp.tasks.base import Problem, Task, Verdict, seeded_rng

OURS, TRL = "interp", "TRL"
LR = 1e-8
"""Large enough for real work, too small to change the policy."""


@dataclass(frozen=True)
class Config:
    device: str = "cpu"
    model: Literal["organism", "random"] = "organism"
    level: Literal["shallow", "middle", "deep", "mixed"] = "mixed"
    """Level of the organism's problems. At each, some groups have different rewards and some have equal ones."""
    prompts: int = 32
    group: int = 8
    new_tokens: int | None = None
    """Tokens in a completion, at most. Default: 96, and 512 for the random model."""
    batches: tuple[int, ...] = ()
    """Completions in a micro-batch of TRL: each is tried. Default: 64, 128, 256; 16, 32, 64 for the random model."""
    micro_tokens: int = 4096
    """Tokens in a micro-batch of ours."""
    sizes: tuple[int, ...] = (64, 128, 256, 512, 1024, 2048)
    """Rollouts per step at which peak memory is measured. Empty: it is not measured."""
    memory_tokens: int = 1024
    """Tokens in a micro-batch of either arm in the memory runs: few enough that the smallest size fills one."""
    memory_rows: int = 64
    """Completions that ours samples at once in the memory runs."""
    repeats: int = 7
    threads: int = 2
    layers: int = 24
    """Layers of the random model; 24 make it 0.5 B parameters."""
    width: int = 896
    """Width of the random model, a multiple of 128."""
    vocab: int = 151_936
    """Vocabulary of the random model."""
    lora_rank: int = 0
    """Train LoRA adapters of this rank in all linear layers. 0 trains the weights."""
    keep: bool = True
    """Write the result; not for a dry run."""


@dataclass(frozen=True)
class Setting:
    policy: Policy
    task: Task
    level: str | None
    new_tokens: int
    max_prompt_tokens: int
    batches: tuple[int, ...]
    """Micro-batches of TRL to try, in completions."""

    def problems(self, n: int) -> list[Problem]:
        """The problems that our arm draws in a run with seed 0."""
        return self.task.problems("train", self.level, n)


@dataclass(frozen=True)
class Step:
    seconds: float
    sampling: float
    """Seconds until all completions were verified."""
    tokens: int
    """Tokens sampled."""
    rollouts: int
    reward: float
    rows_trained: float
    """Share of the rollouts in the forward and backward passes of the update."""


@dataclass(frozen=True)
class Even(Task):
    """Prompts of random words, of many lengths; a completion with an even number of words is rewarded."""

    vocab: int

    @property
    def name(self) -> str:
        return "even"

    def fingerprint(self) -> str:
        return f"even-{self.vocab}"

    def problem(self, split: str, level: int | str | None, index: int) -> Problem:
        rng = seeded_rng("even", split, index)
        words = (f"w{word}" for word in rng.choices(range(2, self.vocab), k=32 + index % 97))
        return Problem(f"even/{split}/{index}", " ".join(words), "", split)

    def problems(self, split: str, level: int | str | None, n: int, *, start: int = 0) -> list[Problem]:
        return [self.problem(split, level, index) for index in range(start, start + n)]

    def verify(self, problem: Problem, completion: str) -> Verdict:
        even = len(completion.split()) % 2 == 0
        return Verdict(correct=even, rewarded=even, valid=None, format="direct")


def setting(config: Config) -> Setting:
    torch.set_num_threads(config.threads)
    if config.model == "organism":
        policy, task = Policy.load(shipped_path(), device=config.device), Chain()
        level = None if config.level == "mixed" else config.level
        longest = max(map(len, policy.encode([problem.prompt for problem in task.problems("train", level, 64)])))
        return Setting(policy, task, level, config.new_tokens or 96, longest, config.batches or (64, 128, 256))
    policy, task = Policy(random_model(config), words_of(config.vocab)), Even(config.vocab)
    return Setting(policy, task, None, config.new_tokens or 512, 32 + 96, config.batches or (16, 32, 64))


def random_model(config: Config) -> Qwen3ForCausalLM:
    """A random Qwen3; one token in 128 ends a completion."""
    torch.manual_seed(0)
    shape = Qwen3Config(
        vocab_size=config.vocab, hidden_size=config.width, intermediate_size=config.width * 38 // 7, head_dim=64,
        num_hidden_layers=config.layers, num_attention_heads=config.width // 64, num_key_value_heads=2,
        max_position_embeddings=4096,
        tie_word_embeddings=True, pad_token_id=1, eos_token_id=list(range(0, config.vocab, 128)),
    )  # fmt: skip
    with torch.device(config.device):
        dtype = torch.bfloat16 if config.device == "cuda" else torch.float32
        return Qwen3ForCausalLM(shape).to(dtype)  # pyright: ignore[reportArgumentType]


def words_of(vocab: int) -> PreTrainedTokenizerFast:
    from tokenizers import Tokenizer, models, pre_tokenizers

    words = ["<eos>", "<pad>", *(f"w{word}" for word in range(2, vocab))]
    tokenizer = Tokenizer(models.WordLevel({word: index for index, word in enumerate(words)}, unk_token="<eos>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()  # pyright: ignore[reportAttributeAccessIssue]
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="<eos>", unk_token="<eos>", padding_side="left"
    )


class Ours:
    """The steps of `interp.grpo.train`, without a run directory."""

    def __init__(self, case: Setting, config: Config, *, prompts: int, rows: int, micro_tokens: int) -> None:
        sampling = SampleConfig(group=config.group, max_new_tokens=case.new_tokens, rows=rows)
        update = UpdateConfig(lr=LR, micro_tokens=micro_tokens, lora_rank=config.lora_rank)
        self.config = GRPOConfig(prompts=prompts, sampling=sampling, update=update, kl_every=0)
        source = problem_source(case.task, case.level, steps=self.config.steps, seed=0)
        self.learner = Learner(case.policy, self.config)
        self.collector = Collector(case.task, source, self.config, None, "benchmark")
        self.steps_done = self.problems_drawn = 0

    def step(self) -> Step:
        start = time.perf_counter()
        batch = self.collect()
        sampled = time.perf_counter()
        metrics = step_metrics(batch, self.config.sampling.group)
        self.learner.update(batch.rollout_batch, batch.advantages_BL, batch.loss_mask_BL, self.steps_done)
        _synchronize()
        self.steps_done, self.problems_drawn = self.steps_done + 1, batch.problems_drawn
        return Step(
            seconds=time.perf_counter() - start,
            sampling=sampled - start,
            tokens=metrics["tokens"],
            rollouts=len(batch.rollouts),
            reward=metrics["reward"],
            rows_trained=float((batch.advantages_BL != 0).any(1).float().mean()),
        )

    def collect(self) -> StepBatch:
        return self.collector.collect(self.learner.policy, self.steps_done, self.problems_drawn)


class StepTimer(transformers.TrainerCallback):
    """Times each step of TRL, and runs `between` after it. What the trainer does between two steps, such as loading its
    prompts, counts as TRL's time."""

    def __init__(self, case: Setting, problems: list[Problem], between: Callable[[], object]) -> None:
        self.case, self.problems, self.between = case, problems, between
        self.steps: list[Step] = []
        self.start = self.verified = 0.0

    def rewards_of(
        self, completions: list[str], completion_ids: list[list[int]], problem_index: list[int], **_: Any
    ) -> list[float]:
        """The reward function."""
        problems = [self.problems[index] for index in problem_index]
        verdicts = map(self.case.task.verify, problems, completions)
        self.rewards = [float(verdict.rewarded) for verdict in verdicts]
        self.tokens = sum(map(len, completion_ids))
        self.verified = time.perf_counter()
        return self.rewards

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        self.start = time.perf_counter()

    def on_step_end(self, *_: Any, **__: Any) -> None:
        _synchronize()
        self.steps.append(
            Step(
                seconds=time.perf_counter() - self.start,
                sampling=self.verified - self.start,
                tokens=self.tokens,
                rollouts=len(self.rewards),
                reward=statistics.fmean(self.rewards),
                rows_trained=1.0,
            )
        )
        self.between()
        self.start = time.perf_counter()


def trainer(
    case: Setting, config: Config, prompts: int, batch: int, steps: int, between: Callable[[], object] = lambda: None
) -> tuple[Any, StepTimer]:
    problems = case.problems(prompts * steps)
    timer = StepTimer(case, problems, between)
    parts, rest = divmod(prompts * config.group, batch)
    assert not rest, f"TRL cuts a step into whole micro-batches: {batch} does not divide {prompts * config.group}"
    settings = trl.GRPOConfig(  # pyright: ignore[reportPrivateImportUsage]
        # the same for both arms
        per_device_train_batch_size=batch, gradient_accumulation_steps=parts, steps_per_generation=parts,
        num_iterations=1, max_steps=steps, shuffle_dataset=False, num_generations=config.group,
        max_completion_length=case.new_tokens, temperature=1.0, top_p=1.0, top_k=0, loss_type="grpo",
        scale_rewards="group", epsilon=0.2, beta=0.0, learning_rate=LR, lr_scheduler_type="constant", weight_decay=0.0,
        max_grad_norm=1.0,
        # device
        use_cpu=config.device == "cpu", bf16=config.device == "cuda", dataloader_pin_memory=config.device == "cuda",
        # nothing that takes extra time
        gradient_checkpointing=False, logging_strategy="no", save_strategy="no", report_to="none", disable_tqdm=True,
        output_dir=str(Path(tempfile.gettempdir()) / "grpo-step"),
    )  # fmt: skip
    grpo_trainer = trl.GRPOTrainer(  # pyright: ignore[reportPrivateImportUsage]
        model=copy.deepcopy(case.policy.model),  # TRL changes its model
        args=settings,
        reward_funcs=timer.rewards_of,  # pyright: ignore[reportArgumentType]
        train_dataset=Dataset.from_list([{"prompt": p.prompt, "problem_index": i} for i, p in enumerate(problems)]),
        processing_class=case.policy.tokenizer,
        peft_config=adapters(config.lora_rank),
        callbacks=[timer],
    )
    grpo_trainer.remove_callback(PrinterCallback)
    return grpo_trainer, timer


def adapters(rank: int) -> Any:
    """The adapters that ours puts into all linear layers, for TRL."""
    if not rank:
        return None
    from peft import LoraConfig

    return LoraConfig(r=rank, lora_alpha=2 * rank, target_modules="all-linear", task_type="CAUSAL_LM")


def _synchronize() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def race(case: Setting, config: Config, batch: int) -> dict[str, dict[str, float]]:
    """Medians over the steps of each arm, without its first. TRL has micro-batches of `batch` completions."""
    gc.collect()  # a trainer has reference cycles: the last one is still in memory
    ours = Ours(case, config, prompts=config.prompts, rows=1024, micro_tokens=config.micro_tokens)
    steps: list[Step] = []
    training, timer = trainer(
        case, config, config.prompts, batch, config.repeats + 1, between=lambda: steps.append(ours.step())
    )
    training.train()
    return {OURS: medians(steps[1:]), TRL: medians(timer.steps[1:])}


def medians(steps: list[Step]) -> dict[str, float]:
    values = {field.name: statistics.median(getattr(step, field.name) for step in steps) for field in fields(Step)}
    return values | {"length": statistics.fmean(step.tokens / step.rollouts for step in steps)}


def memory_arm(case: Setting, config: Config, rollouts: int) -> Ours:
    """Our arm with the limits of the memory runs."""
    prompts = rollouts // config.group
    return Ours(case, config, prompts=prompts, rows=config.memory_rows, micro_tokens=config.memory_tokens)


def our_memory(config: Config, rollouts: int) -> Arm:
    case = setting(config)
    memory_arm(case, config, config.group).step()  # modules that load on first use do not count
    gc.collect()
    ours = memory_arm(case, config, rollouts)
    return lambda: ours.step().tokens


def trl_memory(config: Config, rollouts: int) -> Arm:
    case = setting(config)
    trainer(case, config, 1, config.group, steps=1)[0].train()
    gc.collect()
    training, timer = trainer(case, config, rollouts // config.group, memory_batch(case, config), steps=1)

    def arm() -> float:
        training.train()
        return timer.steps[0].tokens

    return arm


def memory_batch(case: Setting, config: Config) -> int:
    """Completions in a micro-batch of TRL with as many tokens as ours, rounded down to a power of two."""
    return 2 ** ((config.memory_tokens // (case.max_prompt_tokens + case.new_tokens)).bit_length() - 1)


def stored_mib(batch: StepBatch) -> float:
    """MiB of the rollouts of a step: the tensors of the batch, and the records with their verdicts."""
    owners = (batch, batch.rollout_batch, batch.advantages, batch.advantages.credit)
    tensors = [value for owner in owners for value in vars(owner).values() if isinstance(value, torch.Tensor)]
    sizes: dict[int, int] = {}
    for rollout in (*batch.rollouts, *batch.rollout_batch.rollouts):
        for value in (rollout, *(getattr(rollout, field.name) for field in fields(rollout))):
            sizes |= {id(part): sys.getsizeof(part) for part in (value, *(value if isinstance(value, tuple) else ()))}
    return (sum(tensor.nbytes for tensor in tensors) + sum(sizes.values())) / 2**20


def memory(case: Setting, config: Config) -> dict[str, Any]:
    os.environ["MALLOC_MMAP_THRESHOLD_"] = str(2**16)  # glibc then returns freed memory: the peak is what was in use
    makers = {OURS: our_memory, TRL: trl_memory}
    peaks = {arm: {n: round(peak_memory(make, config, n), 1) for n in config.sizes} for arm, make in makers.items()}
    stored = {n: round(stored_mib(memory_arm(case, config, n).collect()), 1) for n in config.sizes}
    lines = {**peaks, "the rollouts": stored}
    if config.keep:
        title = f"Peak memory of one GRPO step, in micro-batches of {config.memory_tokens} tokens"
        figure = RESULTS / f"grpo-step-memory{'-gpu' if config.device == 'cuda' else ''}.svg"
        line_chart(figure, lines, title=title, x_title="rollouts in a step", y_title="MiB")
    return {
        "peak_memory_mib": peaks,
        "stored_rollouts_mib": stored,
        "mib_per_thousand_rollouts": {name: growth(line) for name, line in lines.items()},
        "trl_batch_in_memory": memory_batch(case, config),
    }


def growth(line: dict[int, float]) -> float:
    """MiB per thousand rollouts, from the middle size to the largest, where our micro-batches are full."""
    sizes = sorted(line)
    start, end = sizes[len(sizes) // 2 - 1], sizes[-1]
    return round(1000 * (line[end] - line[start]) / (end - start), 2)


def main(config: Config) -> None:
    case = setting(config)
    memory_results = memory(case, config) if config.sizes else {}
    races = {batch: race(case, config, batch) for batch in case.batches}
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
            **memory_results, config=config.__dict__,
        )  # fmt: skip
    columns = ["seconds", "sampling", "tokens", "length", "reward", "rows_trained"]
    rows = [[name, *(f"{arm[key]:,.3f}" for key in columns)] for name, arm in arms.items()]
    print(text_columns(["arm", *columns], rows))
    print(f"{rates[OURS] / rates[TRL]:.2f} times the steps of TRL at its best micro-batch, {best} of", end=" ")
    print(", ".join(f"{batch} ({arms[TRL]['seconds']:.3f} s)" for batch, arms in races.items()))
    for name, peaks in memory_results.get("peak_memory_mib", {}).items():
        print(f"{name}: peak MiB", ", ".join(f"{peak} at {n} rollouts" for n, peak in peaks.items()))
    if memory_results:
        print("MiB more per thousand rollouts:", memory_results["mib_per_thousand_rollouts"])


if __name__ == "__main__":
    main(tyro.cli(Config))
