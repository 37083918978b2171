"""Changes of latents from one checkpoint to another, with the controls that belong beside them."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Bool

from interp.artifacts import BadInput
from interp.display import HtmlSummary
from interp.tracking.verdicts import STRENGTHENED, TOO_FEW_PROMPTS, VERDICTS, WEAKENED, LatentVerdicts, latents_by_role

if TYPE_CHECKING:
    import polars as pl


BASE_RESAMPLED, SAME_TEXT = "base resampled", "same text"
"""Names of the controls in the summary."""


@dataclass(frozen=True, repr=False)
class Changes(HtmlSummary):
    """Verdicts on every latent in every bucket."""

    buckets: dict[str, LatentVerdicts]
    control: dict[str, LatentVerdicts] | None
    """From the base's rollouts to a second set of them, where nothing changed. None on the probe corpus: its text is
    the same for all checkpoints."""
    same_text: dict[str, LatentVerdicts] | None
    """The same checkpoints on the probe corpus: what a checkpoint represents differently on text that it did not write.
    None if the changes themselves are on the probe corpus."""
    steps: tuple[int, ...]
    corpus: str
    measure: str
    over: str
    """end (the last checkpoint less the first) or slope (rise of the least-squares line)."""
    match: tuple[str, ...]
    role_F: tuple[str, ...] | None = None
    """Role of each latent, if roles were given."""

    def __repr__(self) -> str:
        what, buckets = f"{self.measure} on {self.corpus} text", ", ".join(self.buckets)
        return f"Changes({what}, steps {self.steps[0]} to {self.steps[-1]}, buckets {buckets})"

    def table(self) -> "pl.DataFrame":
        """A row for each bucket and latent: values at the first and last checkpoint, change, interval, p, q, verdict;
        and, in columns named `same_text_`, the change on the same text."""
        import polars as pl

        parts = []
        for bucket, verdicts in self.buckets.items():
            change = verdicts.change
            columns = {
                "latent": np.arange(len(verdicts.prompts_F)),
                "prompts": verdicts.prompts_F,
                "start": change.ratio_TF[0],
                "end": change.ratio_TF[-1],
                "change": change.value_F,
                "low": change.low_F,
                "high": change.high_F,
                "p": change.p_F,
                "q": verdicts.q_F,
                "verdict": verdicts.verdict_F.astype(str).tolist(),
            }
            if self.same_text is not None:
                same = self.same_text[bucket]
                columns |= {
                    "same_text_change": same.change.value_F,
                    "same_text_low": same.change.low_F,
                    "same_text_high": same.change.high_F,
                    "same_text_verdict": same.verdict_F.astype(str).tolist(),
                }
            if self.role_F is not None:
                columns["role"] = self.role_F
            parts.append(pl.DataFrame(columns).select(pl.lit(bucket).alias("bucket"), pl.all()).fill_nan(None))
        return pl.concat(parts)

    def summary(self, *, by_role: bool = False) -> "pl.DataFrame":
        """Number of latents with each verdict: a row for each bucket and comparison, and with `by_role` for each role.
        Comparisons are the change itself, `base resampled` and `same text`.

        `common_share` is the share of the base's tokens that could be compared. `strengthened_on_both` counts latents
        that were strengthened on the same text too: not only because other text was written."""
        import polars as pl

        if by_role and self.role_F is None:
            raise BadInput("expected the roles of latents, got none: tracks.changes(roles=roles)")
        rows = []
        for bucket, comparison, verdicts in self._comparisons():
            row = {"bucket": bucket, "comparison": comparison, "prompts": verdicts.change.prompts}
            row["common_share"] = verdicts.change.common
            if by_role and self.role_F is not None:
                for role, has_role_F in latents_by_role(self.role_F):
                    rows.append({**row, "role": role, **self._counts(bucket, verdicts, has_role_F)})
            else:
                rows.append({**row, **self._counts(bucket, verdicts)})
        return pl.DataFrame(rows, infer_schema_length=None)

    def cross_counts(self, bucket: str, is_counted_F: Bool[np.ndarray, " F"] | None = None) -> Counter[tuple[str, str]]:
        """Number of latents by pair of verdicts: on the checkpoints' own text, and on the same text. Of all latents,
        or of those that `is_counted_F` marks."""
        if self.same_text is None:
            raise BadInput(f"expected changes on on-policy text, which have the same text beside them; got {self!r}")
        own_F, same_F = self.buckets[bucket].verdict_F, self.same_text[bucket].verdict_F
        is_counted_F = np.ones(len(own_F), dtype=bool) if is_counted_F is None else is_counted_F
        return Counter(zip(own_F[is_counted_F].tolist(), same_F[is_counted_F].tolist(), strict=True))

    def _counts(
        self, bucket: str, verdicts: LatentVerdicts, is_counted_F: Bool[np.ndarray, " F"] | None = None
    ) -> dict[str, Any]:
        verdict_F = verdicts.verdict_F if is_counted_F is None else verdicts.verdict_F[is_counted_F]
        counts: dict[str, int | None] = {verdict: int((verdict_F == verdict).sum()) for verdict in VERDICTS}
        if self.same_text is None:
            return counts
        is_change = verdicts is self.buckets[bucket]
        is_known = is_change and not (self.same_text[bucket].verdict_F == TOO_FEW_PROMPTS).all()
        both = self.cross_counts(bucket, is_counted_F) if is_known else None
        for verdict in (STRENGTHENED, WEAKENED):
            counts[f"{verdict}_on_both"] = None if both is None else both[verdict, verdict]
        return counts

    def _comparisons(self) -> Iterator[tuple[str, str, LatentVerdicts]]:
        """Each bucket's change, followed by its controls."""
        for bucket, verdicts in self.buckets.items():
            yield bucket, f"step {self.steps[0]} to {self.steps[-1]}", verdicts
            for name, control in ((BASE_RESAMPLED, self.control), (SAME_TEXT, self.same_text)):
                if control is not None:
                    yield bucket, name, control[bucket]
