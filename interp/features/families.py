"""Role families, one row each: what a family contrasts, how it is falsified, and how credit uses it.

computation  tokens at which a result is about to be written: one value against all others
reasoning    chains of which every step is right against written chains that are not valid: at all their tokens, where
             the answer is about to be announced, and from there on
shortcut     answers given at once against the same answers worked out; and, where shortcuts are planted, direct answers
             that agree with the cue (or the copy) against direct answers of the same value that do not
format       tokens that only arrange (separators, markers, equals signs) against all other tokens

To add a family, write a function that yields its contrasts and add a row to `ROLE_FAMILIES`. Contrasts, falsification,
the role table and credit all read the row. A contrast whose facts are missing (no verdicts, one format only, no cue)
has too few tokens; it is left out and named.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy import ndarray

from interp.artifacts import BadInput
from interp.features.labels import AFTER_END, PLANTED_SHORTCUTS, LabeledTokens

DIRECT = "direct"
NO_CHAIN_FORMATS = (DIRECT, "unannounced", "malformed")
ANSWER_ROLES = ("marker", "answer")
FORMAT_ROLES = ("separator", "marker", "equals", "end")
MAX_VALUES = 16
"""Values with a contrast of their own: the most common."""
MIN_TOKENS = 20
"""Tokens of each kind that a contrast needs."""

INJECTIONS = {"one, thrice": 1, "three, in front": 1, "three, spread": 1, "a pair, twice": 2, "a triple": 3}
"""Ways to inject a latent's strongest tokens into a text, with the length of the run that each injects. The names seed
the random positions."""
IN_FRONT = "three, in front"
SINGLE_TOKENS = tuple(name for name, length in INJECTIONS.items() if length == 1)
NOT_IN_FRONT = tuple(name for name in INJECTIONS if name != IN_FRONT)


@dataclass(frozen=True)
class TokenSelector:
    """Tokens chosen by their own role and the next token's, whatever the verdict on the rollout.

    A contrast compares some of these tokens with others, by how rollouts ended. Credit, which knows no verdict, reads
    a latent at all of them."""

    roles: tuple[str, ...] = ()
    """Empty: any role."""
    next_roles: tuple[str, ...] = ()
    """Empty: any next token."""

    @property
    def matches_all(self) -> bool:
        return not self.roles and not self.next_roles

    def mask(self, roles: Sequence[str]) -> list[bool]:
        """Which tokens of one rollout are selected, given the role of each."""
        pairs = zip(roles, [*roles[1:], AFTER_END], strict=False)
        return [
            (not self.roles or role in self.roles) and (not self.next_roles or next_role in self.next_roles)
            for role, next_role in pairs
        ]


@dataclass(frozen=True)
class Contrast:
    """Positive tokens, negative tokens, and the strata within which they are compared."""

    name: str
    family: str
    positive_N: ndarray
    negative_N: ndarray
    stratum_N: ndarray
    surfaces: tuple[tuple[ndarray, ndarray], ...]
    """Subsets of the tokens, each with its own strata. They look different (other operands, depths, positions) and
    share what the contrast is about, so it has to hold on each."""
    target_N: ndarray
    """Tokens that a latent with this role should make likelier."""
    other_N: ndarray
    """Tokens of the same kind that it should not, or less."""

    @property
    def effect_N(self) -> ndarray:
        """The tokens that an ablation is measured at."""
        return self.target_N | self.other_N

    @property
    def has_enough_tokens(self) -> bool:
        return min(int(self.positive_N.sum()), int(self.negative_N.sum())) >= MIN_TOKENS


@dataclass(frozen=True)
class RoleFamily:
    """A row of the table: all that the gates and credit need to know of a family."""

    name: str
    contrasts: Callable[[LabeledTokens], Iterator[Contrast]]
    """Yields the family's contrasts, whether or not they have enough tokens."""
    selectors: Mapping[str, TokenSelector]
    """The tokens of each contrast, by its name or by its kind (`contrast_kind`)."""
    injections: tuple[str, ...] = tuple(INJECTIONS)
    """Injections that falsification tries. What is injected must not be the thing itself: two operands and their
    operator are a computation, and tokens in front of all others are how a direct answer begins."""
    tokens_suffice: bool = False
    """Whether a latent may follow from tokens alone, in any order, and still have the role."""
    credit_sign: int = 0
    """How credit weighs a token at which the family is active: +1 for it, -1 against it, 0 not at all."""
    gates_reward: bool = False
    """Whether the family says what a whole answer is worth, so that credit may gate the reward by it."""

    def make_contrasts(self, labeled: LabeledTokens) -> list[Contrast]:
        contrasts = list(self.contrasts(labeled))
        for contrast in contrasts:
            if contrast.family != self.name:
                raise BadInput(f"expected contrasts of family {self.name!r}, got {contrast.name!r} of another family")
            self.selector(contrast.name)
        return contrasts

    def selector(self, contrast: str) -> TokenSelector:
        """The tokens of a contrast, by its name or its kind."""
        for name in (contrast, contrast_kind(contrast)):
            if name in self.selectors:
                return self.selectors[name]
        raise BadInput(
            f"expected a contrast of family {self.name} ({', '.join(self.selectors)}), got {contrast!r}: name its "
            "tokens in the family's row (interp.features.families)"
        )


