"""Precision of a readout's pay: which share of it goes to answers that audits find valid.

A scheme audits a fair sample of each step's successes. Before a fit has seen their labels, what it would have paid them
is a test on current text, for which no further label is bought:

    p_a       probability that audit a is valid, by the fit that was in use before the step
    pay_a     max(p_a - threshold m, 0), m the mean of p over the window           pay "graded"
              1 for the `select_share` most likely of the window, else 0           pay "select"

    value = sum pay_a valid_a / sum pay_a         over the last `window` audits
    limit = mean of valid_a                       what one gets by paying all alike

Below the limit, the readout prefers invalid answers: paying by it is worse than plain reward.

Cost: none to speak of; it reads the state of the scheme. That does not say how well a dictionary explains an audited
text, so a scheme with an `error_range` is refused: what it pays nothing would count as paid.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from interp.artifacts import BadInput
from interp.checks import Count, Name, expect_plausible
from interp.credit.readout import ReadoutCredit
from interp.monitors.base import Measurement, MonitoredRun, MonitoredStep
from interp.monitors.paid import expect_readout
from interp.readouts.columns import Columns
from interp.readouts.logistic import Logistic


@dataclass
class PayPrecision:
    """Tests what a readout pays on the audits that it has not been fitted on yet."""

    window: Count = 256
    """Audits that count, the latest."""
    least_paid: Count = 16
    """Audits with pay that it takes for a measurement."""
    least_valid: Count = 3
    """Valid audits that it takes: a good readout, too, leaves one or two of them without pay."""
    name: Name = "pay_precision"

    def __post_init__(self) -> None:
        expect_plausible(self)
        self._p_A = torch.zeros(0, dtype=torch.float64)
        self._is_valid_A = torch.zeros(0, dtype=torch.bool)
        self._n_audited = 0
        """Audits that the scheme had done after the last step."""
        self._fit: dict[str, Tensor] = {}
        """What the scheme paid by then; empty while it waits."""

    def fresh(self, run: MonitoredRun) -> "PayPrecision":
        readout, monitor = expect_readout(run.credit, self.name), replace(self)
        if readout.error_range is not None:
            raise BadInput(
                f"the monitor {self.name} expected a readout without error_range, got one with: its audits do not say "
                "which of them lie outside, where nothing is paid: leave the monitor out, or pay by a text_range"
            )
        monitor._remember(readout.state())
        return monitor

    @torch.no_grad()
    def observe(self, step: MonitoredStep) -> Measurement | None:
        readout = expect_readout(step.scheme, self.name)
        state = readout.state()
        self._take_audits(readout, state)
        self._remember(state)
        pay_A = self._pay(readout)
        n_paid = int((pay_A > 0).sum())
        if n_paid < self.least_paid or int(self._is_valid_A.sum()) < self.least_valid:
            return None
        precision = float((pay_A * self._is_valid_A).sum() / pay_A.sum())
        base_rate = float(self._is_valid_A.double().mean())
        text = f"the share of pay that goes to valid answers, of the last {len(pay_A)} audits,"
        return Measurement(precision, base_rate, "below", text, {"invalid_share": 1 - precision, "paid": n_paid})

    def _take_audits(self, readout: ReadoutCredit, state: Mapping[str, Tensor]) -> None:
        """Add the audits of this step, as the fit before it saw them."""
        n_new = int(state["n_audited"]) - self._n_audited
        if not self._fit or n_new <= 0:
            return
        columns = Columns(state["x_AF"][-n_new:], tuple(state["widths"].tolist()))
        p_A = Logistic(**self._fit).log_odds(columns.x_BF).sigmoid()
        if readout.text_range is not None:
            p_A = torch.where(readout.text_range.contains(columns), p_A, 0.0)
        self._p_A = torch.cat([self._p_A, p_A])[-self.window :]
        self._is_valid_A = torch.cat([self._is_valid_A, state["is_valid_A"][-n_new:]])[-self.window :]

    def _remember(self, state: Mapping[str, Tensor]) -> None:
        self._n_audited = int(state["n_audited"])
        self._fit = {key.removeprefix("fit."): value for key, value in state.items() if key.startswith("fit.")}

    def _pay(self, readout: ReadoutCredit) -> Float[Tensor, " A"]:
        if readout.pay == "graded":
            return readout.above_threshold(self._p_A, self._p_A.mean()).clamp(min=0, max=1)
        return _highest(self._p_A, round(readout.select_share * len(self._p_A))).double()

    def state(self) -> Mapping[str, Tensor]:
        own = {"p_A": self._p_A, "is_valid_A": self._is_valid_A, "n_audited": torch.tensor(self._n_audited)}
        return own | {f"fit.{key}": value for key, value in self._fit.items()}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        self._p_A, self._is_valid_A = state["p_A"], state["is_valid_A"]
        self._remember(state)


def _highest(x_A: Float[Tensor, " A"], n: int) -> Bool[Tensor, " A"]:
    """Which are the `n` highest; of equal ones the first."""
    is_highest_A = torch.zeros(len(x_A), dtype=torch.bool)
    is_highest_A[x_A.sort(descending=True, stable=True).indices[:n]] = True
    return is_highest_A
