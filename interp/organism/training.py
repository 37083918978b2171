"""Train a base organism: a small Qwen3 on solutions written in a mix of habits, and nothing else. A words organism may
start from a pretrained model.

    1. draw a batch of examples from the step's own hash
    2. cross-entropy on completion tokens, mean over the tokens of the batch
    3. AdamW, linear warm-up, cosine decay
    4. measure the policy, write its card, save it as an ordinary Hugging Face directory

If training is killed, the same call continues from the last saved step and ends in the same weights.
"""

import math
import random
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from tqdm import tqdm

from interp.artifacts import (
    Mismatch,
    add_checksums,
    is_kind,
    locked,
    read_manifest,
    reserve,
    to_json,
    write_manifest,
    writing_dir,
)
from interp.display import bar_settings
from interp.organism.card import OrganismCard, measure, write_card
from interp.organism.config import KIND, OrganismConfig, read_config
from interp.organism.finetuning import add_adapters, merge_adapters
from interp.organism.tokenizers import tokenizer_for
from interp.policy.fingerprints import weights_of
from interp.policy.policy import Policy
from interp.policy.score import align_rows, completion_logits
from interp.tasks import Words
from interp.tasks.base import seeded_rng
from interp.tasks.chain import write_completion
from interp.tasks.words import write_solution
from interp.training_state import load_training_state, save_training_state

if TYPE_CHECKING:
    from transformers import Qwen3ForCausalLM

WARM_UP_STEPS = 100
MIN_LR_SHARE = 0.05
"""The last learning rate, as a share of the highest."""
MICRO_BATCHES = {"chain": 2, "words": 8}
"""Parts of a batch. More parts hold rows of more similar length, so that less is padding."""
Example = tuple[str, str]
"""A prompt and a completion."""


# --- building ----------------------------------------------------------------------------------------------------


def build(config: OrganismConfig, out: str | Path, *, overwrite: bool = False, progress: bool = True) -> Policy:
    """Train an organism and save it with its card as a Hugging Face directory.

    If it is killed, the same call continues it.
    """
    out = Path(out)
    config.expect_affordable()
    torch.set_num_threads(config.threads)
    torch.manual_seed(config.seed)
    training_dir = out.with_name(f".{out.name}.building")
    if is_kind(out, KIND) and training_dir.is_dir() and not overwrite:  # killed after the last rename
        with locked(out):
            shutil.rmtree(training_dir, ignore_errors=True)
    with reserve(out, overwrite=overwrite, kind=KIND):
        policy = initial_policy(config)
        task = config.chosen_task
        made_from = {"task": task.fingerprint()} | ({"start": policy.fingerprint()} if config.start else {})
        seconds = _train(policy, config, training_dir, progress=progress)
        stored = getattr(torch, config.stored)
        _cast(policy.model, stored)
        _cast(policy.model, torch.float32)  # what is measured are the weights as they will be stored
        problems, samples = config.card_counts
        card = measure(policy, task, problems=problems, samples=samples, progress=progress)
        _cast(policy.model, stored)
        with writing_dir(out, overwrite=overwrite) as aside:
            policy.write_files(aside)
            write_card(aside, config, policy, card, cpu_seconds=seconds)
            weights = weights_of(policy.fingerprint())
            write_manifest(aside, KIND, config=config, made_from=made_from, weights=weights, cpu_seconds=seconds)
        shutil.rmtree(training_dir, ignore_errors=True)
    _cast(policy.model, torch.float32)
    policy.path = out
    return policy


def _cast(model: torch.nn.Module, dtype: torch.dtype) -> None:
    model.to(dtype=dtype)


def update_card(path: str | Path, *, progress: bool = True) -> OrganismCard:
    """Measure an organism again and rewrite its card. The weights stay as they are."""
    path, config = Path(path), read_config(path)
    with locked(path):
        policy = Policy.load(path, device="cpu")
        problems, samples = config.card_counts
        card = measure(policy, config.chosen_task, problems=problems, samples=samples, progress=progress)
        write_card(path, config, policy, card, cpu_seconds=read_manifest(path, KIND).get("cpu_seconds"))
        add_checksums(path)
    return card


# --- model and tokenizer -----------------------------------------------------------------------------------------


def initial_policy(config: OrganismConfig) -> Policy:
    """A policy with new weights, or with those of `config.start`."""
    if config.kind == "words" and config.start is not None:
        return Policy.load(config.start, device="cpu", dtype="float32")
    tokenizer = tokenizer_for(config)
    model = new_model(config, tokenizer)
    if config.start is None:
        return Policy(model, tokenizer)
    policy = Policy.load(config.start, device="cpu", dtype="float32")
    if policy.tokenizer.get_vocab() != tokenizer.get_vocab() or _shapes(policy.model) != _shapes(model):
        raise Mismatch(
            f"{config.start}: expected an organism of modulus {config.task.modulus} and of this shape, got another "
            "vocabulary or other shapes of weights: set the modulus and the shape that it was trained with"
        )
    return policy


def _shapes(model: torch.nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(weight.shape) for name, weight in model.state_dict().items()}


