"""What a report is made of: results sorted by what they are, compared by their fingerprints.

All must be of one dictionary and, unless it is allowed, of one base: the same weights, config and tokenizer. What does
not fit is refused, with both named.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from interp.artifacts import BadInput, Mismatch, same_fingerprint
from interp.credit.explanation import CreditExplanation
from interp.dashboard.subjects import Subject, subject_of_run, subject_of_series, subject_of_tracks
from interp.dashboard.verdicts import StudyResult
from interp.features.notes import Notes
from interp.features.roles import Roles
from interp.grpo.run import Run
from interp.readouts.readout import Readout
from interp.rollouts.buckets import Buckets
from interp.rollouts.evaluation import Evaluation
from interp.rollouts.record import Rollouts
from interp.rollouts.series import Series
from interp.tracking.comparison import Comparison
from interp.tracking.tracks import Tracks
from interp.tsae import TSAE

if TYPE_CHECKING:
    from interp.tasks import Task

R = TypeVar("R")


@dataclass(frozen=True)
class Named(Generic[R]):
    """A result, and what it is called."""

    name: str
    result: R
    place: str = ""
    """Where it lies, for messages. Empty: it has no place but its name."""

    def __str__(self) -> str:
        return self.place or self.name


@dataclass(frozen=True)
class StoredReadout:
    """A readout on disk. It is loaded together with the dictionary that it reads."""

    path: Path

    def load(self, tsae: TSAE | None) -> Readout:
        return Readout.load(self.path, dictionaries=[] if tsae is None else [tsae])


Result = (
    Run | Series | Tracks | Comparison | Roles | TSAE | Evaluation | Rollouts | Buckets | StudyResult | Notes
    | CreditExplanation | Readout | StoredReadout
)  # fmt: skip
KINDS = (
    "a run, a series, tracks, a comparison, roles, a dictionary, an evaluation, rollouts, buckets, the result of a "
    "study, a readout, an explanation of credit, or notes"
)


@dataclass
class Inputs:
    """The results of a report."""

    subjects: list[Subject] = field(default_factory=list)
    tracks: list[Tracks] = field(default_factory=list)
    comparisons: list[Named[Comparison]] = field(default_factory=list)
    evaluations: list[Named[Evaluation]] = field(default_factory=list)
    rollouts: list[Named[Rollouts]] = field(default_factory=list)
    studies: list[StudyResult] = field(default_factory=list)
    explanations: list[CreditExplanation] = field(default_factory=list)
    readouts: list[Readout | StoredReadout] = field(default_factory=list)
    tsae: Named[TSAE] | None = None
    roles: Named[Roles] | None = None
    buckets: Named[Buckets] | None = None
    notes: Notes | None = None
    left_out: list[str] = field(default_factory=list)
    """Sentences about what was given and cannot be used."""

    @property
    def layer(self) -> int | None:
        """The layer of the dictionary."""
        if self.tsae is not None and self.tsae.result.layer is not None:
            return self.tsae.result.layer
        layers = [tracks.config.get("layer") for tracks in self.all_tracks]
        return next((layer for layer in layers if layer is not None), self.roles.result.layer if self.roles else None)

    @property
    def all_tracks(self) -> list[Tracks]:
        """Tracks, and those that comparisons are made of."""
        return [*self.tracks, *(each.result.tracks for each in self.comparisons)]

    @property
    def task(self) -> "Task | None":
        """The task of the first run that knows its own."""
        series = (subject.series for subject in self.subjects)
        return next((each.task for each in series if each is not None and each.task is not None), None)

    @property
    def width(self) -> int | None:
        """Latents of the dictionary."""
        if self.tsae is not None:
            return self.tsae.result.width
        return self.roles.result.width if self.roles else next((each.width for each in self.all_tracks), None)


def sort_results(results: Iterable[Named[Any]]) -> Inputs:
    """Results sorted by what they are. A second dictionary, set of roles or of buckets is refused."""
    inputs = Inputs()
    for named in results:
        _sort(inputs, named)
    names = {subject.name for subject in inputs.subjects}
    for tracks in inputs.tracks:
        if tracks.config["run"] not in names:
            names.add(tracks.config["run"])
            inputs.subjects.append(subject_of_tracks(tracks))
    if not inputs.subjects:
        inputs.subjects += [subject_of_tracks(named.result.tracks) for named in inputs.comparisons[:1]]
    return inputs


def _sort(inputs: Inputs, named: Named[Any]) -> None:
    result = named.result
    lists = {Comparison: inputs.comparisons, Evaluation: inputs.evaluations, Rollouts: inputs.rollouts}
    if type(result) in lists:
        lists[type(result)].append(named)
    elif isinstance(result, Run | Series):
        subject = subject_of_run(result) if isinstance(result, Run) else subject_of_series(result)
        inputs.subjects.append(_with_own_name(subject, inputs.subjects))
    elif isinstance(result, Tracks):
        inputs.tracks.append(result)
    elif isinstance(result, StudyResult):
        inputs.studies.append(result)
    elif isinstance(result, CreditExplanation):
        inputs.explanations.append(result)
    elif isinstance(result, Readout | StoredReadout):
        inputs.readouts.append(result)
    elif isinstance(result, Roles | TSAE | Buckets | Notes):
        name = {Roles: "roles", TSAE: "tsae", Buckets: "buckets", Notes: "notes"}[type(result)]
        if (earlier := getattr(inputs, name)) is not None and earlier is not result:
            first = earlier if isinstance(earlier, Named) else earlier.path
            raise BadInput(f"expected one {name}, got two, {first} and {named}: make a report of each")
        setattr(inputs, name, result if isinstance(result, Notes) else named)
    else:
        raise BadInput(f"expected {KINDS}, or the directory of one; got {result!r:.60} ({type(result).__name__})")


def _with_own_name(subject: Subject, others: list[Subject]) -> Subject:
    """The subject, with a number after its name if another has that name."""
    names, number = {other.name for other in others}, 2
    if subject.name not in names:
        return subject
    while f"{subject.name} ({number})" in names:
        number += 1
    return replace(subject, name=f"{subject.name} ({number})")


# --- do they belong together -----------------------------------------------------------------------------------------


def expect_together(inputs: Inputs, *, allow_unrelated_policies: bool) -> None:
    """Refuse results of two dictionaries and, unless it is allowed, of two bases."""
    _expect_one("dictionary", dictionaries_of(inputs), "make a report of each, or leave one out")
    remedy = "make a report of each, or allow it (allow_unrelated_policies, --allow-unrelated-policies)"
    if not allow_unrelated_policies:
        _expect_one("base", bases_of(inputs), remedy)
        _expect_related_dictionary(inputs)
    if inputs.roles is not None and inputs.tsae is not None:
        own, other = inputs.tsae.result.width, inputs.roles.result.width
        if own != other:
            raise Mismatch(f"expected roles of a dictionary of {own} latents, got {other}: earn them again")


def _expect_one(what: str, named: Iterable[tuple[str, str]], remedy: str) -> None:
    first: tuple[str, str] | None = None
    for name, fingerprint in named:
        first = first or (name, fingerprint)
        if not same_fingerprint(first[1], fingerprint):
            difference = " (same weights, another config or tokenizer)" if _same_weights(first[1], fingerprint) else ""
            raise Mismatch(
                f"expected results of one {what}, got {first[0]} of {what} {first[1]} and {name} of {what} "
                f"{fingerprint}{difference}: {remedy}"
            )


def _same_weights(one: str, other: str) -> bool:
    return "+" in one and "+" in other and one.partition("+")[0] == other.partition("+")[0]


def dictionaries_of(inputs: Inputs) -> Iterator[tuple[str, str]]:
    """What is of a dictionary, with the dictionary's fingerprint."""
    if inputs.tsae is not None:
        yield f"the dictionary {inputs.tsae}", inputs.tsae.result.fingerprint()
    for tracks in inputs.all_tracks:
        yield f"the tracks {tracks.path}", tracks.made_from["tsae"]
    if inputs.roles is not None and "tsae" in inputs.roles.result.made_from:
        yield f"the roles {inputs.roles}", inputs.roles.result.made_from["tsae"]


