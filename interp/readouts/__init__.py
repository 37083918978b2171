"""Readouts: how likely a text is to be valid, from a policy's reading of it or from the text alone.

reading     one pass of a policy over rollouts
sources     what is read: likelihood, residual, latents, format, completeness, text
intention   what was about to be written, read from latents, against what stands there
parts       the same for each step of a chain
columns     the numbers of several sources side by side; audited rollouts with their labels
logistic    from numbers to log-odds
selection   a few numbers out of many
text_range  whether a text is like those the reader knows
error_range whether a dictionary explains it as well
edits       valid answers changed in one place, so that they are lucky
controls    the same sources with what they claim to read taken away
"""

from interp.readouts.columns import Columns, Labels, Origin, label_rollouts, read_columns, with_base_rate
from interp.readouts.edits import lucky_edits, record_text
from interp.readouts.error_range import DictionaryError, ErrorRange
from interp.readouts.intention import Intention, Lens, fit_lens
from interp.readouts.logistic import Logistic, fit_logistic
from interp.readouts.parts import STEP_END, PartColumns, label_parts, part_verdicts, read_parts, split_parts
from interp.readouts.reading import Place, Reading, read_rollouts
from interp.readouts.selection import choose_columns, choose_latents, fit_beside
from interp.readouts.sources import (
    BEFORE_MARKER,
    Completeness,
    Format,
    Latents,
    Likelihood,
    Residual,
    Source,
    TextCounts,
)
from interp.readouts.text_range import TextRange

__all__ = [
    "BEFORE_MARKER",
    "STEP_END",
    "Columns",
    "Completeness",
    "DictionaryError",
    "ErrorRange",
    "Format",
    "Intention",
    "Labels",
    "Latents",
    "Lens",
    "Likelihood",
    "Logistic",
    "Origin",
    "PartColumns",
    "Place",
    "Reading",
    "Residual",
    "Source",
    "TextCounts",
    "TextRange",
    "choose_columns",
    "choose_latents",
    "fit_beside",
    "fit_lens",
    "fit_logistic",
    "label_parts",
    "label_rollouts",
    "lucky_edits",
    "part_verdicts",
    "read_columns",
    "read_parts",
    "read_rollouts",
    "record_text",
    "split_parts",
    "with_base_rate",
]
