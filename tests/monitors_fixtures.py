"""Steps as monitors see them, from hand-made rollouts; a monitor whose values are written down; sources of one flag."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from conftest import tiny_policy
from grpo_fixtures import make_rollout
from torch import Tensor

from interp.credit import Credit, ReadoutCredit, RolloutBatch
from interp.monitors import Measurement, MonitoredRun, MonitoredStep
from interp.readouts import Reading
from interp.readouts.sources import _TextSource
from interp.rollouts.record import Rollout
from interp.tsae import TSAE

CHAIN_ROLES = ("carry", "operator", "operand", "result", "marker", "answer")


@dataclass
class Scripted:
    """Its value at each step is written down; None measures nothing. The limit is 1."""

    values: tuple[float | None, ...]
    name: str = "scripted"

    def __post_init__(self) -> None:
        self.n_observed = 0

    def fresh(self, run: MonitoredRun) -> "Scripted":
        return replace(self)

    def observe(self, step: MonitoredStep) -> Measurement | None:
        value = self.values[self.n_observed]
        self.n_observed += 1
        return None if value is None else Measurement(value, 1.0, "above", "what is written", {"twice": 2 * value})

    def state(self) -> Mapping[str, Tensor]:
        return {"n_observed": torch.tensor(self.n_observed)}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        self.n_observed = int(state["n_observed"])


@dataclass(frozen=True)
class Flag(_TextSource):
    """Reads one number of a rollout."""

    of: Callable[[Rollout], float]
    name: str = "flag"

    def columns(self, reading: Reading) -> Tensor:
        return torch.tensor([[float(self.of(row))] for row in reading.rollouts], dtype=torch.float64)


def monitored_run(credit: Any = None, *, base: Any = None, steps: int = 60) -> MonitoredRun:
    return MonitoredRun(base or tiny_policy(), credit, steps)


def monitored_step(
    step: int = 0,
    rollouts: Sequence[Rollout] | None = None,
    *,
    metrics: Mapping[str, Any] | None = None,
    scheme: Any = None,
    **of_batch: Any,
) -> MonitoredStep:
    """A step with these rollouts, in groups of two; a scheme that learns observes and pays them as in training."""
    rows = [replace(row, step=step) for row in rollouts or (make_rollout(1), make_rollout(0))]
    batch = RolloutBatch.from_rollouts(rows, 2, **of_batch)
    if isinstance(scheme, ReadoutCredit):
        scheme.observe(batch)
    credit = Credit.uniform(batch) if scheme is None else scheme(batch)
    return MonitoredStep(step, metrics or {}, batch, credit, scheme)


def dictionary(policy: Any, width: int = 12, *, layer: int = 1, seed: int = 0, threshold: float = 0.1) -> TSAE:
    """A dictionary of random directions."""
    encoder_DF = torch.randn(policy.d_model, width, generator=torch.Generator().manual_seed(seed))
    zeros_F = torch.zeros(width)
    decoder_FD = torch.nn.functional.normalize(encoder_DF.T.clone(), dim=1)
    return TSAE(
        encoder_DF, zeros_F, decoder_FD, torch.zeros(policy.d_model), zeros_F + threshold, (width,), layer=layer
    )
