"""The two worlds of the dictionary study, and one dictionary fitted and measured in them.

Planted latents are known exactly. The organism is the base before and after GRPO on deep problems; there a seed is a
training run of its own, with what its checkpoints wrote and read, and a policy of random weights that reads the same
documents. A world is made once per seed, for all arms.
"""

from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from interp.activations import Store, collect
from interp.activations.config import CollectConfig
from interp.activations.reread import reread
from interp.artifacts import locked
from interp.grpo.config import GRPOConfig
from interp.organism import load_task, shipped_path
from interp.policy.config import SampleConfig
from interp.policy.policy import Policy
from interp.rollouts.series import Series
from interp.studies.dictionary_config import ORGANISM, PLANTED, RANDOM, RESIDUAL, RESIDUAL_RANDOM, DictionaryConfig
from interp.studies.planted import Planted, plant, planted_store
from interp.studies.token_facts import FactSample, sample_facts

if TYPE_CHECKING:
    from interp.tsae import TSAE, TSAEConfig

PROBED = 5
"""Latents that a probe may use."""
DOCUMENTS = 1200
"""Documents whose tokens are probed. Probes are tested on other problems, with all that was answered to them."""


@dataclass(frozen=True)
class World:
    """The stores of one world and seed, and what they were made from."""

    fitted: Store
    held_out: Store
    layer: int
    planted: Planted | None = None
    series: Series | None = None
    random: tuple[Store, Store] | None = None
    """The same two stores as random weights read them."""

    def stores(self, arm: str) -> tuple[Store, Store]:
        """The stores that an arm is fitted on and measured on."""
        if arm not in (RANDOM, RESIDUAL_RANDOM):
            return self.fitted, self.held_out
        assert self.random is not None, "only the organism has random weights"
        return self.random

    def policies(self, step: int) -> Policy:
        assert self.series is not None
        return self.series.checkpoint(step).load(device="cpu")

    def sample(self, store: Store) -> FactSample:
        return sample_facts(store, self.layer, vocabulary(), DOCUMENTS)


@cache
def vocabulary() -> list[str]:
    tokenizer: Any = Policy.load(shipped_path(), device="cpu").tokenizer
    return [tokenizer.convert_ids_to_tokens(token) for token in range(len(tokenizer))]


def make_world(name: str, directory: Path, config: DictionaryConfig, seed: int) -> World:
    """A world of a seed. An existing one is opened, not made again."""
    with locked(directory / name, wait=True):
        if name == PLANTED:
            return _planted_world(directory / name, config, seed)
        return _organism_world(directory / name, config, seed)


