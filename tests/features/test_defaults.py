"""Roles that lack a field are read with its default: no default may change unseen. Words and thresholds of the gates
are part of every role that was earned."""

from option_fixtures import options_of

from interp.artifacts import to_json
from interp.features import RolesConfig, ablation, falsification, families, gates, labels, runner
from interp.policy.prompts import PromptFormat

SAMPLING = {"group": 4, "max_new_tokens": 96, "temperature": 1.0, "rows": 1024, "seed": 0}


def test_roles_without_flags_are_earned_with_these_numbers():
    assert to_json(RolesConfig()) == to_json(PromptFormat()) | {
        "levels": [], "problems": 64, "min_auroc": 0.6, "min_d": 0.3, "false_discovery_rate": 0.05,
        "max_candidates": 40, "random_latents": 40, "matched_latents": 10, "injection_texts": 48,
        "rollout_problems": 72, "finalists": None, "micro_tokens": 8192, "test_seed": 0, "sampling": SAMPLING,
    }  # fmt: skip


def test_every_gate_has_these_thresholds():
    assert (gates.MIN_SURFACE_AUROC, gates.MIN_EFFECT_NATS, runner.GROUP) == (0.6, 0.1, 4)
    assert (falsification.DRIVEN_D, falsification.DRIVEN_P, falsification.MIN_SHARE) == (0.8, 0.01, 0.5)
    assert (falsification.MAX_ROLLOUTS, falsification.MIN_ORDERED_TOKENS, falsification.TOP_RUNS) == (64, 4, 10)
    assert (families.MIN_TOKENS, families.MAX_VALUES) == (20, 16)
    assert (ablation.ABLATE, ablation.AMPLIFY) == (0, 2)


def test_the_table_of_families_says_what_each_is_about():
    """Its contrasts; tokens injected at most; whether tokens suffice; its sign in credit; whether it gates a reward."""
    rows = {
        name: (
            tuple(family.selectors), family.injections, family.tokens_suffice, family.credit_sign, family.gates_reward
        )
        for name, family in families.ROLE_FAMILIES.items()
    }  # fmt: skip
    single, spread = ("one, thrice", "three, in front", "three, spread"), ("one, thrice", "three, spread")
    pairs = ("a pair, twice", "a triple")
    assert rows == {
        "computation": (("result",), single, False, 1, False),
        "reasoning": (("valid chain", "valid end", "valid answer"), (*single, *pairs), False, 1, True),
        "shortcut": (("direct", "copy", "cue"), (*spread, *pairs), False, -1, True),
        "format": (("arranging",), (*single, *pairs), True, 0, False),
    }
    assert dict.fromkeys(single, 1) | {"a pair, twice": 2, "a triple": 3} == families.INJECTIONS


def test_families_read_these_roles_of_tokens():
    assert families.NO_CHAIN_FORMATS == ("direct", "unannounced", "malformed")
    assert families.ANSWER_ROLES == ("marker", "answer")
    assert families.FORMAT_ROLES == ("separator", "marker", "equals", "end")
    assert labels.PLANTED_SHORTCUTS == ("copy", "cue")
    selectors = {
        (name, contrast): (selector.roles, selector.next_roles)
        for name, family in families.ROLE_FAMILIES.items()
        for contrast, selector in family.selectors.items()
    }
    answer, every = (("marker", "answer"), ()), ((), ())
    assert selectors == {
        ("computation", "result"): ((), ("result",)),
        ("reasoning", "valid chain"): every,
        ("reasoning", "valid end"): ((), ("marker",)),
        ("reasoning", "valid answer"): ((), ("answer", "end")),
        ("shortcut", "direct"): answer,
        ("shortcut", "copy"): answer,
        ("shortcut", "cue"): answer,
        ("format", "arranging"): every,
    }


OPTIONS = {
    "InjectionTest.random_token_peak": {"front": True},
    "MatchedLatents.nearest": {"exclude": ()},
    "Roles.save": {"overwrite": False},
    "earn_roles": {"allow_unrelated_policies": False, "device": "auto", "dtype": "auto"},
    "TokenRuns.strongest": {"shared": ()},
    "inject": {"front": True},
}


def test_a_call_without_options_does_what_it_did():
    options = options_of("features")
    assert {name: {option: options[name][option] for option in own} for name, own in OPTIONS.items()} == OPTIONS
