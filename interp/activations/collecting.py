"""Collect residuals of a series: each chosen checkpoint reads what it wrote itself, and what the base wrote for all.

Work goes shard by shard: rollouts are sampled, read, written and forgotten, and what the next shard begins with stands
in the facts of the last. So memory is bounded by a shard (and the wave of rollouts it is filled from), and a collection
that was stopped goes on at the last whole shard and ends in the same bytes. Each pair of checkpoint and corpus has an
equal share of the tokens and of the disk, and keeps within it; one that runs out of problems leaves the rest unused.
"""

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import polars as pl
from torch import Tensor
from tqdm import tqdm

from interp.activations import Store, TokenTable, Writer
from interp.activations.config import CORPORA, CollectConfig
from interp.activations.documents import STORED_ROLES, frame_of, length, residuals_of, table_of
from interp.activations.shard import DTYPES, Shard, documents_of, read_table, unfit
from interp.artifacts import BadInput, fingerprint, to_json
from interp.policy.policy import Policy
from interp.rollouts.prompts import Pile, Questions, answers
from interp.rollouts.record import Rollout
from interp.rollouts.series import Checkpoint, Series
from interp.tasks.base import Task

SHARD_ROOM, DOCUMENT_ROOM, MANIFEST_ROOM = 32_768, 256, 16_384
"""Bytes that a shard, a document and a store take at most, beside their tokens and names."""
FACTS_ROOM = 2_048
"""Of what a shard takes, that of its facts, in a file of their own and in the manifest."""


def collect(
    series: Series,
    task: Task | None = None,
    *,
    layer: int | None = None,
    layers: Sequence[int] | int = (),
    out: str | Path | None = None,
    config: CollectConfig | None = None,
    device: str = "auto",
    dtype: str = "auto",
    bar: bool = True,
    **settings: Any,
) -> Store:
    """Residuals of one layer, or of several, at every checkpoint of a series: `collect(series, layer=2, tokens=1_000_000)`.

    `settings` are fields of `CollectConfig`. A run's series knows its task; another has to be given one. The store lies
    beside the checkpoints unless `out` says otherwise. A second call opens a finished store and goes on with a stopped
    one. `device` and `dtype` are those the checkpoints are loaded in. Mistakes are refused before any is loaded."""
    several = (layers,) if isinstance(layers, int) else layers
    wanted = [*([layer] if layer is not None else []), *several]
    config = _settled(config, {"layers": tuple(wanted), **settings} if wanted else settings)
    task = series.task if task is None else task
    if task is None:
        raise BadInput("expected a task to ask these checkpoints, got none: collect(series, task, ...)")
    chosen = tuple(map(series.at, sorted(config.steps))) if config.steps else series.members
    if not chosen:
        raise BadInput("expected at least one checkpoint, got a series without any")
    d_model = _expect_layers(series.base, config.layers)
    questions = {corpus: Questions(task, CORPORA[corpus], config.levels) for corpus in config.corpora}
    asked = {**to_json(config), "steps": [member.step for member in chosen]}
    asked |= {"task": task.name, "run": series.run, "loaded_in": dtype}
    name = f"activations-{fingerprint(str(asked), task.fingerprint())}"
    out = Path(out) if out else series.beside(name, keeping="activations")
    involved = {member.step: member for member in (series.base, *chosen)}
    made_from = {f"policy-{step}": member.fingerprint() for step, member in sorted(involved.items())}
    writer = Writer(
        out,
        layers=config.layers,
        d_model=d_model,
        roles=STORED_ROLES,
        dtype=config.precision,
        config=asked,
        made_from={**made_from, "task": task.fingerprint()},
    )
    if not writer.finished:
        _expect_room(writer, config)
        try:
            _Collection(series, chosen, config, writer, questions, device, dtype).go(bar=bar)
        except KeyboardInterrupt:
            raise KeyboardInterrupt(f"stopped; ask for the same again to go on from {out}") from None
    return writer.finish()


