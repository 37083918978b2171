"""Settings of a collection: layers, checkpoints, corpora, and the budget in tokens and bytes."""

from dataclasses import dataclass, field
from typing import Annotated

from interp.artifacts import BadInput
from interp.checks import Depth, Layer, Name, Range, Step, Tokens, expect_once_each, expect_one_of, expect_plausible
from interp.policy.config import SampleConfig
from interp.policy.prompts import PromptFormat
from interp.policy.site import RESID_POST, Site, parse_hook

CORPORA = {"on-policy": "train", "probe": "probe", "held-out": "eval"}
"""Each corpus, with the split its problems come from."""
PRECISIONS = ("float32", "bfloat16")


@dataclass(frozen=True)
class CollectConfig(PromptFormat):
    """Which residuals to collect, on which texts, and at most how many."""

    layers: tuple[Layer, ...] = ()
    """Residuals after these blocks, counted from 0. Several layers cost one forward."""
    site: Name | None = None
    """What to collect of these layers: resid_pre, attn_out, resid_mid, mlp_out, resid_post (the default), or attn or
    mlp, the outputs of the modules before any norm that follows them."""
    hook: Name | None = None
    """Layer and site in one, by its name in TransformerLens or Hugging Face: blocks.3.hook_mlp_out, model.layers.3."""
    tokens: Tokens = 400_000
    """Largest number of tokens in all, those of prompts included. Each checkpoint has an equal share for each corpus.
    Dictionaries are fitted on the tokens of completions alone, by default: the store says how many these are."""
    gb: Annotated[float, Range(0, 10**6, without_low=True)] = 4.0
    """Largest size on disk in all, in 10^9 bytes. The collection ends at this or at `tokens`, whichever comes first."""
    corpora: tuple[str, ...] = ("on-policy", "probe")
    """on-policy: each checkpoint's own rollouts of training problems. probe: the base's rollouts of probe problems,
    the same tokens for every checkpoint. held-out: each checkpoint's own rollouts of evaluation problems, to measure
    dictionaries on."""
    steps: tuple[Step, ...] = ()
    """Steps of the checkpoints: a list, not a count. Default: all."""
    levels: tuple[Depth | Name, ...] = ()
    """Depths, or names of levels, one problem of each in turn. Default: all that the split holds."""
    precision: str = "float32"
    """Precision of the stored residuals: float32, or bfloat16, which takes half the disk."""
    shard_tokens: Annotated[int, Range(1, 10**9)] = 65_536
    """Largest number of tokens in a shard. A shard is held in memory, and is lost if the collection is stopped."""
    micro_tokens: Tokens = 8_192
    """Tokens in one forward, padding included."""
    sampling: SampleConfig = field(default_factory=lambda: SampleConfig(group=4, rows=1024))

    def __post_init__(self) -> None:
        super().__post_init__()
        expect_plausible(self)
        self._take_hook()
        if not self.layers:
            raise BadInput("layers must be numbers from 0 on, one at least; got []: name them, or a hook (--hook)")
        expect_once_each(self, "layers", "corpora", "steps", "levels")
        if not self.corpora or not set(self.corpora) <= set(CORPORA):
            raise BadInput(f"corpora must be some of {', '.join(CORPORA)}; got {list(self.corpora)}")
        expect_one_of(self, PRECISIONS, "precision")

    def _take_hook(self) -> None:
        """Set layers and site from the hook, so that the same collection is the same config."""
        site = Site(0, self.site or RESID_POST)
        if self.hook is not None:
            hook = parse_hook(self.hook)
            if self.layers not in ((), (hook.layer,)) or self.site not in (None, hook.kind):
                raise BadInput(
                    f"expected a hook alone, or layers and a site; got {self.hook} and others: leave one out"
                )
            site = hook
            object.__setattr__(self, "layers", (hook.layer,))
        object.__setattr__(self, "site", None if site.kind == RESID_POST else site.kind)
        object.__setattr__(self, "hook", None)
