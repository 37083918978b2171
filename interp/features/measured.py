"""Effects of edits on contrasts and on behavior, each measured once, those of many edits together.

What is asked for is measured at the tokens that it is about, so that a row is read again only from the first token that
an edit changes to the last that matters. The shift of every token is too large to keep: what is kept are the effects.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from numpy import ndarray

from interp.features.ablation import BehaviorEffects, Edit, Effect, LatentEditor, OutcomeMasks, estimate_effect
from interp.features.families import Contrast
from interp.features.labels import LabeledTokens

SHIFTS = 2**25
"""Shifts of tokens that are in memory at once, or those of one edit."""


@dataclass(frozen=True)
class Wanted:
    """An effect of one edit of one latent: on a contrast's tokens, or on behavior."""

    latent: int
    scale: float
    contrast: str | None
    """None: on behavior."""


class MeasuredEdits:
    """Effects that were measured, by what was wanted."""

    def __init__(
        self,
        editor: LatentEditor,
        labeled: LabeledTokens,
        contrasts: Mapping[str, Contrast],
        counts_BP: Float[ndarray, "B P"],
    ) -> None:
        self.editor, self.contrasts, self.counts_BP = editor, contrasts, counts_BP
        self.problem_N, self.outcomes = labeled["problem"], OutcomeMasks.from_labels(labeled)
        self._effects: dict[Wanted, Effect] = {}
        self._behavior: dict[Wanted, BehaviorEffects] = {}
        self._masks: dict[frozenset[str | None], Bool[ndarray, " N"]] = {}

    def effect(self, latent: int, scale: float, contrast: str) -> Effect:
        """The effect on a contrast's tokens, measured now if it was not before."""
        wanted = Wanted(latent, scale, contrast)
        self.measure([wanted])
        return self._effects[wanted]

    def behavior(self, latent: int, scale: float) -> BehaviorEffects:
        wanted = Wanted(latent, scale, None)
        self.measure([wanted])
        return self._behavior[wanted]

    def measure(self, wanted: Iterable[Wanted], on_tokens: Callable[[int], object] = lambda n: None) -> None:
        """Measure all that was not measured before."""
        by_edit = self._missing(wanted)
        at_once = max(1, SHIFTS // max(1, self.editor.tokens))
        for start in range(0, len(by_edit), at_once):
            part = dict(list(by_edit.items())[start : start + at_once])
            edits, masks = self._edits(part)
            shift_EN = self.editor.log_odds_shifts(edits, masks, on_tokens)
            for (edit, names), shift_N in zip(part.items(), shift_EN, strict=True):
                for name in names:
                    self._estimate(Wanted(*edit, name), shift_N)

    def count_tokens(self, wanted: Iterable[Wanted]) -> tuple[int, int]:
        """Edits that `measure` would make, and the tokens that it would read again."""
        by_edit = self._missing(wanted)
        return len(by_edit), self.editor.count_tokens(*self._edits(by_edit))

    def _missing(self, wanted: Iterable[Wanted]) -> dict[tuple[int, float], frozenset[str | None]]:
        by_edit: dict[tuple[int, float], set[str | None]] = defaultdict(set)
        for one in wanted:
            if one not in self._effects and one not in self._behavior:
                by_edit[one.latent, one.scale].add(one.contrast)
        return {edit: frozenset(names) for edit, names in by_edit.items()}

    def _edits(
        self, by_edit: Mapping[tuple[int, float], frozenset[str | None]]
    ) -> tuple[list[Edit], Sequence[Bool[ndarray, " N"]]]:
        return [Edit((latent,), scale) for latent, scale in by_edit], [self._mask(names) for names in by_edit.values()]

    def _mask(self, names: frozenset[str | None]) -> Bool[ndarray, " N"]:
        """The tokens that these effects are about."""
        if names not in self._masks:
            masks = [self.outcomes.any_N if name is None else self.contrasts[name].effect_N for name in names]
            self._masks[names] = np.logical_or.reduce(masks)
        return self._masks[names]

    def _estimate(self, wanted: Wanted, shift_N: Float[ndarray, " N"]) -> None:
        if wanted.contrast is None:
            self._behavior[wanted] = self.outcomes.effects(shift_N, self.counts_BP)
        else:
            contrast = self.contrasts[wanted.contrast]
            self._effects[wanted] = estimate_effect(
                shift_N, contrast.target_N, contrast.other_N, self.problem_N, self.counts_BP
            )
