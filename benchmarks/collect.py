"""Collecting residuals of given rollouts, against a bare forward to that layer over the very same micro-batches.

Ours makes the token table and the documents of the rollouts, packs them by length, reads them, keeps what real tokens
have, and writes the shard to disk: tensors and documents whole, renamed into place, synced, fingerprinted. The bare
forward is handed its padded tensors ready-made, stops at the same layer, and forgets what it found. The arms take
turns. `times` is what collecting takes over the bare forward: the median over rounds of the two times in one round.
What a round has written is removed before the next, so that the disk's cache is as in a machine long at work.

The shipped organism reads its own rollouts; a random Qwen3 of width 512 reads random tokens of mixed lengths.

    python benchmarks/collect.py            python benchmarks/collect.py --device cuda --tokens 262144
"""

import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
import tyro
from common import write_result
from torch.nn.utils.rnn import pad_sequence
from transformers import Qwen3Config, Qwen3ForCausalLM

from interp.activations import Writer
from interp.activations.documents import STORED_ROLES, frame_of, length, residuals_of, table_of
from interp.organism import shipped
from interp.policy import SampleConfig
from interp.policy.policy import Policy
from interp.policy.residual import residuals
from interp.policy.score import by_length
from interp.report.terminal import grid
from interp.rollouts import Rollout, roll_out
from interp.tasks import Chain

OURS, BARE = "collect", "bare forward"


@dataclass(frozen=True)
class Config:
    device: str = "cpu"
    tokens: int = 65_536
    """Of the organism: a shard. The random model reads a sixteenth of them."""
    layer: int = 2
    """Of the organism's four; the random model is read in the middle of its eight."""
    micro_tokens: int = 8_192
    repeats: int = 9
    threads: int = 2
    keep: bool = True
    """Write the result. Not for a dry run."""


@dataclass(frozen=True)
class Setting:
    policy: Policy
    rollouts: list[Rollout]
    layer: int


def organism(config: Config) -> Setting:
    policy, task = Policy.load(shipped(), device=config.device), Chain()
    problems = task.problems("train", None, config.tokens // 64)
    rows = list(roll_out(policy, task, problems, SampleConfig(group=4, rows=1024), bar=False))
    return Setting(policy, first(rows, config.tokens), config.layer)


def random_model(config: Config) -> Setting:
    torch.manual_seed(0)
    shape = Qwen3Config(
        vocab_size=4096, hidden_size=512, intermediate_size=1536, num_hidden_layers=8, num_attention_heads=8,
        num_key_value_heads=4, head_dim=64, max_position_embeddings=1024, tie_word_embeddings=True,
    )  # fmt: skip
    model: Any = Qwen3ForCausalLM(shape).to(config.device).eval()  # pyright: ignore[reportArgumentType]
    template = organism(Config(tokens=512)).rollouts[0]
    rows = [random_rollout(template, 32 + at % 33, 32 + 7 * at % 193) for at in range(config.tokens // 512)]
    tokenizer: Any = type("Tokenizer", (), {"pad_token_id": 0})()
    return Setting(Policy(model, tokenizer), first(rows, config.tokens // 16), 4)


def random_rollout(template: Rollout, prompt: int, completion: int) -> Rollout:
    ids = torch.randint(1, 4096, (prompt + completion,)).tolist()
    roles = ("text",) * completion
    return replace(template, prompt_ids=tuple(ids[:prompt]), tokens=tuple(ids[prompt:]), roles=roles)


def first(rows: list[Rollout], tokens: int) -> list[Rollout]:
    kept, left = [], tokens
    for row in rows:
        if (left := left - length(row)) < 0:
            return kept
        kept.append(row)
    raise ValueError(f"expected rollouts of {tokens} tokens, got {tokens - left}")


def collect(at: Setting, config: Config, out: Path) -> None:
    writer = Writer(out, layers=[at.layer], d_model=at.policy.d_model, roles=STORED_ROLES)
    table, documents = table_of(at.rollouts), frame_of(at.rollouts, corpus="on-policy", reader=0)
    held = residuals_of(
        at.policy, table.ids, documents["length"].to_list(), [at.layer],
        dtype=torch.float32, micro_tokens=config.micro_tokens,
    )  # fmt: skip
    writer.add(held, table, documents)


def bare(at: Setting, config: Config) -> Callable[[], None]:
    rows = [torch.tensor([*row.prompt_ids, *row.tokens]) for row in at.rollouts]
    sizes = [range(len(row)) for row in rows]
    batches = []
    for batch in by_length(sizes, sizes, config.micro_tokens):
        ids_BL = pad_sequence([rows[i] for i in batch], batch_first=True)
        lengths_B = torch.tensor([len(rows[i]) for i in batch])
        mask_BL = (torch.arange(ids_BL.shape[1]) < lengths_B[:, None]).long()
        batches.append((ids_BL.to(config.device), mask_BL.to(config.device)))

    def arm() -> None:
        for ids_BL, mask_BL in batches:
            residuals(at.policy.model, ids_BL, mask_BL, [at.layer])

    return arm


def race(at: Setting, config: Config) -> dict[str, float]:
    """Seconds of each arm, and how many times the bare forward collecting takes."""
    forward = bare(at, config)
    rounds: list[tuple[float, float]] = []
    with tempfile.TemporaryDirectory(dir=".") as home:
        for turn in range(config.repeats + 1):
            arms = [lambda turn=turn: collect(at, config, Path(home) / str(turn)), forward]
            rounds.append((timed(arms[0], config), timed(arms[1], config)))
            shutil.rmtree(Path(home) / str(turn))
    ours, bares = zip(*rounds[1:], strict=True)
    times = [one / other for one, other in rounds[1:]]
    return {OURS: statistics.median(ours), BARE: statistics.median(bares), "times": statistics.median(times)}


def timed(arm: Callable[[], None], config: Config) -> float:
    start = time.perf_counter()
    arm()
    if config.device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def main(config: Config) -> None:
    torch.set_num_threads(config.threads)
    found: dict[str, dict[str, Any]] = {}
    for name, make in {"organism": organism, "random": random_model}.items():
        at = make(config)
        tokens = sum(map(length, at.rollouts))
        found[name] = {**race(at, config), "tokens": tokens, "documents": len(at.rollouts), "width": at.policy.d_model}
    if config.keep:
        rates = {arm: found["organism"]["tokens"] / found["organism"][arm] for arm in (OURS, BARE)}
        rounded = {name: {key: round(value, 4) for key, value in told.items()} for name, told in found.items()}
        write_result("collect", torch.device(config.device), "tokens per second", rates, BARE, models=rounded,
                     config=config.__dict__)  # fmt: skip
    columns = ["tokens", "width", OURS, BARE, "times"]
    rows = [[name, *(f"{told[key]:,.6g}" for key in columns)] for name, told in found.items()]
    print(grid(["model", *columns], rows))


if __name__ == "__main__":
    main(tyro.cli(Config))
