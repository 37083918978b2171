"""A site: the place in a model whose activations a dictionary reads, and its name in three libraries.

    site        TransformerLens            bridge                  Hugging Face
    resid_pre   blocks.3.hook_resid_pre    blocks.3.hook_in
    attn        blocks.3.attn.hook_out     blocks.3.attn.hook_out  model.layers.3.self_attn
    attn_out    blocks.3.hook_attn_out     blocks.3.ln1_post.hook_out
    resid_mid   blocks.3.hook_resid_mid    blocks.3.ln2.hook_in
    mlp         blocks.3.mlp.hook_out      blocks.3.mlp.hook_out   model.layers.3.mlp
    mlp_out     blocks.3.hook_mlp_out      blocks.3.ln2_post.hook_out
    resid_post  blocks.3.hook_resid_post   blocks.3.hook_out       model.layers.3

`attn_out` and `mlp_out` are what a block adds to the residual. `attn` and `mlp` are what its modules return: the same,
unless a norm follows the module, as in Gemma 2 and 3. Wherever a layer is expected, a number means `resid_post`.
"""

import re
from dataclasses import dataclass, replace

from interp.artifacts import BadInput

KINDS = ("resid_pre", "attn", "attn_out", "resid_mid", "mlp", "mlp_out", "resid_post")
"""In the order in which a block computes them."""
RESID_POST = "resid_post"
ADDED = {"attn": "attn_out", "mlp": "mlp_out"}
"""What is added to the residual, for each module that computes it."""
FAMILIES = {
    "gemma": False,
    "gemma2": True,
    "gemma3": True,
    "gemma3_text": True,
    "llama": False,
    "mistral": False,
    "olmo2": True,
    "qwen2": False,
    "qwen3": False,
    "smollm3": False,
}
"""Values of `model_type` whose blocks are `x + attention`, then `+ MLP`: whether a norm follows each of the two."""
_IN_BLOCK = {
    "hook_in": "resid_pre",
    "attn.hook_out": "attn",
    "ln1_post.hook_out": "attn_out",
    "ln2.hook_in": "resid_mid",
    "mlp.hook_out": "mlp",
    "ln2_post.hook_out": "mlp_out",
    "hook_out": "resid_post",
    **{f"hook_{kind}": kind for kind in KINDS if kind not in ADDED},
}
_IN_LAYER = {"": "resid_post", "mlp": "mlp", "self_attn": "attn", "post_feedforward_layernorm": "mlp_out"}
_BLOCK = re.compile(r"blocks\.(\d+)\.(.+)", re.ASCII)
_LAYER = re.compile(r"(?:\w+\.)*layers\.(\d+)(?:\.(.+))?", re.ASCII)


@dataclass(frozen=True)
class Site:
    """One place of one block."""

    layer: int
    """The block, counted from 0."""
    kind: str = RESID_POST
    """One of `KINDS`."""

    def __post_init__(self) -> None:
        expect_kind(self.kind)

    def __str__(self) -> str:
        return str(self.layer) if self.kind == RESID_POST else f"{self.layer} ({self.kind})"

    @property
    def hook_name(self) -> str:
        """Its name in TransformerLens."""
        return f"blocks.{self.layer}.{f'{self.kind}.hook_out' if self.kind in ADDED else f'hook_{self.kind}'}"

    @property
    def order(self) -> tuple[int, int]:
        """Sites in this order are those of a forward pass."""
        return self.layer, KINDS.index(self.kind)

    @property
    def canonical(self) -> "Site":
        """The residual before a block, as the residual after the block before it. Any other site as it is."""
        return Site(self.layer - 1) if self.kind == "resid_pre" and self.layer else self

    @property
    def added(self) -> "Site":
        """The sum's term for a module's output: the same place in models where no norm follows the module."""
        return replace(self, kind=ADDED.get(self.kind, self.kind))

    def in_family(self, family: str) -> "Site":
        """The site as models of a family have it: `mlp` and `attn` are `mlp_out` and `attn_out` if no norm follows.
        Refused if the blocks of the family are not known."""
        if not self.kind.startswith("resid_p") and family not in FAMILIES:
            raise BadInput(
                f"expected a model of {', '.join(FAMILIES)} for the site {self.kind}, got {family}: use resid_pre or "
                "resid_post"
            )
        return self if FAMILIES.get(family) else self.added


def site_of(layer: int | Site) -> Site:
    """The site that a layer means: the residual after that block."""
    return layer if isinstance(layer, Site) else Site(layer)


def expect_kind(kind: str) -> None:
    if kind not in KINDS:
        raise BadInput(f"site must be one of {', '.join(KINDS)}; got {kind!r}")


def parse_hook(name: str) -> Site:
    """The site of a hook's name, as TransformerLens, its bridge or Hugging Face writes it."""
    if match := _BLOCK.fullmatch(name):
        kind = _IN_BLOCK.get(match[2])
    elif match := _LAYER.fullmatch(name):
        kind = _IN_LAYER.get(match[2] or "")
    else:
        kind = None
    if match is None or kind is None:
        raise BadInput(
            f"expected a hook at one of {', '.join(KINDS)} of a block, such as blocks.3.hook_mlp_out, got {name!r}: "
            "other places cannot be read here"
        )
    return Site(int(match[1]), kind)
