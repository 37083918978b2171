"""Collecting residuals of given rollouts, against a bare forward to that layer over the same micro-batches.

Collecting makes the token table and the documents, packs rollouts by length, reads them, takes the residuals of real
tokens, and writes a shard: tensors and documents renamed into place, synced, fingerprinted. The bare forward gets its
padded tensors ready-made, stops at the same layer, and keeps nothing. The arms take turns. `times` is the time of
collecting over that of the bare forward, as the median over rounds. A round's files are removed before the next, so
that the disk's cache is as on a machine long at work.

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
from interp.activations.documents import (
    STORED_ROLES,
    compute_document_residuals,
    document_table,
    n_tokens,
    token_table,
)
from interp.display import text_columns
from interp.organism import shipped_path
from interp.policy import SampleConfig
from interp.policy.policy import Policy
from interp.policy.residual import compute_residuals
from interp.policy.score import batches_by_length
from interp.rollouts import Rollout, roll_out
from interp.tasks import Chain

OURS, BARE = "collect", "bare forward"


@dataclass(frozen=True)
class Config:
    device: str = "cpu"
    tokens: int = 65_536
    """Tokens that the organism reads: one shard. The random model reads a sixteenth of them."""
    layer: int = 2
    """Layer of the organism, of its four. The random model is read in the middle of its eight."""
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
    policy, task = Policy.load(shipped_path(), device=config.device), Chain()
    problems = task.problems("train", None, config.tokens // 64)
    rollouts = list(roll_out(policy, task, problems, SampleConfig(group=4, rows=1024), progress=False))
    return Setting(policy, take_tokens(rollouts, config.tokens), config.layer)


def random_model(config: Config) -> Setting:
    torch.manual_seed(0)
    shape = Qwen3Config(
        vocab_size=4096, hidden_size=512, intermediate_size=1536, num_hidden_layers=8, num_attention_heads=8,
        num_key_value_heads=4, head_dim=64, max_position_embeddings=1024, tie_word_embeddings=True,
    )  # fmt: skip
    model: Any = Qwen3ForCausalLM(shape).to(config.device).eval()  # pyright: ignore[reportArgumentType]
    template = organism(Config(tokens=512)).rollouts[0]
    rollouts = [random_rollout(template, 32 + i % 33, 32 + 7 * i % 193) for i in range(config.tokens // 512)]
    tokenizer: Any = type("Tokenizer", (), {"pad_token_id": 0})()
    return Setting(Policy(model, tokenizer), take_tokens(rollouts, config.tokens // 16), 4)


def random_rollout(template: Rollout, n_prompt: int, n_completion: int) -> Rollout:
    ids = torch.randint(1, 4096, (n_prompt + n_completion,)).tolist()
    roles = ("text",) * n_completion
    return replace(template, prompt_ids=tuple(ids[:n_prompt]), tokens=tuple(ids[n_prompt:]), roles=roles)


def take_tokens(rollouts: list[Rollout], tokens: int) -> list[Rollout]:
    """The first rollouts, as many as have at most `tokens` tokens between them."""
    total = 0
    for i, rollout in enumerate(rollouts):
        if (total := total + n_tokens(rollout)) > tokens:
            return rollouts[:i]
    raise ValueError(f"expected rollouts of {tokens} tokens, got {total}")


def collect(setting: Setting, config: Config, out: Path) -> None:
    writer = Writer(out, layers=[setting.layer], d_model=setting.policy.d_model, roles=STORED_ROLES)
    tokens, documents = token_table(setting.rollouts), document_table(setting.rollouts, corpus="on-policy", reader=0)
    residuals = compute_document_residuals(
        setting.policy, tokens.ids, documents["length"].to_list(), [setting.layer],
        dtype=torch.float32, micro_tokens=config.micro_tokens,
    )  # fmt: skip
    writer.add(residuals, tokens, documents)


def make_bare_forward(setting: Setting, config: Config) -> Callable[[], None]:
    rows = [torch.tensor([*rollout.prompt_ids, *rollout.tokens]) for rollout in setting.rollouts]
    spans = [range(len(row)) for row in rows]
    batches = []
    for batch in batches_by_length(spans, spans, config.micro_tokens):
        ids_BL = pad_sequence([rows[i] for i in batch], batch_first=True)
        lengths_B = torch.tensor([len(rows[i]) for i in batch])
        mask_BL = (torch.arange(ids_BL.shape[1]) < lengths_B[:, None]).long()
        batches.append((ids_BL.to(config.device), mask_BL.to(config.device)))

    def forward() -> None:
        for ids_BL, mask_BL in batches:
            compute_residuals(setting.policy.model, ids_BL, mask_BL, [setting.layer])

    return forward


def race(setting: Setting, config: Config) -> dict[str, float]:
    """Median seconds of each arm, and median of the ratio of collecting to the bare forward."""
    forward = make_bare_forward(setting, config)
    rounds: list[tuple[float, float]] = []
    with tempfile.TemporaryDirectory(dir=".") as directory:
        for turn in range(config.repeats + 1):  # the first round is a warm-up
            out = Path(directory) / str(turn)
            rounds.append((seconds(lambda out=out: collect(setting, config, out), config), seconds(forward, config)))
            shutil.rmtree(out)
    ours, bare = zip(*rounds[1:], strict=True)
    ratios = [one / other for one, other in rounds[1:]]
    return {OURS: statistics.median(ours), BARE: statistics.median(bare), "times": statistics.median(ratios)}


def seconds(arm: Callable[[], None], config: Config) -> float:
    start = time.perf_counter()
    arm()
    if config.device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def main(config: Config) -> None:
    torch.set_num_threads(config.threads)
    results: dict[str, dict[str, Any]] = {}
    for name, make in {"organism": organism, "random": random_model}.items():
        setting = make(config)
        sizes = {"tokens": sum(map(n_tokens, setting.rollouts)), "documents": len(setting.rollouts)}
        results[name] = {**race(setting, config), **sizes, "width": setting.policy.d_model}
    if config.keep:
        rates = {arm: results["organism"]["tokens"] / results["organism"][arm] for arm in (OURS, BARE)}
        rounded = {name: {key: round(value, 4) for key, value in row.items()} for name, row in results.items()}
        write_result("collect", torch.device(config.device), "tokens per second", rates, BARE, models=rounded,
                     config=config.__dict__)  # fmt: skip
    columns = ["tokens", "width", OURS, BARE, "times"]
    rows = [[name, *(f"{row[key]:,.6g}" for key in columns)] for name, row in results.items()]
    print(text_columns(["model", *columns], rows))


if __name__ == "__main__":
    main(tyro.cli(Config))
