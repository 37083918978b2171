"""Two checkpoints through one dictionary of SAELens: which of its latents are stronger in the second?

    python examples/sae_lens_on_two_checkpoints.py --sae my-sae --a my-model --b trained/checkpoint-500 --jsonl a.jsonl

--sae is a directory that SAELens saved: `sae.save_model(path)`. Its hook decides the layer; --layer is for one without.
It was fitted on A's weights or near them: look at the drift before you believe a change in B.
"""

from dataclasses import dataclass
from pathlib import Path

import tyro

import interp
from interp.artifacts import BadInput, Mismatch
from interp.plots import save
from interp.policy import SampleConfig
from interp.tracking import CompareConfig
from interp.tsae import TSAE


@dataclass(frozen=True)
class Args:
    sae: Path
    """Directory of the dictionary."""
    a: Path
    """Directory of a model: the one before."""
    b: Path
    """Directory of a model of the same architecture and tokenizer: the one after."""
    jsonl: Path
    """File of problems, one JSON object a line."""
    prompt_field: str = "prompt"
    layer: int | None = None
    chat: bool = False
    max_new_tokens: int = 256
    problems: int = 64
    out: Path = Path("runs/sae-lens-on-two")


def main(args: Args) -> None:
    tsae = TSAE.load(args.sae)
    task = interp.tasks.JsonlTask(args.jsonl, prompt_field=args.prompt_field)
    asking = CompareConfig(
        problems=args.problems, chat=args.chat, sampling=SampleConfig(group=4, max_new_tokens=args.max_new_tokens)
    )
    both = interp.tracking.compare(tsae, args.a, args.b, task, asking, layer=args.layer, out=args.out / "comparison")
    print(both.drift().summary())  # "trust": the dictionary fits B about as well as A
    print(both.behavior(), both.summary(), sep="\n")  # the control is "A resampled": A's own answers, twice
    table = both.table()
    print(table.filter(table["verdict"].is_in(["strengthened", "weakened"])).sort("q").head(20))
    save(both.figure(), args.out / "comparison.html")


if __name__ == "__main__":
    try:
        main(tyro.cli(Args, description=__doc__))
    except (BadInput, Mismatch) as error:
        raise SystemExit(f"{error}") from None
