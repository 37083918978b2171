"""One checkpoint reads one corpus: rollouts in, sums out, a wave of rollouts at a time."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from torch import Tensor
from tqdm import tqdm

from interp.features.looking import look
from interp.policy.policy import Policy
from interp.rollouts.questions import by_level
from interp.rollouts.record import Rollout
from interp.rollouts.roll_out import answered
from interp.tasks.base import Problem, Task
from interp.tracking.config import SPLITS, TrackConfig
from interp.tracking.reading import Document, Reading
from interp.tsae import TSAE
from interp.tsae.metrics import LossRecovered
from interp.tsae.splices import Splices

PIECE = 65_536
"""Tokens whose residuals are held at once."""


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

    def answers(self, task: Task, asked: Asked, *, run: str, step: int) -> Iterator[list[Document]]:
        """Wave by wave, with bucket and number of prompt."""
        everything, group = asked.everything, self.config.sampling.group
        wave = max(1, self.config.sampling.rows // group)
        for start in range(0, len(everything), wave):
            part = everything[start : start + wave]
            problems = [problem for _, _, problem in part]
            purpose = f"track {asked.corpus}"
            told = {"run": run, "step": step, "chat": self.config.chat, "purpose": purpose, "bar": False}
            rows = answered(self.policy, task, problems, self.config.sampling, **told)
            yield [(*part[at // group][:2], row) for at, row in enumerate(rows)]

    def read(self, documents: Sequence[Document], reading: Reading) -> None:
        """Into the sums of a reading."""
        held, micro_tokens = [told for told in documents if told[2].tokens], self.config.micro_tokens
        for some in cut(held, PIECE):
            known, rows = reading.known(some), [row for _, _, row in some]
            for part in look(self.policy, self.tsae, self.layer, rows, micro_tokens=micro_tokens):
                reading.update(part, part.codes.decoded(self.tsae), known)

    def recover(self, rollouts: Sequence[Rollout], mean_D: Tensor) -> LossRecovered:
        """What is left of what the policy says, with the dictionary in place of the residual."""
        splices = Splices(self.tsae, self.layer, mean_D, zero=False)
        splices.update(self.policy, [list(row.prompt_ids) for row in rollouts], [list(row.tokens) for row in rollouts])
        return splices.against_mean


def cut(documents: Sequence[Document], tokens: int) -> Iterator[list[Document]]:
    """Into pieces of about so many tokens, a document at least."""
    held, size = list[Document](), 0
    for document in documents:
        held.append(document)
        size += len(document[2].prompt_ids) + len(document[2].tokens)
        if size >= tokens:
            yield held
            held, size = [], 0
    if held:
        yield held


def questions(task: Task, corpus: str, config: TrackConfig) -> Asked:
    """The task's own problems of each level."""
    return Asked(corpus, by_level(task, SPLITS[corpus], config.levels, config.problems))


def read_corpus(reader: Reader, asked: Asked, waves: Iterator[list[Document]], *, step: int, bar: bool) -> Reading:
    """All of a corpus, and on some rollouts of each bucket the loss recovered."""
    reading, spared = Reading(step, asked.corpus, reader.tsae.width), dict[str, list[Rollout]]()
    share = reader.config.recovered // max(1, len(asked.buckets))
    total = len(asked.everything) * reader.config.sampling.group
    told = {"desc": f"step {step}, {asked.corpus}", "unit": "rollout", "delay": 1, "leave": False, "disable": not bar}
    with tqdm(total=total, **told) as shown:
        for documents in waves:
            reader.read(documents, reading)
            reading.tally.update(documents)
            for bucket, at, row in documents:
                if row.tokens and spares(at, row.sample, len(asked.buckets[bucket]), share):
                    spared.setdefault(bucket, []).append(row)
            shown.update(len(documents))
    for bucket, rows in spared.items():
        mean_D = reading.fits[bucket].mean_D
        assert mean_D is not None, "tokens of this bucket were read"
        reading.recovered[bucket] = reader.recover(rows, mean_D.float())
    return reading


def spares(prompt: int, sample: int, prompts: int, share: int) -> bool:
    """Whether a rollout is among about `share` of its bucket: the first samples of as many prompts as it takes, spaced
    evenly, whatever came in the same wave."""
    if sample >= -(-share // max(1, prompts)):
        return False
    return prompt % max(1, prompts // max(1, share)) == 0