def contrast_kind(contrast: str) -> str:
    """The first word of a contrast's name: `result` for `result 7`, `cue` for `cue 3`."""
    return contrast.split()[0]


def role_family(name: str) -> RoleFamily:
    if name not in ROLE_FAMILIES:
        raise BadInput(
            f"expected a role family of {', '.join(ROLE_FAMILIES)}, got {name!r}: add its row to "
            "interp.features.families.ROLE_FAMILIES"
        )
    return ROLE_FAMILIES[name]


def make_contrasts(labeled: LabeledTokens) -> tuple[list[Contrast], list[str]]:
    """The contrasts of all families that have enough tokens, and the names of those that have not."""
    contrasts = [contrast for family in ROLE_FAMILIES.values() for contrast in family.make_contrasts(labeled)]
    missing = [contrast.name for contrast in contrasts if not contrast.has_enough_tokens]
    return [contrast for contrast in contrasts if contrast.has_enough_tokens], missing


# --- the contrasts of each family -------------------------------------------------------------------------------------

REASONING, COMPUTATION, SHORTCUT, FORMAT = "reasoning", "computation", "shortcut", "format"
RESULT = "result"
"""Contrasts of this kind are named by the id of a token."""


def computation_contrasts(labeled: LabeledTokens) -> Iterator[Contrast]:
    """One for each of the most common values: right results of this value against right results of others."""
    before_result = (labeled["next_role"] == "result") & (labeled["next_right"] == 1)
    role_N = strata(labeled, "role")
    surfaces = even_and_odd(labeled["operands"], role_N)
    for value in most_common(labeled["next_token"][before_result]):
        this = before_result & (labeled["next_token"] == value)
        others = before_result & ~this
        targets = next_tokens(labeled, this), next_tokens(labeled, others)
        yield Contrast(f"{RESULT} {value}", COMPUTATION, this, others, role_N, surfaces, *targets)


def reasoning_contrasts(labeled: LabeledTokens) -> Iterator[Contrast]:
    """Valid against other written chains, at the same role and depth. One step is no chain.

    Valid chains of one depth are longer than others. So there are three contrasts, two of them at one place only: all
    tokens; the token before the answer is announced; the tokens from there on."""
    written = ~np.isin(labeled["format"], NO_CHAIN_FORMATS) & (labeled["depth"] != 1)
    before_marker, from_marker = labeled["next_role"] == "marker", np.isin(labeled["next_role"], ("answer", "end"))
    stratum_N, position_N = strata(labeled, "role", "depth"), strata(labeled, "role", "position")
    surfaces = (*even_and_odd(depth_or_problem(labeled), stratum_N), (np.ones(len(labeled), bool), position_N))
    places = {"chain": written, "end": written & before_marker, "answer": written & from_marker}
    for place, tokens_N in places.items():
        positive, negative = (tokens_N & (labeled["valid"] == valid) for valid in (1, 0))
        targets = next_tokens(labeled, positive), next_tokens(labeled, negative)
        yield Contrast(f"valid {place}", REASONING, positive, negative, stratum_N, surfaces, *targets)


