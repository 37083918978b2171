"""Tables and figures of the words study."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from interp.plots import dots
from interp.stats.estimate import Estimate
from interp.studies.base import Figure, Table
from interp.studies.features_measures import FAMILIES, FIXED, KINDS, RESAMPLED, change_of
from interp.studies.report import cell, point
from interp.studies.results import Record, Results
from interp.studies.words_runs import ALL, BASE, EASY, HARD, MEDIUM, RATES, TRAINED_ON, VALID_ALONE

if TYPE_CHECKING:
    from interp.studies.words import WordsConfig

BUCKETS = (EASY, MEDIUM, HARD)
LABELS = {VALID_ALONE: "valid only"}
"""Short, where arms stand side by side."""


def tables(results: Results, config: "WordsConfig") -> list[Table]:
    return [
        buckets_table(results),
        *(rates_table(results, rate) for rate in RATES),
        problems_table(results),
        strength_table(results),
        latents_table(results),
        tracks_table(results),
    ]


def trained(results: Results) -> list[str]:
    return [arm for arm in TRAINED_ON if results.seeds(arm)]


def buckets_table(results: Results) -> Table:
    base = results.baseline(BASE)
    counts = [bucket for bucket, *_ in base["problems"].values()]
    rows = [
        [
            bucket,
            str(base["train_problems"].get(bucket, "")),
            str(counts.count(bucket)),
            *(f"{base['rates'].get(bucket, {}).get(rate, float('nan')):.3f}" for rate in RATES),
        ]
        for bucket in BUCKETS
    ]
    head = ["bucket", "training problems", "held-out problems", *(rate.replace("_", " ") for rate in RATES)]
    return Table("The base by bucket", head, rows, "Rates are of other answers than those that decided the buckets.")


def rates_table(results: Results, rate: str) -> Table:
    from interp.studies.words import LUCKY, change

    base = results.baseline(BASE)["rates"]
    own = ["(the base)", "", *(f"{base[bucket][rate]:.3f}" for bucket in (ALL, *BUCKETS)), ""]
    rows = [
        [
            arm,
            str(len(results.seeds(arm))),
            *(cell(change(results, arm, rate, bucket), 3) for bucket in (ALL, *BUCKETS)),
            cell(results.mean(arm, LUCKY), 3),
        ]
        for arm in trained(results)
    ]
    title = f"Change in {rate.replace('_', ' ')}"
    head = ["arm", "seeds", "all problems", *BUCKETS, "P(lucky, given success), first ten steps"]
    return Table(title, head, [own, *rows], "Intervals are Student's, over seeds; none with one seed.")


def problems_table(results: Results) -> Table:
    """Changes with intervals over problems, the seeds of an arm pooled."""
    rows = [
        [arm, *(cell(change_over_problems(results, arm, rate, bucket), 3) for rate in RATES[:2] for bucket in BUCKETS)]
        for arm in trained(results)
    ]
    head = ["arm", *(f"{rate.replace('_', ' ')}, {bucket}" for rate in RATES[:2] for bucket in BUCKETS)]
    note = (
        "Paired by held-out problem, with Student's intervals over problems. They say what these trained policies do "
        "on other problems, not what another training would do."
    )
    return Table("The same changes, with intervals over problems", head, rows, note)


def change_over_problems(results: Results, arm: str, rate: str, bucket: str) -> Estimate:
    """Mean over problems of an arm's rate, all seeds pooled, less the base's."""
    from interp.stats.seeds import student_interval

    base = results.baseline(BASE)["problems"]
    records = [record["problems"] for record in results.records(arm).values()]
    shared = [name for name, (own, *_) in base.items() if own == bucket and all(name in one for one in records)]
    place = 2 + RATES.index(rate)
    changes = [pooled_rate([one[name] for one in records], place) - pooled_rate([base[name]], place) for name in shared]
    return student_interval(changes)


def pooled_rate(counts: Sequence[Sequence[Any]], place: int) -> float:
    return sum(one[place] for one in counts) / sum(one[1] for one in counts)


def strength_table(results: Results) -> Table:
    rows = [
        [family, arm, *(cell(results.mean(arm, change_of(family, kind))) for kind in (*KINDS, f"{FIXED}, matches"))]
        for family in FAMILIES
        for arm in (*trained(results), RESAMPLED)
    ]
    return Table("Strength of families of latents", ["family", "arm", *KINDS, f"{FIXED}, matches"], rows)


def latents_table(results: Results) -> Table:
    from interp.studies.words import DICTIONARY

    families = [record["families"] for record in results.records(DICTIONARY).values()]
    rows = [
        [family, ", ".join(str(len(one.get(family, {}).get("latents", ()))) for one in families)] for family in FAMILIES
    ]
    return Table("Latents with a role, in the dictionary of each seed", ["family", "latents"], rows)


def tracks_table(results: Results) -> Table:
    """Latents that training strengthened and weakened by bucket, beside the base sampled a second time."""
    from interp.studies.words import DICTIONARY

    records = list(results.records(DICTIONARY).values())
    rows = []
    for arm in trained(results):
        for bucket in BUCKETS:
            numbers = [count_tracks(record, arm, bucket, control=False) for record in records]
            controls = [count_tracks(record, arm, bucket, control=True) for record in records]
            rows.append([arm, bucket, *(", ".join(map(str, column)) for column in zip(*numbers, strict=True))])
            rows[-1] += [", ".join(str(sum(one[:2])) for one in controls)]
    head = ["arm", "bucket", "strengthened", "weakened", "strengthened on the same text too", "base sampled again"]
    note = "Numbers of latents by seed, on the checkpoints' own text, at a false-discovery rate of 0.05."
    return Table("Tracks", head, rows, note)


def count_tracks(record: Record, arm: str, bucket: str, *, control: bool) -> tuple[int, int, int]:
    """Latents strengthened, weakened and strengthened on both texts, over all roles."""
    from interp.tracking.changes import BASE_RESAMPLED, SAME_TEXT

    rows: list[Mapping[str, Any]] = [row for row in record["tracks"].get(arm, []) if row["bucket"] == bucket]
    if control:
        chosen = [row for row in rows if row["comparison"] == BASE_RESAMPLED]
    else:
        chosen = [row for row in rows if row["comparison"] not in (BASE_RESAMPLED, SAME_TEXT)]
    names = ("strengthened", "weakened", "strengthened_on_both")
    strengthened, weakened, both = (sum(row[name] or 0 for row in chosen) for name in names)
    return strengthened, weakened, both


def figures(results: Results) -> list[Figure]:
    from interp.studies.words import change

    parts = []
    for rate, claims in (
        ("valid_rate", ("inverted-u", "hard-harms", "deep-harms", "luck-is-the-channel")),
        ("pass_rate", ()),
        ("direct_share", ("deep-shortens",)),
    ):
        panels = {
            f"{bucket} problems": {
                "after training": [
                    point(LABELS.get(arm, arm), change(results, arm, rate, bucket)) for arm in trained(results)
                ]
            }
            for bucket in BUCKETS
        }
        name = rate.replace("_", " ")
        text = "Against the base on held-out problems, by bucket: means over seeds, 95% intervals (Student's)."
        parts.append(Figure(f"What each training changed: {name}", text, dots(panels, y=f"change in {name}"), claims))
    strengths = {
        family: {
            kind: [point(LABELS.get(arm, arm), results.mean(arm, change_of(family, kind))) for arm in trained(results)]
            for kind in KINDS
        }
        for family in FAMILIES
    }
    text = "Change of the strength of each family, as a share of the base's: means over seeds, 95% intervals."
    figure = dots(strengths, y="change, as a share of the base's")
    return [*parts, Figure("Families of latents", text, figure, ("deep-direct", "medium-deliberative"))]
