"""How well the annotator of free text judges solutions of word problems, measured against their exact verdicts.

Precision: of what the annotator says, the share that is true. Recall: of what is true, the share that it says.
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from interp.tasks.base import Problem, Step, Task, Verdict, token_roles
from interp.tasks.text.verdicts import verify_text

_TOKEN = re.compile(r"\w+|[^\w\s]")


@dataclass(frozen=True, slots=True)
class Rate:
    """Precision and recall of one judgement."""

    precision: float
    recall: float
    said: int
    """How often the annotator says it."""
    true: int
    """How often it is true."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """The annotator's judgements of solutions, compared with the truth."""

    completions: int
    """Those compared: of malformed ones the truth is known only up to the first error."""
    valid_steps: Rate
    """Steps that are valid: true as written, and the computation due."""
    false_equations: Rate
    """Steps whose equation is not true."""
    valid_solutions: Rate
    """Solutions that are valid as wholes."""
    roles: Rate
    """Tokens with a role other than text, all roles together."""
    by_role: dict[str, Rate]


def annotator_agreement(task: Task, solutions: Iterable[tuple[Problem, str]]) -> Agreement:
    """Compare the verdict on free text with the exact verdict of `task`, on (problem, completion) pairs. Malformed
    completions are left out."""
    valid, wrong, whole, roles = _Count(), _Count(), _Count(), Counter[tuple[str, str]]()
    count = 0
    for problem, completion in solutions:
        exact = task.verify(problem, completion)
        if exact.format == "malformed":
            continue
        free = verify_text(problem, completion)
        for true_step, said_step in _paired_steps(exact.steps, free.steps):
            valid.add(_is(true_step, "valid", True), _is(said_step, "valid", True))
            wrong.add(_is(true_step, "holds", False), _is(said_step, "holds", False))
        whole.add(exact.valid is True, free.valid is True)
        roles.update(zip(*(_roles(verdict, completion) for verdict in (exact, free)), strict=True))
        count += 1
    names = sorted({role for pair in roles for role in pair} - {"text"})
    by_role = {name: _role_rate(roles, [name]) for name in names}
    return Agreement(count, valid.rate(), wrong.rate(), whole.rate(), _role_rate(roles, names), by_role)


@dataclass(slots=True)
class _Count:
    said: int = 0
    true: int = 0
    both: int = 0

    def add(self, is_true: bool, is_said: bool) -> None:
        self.true, self.said, self.both = self.true + is_true, self.said + is_said, self.both + (is_true and is_said)

    def rate(self) -> Rate:
        return Rate(_share(self.both, self.said), _share(self.both, self.true), self.said, self.true)


def _share(part: int, whole: int) -> float:
    return part / whole if whole else float("nan")


def _is(step: Step | None, field: str, value: bool) -> bool:
    return step is not None and getattr(step, field) is value


def _paired_steps(true: Sequence[Step], said: Sequence[Step]) -> list[tuple[Step | None, Step | None]]:
    """Steps that overlap, in pairs; each step alone that overlaps none still free."""
    pairs: list[tuple[Step | None, Step | None]] = []
    free = list(said)
    for step in true:
        partner = next((other for other in free if other.start < step.end and step.start < other.end), None)
        if partner is not None:
            free.remove(partner)
        pairs.append((step, partner))
    return pairs + [(None, step) for step in free]


def _roles(verdict: Verdict, completion: str) -> list[str]:
    return token_roles(verdict, [match.span() for match in _TOKEN.finditer(completion)])


def _role_rate(counts: Counter[tuple[str, str]], names: list[str]) -> Rate:
    """Counts are of (true role, role said)."""
    both = sum(counts[name, name] for name in names)
    true = sum(count for (role, _), count in counts.items() if role in names)
    said = sum(count for (_, role), count in counts.items() if role in names)
    return Rate(_share(both, said), _share(both, true), said, true)