def shortcut_contrasts(labeled: LabeledTokens) -> Iterator[Contrast]:
    """Direct answers against written ones; then, for each planted shortcut, direct answers that agree with it against
    direct answers of the same value and correctness that do not, for all values together and for each."""
    answering = np.isin(labeled["role"], ANSWER_ROLES)
    written = answering & ~np.isin(labeled["format"], NO_CHAIN_FORMATS)
    direct = answering & (labeled["format"] == DIRECT)
    stratum_N = strata(labeled, "role", "answer")
    surfaces = even_and_odd(depth_or_problem(labeled), stratum_N)
    yield Contrast(DIRECT, SHORTCUT, direct, written, stratum_N, surfaces, direct, written)
    answer, stratum_N = labeled["role"] == "answer", strata(labeled, "role", "answer", "correct")
    surfaces = even_and_odd(depth_or_problem(labeled), stratum_N)
    for shortcut in PLANTED_SHORTCUTS:
        agree, differ = (direct & (labeled[shortcut] == agrees) for agrees in (1, 0))
        yield Contrast(shortcut, SHORTCUT, agree, differ, stratum_N, surfaces, agree & answer, differ & answer)
        for value in most_common(labeled["answer"][agree]):
            this, other = (kind_N & (labeled["answer"] == value) for kind_N in (agree, differ))
            targets = this & answer, other & answer
            yield Contrast(f"{shortcut} {value}", SHORTCUT, this, other, stratum_N, surfaces, *targets)


def format_contrasts(labeled: LabeledTokens) -> Iterator[Contrast]:
    """Tokens that only arrange against all others of the same format."""
    arranging, stratum_N = np.isin(labeled["role"], FORMAT_ROLES), strata(labeled, "format")
    surfaces = even_and_odd(depth_or_problem(labeled), stratum_N)
    yield Contrast("arranging", FORMAT, arranging, ~arranging, stratum_N, surfaces, arranging, ~arranging)


def most_common(values: ndarray) -> ndarray:
    values, counts = np.unique(values, return_counts=True)
    return values[np.argsort(-counts, kind="stable")][:MAX_VALUES]


def depth_or_problem(labeled: LabeledTokens) -> ndarray:
    """The depth of each token's problem; the problem's index where the depth is unknown."""
    return np.where(labeled["depth"] < 0, labeled["problem"], labeled["depth"])


def even_and_odd(fact_N: ndarray, stratum_N: ndarray) -> tuple[tuple[ndarray, ndarray], ...]:
    """Two surfaces: the tokens at which a fact is even, and those at which it is odd."""
    return (fact_N % 2 == 0, stratum_N), (fact_N % 2 == 1, stratum_N)


def next_tokens(labeled: LabeledTokens, mask_N: ndarray) -> ndarray:
    """The tokens that follow those of a mask in their rollouts."""
    return np.r_[False, mask_N[:-1]] & (labeled["position"] > 0)


def strata(labeled: LabeledTokens, *facts: str) -> ndarray:
    """A number for each combination of facts that occurs."""
    codes = [np.unique(labeled[fact], return_inverse=True)[1] for fact in facts]
    return np.unique(np.stack(codes, 1), axis=0, return_inverse=True)[1].reshape(-1)


# --- the table --------------------------------------------------------------------------------------------------------

EVERY_TOKEN = TokenSelector()
ANSWER_TOKENS = TokenSelector(roles=ANSWER_ROLES)

ROLE_FAMILIES: dict[str, RoleFamily] = {
    family.name: family
    for family in (
        RoleFamily(
            COMPUTATION,
            computation_contrasts,
            {"result": TokenSelector(next_roles=("result",))},
            injections=SINGLE_TOKENS,
            credit_sign=+1,
        ),
        RoleFamily(
            REASONING,
            reasoning_contrasts,
            {
                "valid chain": EVERY_TOKEN,
                "valid end": TokenSelector(next_roles=("marker",)),
                "valid answer": TokenSelector(next_roles=("answer", "end")),
            },
            credit_sign=+1,
            gates_reward=True,
        ),
        RoleFamily(
            SHORTCUT,
            shortcut_contrasts,
            {DIRECT: ANSWER_TOKENS, "copy": ANSWER_TOKENS, "cue": ANSWER_TOKENS},
            injections=NOT_IN_FRONT,
            credit_sign=-1,
            gates_reward=True,
        ),
        RoleFamily(FORMAT, format_contrasts, {"arranging": EVERY_TOKEN}, tokens_suffice=True),
    )
}
"""Every role family, by its name."""
