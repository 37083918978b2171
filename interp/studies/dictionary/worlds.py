"""The two worlds: planted latents, known exactly, and the organism before and after GRPO on hard problems.

A world is made once a seed, for all arms. On the organism a seed is a training run of its own, what its checkpoints
wrote and read, and a policy of random weights that reads the very same documents.
"""

from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import torch

from interp.activations import Store, collect
from interp.activations.config import CollectConfig
from interp.activations.reread import reread
from interp.grpo.config import GRPOConfig
from interp.organism import shipped, task_of
from interp.policy.config import SampleConfig
from interp.policy.policy import Policy
from interp.rollouts.series import Series
from interp.studies.dictionary.config import RANDOM, DictionaryConfig
from interp.studies.dictionary.facts import Sample, sample
from interp.studies.dictionary.planted import Planted, plant, store_of
from interp.studies.harness import alone


@dataclass(frozen=True)
class World:
    fitted: Store
    held_out: Store
    layer: int
    planted: Planted | None = None
    series: Series | None = None
    random: tuple[Store, Store] | None = None
    """To fit on and to measure on, read by random weights."""

    def of(self, arm: str) -> tuple[Store, Store]:
        """What an arm is fitted on, and measured on."""
        if arm != RANDOM:
            return self.fitted, self.held_out
        assert self.random is not None, "only the organism has random weights"
        return self.random

    def policies(self, step: int) -> Policy:
        assert self.series is not None
        return self.series.at(step).load(device="cpu")

    def sample(self, store: Store, documents: int) -> Sample:
        return sample(store, self.layer, words(), documents)


@cache
def words() -> list[str]:
    tokenizer: Any = Policy.load(shipped(), device="cpu").tokenizer
    return [tokenizer.convert_ids_to_tokens(at) for at in range(len(tokenizer))]


def planted_world(place: Path, config: DictionaryConfig, seed: int) -> World:
    planted = replace(config.planted, seed=seed)
    with alone(place):
        found = plant(planted)
        fitted = store_of(found, place / "fitted")
        held_out = store_of(plant(replace(planted, tokens=planted.tokens // 4), draw=1), place / "held-out")
    return World(fitted, held_out, 0, planted=found)


def organism_world(place: Path, config: DictionaryConfig, seed: int) -> World:
    with alone(place):
        series = _trained(place, config, seed)
        collected = {
            name: collect(series, config=_collecting(config, seed, *corpora), out=place / name, device="cpu", bar=False)
            for name, corpora in (("fitted", ("on-policy", "probe")), ("held-out", ("held-out",)))
        }
        fitted, held_out = collected["fitted"], collected["held-out"]
        random = _randomly_read(place, fitted, held_out, seed)
    return World(fitted, held_out, config.layer, series=series, random=random)


def _trained(place: Path, config: DictionaryConfig, seed: int) -> Series:
    from interp.grpo import train

    training = GRPOConfig(
        steps=config.grpo_steps,
        save_every=max(1, config.grpo_steps // 2),
        sampling=SampleConfig(rows=1024, seed=seed),
        without_signal="go on",
    )
    base, task = Policy.load(shipped(), device="cpu"), task_of(shipped())
    return train(base, task, bucket="hard", config=training, out=place / "run", bar=False).series


def _collecting(config: DictionaryConfig, seed: int, *corpora: str) -> CollectConfig:
    tokens = config.held_out if "held-out" in corpora else config.tokens
    sampling = SampleConfig(group=4, rows=1024, seed=seed)
    return CollectConfig((config.layer,), tokens=tokens, corpora=corpora, sampling=sampling)


def _randomly_read(place: Path, fitted: Store, held_out: Store, seed: int) -> tuple[Store, Store]:
    """The very documents, read by an architecture of the base's kind with weights as they are before any training."""
    base = Policy.load(shipped(), device="cpu")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        random = Policy(type(base.model)(base.model.config), base.tokenizer)
    first, second = (
        reread(store, random, reader=0, out=place / f"random-{name}", bar=False)
        for name, store in (("fitted", fitted), ("held-out", held_out))
    )
    return first, second
