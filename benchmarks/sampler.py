"""Our sampler against Hugging Face `generate`: the same model, prompts, group, lengths and temperature.

The shipped organism samples 8 completions of up to 96 tokens for each of 64 problems of mixed depth. For a GPU there is
a random Qwen3 of 0.5 B parameters that samples up to 256 tokens; one token in 128 of its vocabulary ends a completion,
so lengths are mixed there too. Ours also returns every token's log-probability and entropy; `generate` returns tokens.

    python benchmarks/sampler.py            python benchmarks/sampler.py --device cuda --model random
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
import tyro
from common import Arm, peak_memory, race, write_result
from transformers import Qwen3Config, Qwen3ForCausalLM

from interp.display import text_columns
from interp.organism import shipped_path
from interp.policy import SampleConfig
from interp.policy.policy import Policy
from interp.policy.sample import Sampler
from interp.tasks import Chain
from interp.tasks.words import Words


@dataclass(frozen=True)
class Config:
    device: str = "cpu"
    model: Literal["organism", "random"] = "organism"
    problems: int = 64
    group: int = 8
    repeats: int = 7
    threads: int = 2
    layers: int = 24
    """Layers of the random model; 24 make it 0.5 B parameters."""
    directory: Path | None = None
    """A model in Hugging Face format, that answers word problems. Instead of `model`."""
    new_tokens: int = 96
    """Tokens in a completion, at most. The random model samples up to 256."""


@dataclass(frozen=True)
class Setting:
    model: torch.nn.Module
    prompts: list[list[int]]
    stop_ids: list[int]
    pad_id: int
    new_tokens: int


def setting(config: Config) -> Setting:
    torch.set_num_threads(config.threads)
    if config.directory is not None or config.model == "organism":
        policy, task = Policy.load(config.directory or shipped_path(), device=config.device), Chain()
        task = Words() if config.directory is not None else task
        prompts = policy.encode([problem.prompt for problem in task.problems("eval", None, config.problems)])
        return Setting(policy.model, prompts, policy.stop_ids, policy.pad_id, config.new_tokens)
    torch.manual_seed(0)
    shape = Qwen3Config(
        vocab_size=151_936, hidden_size=896, intermediate_size=4864, num_hidden_layers=config.layers,
        num_attention_heads=14, num_key_value_heads=2, head_dim=64, max_position_embeddings=4096,
        tie_word_embeddings=True, pad_token_id=0, eos_token_id=list(range(0, 151_936, 128)),
    )  # fmt: skip
    with torch.device(config.device):
        dtype = torch.bfloat16 if config.device == "cuda" else torch.float32
        model = Qwen3ForCausalLM(shape).to(dtype).eval()  # pyright: ignore[reportArgumentType]
    prompts = [torch.randint(1, 151_936, (32 + index % 97,)).tolist() for index in range(config.problems)]
    return Setting(model, prompts, list(range(0, 151_936, 128)), 0, 256)


def ours(config: Config) -> Arm:
    case = setting(config)
    sampling = SampleConfig(group=config.group, max_new_tokens=case.new_tokens, rows=config.problems * config.group)
    sampler = Sampler(case.model, sampling, case.stop_ids, case.pad_id, 4096)  # pyright: ignore[reportArgumentType]
    keys = list(range(len(case.prompts) * config.group))
    return lambda: float(sampler.sample(case.prompts, keys, lambda rows: None).lengths_B.sum())


def generate(config: Config) -> Arm:
    case = setting(config)
    longest = max(map(len, case.prompts))
    ids = torch.tensor([[case.pad_id] * (longest - len(row)) + row for row in case.prompts], device=config.device)
    mask = torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in case.prompts], device=config.device)
    stop_ids = torch.tensor(case.stop_ids, device=config.device)

    def arm() -> float:
        out = case.model.generate(  # pyright: ignore[reportCallIssue]
            input_ids=ids, attention_mask=mask, do_sample=True, temperature=1.0, top_k=0, top_p=1.0,
            max_new_tokens=case.new_tokens, num_return_sequences=config.group, pad_token_id=case.pad_id,
            eos_token_id=case.stop_ids,
        )[:, longest:]  # fmt: skip
        ended = torch.isin(out, stop_ids).int().cumsum(1)
        return float(((ended == 0) | (torch.isin(out, stop_ids) & (ended == 1))).sum())

    return arm


def main(config: Config) -> None:
    makers = {"interp": ours, "transformers generate": generate}
    memory = {name: round(peak_memory(make, config), 1) for name, make in makers.items()}
    rates = race({name: make(config) for name, make in makers.items()}, config.repeats)
    write_result(
        "sampler", torch.device(config.device), "tokens per second", rates, "transformers generate",
        peak_memory_mib=memory, config=config.__dict__,
    )  # fmt: skip
    rows = [[name, f"{rates[name]:,.0f}", memory[name]] for name in makers]
    print(text_columns(["arm", "tokens/s", "peak MiB"], rows))


if __name__ == "__main__":
    main(tyro.cli(Config))
