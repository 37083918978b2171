"""The loop of a collection: fill the shards of every checkpoint and corpus within their budget.

A pair is one checkpoint reading one corpus. Every pair has an equal share of the tokens and of the disk, and stays
within it; a pair that runs out of problems leaves the rest of its share unused. Rollouts are sampled, read, written and
freed shard by shard, and the facts of the last shard give the start of the next one. So memory is that of one shard
(and the wave of rollouts that fills it), and a stopped collection continues after its last complete shard.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import polars as pl
from torch import Tensor
from tqdm import tqdm

from interp.activations.config import CollectConfig
from interp.activations.documents import compute_document_residuals, document_table, n_tokens, token_table
from interp.activations.shard import (
    DTYPES,
    Shard,
    TokenTable,
    describe_nonfinite,
    read_documents,
    read_token_table,
)
from interp.activations.writer import Writer
from interp.artifacts import BadInput
from interp.policy.policy import Policy
from interp.policy.site import RESID_POST
from interp.rollouts.problems import ProblemStream
from interp.rollouts.record import Rollout
from interp.rollouts.roll_out import stream_rollouts
from interp.rollouts.series import Checkpoint, Series

SHARD_BYTES, DOCUMENT_BYTES, MANIFEST_BYTES = 32_768, 256, 16_384
"""Upper bounds on the bytes of a shard, a document and a store on disk, without their tokens and names."""
FACTS_BYTES = 2_048
"""Upper bound on a shard's facts, in its own file and in the manifest; part of `SHARD_BYTES`."""


class PushbackIterator(Iterator[Rollout]):
    """An iterator of rollouts to which rollouts can be returned."""

    def __init__(self, rollouts: Iterator[Rollout]) -> None:
        self._rollouts, self._returned = rollouts, list[Rollout]()

    def __next__(self) -> Rollout:
        return self._returned.pop() if self._returned else next(self._rollouts)

    def put_back(self, rollout: Rollout) -> None:
        self._returned.append(rollout)


