"""Findings of the monitors that looked at a run while it trained: which alarms stood, since when and until when."""

from collections.abc import Iterable, Iterator

from interp.dashboard.subjects import Subject
from interp.grpo.run import MONITORS, Run


def alarm_findings(subjects: Iterable[Subject]) -> Iterator[dict[str, str]]:
    """A sentence for each run that had monitors, whether they raised an alarm or not."""
    for subject in subjects:
        if subject.run is not None and (monitors := _monitors(subject.run)):
            alarms = [_alarm(row) for row in subject.run.alarms().to_dicts()]
            text = f"{subject.name}: alarms of monitors: {'; '.join(alarms) or 'none'}."
            yield {"text": text, "detail": f"Monitors: {', '.join(monitors)}."}


def _monitors(run: Run) -> list[str]:
    return list(dict.fromkeys(name for entry in run.manifest.get(MONITORS, []) for name in entry["settings"]))


def _alarm(row: dict[str, object]) -> str:
    stood = f"since step {row['since']}" if row["until"] is None else f"from step {row['since']} to {row['until']}"
    value = "no number" if row["value"] is None else f"{row['value']:.3g}"
    limit = "" if row["limit"] is None else f", limit {row['limit']:.3g}"
    return f"{row['monitor']} {stood} ({value}{limit})"