def _planted_world(directory: Path, config: DictionaryConfig, seed: int) -> World:
    planted = replace(config.planted, seed=seed)
    sample = plant(planted)
    fitted = planted_store(sample, directory / "fitted")
    other = plant(replace(planted, tokens=planted.tokens // 4), draw=1)
    return World(fitted, planted_store(other, directory / "held-out"), 0, planted=sample)


def _organism_world(directory: Path, config: DictionaryConfig, seed: int) -> World:
    series = _train(directory, config, seed)
    fitted, held_out = (
        collect(
            series,
            config=_collect_config(config, seed, *corpora),
            out=directory / name,
            device="cpu",
            progress=False,
        )
        for name, corpora in (("fitted", ("on-policy", "probe")), ("held-out", ("held-out",)))
    )
    random = _read_by_random_weights(directory, fitted, held_out, seed)
    return World(fitted, held_out, config.layer, series=series, random=random)


def _train(directory: Path, config: DictionaryConfig, seed: int) -> Series:
    from interp.grpo import train

    training = GRPOConfig(
        steps=config.grpo_steps,
        save_every=max(1, config.grpo_steps // 2),
        sampling=SampleConfig(rows=1024, seed=seed),
        without_signal="go on",
    )
    base, task = Policy.load(shipped_path(), device="cpu"), load_task(shipped_path())
    return train(base, task, problems="deep", config=training, out=directory / "run", progress=False).series


def _collect_config(config: DictionaryConfig, seed: int, *corpora: str) -> CollectConfig:
    tokens = config.held_out_tokens if "held-out" in corpora else config.tokens
    sampling = SampleConfig(group=4, rows=1024, seed=seed)
    return CollectConfig((config.layer,), tokens=tokens, corpora=corpora, sampling=sampling)


def _read_by_random_weights(directory: Path, fitted: Store, held_out: Store, seed: int) -> tuple[Store, Store]:
    """The same documents, read by the base's architecture with its weights as they are before any training."""
    base = Policy.load(shipped_path(), device="cpu")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        random = Policy(type(base.model)(base.model.config), base.tokenizer)
    first, second = (
        reread(store, random, reader=0, out=directory / f"random-{name}", progress=False)
        for name, store in (("fitted", fitted), ("held-out", held_out))
    )
    return first, second


# --- one arm -------------------------------------------------------------------------------------------------------


def tsae_config(world: str, preset_name: str, config: DictionaryConfig, seed: int) -> "TSAEConfig":
    """An arm's config: the arms of a world share width, K, steps and seed."""
    from interp.tsae import preset

    template = preset("interp" if preset_name == RANDOM else preset_name)
    width, k = config.size(world)
    return replace(template, width=width, k=k, training=replace(template.training, steps=config.steps, seed=seed))


def run_arm(world_name: str, arm: str, config: DictionaryConfig, seed: int, directory: Path) -> dict[str, Any]:
    """Fit a dictionary and measure it on held-out tokens; or probe the residual itself."""
    from interp.encoding import loss_recovered
    from interp.tsae import evaluate, fit

    world = make_world(world_name, directory, config, seed)
    store, held_out = world.stores(arm)
    if arm in (RESIDUAL, RESIDUAL_RANDOM):
        return {"read": probe_residual(world, held_out)}
    tsae = fit(store, tsae_config(world_name, arm, config, seed), progress=False, device="cpu")
    policies = world.policies if world_name == ORGANISM and arm != RANDOM else None
    quality = evaluate(tsae, held_out, progress=False).headline()
    if policies is not None:
        quality |= loss_recovered(tsae, held_out, policies, progress=False).headline()
    facts = planted_recall(tsae, world) if world_name == PLANTED else {"read": probe_blocks(tsae, world, held_out)}
    return {"quality": {name: _rounded(value, 6) for name, value in quality.items()}, **facts}


def planted_recall(tsae: "TSAE", world: World) -> dict[str, Any]:
    """Share of planted latents matched one to one by decoder rows (cosine 0.7), by kind: rows of the whole dictionary,
    and of its slow block."""
    from interp.tsae.metrics import match_one_to_one

    assert world.planted is not None
    kinds = world.planted.kind_G
    whole = match_one_to_one(world.planted.directions_GD, tsae.W_dec)
    slow = match_one_to_one(world.planted.directions_GD, tsae.W_dec, rows=slice(0, tsae.n_slow))
    return {
        "recall": whole.recall(["all"] * len(kinds))["all"],
        "recall_by_kind": whole.recall(kinds),
        "slow_block_recall_by_kind": slow.recall(kinds),
    }


def probe_blocks(tsae: "TSAE", world: World, store: Store) -> dict[str, Any]:
    """AUROC of probes of a few latents of a block, fact by fact, and of one with shuffled labels."""
    from interp.tsae.metrics import ProbeConfig, block_slices, control_probe, probe

    sample = world.sample(store)
    z_NF, config = tsae.encode(sample.x_ND), ProbeConfig(ks=(PROBED,))
    slices = block_slices(tsae.block_widths)
    blocks = {"slow block": slices[0], "other block": slices[-1]}
    scores: dict[str, Any] = {}
    for name, label_N in sample.labels.items():
        scores[name] = {
            block: _rounded(probe(z_NF[:, span], label_N, sample.problem_N, config)[0].auroc)
            for block, span in blocks.items()
        }
        slow_NF, documents = z_NF[:, blocks["slow block"]], sample.document_N
        control = control_probe(slow_NF, label_N, sample.problem_N, config, document_N=documents)
        scores[name]["shuffled labels"] = _rounded(control[0].auroc)
    return scores


def probe_residual(world: World, store: Store) -> dict[str, Any]:
    """AUROC of a probe of all dimensions, fact by fact."""
    from interp.tsae.metrics import ProbeConfig, probe

    sample, config = world.sample(store), ProbeConfig(ks=(None,))
    return {
        name: {"all dimensions": _rounded(probe(sample.x_ND, label_N, sample.problem_N, config)[0].auroc)}
        for name, label_N in sample.labels.items()
    }


def _rounded(value: Any, digits: int = 5) -> Any:
    return round(value, digits) if isinstance(value, float) else value