@dataclass
class Collector:
    """Fills a store with the residuals of the chosen checkpoints on each corpus."""

    series: Series
    chosen: tuple[Checkpoint, ...]
    config: CollectConfig
    writer: Writer
    problems: dict[str, ProblemStream]
    """Problems of each corpus."""
    device: str
    dtype: str

    def __post_init__(self) -> None:
        self._loaded: dict[int, Policy] = {}
        self.pairs = [(reader, corpus) for reader in self.chosen for corpus in self.config.corpora]
        self.tokens_per_pair = self.config.tokens // len(self.pairs)
        self.bytes_per_pair = max(0, int(self.config.gb * 1e9) - MANIFEST_BYTES) // len(self.pairs)

    def run(self, *, progress: bool) -> None:
        """Write every missing shard."""
        keys = [(reader.step, corpus) for reader, corpus in self.pairs]
        written = [(shard.facts["reader"], shard.facts["corpus"]) for shard in self.writer.shards]
        current = keys.index(written[-1]) if written else 0  # the pairs before it have had their share
        bar = tqdm(
            total=self.tokens_per_pair * len(keys), initial=sum(shard.tokens for shard in self.writer.shards),
            desc="collecting", unit="token", unit_scale=True, delay=1, leave=False,
        )  # fmt: skip
        bar.disable = bar.disable or not progress
        with bar:
            for reader, corpus in self.pairs[current:]:
                gb = bytes_on_disk(self.writer.shards) / 1e9
                bar.set_postfix({"step": reader.step, "corpus": corpus, "GB": f"{gb:.2f}"})
                is_sampled = corpus == "probe" and reader != self.chosen[0]
                for tokens in self._reread_probe(reader) if is_sampled else self._read_new(reader, corpus):
                    bar.update(tokens)

    def _read_new(self, reader: Checkpoint, corpus: str) -> Iterator[int]:
        """Shards of new rollouts, written by the base for the probe corpus and otherwise by the reader. Yields the
        number of tokens of each shard."""
        author = self.series.base if corpus == "probe" else reader
        author_policy, reader_policy = self._load(author, reader)
        written = self._shards_of(reader, corpus)
        start = written[-1].facts["end"] if written else 0
        stream = stream_rollouts(
            author_policy, self.problems[corpus], self.config.sampling,
            run=self.series.run, step=author.step, prompt_format=self.config.prompt_format, start=start,
        )  # fmt: skip
        rollouts, is_first = PushbackIterator(stream), start == 0
        while shard := self._take(rollouts, author, is_first=is_first, written=self._shards_of(reader, corpus)):
            facts = {"start": start, "end": (start := start + len(shard))}
            documents = document_table(shard, corpus=corpus, reader=reader.step)
            yield self._write(reader_policy, reader, corpus, token_table(shard), documents, facts)
            is_first = False

    def _reread_probe(self, reader: Checkpoint) -> Iterator[int]:
        """Shards with the same tokens as the first checkpoint's probe shards, read by `reader`. Yields their tokens."""
        (policy,) = self._load(reader)
        n_written = len(self._shards_of(reader, "probe"))
        for shard in self._shards_of(self.chosen[0], "probe")[n_written:]:
            documents = read_documents(self.writer.path, shard).with_columns(reader=pl.lit(reader.step, pl.Int64))
            facts = {"start": shard.facts["start"], "end": shard.facts["end"]}
            tokens = read_token_table(self.writer.path, shard.name)
            yield self._write(policy, reader, "probe", tokens, documents, facts)

    def _take(
        self, rollouts: PushbackIterator, author: Checkpoint, *, is_first: bool, written: list[Shard]
    ) -> list[Rollout]:
        """The rollouts of the next shard: as many as fit into it and into the pair's share. None are left if the share
        is used up or the problems run out."""
        tokens = min(self.config.shard_tokens, self.tokens_per_pair - sum(shard.tokens for shard in written))
        size = self.bytes_per_pair - bytes_on_disk(written) - SHARD_BYTES
        shard: list[Rollout] = []
        try:
            for rollout in rollouts:
                n, n_bytes = n_tokens(rollout), self._size(rollout)
                if n > tokens or n_bytes > size:
                    self._expect_progress(shard, n, is_first=is_first)
                    rollouts.put_back(rollout)
                    break
                shard.append(rollout)
                tokens, size = tokens - n, size - n_bytes
        except FloatingPointError as error:
            raise FloatingPointError(f"checkpoint {author.step} ({author.path}): {error}") from error
        return shard

    def _size(self, rollout: Rollout) -> int:
        """Upper bound on the bytes a rollout takes on disk."""
        names = len(rollout.problem.encode()) + len(rollout.run.encode())
        return n_tokens(rollout) * self.writer.bytes_per_token + names + DOCUMENT_BYTES

    def _expect_progress(self, shard: list[Rollout], n: int, *, is_first: bool) -> None:
        """Refuse a budget that is too small for a document of `n` tokens."""
        if n > self.config.shard_tokens:
            raise BadInput(f"shard_tokens must hold a document; got {self.config.shard_tokens}, and one has {n} tokens")
        if is_first and not shard:
            need = SHARD_BYTES + DOCUMENT_BYTES + n * self.writer.bytes_per_token
            raise BadInput(
                f"tokens and gb are shared by {len(self.pairs)} pairs of checkpoint and corpus, a share must hold a "
                f"document; got {self.tokens_per_pair} tokens and {self.bytes_per_pair:,} bytes, and the first takes "
                f"{n} tokens and up to {need:,} bytes: ask for more, or for fewer checkpoints (steps, --steps)"
            )

    def _write(
        self,
        policy: Policy,
        reader: Checkpoint,
        corpus: str,
        tokens: TokenTable,
        documents: pl.DataFrame,
        facts: dict[str, Any],
    ) -> int:
        residuals = compute_document_residuals(
            policy,
            tokens.ids,
            documents["length"].to_list(),
            self.config.layers,
            dtype=DTYPES[self.config.precision],
            micro_tokens=self.config.micro_tokens,
            site=self.config.site or RESID_POST,
        )
        _expect_finite(residuals, reader, policy)
        self.writer.add(residuals, tokens, documents, {"reader": reader.step, "corpus": corpus, **facts})
        return len(tokens)

    def _shards_of(self, reader: Checkpoint, corpus: str) -> list[Shard]:
        """The written shards of a pair."""
        key = (reader.step, corpus)
        return [shard for shard in self.writer.shards if (shard.facts["reader"], shard.facts["corpus"]) == key]

    def _load(self, *checkpoints: Checkpoint) -> list[Policy]:
        """The policies of these checkpoints; other loaded policies are freed first."""
        steps = {checkpoint.step for checkpoint in checkpoints}
        self._loaded = {step: policy for step, policy in self._loaded.items() if step in steps}
        for checkpoint in checkpoints:
            if checkpoint.step not in self._loaded:
                self._loaded[checkpoint.step] = checkpoint.load(device=self.device, dtype=self.dtype)
        return [self._loaded[checkpoint.step] for checkpoint in checkpoints]


def bytes_on_disk(shards: list[Shard]) -> int:
    """Upper bound on the bytes of these shards, facts included."""
    return sum(shard.n_bytes + FACTS_BYTES for shard in shards)


def _expect_finite(residuals: dict[int, Tensor], reader: Checkpoint, policy: Policy) -> None:
    for layer, residuals_nD in residuals.items():
        if nonfinite := describe_nonfinite(residuals_nD):
            raise BadInput(
                f"checkpoint {reader.step} ({reader.path}): expected finite residuals at layer {layer}, got {nonfinite}"
                f": its weights have diverged, or {policy.model.dtype} is too narrow for them"
            )
