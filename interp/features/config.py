"""How roles are earned: on which problems, with which thresholds, and with how many latents as controls."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, ClassVar

from interp.checks import Confidence, Count, CountOrZero, Depth, Name, Range, Seed, expect_once_each, expect_plausible
from interp.policy.config import SampleConfig
from interp.policy.prompts import PromptFormat


@dataclass(frozen=True)
class RolesConfig(PromptFormat):
    levels: tuple[Depth | Name, ...] = ()
    """Depths, or names of the task's levels. Empty: all the task's own levels."""
    problems: Count = 64
    """Problems of each level, from the training split: latents are tracked on others later."""
    min_auroc: Annotated[float, Range(0.5, 1)] = 0.6
    """AUROC that a latent needs to pass a contrast."""
    min_d: Annotated[float, Range(-100, 100)] = 0.3
    """Effect size (Cohen's d) that a latent needs to pass a contrast."""
    false_discovery_rate: Confidence = 0.05
    """False-discovery rate of the contrast gate, over all latents and contrasts together."""
    max_candidates: Count = 40
    """Latents of each kind of contrast that go on to the later gates: those of highest AUROC."""
    random_latents: CountOrZero = 40
    """Latents drawn at random, for each kind of contrast, that go through the later gates as a control."""
    matched_latents: Count = 10
    """Latents of similar firing rate and activation that each is compared with when ablated."""
    injection_texts: Count = 48
    """Shuffled texts that tokens are injected into."""
    rollout_problems: CountOrZero = 72
    """Problems that the policy answers again, four times each, with each latent that has a role ablated and doubled.
    0: none."""
    finalists: Count | None = None
    """Latents of each kind of contrast that go on to falsification and ablation, of candidates and of random latents
    alike: those of the strongest first-order effects, one gate after another until one is failed. Default: all, through
    every gate. As many as `max_candidates` lose no role; fewer take less time."""
    micro_tokens: Count = 8_192
    """Tokens in one forward, padding included. Fewer take less memory."""
    test_seed: Seed = 0
    """Seed of the gates' own choices: random latents, random tokens, the order of shuffled texts."""
    sampling: SampleConfig = field(default_factory=lambda: SampleConfig(group=4, rows=1024))

    RENAMED_FIELDS: ClassVar[Mapping[str, str]] = {
        "auroc": "min_auroc",
        "d": "min_d",
        "rate": "false_discovery_rate",
        "most": "max_candidates",
        "random": "random_latents",
        "matched": "matched_latents",
        "texts": "injection_texts",
        "played": "rollout_problems",
        "gates_seed": "test_seed",
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        expect_plausible(self)
        expect_once_each(self, "levels")
