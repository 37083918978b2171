"""Readouts: how likely a text is to be valid, from a policy's reading of it or from the text alone.

reading     one pass of a policy over rollouts
sources     what is read: likelihood, residual, latents, format, completeness, text
intention   what was about to be written, read from latents, against what stands there
parts       the same for each step of a chain
columns     the numbers of several sources side by side; audited rollouts with their labels
logistic    from numbers to log-odds
selection   a few numbers out of many
config      how a readout is fitted
fit         fit and test a readout on a policy's own answers
readout     the artifact: sources, labels, regression, tests
source_files sources as JSON and tensors
text_range  whether a text is like those the reader knows
error_range whether a dictionary explains it as well
edits       valid answers changed in one place, so that they are lucky
halves      problems to fit on and problems to test on, of the same depths
controls    the same sources with what they claim to read taken away
control_sources what every control of a readout of latents reads
"""

from typing import TYPE_CHECKING

from interp.lazy import lazy_exports

if TYPE_CHECKING:
    from interp.readouts.columns import Columns, Labels, Origin, label_rollouts, read_columns, with_base_rate
    from interp.readouts.config import ReadoutConfig
    from interp.readouts.controls import Permuted, random_intention, random_latents, residual_intention
    from interp.readouts.edits import lucky_edits, record_text
    from interp.readouts.error_range import DictionaryError, ErrorRange
    from interp.readouts.fit import fit_readout
    from interp.readouts.intention import Intention, Lens, fit_lens
    from interp.readouts.logistic import Logistic, fit_logistic
    from interp.readouts.parts import STEP_END, PartColumns, label_parts, part_verdicts, read_parts, split_parts
    from interp.readouts.reading import Place, Reading, read_rollouts
    from interp.readouts.readout import Readout, ReadoutTest
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
        WithRoles,
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
    "Permuted",
    "Place",
    "Reading",
    "Readout",
    "ReadoutConfig",
    "ReadoutTest",
    "Residual",
    "Source",
    "TextCounts",
    "TextRange",
    "WithRoles",
    "choose_columns",
    "choose_latents",
    "fit_beside",
    "fit_lens",
    "fit_logistic",
    "fit_readout",
    "label_parts",
    "label_rollouts",
    "lucky_edits",
    "part_verdicts",
    "random_intention",
    "random_latents",
    "read_columns",
    "read_parts",
    "read_rollouts",
    "record_text",
    "residual_intention",
    "split_parts",
    "with_base_rate",
]
__getattr__ = lazy_exports(
    __name__,
    {
        "Columns": "interp.readouts.columns",
        "Labels": "interp.readouts.columns",
        "Origin": "interp.readouts.columns",
        "label_rollouts": "interp.readouts.columns",
        "read_columns": "interp.readouts.columns",
        "with_base_rate": "interp.readouts.columns",
        "ReadoutConfig": "interp.readouts.config",
        "Permuted": "interp.readouts.controls",
        "random_intention": "interp.readouts.controls",
        "random_latents": "interp.readouts.controls",
        "residual_intention": "interp.readouts.controls",
        "lucky_edits": "interp.readouts.edits",
        "record_text": "interp.readouts.edits",
        "DictionaryError": "interp.readouts.error_range",
        "ErrorRange": "interp.readouts.error_range",
        "fit_readout": "interp.readouts.fit",
        "Intention": "interp.readouts.intention",
        "Lens": "interp.readouts.intention",
        "fit_lens": "interp.readouts.intention",
        "Logistic": "interp.readouts.logistic",
        "fit_logistic": "interp.readouts.logistic",
        "STEP_END": "interp.readouts.parts",
        "PartColumns": "interp.readouts.parts",
        "label_parts": "interp.readouts.parts",
        "part_verdicts": "interp.readouts.parts",
        "read_parts": "interp.readouts.parts",
        "split_parts": "interp.readouts.parts",
        "Place": "interp.readouts.reading",
        "Reading": "interp.readouts.reading",
        "read_rollouts": "interp.readouts.reading",
        "Readout": "interp.readouts.readout",
        "ReadoutTest": "interp.readouts.readout",
        "choose_columns": "interp.readouts.selection",
        "choose_latents": "interp.readouts.selection",
        "fit_beside": "interp.readouts.selection",
        "BEFORE_MARKER": "interp.readouts.sources",
        "Completeness": "interp.readouts.sources",
        "Format": "interp.readouts.sources",
        "Latents": "interp.readouts.sources",
        "Likelihood": "interp.readouts.sources",
        "Residual": "interp.readouts.sources",
        "Source": "interp.readouts.sources",
        "TextCounts": "interp.readouts.sources",
        "WithRoles": "interp.readouts.sources",
        "TextRange": "interp.readouts.text_range",
    },
)
