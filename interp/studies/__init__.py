"""Claims of the literature as experiments: claim, prediction and rule first, then runs, then the verdict.

A new study is one file with a subclass of `base.Study`, and one line here.
"""

from typing import Any

from interp.studies.base import Study
from interp.studies.credit import CreditStudy
from interp.studies.credit_strengths import CreditStrengths
from interp.studies.credit_words import CreditWords
from interp.studies.dictionary import Dictionary
from interp.studies.difficulty import Difficulty
from interp.studies.features import Features
from interp.studies.hard_samples import HardSamples
from interp.studies.roles import Roles
from interp.studies.truth import CreditTruth
from interp.studies.words import WordProblems

_ALL = (
    Difficulty, Dictionary, Roles, Features, WordProblems, CreditTruth, CreditStrengths, CreditStudy, HardSamples,
    CreditWords,
)  # fmt: skip
STUDIES: dict[str, Study[Any]] = {study.name: study() for study in _ALL}
"""Every study by name; `interp study NAME` runs it."""
