"""What did a TRL run change in its base? A dictionary of the run; base and last checkpoint compared.

    python examples/trl_run_against_base.py --run outputs/grpo --base my-model --jsonl problems.jsonl --layer 12

TRL does not save the model it began with: name it. Ask as training asked (--chat, --suffix). A repeated call continues.
"""

from dataclasses import dataclass
from pathlib import Path

import tyro

import interp
from interp.activations import CollectConfig
from interp.artifacts import BadInput, Mismatch
from interp.plots import save
from interp.policy import SampleConfig
from interp.tracking import CompareConfig
from interp.tsae import TrainingConfig, TSAEConfig


@dataclass(frozen=True)
class Args:
    run: Path
    """Directory of the checkpoint-<step>/."""
    base: Path  # the model that training began with
    jsonl: Path  # problems, one JSON object a line
    layer: int
    """Layer of the dictionary, counted from 0."""
    prompt_field: str = "prompt"
    chat: bool = False
    suffix: str = ""
    max_new_tokens: int = 256
    tokens: int = 500_000
    fit_steps: int = 2000
    batch: int = 1024
    problems: int = 64
    out: Path = Path("runs/trl-against-base")


def main(args: Args) -> None:
    task = interp.tasks.JsonlTask(args.jsonl, prompt_field=args.prompt_field)
    series = interp.Series.from_dir(args.run, base=args.base, task=task)  # step 0 is the base; adapters are merged
    asking = {"chat": args.chat, "suffix": args.suffix, "sampling": SampleConfig(4, args.max_new_tokens)}
    collecting = CollectConfig((args.layer,), tokens=args.tokens, corpora=("on-policy",), **asking)
    store = interp.activations.collect(series, config=collecting, out=args.out / "store")
    training = TrainingConfig(steps=args.fit_steps, batch=args.batch)
    tsae = interp.tsae.fit(store, TSAEConfig(training=training), out=args.out / "tsae")
    comparing = CompareConfig(problems=args.problems, **asking)
    both = interp.tracking.compare(tsae, series.base, series.last, task, comparing, out=args.out / "comparison")
    print(both.behavior(), both.summary())  # B less A, with intervals; "A resampled" is the control
    save(both.figure(), args.out / "comparison.html")


if __name__ == "__main__":
    try:
        main(tyro.cli(Args, description=__doc__))
    except (BadInput, Mismatch) as error:
        raise SystemExit(f"{error}") from None
