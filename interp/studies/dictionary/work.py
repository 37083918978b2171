"""One dictionary of one arm: fitted, and measured on what it was not fitted on."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from interp.artifacts import fingerprint_config, to_json
from interp.studies.dictionary.config import RANDOM, DictionaryConfig, Size
from interp.studies.dictionary.worlds import World, organism_world, planted_world

if TYPE_CHECKING:
    from interp.activations import Store
    from interp.tsae import TSAE, TSAEConfig

PROBED = 5
"""Latents that a probe may look at."""
DOCUMENTS = 1200
"""Whose tokens are probed. Some problems are held out, with all that was answered to them."""
RESIDUAL = "the residual itself"
RESIDUAL_RANDOM = "the residual itself, random weights"
"""Not arms: what the facts can be read from without a dictionary."""


@dataclass(frozen=True)
class Job:
    world: str
    arm: str | None
    """None makes the world, for all arms to share."""
    seed: int
    config: DictionaryConfig
    runs: Path

    @property
    def place(self) -> Path:
        """Of its own for every making of the world."""
        return self.runs / f"{self.world}-{fingerprint_config(making(self.world, self.config))[:6]}" / str(self.seed)


def making(world: str, config: DictionaryConfig) -> dict[str, Any]:
    """What decides a world, besides its seed."""
    if world == "planted":
        return {"planted": config.planted}
    return {name: getattr(config, name) for name in ("layer", "tokens", "held_out", "grpo_steps")}


def key_of(job: Job, policy: str) -> dict[str, Any]:
    """What decides a record: not where its files lie, nor how many seeds there are."""
    world = {"world": job.world, "seed": job.seed, **making(job.world, job.config)}
    if job.world == "organism":
        world["policy"] = policy
    if job.arm in (None, RESIDUAL, RESIDUAL_RANDOM):
        return {**world, "arm": job.arm}
    dictionary = to_json(config_of(job.arm, job.config.size(job.world), job.seed))
    if dictionary["revived"] is None:  # a later field than the first records: it changes nothing at their dimension
        del dictionary["revived"]
    return {**world, "arm": job.arm, "dictionary": dictionary}


def config_of(arm: str, size: Size, seed: int) -> "TSAEConfig":
    from interp.tsae import preset

    config = preset("interp" if arm == RANDOM else arm)
    training = replace(config.training, steps=size.steps, seed=seed)
    return replace(config, width=size.width, k=size.k, training=training)


def work(job: Job) -> dict[str, Any]:
    made = planted_world(job.place, job.config, job.seed) if job.world == "planted" else None
    world = made or organism_world(job.place, job.config, job.seed)
    told: dict[str, Any] = {"world": job.world, "arm": job.arm, "seed": job.seed}
    if job.arm is None:
        return {**told, "tokens": len(world.fitted), "held_out": len(world.held_out)}
    if job.arm in (RESIDUAL, RESIDUAL_RANDOM):
        _, measured = world.of(RANDOM if job.arm == RESIDUAL_RANDOM else "interp")
        return {**told, "read": read_from_residual(world, measured)}
    from interp.tsae import evaluate, fit

    store, measured = world.of(job.arm)
    size = job.config.size(job.world)
    tsae = fit(store, config_of(job.arm, size, job.seed), bar=False, device="cpu")
    policies = world.policies if job.world == "organism" and job.arm != RANDOM else None
    found = evaluate(tsae, measured, policies=policies, bar=False).row()
    facts = recalled(tsae, world) if job.world == "planted" else {"read": read(tsae, world, measured)}
    return {**told, "quality": _rounded(found), **facts}


def recalled(tsae: "TSAE", world: World) -> dict[str, Any]:
    """The share of planted latents that a decoder row of its own stands for (cosine 0.7), by kind: in the whole
    dictionary, and in its slow block."""
    from interp.tsae.metrics import one_to_one

    assert world.planted is not None
    kinds = world.planted.kind_G
    everywhere = one_to_one(world.planted.directions_GD, tsae.W_dec)
    slow = one_to_one(world.planted.directions_GD, tsae.W_dec, rows=slice(0, tsae.n_slow))
    return {
        "recall": everywhere.recall(["all"] * len(kinds))["all"],
        "recall_by_kind": everywhere.recall(kinds),
        "slow_block_recall_by_kind": slow.recall(kinds),
    }


def read(tsae: "TSAE", world: World, store: "Store") -> dict[str, Any]:
    """How well a probe of a few latents of a block tells each fact (AUROC), and one of labels dealt anew."""
    from interp.tsae.metrics import ProbeConfig, control, probe, spans

    sample = world.sample(store, DOCUMENTS)
    z_NF, config = tsae.encode(sample.x_ND), ProbeConfig(ks=(PROBED,))
    found: dict[str, Any] = {}
    for name, label_N in sample.labels.items():
        blocks = {"slow block": spans(tsae.widths)[0], "other block": spans(tsae.widths)[-1]}
        found[name] = {
            block: _figure(probe(z_NF[:, span], label_N, sample.problem_N, config)[0].auroc)
            for block, span in blocks.items()
        }
        slow_NF, documents = z_NF[:, blocks["slow block"]], sample.document_N
        dealt = control(slow_NF, label_N, sample.problem_N, config, document_N=documents)
        found[name]["labels dealt anew"] = _figure(dealt[0].auroc)
    return found


def read_from_residual(world: World, store: "Store") -> dict[str, Any]:
    from interp.tsae.metrics import ProbeConfig, probe

    sample = world.sample(store, DOCUMENTS)
    config = ProbeConfig(ks=(None,))
    return {
        name: {"all dimensions": _figure(probe(sample.x_ND, label_N, sample.problem_N, config)[0].auroc)}
        for name, label_N in sample.labels.items()
    }


def _figure(value: float | None) -> float | None:
    return None if value is None else round(value, 5)


def _rounded(row: dict[str, Any]) -> dict[str, Any]:
    return {name: round(value, 6) if isinstance(value, float) else value for name, value in row.items()}
