"""A field that older tracks lack is read with its default: no default may change unseen. Verdicts, measures and corpora
are words in tables and files that others read."""

from option_fixtures import options_of

from interp.artifacts import to_json
from interp.tracking import CompareConfig, TrackConfig, verdicts
from interp.tracking.config import CORPORA, PURPOSES, SPLITS
from interp.tracking.drift import TrustThresholds
from interp.tracking.latent_comparison import RELATIONS
from interp.tracking.measures import MATCHABLE, MEASURES

SAMPLING = {"group": 4, "max_new_tokens": 96, "temperature": 1.0, "rows": 1024, "seed": 0}
COMPARE = {
    "levels": [], "problems": 64, "loss_rollouts": 128, "micro_tokens": 8192, "sampling": SAMPLING,
    "chat": False, "system_prompt": "", "prefix": "", "suffix": "", "stop": [],
}  # fmt: skip


def test_tracks_without_flags_are_made_with_these_numbers():
    assert to_json(CompareConfig()) == COMPARE and to_json(TrackConfig()) == COMPARE | {"steps": []}


def test_each_corpus_keeps_its_split_and_its_stream_of_random_numbers():
    assert CORPORA == ("on-policy", "probe", "resampled")
    assert SPLITS == {"on-policy": "eval", "probe": "probe", "resampled": "eval"}
    assert PURPOSES == {"on-policy": "track on-policy", "probe": "track probe", "resampled": "track again"}


def test_verdicts_relations_and_measures_are_called_as_in_the_tables_already_written():
    assert verdicts.VERDICTS == ("strengthened", "weakened", "unchanged", "undecided", "too rare", "too few prompts")
    assert (verdicts.MORE, verdicts.LESS) == ("more", "less")
    assert RELATIONS == (
        "strengthened only in A", "strengthened only in B", "strengthened in both",
        "weakened only in A", "weakened only in B", "weakened in both",
        "opposite", "in one, difference undecided", "unchanged", "undecided", "too rare", "too few prompts",
    )  # fmt: skip
    assert MEASURES == ("firing_rate", "mean_activation", "mean_when_active") and MATCHABLE == ("outcome", "length")


def test_a_verdict_takes_a_false_discovery_rate_of_a_twentieth_and_a_margin_of_a_fifth():
    assert (verdicts.FALSE_DISCOVERY_RATE, verdicts.UNCHANGED_MARGIN) == (0.05, 0.2)


def test_trust_in_a_dictionary_has_these_thresholds():
    expected = {"max_unexplained_ratio": 2.0, "min_fve": 0.7, "min_kl_recovered": 0.9}
    assert to_json(TrustThresholds()) == expected


OPTIONS = {
    "BucketSums.verdicts": {"also_compared": (), "reference": 0},
    "Changes.summary": {"by_role": False},
    "CheckpointSums.save": {"overwrite": False},
    "Comparison.figure": {"corpus": "on-policy", "measure": "mean_activation", "n_latents": 3},
    "Comparison.latents": {"corpus": "on-policy", "measure": "mean_activation"},
    "Comparison.relations": {"corpus": "on-policy", "measure": "mean_activation", "by_role": False},
    "Comparison.summary": {"corpus": "on-policy", "measure": "mean_activation", "by_role": False},
    "Comparison.table": {"corpus": "on-policy", "measure": "mean_activation"},
    "LatentComparison.relations": {"by_role": False},
    "LatentComparison.summary": {"by_role": False},
    "Tracks.activation_sums": {"corpus": "on-policy", "table": "prompts"},
    "Tracks.breakdown": {"corpus": "on-policy"},
    "Tracks.changes": {"corpus": "on-policy", "measure": "mean_activation", "over": "end", "match": ()},
    "Tracks.checkpoint_sums": {"corpus": "on-policy"},
    "Tracks.figure": {"corpus": "on-policy", "measure": "mean_activation", "n_latents": 2},
    "Tracks.latent_values": {"corpus": "on-policy", "measure": "mean_activation"},
    "Tracks.summary": {"corpus": "on-policy", "measure": "mean_activation", "over": "end", "match": ()},
    "Tracks.table": {"corpus": "on-policy", "measure": "mean_activation", "over": "end", "match": ()},
    "Tracks.verdicts": {"corpus": "on-policy", "measure": "mean_activation", "over": "end", "match": ()},
    "assign_verdicts": {"reference": 0},
    "bucket_sums": {"match": ()},
    "compare": {"allow_unrelated_policies": False, "device": "auto", "dtype": "auto"},
    "join_tracks": {"corpus": "on-policy", "measure": "mean_activation"},
    "match_latents": {"min_cosine": 0.7},
    "refit": {"device": "auto"},
    "track": {"resampled_steps": (), "allow_unrelated_policies": False, "device": "auto", "dtype": "auto"},
}


def test_a_call_without_options_does_what_it_did():
    options = options_of("tracking")
    assert {name: {option: options[name][option] for option in own} for name, own in OPTIONS.items()} == OPTIONS
