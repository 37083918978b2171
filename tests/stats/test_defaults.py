"""Options of functions: a call without them stays the call it was."""

from option_fixtures import options_of

OPTIONS = {
    "bounded_interval": {"level": 0.95},
    "bounded_p_value": {"null": 0.0, "alternative": "two-sided"},
    "bounded_share": {"level": 0.95},
    "clustered_share": {"level": 0.95},
    "compared_checkpoints": {"also_compared": ()},
    "estimate_active_changes": {"by_cell": False, "also_compared": (), "draws": 400, "seed": 0},
    "estimate_changes": {"by_cell": False, "also_compared": (), "draws": 400, "seed": 0},
    "exact_interval": {"level": 0.95},
    "exact_share": {"level": 0.95},
    "paired_share_difference": {"level": 0.95},
    "percentile_estimate": {"level": 0.95},
    "rarest_detectable_mode": {"level": 0.95},
    "share_difference": {"correlation": 0.0},
    "sign_p_value": {"null": 0.0, "alternative": "two-sided"},
    "student_interval": {"level": 0.95},
    "student_p_value": {"null": 0.0, "alternative": "two-sided"},
}


def test_a_call_without_options_does_what_it_did():
    options = options_of("stats")
    assert {name: {option: options[name][option] for option in own} for name, own in OPTIONS.items()} == OPTIONS
