"""A sweep of runs in one dashboard: their rates side by side, and their rollouts token by token.

    python examples/sweep_into_one_dashboard.py runs/sweep/* --out sweep.html
    python examples/sweep_into_one_dashboard.py runs/sweep/* --tsae runs/tsae --roles runs/roles --out sweep.html

Runs are directories of `interp grpo` or `interp.grpo.train`, from one base. Other directories are named and left out.
"""

from dataclasses import dataclass
from pathlib import Path

import tyro

import interp
from interp.artifacts import BadInput, Mismatch, is_kind
from interp.dashboard import DashboardConfig
from interp.features import Roles
from interp.grpo import Run
from interp.tsae import TSAE


@dataclass(frozen=True)
class Args:
    runs: tyro.conf.Positional[tuple[Path, ...]]
    """Directories of runs."""
    tsae: Path | None = None
    """A dictionary, for the features of each token."""
    roles: Path | None = None
    """Roles that its latents have earned."""
    title: str = "A sweep"
    rollouts: int = 4
    """Groups of rollouts to show for each checkpoint."""
    out: Path = Path("runs/sweep.html")
    overwrite: bool = False


def main(args: Args) -> None:
    runs = [Run.open(path) for path in args.runs if is_kind(path, "grpo-run")]
    if left_out := [str(path) for path in args.runs if not is_kind(path, "grpo-run")]:
        print(f"no runs, left out: {', '.join(left_out)}")
    if not runs:
        raise BadInput("expected directories of runs, such as runs/sweep/*; got none")
    for run in runs:  # the last line of each: what its training ended with
        print(f"{run.name:24}", run.summary().tail(1).drop("step").to_dicts()[0])
    looked_into = [kind.load(path) for kind, path in ((TSAE, args.tsae), (Roles, args.roles)) if path]
    config = DashboardConfig(title=args.title, rollouts=args.rollouts)
    report = interp.dashboard(*runs, *looked_into, config=config)
    print(report.save(args.out, overwrite=args.overwrite), *report.left_out, sep="\n")


if __name__ == "__main__":
    try:
        main(tyro.cli(Args, description=__doc__))
    except (BadInput, Mismatch) as error:
        raise SystemExit(f"{error}") from None
