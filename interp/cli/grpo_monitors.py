"""Flags of monitors, of `interp grpo`."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from interp.artifacts import BadInput
from interp.checks import Count
from interp.cli.app import Args
from interp.monitors.names import JUDGE, USUAL, MonitorName

if TYPE_CHECKING:
    from interp.credit import CreditScheme
    from interp.monitors import Monitor


@dataclass(frozen=True)
class MonitorArgs(Args):
    """What looks at the run while it trains. It changes nothing, so a run may be continued with other monitors."""

    monitors: tuple[MonitorName, ...] = ()
    """What looks at every step, and warns when something goes wrong. usual: all that the credit allows, but for the
    judge. Those from pay-precision on are for credit by a readout."""
    on_alarm: Literal["go on", "stop"] = "go on"
    """What to do at a step that raises an alarm. stop: save the run, which the same command continues."""
    monitor_every: Count = 10
    """Steps between the measurements of monitors that read policies."""
    judge_tsae: Path | None = None
    """The dictionary of the judge: of the same layer as --tsae, fitted with another --seed."""
    judge_readout: Path | None = None
    """With --readout: what `interp readout` saved with the same settings and this dictionary."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if (JUDGE in self.monitors) != (self.judge_tsae is not None):
            raise BadInput(
                f"--monitors {JUDGE} and --judge-tsae go together: expected both or neither, got one of them"
            )
        if self.judge_readout is not None and self.judge_tsae is None:
            raise BadInput("--judge-readout is read with its dictionary: expected --judge-tsae too, got none")
        if self.on_alarm == "stop" and not self.monitors:
            raise BadInput(f"--on-alarm stop is for --monitors: expected some, such as {USUAL}, got none")

    def make(self, credit: "CreditScheme") -> "Sequence[Monitor]":
        """The monitors of a run that is paid by `credit`."""
        if not self.monitors:
            return ()
        from interp.monitors import make_monitors

        return make_monitors(
            self.monitors,
            credit,
            judge_tsae=self.judge_tsae,
            judge_readout=self.judge_readout,
            every=self.monitor_every,
        )
