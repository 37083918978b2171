"""One checkpoint reads one corpus: rollouts in, sums out. Wave by wave, so that memory is that of one wave.

Only completions are looked at: a dictionary is fitted on them, and what a policy does it does there.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from tqdm import tqdm

from interp.features.looking import look
from interp.policy.policy import Policy
from interp.rollouts.record import Rollout
from interp.rollouts.roll_out import roll_out
from interp.tasks.base import Problem, Task
from interp.tracking.config import SPLITS, TrackConfig
from interp.tracking.reading import Reading
from interp.tsae import TSAE
from interp.tsae.metrics import LossRecovered
from interp.tsae.splices import Splices


@dataclass(frozen=True)
class Asked:
    """The problems of one corpus: of each bucket, in an order that is the same for every checkpoint."""

    corpus: str
    buckets: dict[str, list[Problem]]

    @property
    def everything(self) -> list[tuple[str, int, Problem]]:
        """With bucket, and number there."""
        return [(name, at, problem) for name, held in self.buckets.items() for at, problem in enumerate(held)]


@dataclass
class Reader:
    """A dictionary held against one policy."""

    policy: Policy
    tsae: TSAE
    layer: int
    config: TrackConfig

    def __post_init__(self) -> None:
        self.tsae = self.tsae.to(self.policy.device)

    def answers(self, task: Task, asked: Asked, *, run: str, step: int) -> Iterator[list[tuple[str, int, Rollout]]]:
        """Wave by wave, with bucket and number of prompt."""
        everything, group = asked.everything, self.config.sampling.group
        wave = max(1, self.config.sampling.rows // group)
        for start in range(0, len(everything), wave):
            part = everything[start : start + wave]
            problems = [problem for _, _, problem in part]
            purpose = f"track {asked.corpus}"
            told = {"run": run, "step": step, "chat": self.config.chat, "purpose": purpose, "bar": False}
            rows = roll_out(self.policy, task, problems, self.config.sampling, **told).rows
            yield [(*part[at // group][:2], row) for at, row in enumerate(rows)]

    def read(self, documents: Sequence[tuple[str, int, Rollout]], reading: Reading) -> None:
        """Into the sums of a reading."""
        documents = [told for told in documents if told[2].tokens]
        rollouts, micro_tokens = [row for _, _, row in documents], self.config.micro_tokens
        for part in look(self.policy, self.tsae, self.layer, rollouts, micro_tokens=micro_tokens):
            xhat_ND = part.codes.decoded(self.tsae)
            reading.update(part.codes, part.x_ND, xhat_ND, part.document_N, part.role_N, part.place_N, documents)

    def recover(self, rollouts: Sequence[Rollout], mean_D: Tensor) -> LossRecovered:
        """What is left of what the policy says, with the dictionary in place of the residual."""
        splices = Splices(self.tsae, self.layer, mean_D)
        splices.update(self.policy, [list(row.prompt_ids) for row in rollouts], [list(row.tokens) for row in rollouts])
        return splices.against_mean


def questions(task: Task, corpus: str, config: TrackConfig) -> Asked:
    """The task's own problems of each level, as many as there are if that is less."""
    found = {}
    for level in config.levels:
        n = config.problems
        if size := getattr(task, "size", None):
            n = min(n, size(SPLITS[corpus], level))
        found[str(level)] = task.problems(SPLITS[corpus], level, n) if n else []
    return Asked(corpus, found)


def read_corpus(
    reader: Reader, waves: Iterator[list[tuple[str, int, Rollout]]], *, step: int, corpus: str, bar: bool, total: int
) -> Reading:
    """All of a corpus, and on its first rollouts the loss recovered."""
    reading = Reading(step, corpus, reader.tsae.width)
    spared: list[Rollout] = []
    shown = tqdm(total=total, desc=f"step {step}, {corpus}", unit="rollout", delay=1, leave=False, disable=not bar)
    with shown:
        for documents in waves:
            reader.read(documents, reading)
            room = reader.config.recovered - len(spared)
            every = max(1, len(documents) // max(1, room))
            spared += [row for _, _, row in documents if row.tokens][::every][: max(0, room)]
            shown.update(len(documents))
    if spared and reading.fits:
        parts = [fve for fve in reading.fits.values() if fve.mean_D is not None]
        mean_D = torch.stack([fve.mean_D * fve.n for fve in parts]).sum(0) / sum(fve.n for fve in parts)
        reading.recovered = reader.recover(spared, mean_D.float())
    return reading
