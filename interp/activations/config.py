"""What to collect: which layers of which checkpoints, reading what, and at most how much of it."""

from dataclasses import dataclass, field

from interp.artifacts import BadInput
from interp.checks import expect_at_least, expect_one_of, expect_positive
from interp.policy.config import SampleConfig

CORPORA = {"on-policy": "train", "probe": "probe", "held-out": "eval"}
"""Each corpus, and the split its problems are of."""
PRECISIONS = ("float32", "bfloat16")


@dataclass(frozen=True)
class CollectConfig:
    layers: tuple[int, ...]
    """Residuals after these blocks, counted from 0. Several cost one forward."""
    tokens: int = 400_000
    """At most this many in all. Each checkpoint has an equal share for each corpus."""
    gb: float = 4.0
    """At most this much disk in all, in 10^9 bytes: whichever is reached first."""
    corpora: tuple[str, ...] = ("on-policy", "probe")
    """on-policy: what each checkpoint answers to training problems. probe: what the base answers to probe problems,
    the very same tokens read by every checkpoint. held-out: what each checkpoint answers to evaluation problems, to
    measure dictionaries on."""
    steps: tuple[int, ...] = ()
    """Which checkpoints, by their steps: a list, not a count. All if not given."""
    levels: tuple[int | str, ...] = ()
    """Depths or buckets, one problem of each in turn. None means whatever the split holds."""
    precision: str = "float32"
    """What residuals are kept in: float32, or bfloat16, which takes half the disk."""
    shard_tokens: int = 65_536
    """Of one file, at most. A shard is what is held in memory, and what a stopped collection loses."""
    micro_tokens: int = 8_192
    """Tokens, padding included, in one forward."""
    chat: bool = False
    """Ask as a user's turn in the tokenizer's chat template."""
    sampling: SampleConfig = field(default_factory=lambda: SampleConfig(group=4, rows=1024))

    def __post_init__(self) -> None:
        if not self.layers or min(self.layers) < 0:
            raise BadInput(f"layers must be numbers from 0 on, one at least; got {list(self.layers)}")
        for name in ("layers", "corpora", "steps", "levels"):
            if len(set(asked := getattr(self, name))) < len(asked):
                raise BadInput(f"{name} must be named once each; got {list(asked)}")
        expect_at_least(self, 1, "tokens", "shard_tokens", "micro_tokens")
        expect_positive(self, "gb")
        if not self.corpora or not set(self.corpora) <= set(CORPORA):
            raise BadInput(f"corpora must be some of {', '.join(CORPORA)}; got {list(self.corpora)}")
        expect_one_of(self, PRECISIONS, "precision")