def bases_of(inputs: Inputs) -> Iterator[tuple[str, str]]:
    """What began with a base or was measured on one, with the base's fingerprint."""
    for subject in inputs.subjects:
        if subject.base is not None:
            yield f"{subject.kind} {subject.name}", subject.base
    for tracks in inputs.tracks:
        yield f"the tracks {tracks.path}", tracks.made_from[f"policy-{tracks.steps[0]}"]
    for named in inputs.comparisons:
        if (base := named.result.base) is not None:
            yield f"the comparison {named}", named.result.tracks.made_from[f"policy-{base}"]
    for named in (inputs.buckets, inputs.roles):
        if named is not None and "policy" in named.result.made_from:
            yield str(named), named.result.made_from["policy"]


def _expect_related_dictionary(inputs: Inputs) -> None:
    """Refuse a dictionary that was fitted on none of the policies here, if both are known."""
    if inputs.tsae is None:
        return
    policies = [each for subject in inputs.subjects for each in subject.fingerprints.values()]
    policies += [subject.base for subject in inputs.subjects if subject.base is not None]
    made_from = {f"policy-{number}": fingerprint for number, fingerprint in enumerate(policies)}
    if unrelated := inputs.tsae.result.unrelated_policies(made_from):
        raise Mismatch(
            f"the dictionary {inputs.tsae} was fitted on other weights: expected some of {unrelated[0]}, got "
            f"{unrelated[1]}: give the runs it was fitted on, or accept any policy (allow_unrelated_policies, "
            "--allow-unrelated-policies)"
        )