def _settled(config: CollectConfig | None, settings: dict[str, Any]) -> CollectConfig:
    known = [field.name for field in fields(CollectConfig)]
    if strange := sorted(set(settings) - set(known)):
        raise BadInput(f"expected settings among {', '.join(known)}; got {', '.join(strange)}")
    lone = [name for name in ("corpora", "steps", "levels") if isinstance(settings.get(name), str | int)]
    settings = {**settings, **{name: (settings[name],) for name in lone}}
    if config is not None:
        return replace(config, **settings)
    if "layers" not in settings:
        raise BadInput("expected a layer to collect, got none: collect(layer=2)")
    return CollectConfig(**settings)


@dataclass
class _Collection:
    series: Series
    chosen: tuple[Checkpoint, ...]
    config: CollectConfig
    writer: Writer
    questions: dict[str, Questions]
    device: str
    dtype: str

    def __post_init__(self) -> None:
        self._loaded: dict[int, Policy] = {}
        self.pairs = [(reader, corpus) for reader in self.chosen for corpus in self.config.corpora]
        self.tokens = self.config.tokens // len(self.pairs)
        self.bytes = max(0, int(self.config.gb * 1e9) - MANIFEST_ROOM) // len(self.pairs)
        """The share of a pair."""

    def go(self, *, bar: bool) -> None:
        keys = [(reader.step, corpus) for reader, corpus in self.pairs]
        done = [(shard.facts["reader"], shard.facts["corpus"]) for shard in self.writer.shards]
        current = keys.index(done[-1]) if done else 0  # those before it have had their share
        total, before = self.tokens * len(keys), sum(shard.tokens for shard in self.writer.shards)
        quiet: Any = {} if bar else {"disable": True}
        told: Any = {"desc": "collecting", "unit": "token", "unit_scale": True, "delay": 1, "leave": False}
        shown = tqdm(total=total, initial=before, **told, **quiet)
        with shown:
            for reader, corpus in self.pairs[current:]:
                shown.set_postfix(
                    {"step": reader.step, "corpus": corpus, "GB": f"{_spent(self.writer.shards) / 1e9:.2f}"}
                )
                reads_again = corpus == "probe" and reader != self.chosen[0]
                for tokens in self._read_again(reader) if reads_again else self._answer(reader, corpus):
                    shown.update(tokens)

    def _answer(self, reader: Checkpoint, corpus: str) -> Iterator[int]:
        """A shard after another of what is written now: by the reader itself, or by the base."""
        author = self.series.base if corpus == "probe" else reader
        writes, reads = self._policies(author, reader)
        mine = self._shards(reader, corpus)
        start = mine[-1].facts["end"] if mine else 0
        asked = {"run": self.series.run, "step": author.step, "chat": self.config.chat, "start": start}
        pile = Pile(answers(writes, self.questions[corpus], self.config.sampling, **asked))
        while rollouts := self._fill(pile, author, first=start == 0, spent=self._shards(reader, corpus)):
            facts = {"start": start, "end": (start := start + len(rollouts))}
            documents = frame_of(rollouts, corpus=corpus, reader=reader.step)
            yield self._write(reads, reader, corpus, table_of(rollouts), documents, facts)

    def _read_again(self, reader: Checkpoint) -> Iterator[int]:
        """The probe corpus as the first checkpoint's shards have it: token by token, shard by shard."""
        (reads,) = self._policies(reader)
        for shard in self._shards(self.chosen[0], "probe")[len(self._shards(reader, "probe")) :]:
            documents = pl.read_parquet(documents_of(self.writer.path, shard.name))
            documents = documents.with_columns(reader=pl.lit(reader.step, pl.Int64))
            facts = {"start": shard.facts["start"], "end": shard.facts["end"]}
            yield self._write(reads, reader, "probe", read_table(self.writer.path, shard.name), documents, facts)

    def _fill(self, pile: Pile, author: Checkpoint, *, first: bool, spent: list[Shard]) -> list[Rollout]:
        """As many rollouts as a shard takes and the share allows. None: the share is used up, or the problems are."""
        tokens = min(self.config.shard_tokens, self.tokens - sum(shard.tokens for shard in spent))
        room = self.bytes - _spent(spent) - SHARD_ROOM
        taken: list[Rollout] = []
        try:
            for rollout in pile:
                n, size = length(rollout), self._size(rollout)
                if n > tokens or size > room:
                    self._expect_some(taken, n, first=first)
                    pile.put_back(rollout)
                    break
                taken.append(rollout)
                tokens, room = tokens - n, room - size
        except FloatingPointError as error:
            raise FloatingPointError(f"checkpoint {author.step} ({author.path}): {error}") from error
        return taken

    def _size(self, rollout: Rollout) -> int:
        """Bytes on disk, at most."""
        names = len(rollout.problem.encode()) + len(rollout.run.encode())
        return length(rollout) * self.writer.bytes_per_token + names + DOCUMENT_ROOM

    def _expect_some(self, taken: list[Rollout], n: int, *, first: bool) -> None:
        if n > self.config.shard_tokens:
            raise BadInput(f"shard_tokens must hold a document; got {self.config.shard_tokens}, and one has {n} tokens")
        if first and not taken:
            need = SHARD_ROOM + DOCUMENT_ROOM + n * self.writer.bytes_per_token
            raise BadInput(
                f"tokens and gb are shared by {len(self.pairs)} pairs of checkpoint and corpus, a share must hold a "
                f"document; got {self.tokens} tokens and {self.bytes:,} bytes, and the first takes {n} tokens and up "
                f"to {need:,} bytes: ask for more, or for fewer checkpoints (steps, --steps)"
            )

    def _write(
        self,
        policy: Policy,
        reader: Checkpoint,
        corpus: str,
        table: TokenTable,
        documents: pl.DataFrame,
        facts: dict[str, Any],
    ) -> int:
        held = residuals_of(
            policy,
            table.ids,
            documents["length"].to_list(),
            self.config.layers,
            dtype=DTYPES[self.config.precision],
            micro_tokens=self.config.micro_tokens,
        )
        self._expect_numbers(held, reader, policy)
        self.writer.add(held, table, documents, {"reader": reader.step, "corpus": corpus, **facts})
        return len(table)

    def _expect_numbers(self, held: dict[int, Tensor], reader: Checkpoint, policy: Policy) -> None:
        for layer, residuals_nD in held.items():
            if told := unfit(residuals_nD):
                raise BadInput(
                    f"checkpoint {reader.step} ({reader.path}): expected finite residuals at layer {layer}, got {told}:"
                    f" its weights have diverged, or {policy.model.dtype} is too narrow for them"
                )

    def _shards(self, reader: Checkpoint, corpus: str) -> list[Shard]:
        key = (reader.step, corpus)
        return [shard for shard in self.writer.shards if (shard.facts["reader"], shard.facts["corpus"]) == key]

    def _policies(self, *members: Checkpoint) -> list[Policy]:
        """Loaded, and all others let go of first."""
        steps = {member.step for member in members}
        self._loaded = {step: policy for step, policy in self._loaded.items() if step in steps}
        for member in members:
            if member.step not in self._loaded:
                self._loaded[member.step] = member.load(device=self.device, dtype=self.dtype)
        return [self._loaded[member.step] for member in members]


def _spent(shards: list[Shard]) -> int:
    """Bytes on disk, at most."""
    return sum(shard.size + FACTS_ROOM for shard in shards)


def _expect_layers(base: Checkpoint, layers: tuple[int, ...]) -> int:
    """The width of the residual stream, once all layers are there."""
    from transformers import AutoConfig

    shape: Any = AutoConfig.from_pretrained(base.path, local_files_only=True).get_text_config()
    if strange := [layer for layer in layers if layer >= shape.num_hidden_layers]:
        raise BadInput(f"layers must lie between 0 and {shape.num_hidden_layers - 1}; got {strange}")
    return shape.hidden_size


def _expect_room(writer: Writer, config: CollectConfig) -> None:
    needed = min(config.gb * 1e9, config.tokens * writer.bytes_per_token) - _spent(writer.shards)
    if needed > (free := shutil.disk_usage(writer.path).free):
        raise BadInput(
            f"{writer.path}: expected room for up to {needed / 1e9:.2f} GB, got {free / 1e9:.2f} GB free: "
            "ask for less (gb, --gb), or choose another place (out, --out)"
        )
