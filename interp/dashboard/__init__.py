"""A dashboard of what training changed: results in, one offline HTML file out.

    interp.dashboard(run, tracks, roles, tsae).save("report.html")

This room is called like a function, which is `make_dashboard`.

subjects, inputs, finding     runs and series; results sorted and compared; results on disk
visits, rollouts, readings    checkpoints visited; which rollouts are shown; what is known of each token
payments, explaining          what credit read and paid, beside a control
extras                        further values per token, from who makes the report
latent_facts, examples        densities, the logit lens and neighbours; where each latent is strongest
tracked, trials, comparisons  tracks, roles and comparisons as a report shows them
learning, answers, changes    rates by checkpoint; answers of both ends of a run; what changed, beside controls
overview, verdicts            findings in sentences, verdicts of studies
report, page, dashboard       chunks, the HTML file, the result
building                      all of it in order
"""

import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from interp.dashboard.config import DashboardConfig
from interp.lazy import lazy_exports

if TYPE_CHECKING:
    from interp.dashboard.building import make_dashboard
    from interp.dashboard.dashboard import Dashboard
    from interp.dashboard.extras import Extra, rollout_key
    from interp.features.notes import LatentNote, LatentSet, Notes

__all__ = ["Dashboard", "DashboardConfig", "LatentNote", "LatentSet", "Notes", "make_dashboard", "rollout_key"]
__getattr__ = lazy_exports(
    __name__,
    {
        "Dashboard": "interp.dashboard.dashboard",
        "LatentNote": "interp.features.notes",
        "LatentSet": "interp.features.notes",
        "Notes": "interp.features.notes",
        "make_dashboard": "interp.dashboard.building",
        "rollout_key": "interp.dashboard.extras",
    },
)


class CallableRoom(ModuleType):
    """This module: called, it makes a dashboard."""

    def __call__(
        self,
        *results: Any,
        config: DashboardConfig | None = None,
        notes: "Notes | str | Path | None" = None,
        base: str | Path | None = None,
        extras: "Mapping[str, Extra] | None" = None,
        explain_credit: bool = False,
        device: str = "auto",
        dtype: str = "auto",
        progress: bool = True,
    ) -> "Dashboard":
        """A dashboard of these results: see `make_dashboard`."""
        from interp.dashboard.building import make_dashboard

        return make_dashboard(
            *results, config=config, notes=notes, base=base, extras=extras, explain_credit=explain_credit,
            device=device, dtype=dtype, progress=progress,
        )  # fmt: skip


sys.modules[__name__].__class__ = CallableRoom