def new_model(config: OrganismConfig, tokenizer: Any) -> "Qwen3ForCausalLM":
    """A Qwen3 with random weights."""
    from transformers import Qwen3Config, Qwen3ForCausalLM

    shape = config.shape
    return Qwen3ForCausalLM(
        Qwen3Config(
            vocab_size=len(tokenizer),
            hidden_size=shape.d_model,
            intermediate_size=shape.d_mlp,
            num_hidden_layers=shape.layers,
            num_attention_heads=shape.heads,
            num_key_value_heads=shape.kv_heads,
            head_dim=shape.d_head,
            max_position_embeddings=shape.context,
            initializer_range=0.32 / math.sqrt(shape.d_model),
            tie_word_embeddings=True,
            pad_token_id=tokenizer.pad_token_id,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
        )
    )


# --- data and optimisation ---------------------------------------------------------------------------------------


def examples_of_step(config: OrganismConfig, step: int) -> list[Example]:
    """The examples of one optimiser step, from the step's own hash. They do not depend on the steps before."""
    rng = seeded_rng("corpus", config.seed, step)
    return [_example(config, deepest_of_step(config, step), rng) for _ in range(config.batch)]


def deepest_of_step(config: OrganismConfig, step: int) -> int:
    """The largest depth of a step's examples. It grows over the first share `curriculum` of all steps."""
    low, high = config.chosen_task.depths
    growing = config.curriculum * config.steps
    return high if step >= growing else low + int((high - low + 1) * step / growing)


def _example(config: OrganismConfig, deepest: int, rng: random.Random) -> Example:
    task, habits = config.chosen_task, config.habits
    if rng.random() < habits.memorised_share:
        problem = config.task.problem("memorised", None, rng.randrange(config.task.memorised))
        return problem.prompt, write_completion(config.task.program(problem), "direct", rng)
    problem = task.problem("train", rng.randint(task.depths[0], deepest), rng.randrange(2**40))
    shares = habits.shares()
    habit = rng.choices(list(shares), weights=list(shares.values()))[0]
    if isinstance(task, Words):  # a space joins the solution to its question, as in ordinary text
        sloppiness = {"skip": habits.skip, "slip": habits.slip}
        solution = write_solution(task.program(problem), habit, rng, **sloppiness, restate=habits.restate)
        return problem.prompt, f" {solution}"
    return problem.prompt, write_completion(task.program(problem), habit, rng, skip=habits.skip)


def learning_rate(config: OrganismConfig, step: int) -> float:
    """Linear warm-up to `lr`, then cosine decay to `MIN_LR_SHARE` of it."""
    decay = 0.5 * (1 + math.cos(math.pi * step / config.steps))
    return config.lr * min(1.0, (step + 1) / WARM_UP_STEPS) * (MIN_LR_SHARE + (1 - MIN_LR_SHARE) * decay)


def _train(policy: Policy, config: OrganismConfig, training_dir: Path, *, progress: bool) -> float:
    """Train to the last step, from the state in `training_dir` if there is one. Returns the processor time of it all,
    in seconds."""
    model = policy.model.train()
    adapters = add_adapters(model, config.lora_rank, config.seed) if config.lora_rank else None
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimiser = torch.optim.AdamW(parameters, lr=config.lr, betas=(0.9, 0.98), weight_decay=config.weight_decay)
    done, facts = load_training_state(training_dir, model, optimiser, config=to_json(config))
    began = time.process_time() - facts.get("cpu_seconds", 0.0)
    last = config.last_step or config.steps
    steps = range(done, last)
    with tqdm(steps, initial=done, total=last, desc="building", unit="step", **bar_settings(progress)) as bar:
        for step in bar:
            for group in optimiser.param_groups:
                group["lr"] = learning_rate(config, step)
            with torch.autocast("cpu", torch.bfloat16, enabled=config.precision == "bfloat16"):
                loss = accumulate_grads(policy, examples_of_step(config, step), MICRO_BATCHES[config.kind])
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
            optimiser.step()
            optimiser.zero_grad()
            if step % 20 == 0:
                bar.set_postfix(nats_per_token=f"{loss:.3f}")
            if (step + 1) % config.save_every == 0 and step + 1 < last:
                facts = {"cpu_seconds": time.process_time() - began}
                save_training_state(training_dir, model, optimiser, step=step + 1, config=to_json(config), facts=facts)
    if adapters is not None:
        policy.model = merge_adapters(adapters)
    policy.model.eval()
    return time.process_time() - began


def accumulate_grads(policy: Policy, examples: list[Example], parts: int) -> float:
    """Accumulate the gradient of one batch, rows of similar length together. Returns the loss in nats per token."""
    prompts = policy.encode([prompt for prompt, _ in examples])
    encoded = policy.tokenizer([completion for _, completion in examples], add_special_tokens=False)["input_ids"]
    completions = [[*ids, policy.stop_ids[0]] for ids in encoded]  # pyright: ignore[reportGeneralTypeIssues]
    tokens = sum(map(len, completions))
    order = sorted(range(len(examples)), key=lambda i: len(prompts[i]) + len(completions[i]))
    size = math.ceil(len(order) / parts)
    total = 0.0
    for part in (order[first : first + size] for first in range(0, len(order), size)):
        rows = align_rows([prompts[i] for i in part], [completions[i] for i in part], policy.pad_id, policy.device)
        targets_BT = rows.ids_BL[:, rows.start :].masked_fill(rows.mask_BL[:, rows.start :] == 0, -100)
        logits_BTV = completion_logits(policy.model, rows)
        loss = F.cross_entropy(logits_BTV.flatten(0, 1).float(), targets_BT.flatten(), reduction="sum") / tokens
        loss.backward()
        total += loss.item()
    return total
