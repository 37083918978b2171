"""One checkpoint on one corpus: rollouts are sampled and encoded wave by wave, and their activity summed up."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor
from tqdm import tqdm

from interp.display import bar_settings
from interp.encoding.encode import encode_rollouts
from interp.encoding.recovery import SpliceEvaluator
from interp.policy.policy import Policy
from interp.rollouts.record import Rollout
from interp.rollouts.roll_out import sample_rollouts
from interp.tasks.base import Task
from interp.tracking.checkpoint_sums import CheckpointSums, TrackedRollout
from interp.tracking.config import PURPOSES, CompareConfig, CorpusProblems
from interp.tsae import TSAE
from interp.tsae.metrics import SpliceLosses

TOKENS_AT_ONCE = 65_536
"""Tokens whose residuals are held in memory at once."""


@dataclass
class SumsCollector:
    """A policy and a dictionary, and how rollouts are sampled and encoded."""

    tsae: TSAE
    policy: Policy
    layer: int
    config: CompareConfig

    def __post_init__(self) -> None:
        self.tsae = self.tsae.to(self.policy.device)

    def sample(self, task: Task, problems: CorpusProblems, *, run: str, step: int) -> Iterator[list[TrackedRollout]]:
        """A group of rollouts for each problem, wave by wave."""
        numbered, group = problems.numbered, self.config.sampling.group
        wave = max(1, self.config.sampling.rows // group)
        for start in range(0, len(numbered), wave):
            part = numbered[start : start + wave]
            rollouts = sample_rollouts(
                self.policy, task, [problem for _, _, problem in part], self.config.sampling,
                run=run, step=step, prompt_format=self.config.prompt_format,
                purpose=PURPOSES[problems.corpus], progress=False,
            )  # fmt: skip
            yield [TrackedRollout(*part[n // group][:2], rollout) for n, rollout in enumerate(rollouts)]

    def add(self, rollouts: Sequence[TrackedRollout], sums: CheckpointSums) -> None:
        """Encode rollouts and add their tokens to the sums."""
        written = [tracked for tracked in rollouts if tracked.rollout.tokens]
        for part in split_by_tokens(written, TOKENS_AT_ONCE):
            groups, rows = sums.group_rollouts(part), [tracked.rollout for tracked in part]
            for chunk in encode_rollouts(
                self.tsae, self.policy, self.layer, rows, micro_tokens=self.config.micro_tokens
            ):
                sums.update(chunk, chunk.codes.decode(self.tsae, chunk.x_ND), groups)

    def measure_loss_recovered(self, rollouts: Sequence[Rollout], mean_D: Float[Tensor, " D"]) -> SpliceLosses:
        """Loss with the dictionary's reconstruction in place of the residual, against mean ablation."""
        evaluator = SpliceEvaluator(self.tsae, self.layer, mean_D, measure_zero=False)
        prompts, completions = [list(row.prompt_ids) for row in rollouts], [list(row.tokens) for row in rollouts]
        evaluator.update(self.policy, prompts, completions)
        return evaluator.against_mean


def collect_sums(
    collector: SumsCollector,
    problems: CorpusProblems,
    waves: Iterator[list[TrackedRollout]],
    *,
    step: int,
    progress: bool,
) -> CheckpointSums:
    """Sums over a whole corpus; the loss recovered is measured on some rollouts of each bucket."""
    sums, loss_rollouts = CheckpointSums(step, problems.corpus, collector.tsae.width), dict[str, list[Rollout]]()
    per_bucket = collector.config.loss_rollouts // max(1, len(problems.buckets))
    total = len(problems.numbered) * collector.config.sampling.group
    with tqdm(
        total=total,
        desc=f"step {step}, {problems.corpus}",
        unit="rollout",
        delay=1,
        leave=False,
        **bar_settings(progress),
    ) as bar:
        for rollouts in waves:
            collector.add(rollouts, sums)
            sums.behavior.update(rollouts)
            for bucket, prompt, rollout in rollouts:
                n_prompts = len(problems.buckets[bucket])
                if rollout.tokens and is_loss_rollout(prompt, rollout.sample, n_prompts, per_bucket):
                    loss_rollouts.setdefault(bucket, []).append(rollout)
            bar.update(len(rollouts))
    for bucket, rows in loss_rollouts.items():
        mean_D = sums.fve[bucket].mean_D
        assert mean_D is not None, "expected the mean of a bucket whose tokens were added"
        sums.loss_recovered[bucket] = collector.measure_loss_recovered(rows, mean_D.float())
    return sums


def split_by_tokens(rollouts: Sequence[TrackedRollout], tokens: int) -> Iterator[list[TrackedRollout]]:
    """Parts of about `tokens` tokens, prompts included, and of one rollout or more."""
    part, size = list[TrackedRollout](), 0
    for tracked in rollouts:
        part.append(tracked)
        size += len(tracked.rollout.prompt_ids) + len(tracked.rollout.tokens)
        if size >= tokens:
            yield part
            part, size = [], 0
    if part:
        yield part


def is_loss_rollout(prompt: int, sample: int, n_prompts: int, n_rollouts: int) -> bool:
    """Whether a rollout is one of about `n_rollouts` of its bucket: the first samples of evenly spaced prompts,
    whatever the waves."""
    if sample >= -(-n_rollouts // max(1, n_prompts)):
        return False
    return prompt % max(1, n_prompts // max(1, n_rollouts)) == 0
