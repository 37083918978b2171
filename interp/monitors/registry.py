"""Monitors by name, for the command line and for studies.

A name also stands in `interp.monitors.names`, which help reads without importing torch."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from interp.artifacts import BadInput
from interp.credit.base import CreditScheme
from interp.credit.readout import ReadoutCredit
from interp.monitors.base import Monitor
from interp.monitors.causal_effect import CausalEffect
from interp.monitors.drift import entropy_drift, length_drift, lucky_drift, malformed_drift, outside_drift
from interp.monitors.frozen_live import FrozenLive
from interp.monitors.judge import Judge, judge_by, judge_over
from interp.monitors.names import DRIFT_NAMES, JUDGE, MONITOR_NAMES, USUAL
from interp.monitors.paid import expect_readout
from interp.monitors.pay_precision import PayPrecision
from interp.readouts.readout import Readout
from interp.readouts.sources import Latents
from interp.tsae import TSAE


def usual_monitors(credit: CreditScheme | None = None, *, every: int = 10) -> list[Monitor]:
    """The monitors of metrics and, for credit by a readout, those that its sources allow. `every`: steps between the
    measurements of those that read policies."""
    return make_monitors([USUAL], credit, every=every)


def make_monitors(
    names: Sequence[str],
    credit: CreditScheme | None = None,
    *,
    judge_tsae: Path | None = None,
    judge_readout: Path | None = None,
    every: int = 10,
) -> list[Monitor]:
    """The monitors of these names, for a run that is paid by `credit`. `judge_tsae` is the directory of the dictionary
    of the judge, fitted with another seed than that of the credit; where the credit begins with labels,
    `judge_readout` is that of a readout of the same answers by this dictionary. `every`: steps between the measurements
    of those that read policies."""
    if unknown := [name for name in names if name not in MONITOR_NAMES]:
        raise BadInput(f"monitors must be among {', '.join(MONITOR_NAMES)}; got {unknown[0]!r:.60}")
    if (JUDGE in names) != (judge_tsae is not None):
        raise BadInput(
            "the monitor judge and its dictionary (--judge-tsae) go together: expected both or neither, got one of "
            "them. interp tsae --seed fits a second dictionary"
        )
    factories: dict[str, Callable[[], Monitor]] = {
        "length": length_drift,
        "entropy": entropy_drift,
        "malformed": malformed_drift,
        "lucky": lucky_drift,
        "outside": outside_drift,
        "pay-precision": PayPrecision,
        "frozen-live": partial(FrozenLive, every=every),
        "causal-effect": partial(CausalEffect, every=every),
    }
    if judge_tsae is not None:
        factories[JUDGE] = lambda: Judge(_judge(credit, judge_tsae, judge_readout), every=every)
    wanted = dict.fromkeys(each for name in names for each in (_usual_names(credit) if name == USUAL else [name]))
    return [factories[name]() for name in wanted]


def _judge(credit: CreditScheme | None, tsae: Path, readout: Path | None) -> ReadoutCredit:
    paid, dictionary = expect_readout(credit, JUDGE), TSAE.load(tsae)
    if readout is None:
        return judge_over(paid, dictionary)
    return judge_by(paid, Readout.load(readout, dictionaries=[dictionary]))


def _usual_names(credit: CreditScheme | None) -> list[str]:
    names = list(DRIFT_NAMES)
    if isinstance(credit, ReadoutCredit):
        names += ["outside"] * (credit.text_range is not None or credit.error_range is not None)
        names += ["pay-precision"] * (credit.error_range is None)
        names += ["frozen-live"] * any(source.layers or source.needs_logprobs for source in credit.sources)
        names += ["causal-effect"] * any(isinstance(source, Latents) for source in credit.sources)
    return names
