"""A terminal's view of training: how a run went, and what several runs made of the same base."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from interp.report.terminal import grid
from interp.rollouts import Evaluation
from interp.tasks import BUCKETS

if TYPE_CHECKING:
    import polars as pl

OVER_STEPS = {
    "reward": "reward",
    "valid_rate": "valid rate",
    "lucky_share": "lucky, of rewarded",
    "direct_share": "direct share",
    "length": "length",
    "zero_variance_share": "groups without contrast",
    "entropy_nats_per_token": "entropy",
    "kl_to_base": "KL to base",
}


def over_steps(metrics: "pl.DataFrame", every: int) -> str:
    """One line for every checkpoint, as its own rollouts in training show it."""
    last = metrics["step"].max()
    rows = [row for row in metrics.iter_rows(named=True) if row["step"] % every == 0 or row["step"] == last]
    return grid(
        ["step", *OVER_STEPS.values()], [[row["step"], *(_short(row.get(name)) for name in OVER_STEPS)] for row in rows]
    )


def what_it_shows(steps: int) -> str:
    """Before the training runs of the demo."""
    return (
        f"Now the base is trained three times, {steps} steps of GRPO each: on medium problems, on hard ones, and on\n"
        "hard ones where only valid answers are paid. Luck pays for short answers on hard problems; see what that does."
    )


def side_by_side(ends: Mapping[str, Evaluation]) -> str:
    """What each run came to, on the same problems: valid rate by bucket, direct share and pass rate."""
    rows = []
    for name, evaluation in ends.items():
        at = [evaluation.at(evaluation.steps[-1], by="bucket", group=bucket) for bucket in BUCKETS]
        rows.append([name, *(found["valid_rate"] for found in at), at[-1]["direct_share"], at[-1]["pass_rate"]])
    return grid(["trained on", *(f"valid, {bucket}" for bucket in BUCKETS), "direct, hard", "right, hard"], rows)


def _short(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}" if abs(value) < 10 else f"{value:.1f}"
