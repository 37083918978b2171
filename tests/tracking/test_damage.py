"""Damaged tracks are refused naming the place, with and without checksums; two calls with one place give one result."""

import itertools
import json
import shutil
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from damage_fixtures import DAMAGES, edit_json, edit_manifest, strip_checksums
from safetensors.torch import load_file, save_file
from tracking_fixtures import SMALL, TASK, D, FakeRoles, axes_dictionary

from interp.artifacts import BadInput, InUse, Mismatch, locked
from interp.artifacts.locks import lock_file
from interp.rollouts import Rollouts, Series
from interp.tracking import TrackConfig, Tracks, track, tracker
from interp.tracking.comparing import compare

SUMS = ("sums-10-on-policy", "sums-0-resampled")
FILES = (
    "manifest.json",
    "probe-rollouts/manifest.json",
    *(f"{sums}/{name}" for sums in SUMS for name in ("manifest.json", "sums.safetensors")),
)
OTHER_SEED = replace(SMALL, sampling=replace(SMALL.sampling, seed=1))


def read_all(path: Path) -> list[Any]:
    """Everything a user reads of tracks."""
    tracks = Tracks.open(path)
    tables = [tracks.breakdown(by=by).to_dicts() for by in ("role", "position", "outcome")]
    return [*tables, tracks.changes().table().to_dicts(), tracks.drift().table().to_dicts()]


def track_again(run: Path, out: Path, config: TrackConfig = SMALL) -> Tracks:
    return track(axes_dictionary(), Series.from_dir(run), TASK, config, out=out, device="cpu", progress=False)


@pytest.fixture
def copy(tracks: Tracks, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tracks.path, tmp_path / "tracks"))


@pytest.fixture(scope="module")
def other(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tracks of the same checkpoints, with rollouts of another seed."""
    return track_again(run, tmp_path_factory.mktemp("other") / "tracks", OTHER_SEED).path


# --- files -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_to_any_file_is_refused_naming_the_place(damage, name, copy, other):
    DAMAGES[damage](copy / name, other / name)
    is_text_alone = name == "probe-rollouts/manifest.json"  # read by no one but the call that goes on measuring
    if is_text_alone and damage in ("flip", "exchange"):
        with pytest.raises(BadInput, match=f"{copy}/{name}: expected checksum"):
            Tracks.open(copy).expect_recorded("probe-rollouts")
        return
    with pytest.raises(BadInput, match=f"{copy}.*: expected "):
        read_all(copy)


@pytest.mark.filterwarnings("ignore:.*without checksums")
@pytest.mark.parametrize(
    "name", ["sums-10-on-policy/sums.safetensors", "sums-10-on-policy/manifest.json", "manifest.json"]
)
@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b"null", b"\xff\xfe", b"[" * 99_999, b"\x00" * 64])
def test_without_checksums_a_file_that_no_library_reads_is_a_refusal(name, content, copy):
    strip_checksums(copy)
    (copy / name).write_bytes(content)
    with pytest.raises(BadInput, match=str(copy)):
        read_all(copy)


@pytest.mark.filterwarnings("ignore:.*without checksums")
@pytest.mark.parametrize("with_checksums", [True, False])
@pytest.mark.parametrize(("source", "place"), [("sums-20-on-policy", SUMS[0]), ("sums-10-probe", SUMS[0])])
def test_sums_of_another_step_or_corpus_in_their_place_are_refused(source, place, with_checksums, copy):
    if not with_checksums:
        strip_checksums(copy)
    shutil.rmtree(copy / place)
    shutil.copytree(copy / source, copy / place)
    with pytest.raises(
        BadInput, match=f"{copy / place}.*: expected (checksum|the sums that its name says|[0-9,]+ bytes)"
    ):
        read_all(copy)


@pytest.mark.filterwarnings("ignore:.*without checksums")
@pytest.mark.parametrize("name", SUMS)
def test_without_checksums_sums_of_tracks_with_another_seed_are_refused(name, copy, other):
    strip_checksums(copy)
    shutil.rmtree(copy / name)
    shutil.copytree(other / name, copy / name)
    with pytest.raises(Mismatch, match=f"{copy / name}: expected sums of tracks with config"):
        read_all(copy)


def test_tracks_of_an_earlier_version_are_read_as_they_were_with_one_warning(copy, tracks):
    strip_checksums(copy)
    for name in ("", *(path.name for path in copy.glob("sums-*"))):
        edit_json(copy / name / "manifest.json", lambda manifest: manifest["config"].pop("settings", None))
    edit_json(copy / "manifest.json", lambda manifest: manifest.pop("width"))
    with pytest.warns(UserWarning) as warned:
        assert read_all(copy) == read_all(tracks.path)
    assert [str(one.message).startswith(f"{copy} was written by an earlier version") for one in warned] == [True]


# --- facts that must agree -------------------------------------------------------------------------------------------

EDITS: dict[str, tuple[Callable[[Any], Any], str]] = {
    "steps out of order": (lambda m: m["config"].update(steps=[0, 20, 10]), "expected steps in order"),
    "a step that is no number": (lambda m: m["config"].update(steps=[0, "10", 20]), "expected steps in order"),
    "no steps": (lambda m: m["config"].update(steps=[]), "expected steps in order"),
    "another step": (lambda m: m["config"].update(steps=[0, 10, 99]), "got none of on-policy of step 99"),
    "an unknown resampled step": (lambda m: m["config"].update(resampled_steps=[7]), "resampled_steps among"),
    "prompts that are no numbers": (lambda m: m["config"]["prompts"].update({"1": "ten"}), "a number of prompts"),
    "more prompts": (lambda m: m["config"]["prompts"].update({"1": 10**9}), "expected sums of .*1000000000.* prompts"),
    "a bucket less": (lambda m: m["config"]["prompts"].pop("1"), "expected sums of {'2': 10} prompts, got"),
    "another dictionary": (lambda m: m["made_from"].update(tsae="x"), "was made from another tsae: expected x"),
    "no dictionary": (lambda m: m["made_from"].pop("tsae"), "no entry 'tsae'"),
    "another width": (lambda m: m.update(width=10**6), "expected sums of 1000000 latents, got 64"),
    "a width that is no number": (lambda m: m.update(width="64"), "expected a number of latents, got 64"),
    "a path of no step": (lambda m: m["paths"].update(last="x"), "expected the manifest of tracks"),
    "fitted on no step": (lambda m: m.update(fitted_on=["0"]), "expected steps that the dictionary was fitted on"),
}


@pytest.mark.filterwarnings("ignore:.*without checksums")
@pytest.mark.parametrize("case", EDITS)
def test_a_manifest_that_does_not_fit_the_sums_is_refused(case, copy):
    change, message = EDITS[case]
    strip_checksums(copy)
    edit_manifest(copy, change)
    with pytest.raises(BadInput, match=f"{copy}.*{message}"):
        read_all(copy)


SUMS_EDITS: dict[str, tuple[Callable[[Any], Any], str]] = {
    "another width": (lambda m: m.update(width=65), "expected sums of 64 latents, got 65"),
    "an absurd width": (lambda m: m.update(width=2**63), "a width of"),
    "a key less": (lambda m: m["keys"]["prompts"].pop(), "keys of table prompts and token counts of shape"),
    "a key twice": (lambda m: m["keys"]["roles"].append(m["keys"]["roles"][0]), "a key of table roles twice"),
    "a key of an unknown role": (lambda m: m["keys"]["roles"][0].__setitem__(2, "x"), "a key of table roles that is"),
    "a key of an unknown outcome": (lambda m: m["keys"]["roles"][0].__setitem__(1, "x"), "a key of table roles that"),
    "a key of a prompt beyond": (lambda m: m["keys"]["prompts"][0].__setitem__(1, 10), "a key of table prompts that"),
    "a key of another bucket": (lambda m: m["keys"]["positions"][0].__setitem__(0, "3"), "a key of table positions"),
    "a position that is no number": (lambda m: m["keys"]["positions"][0].__setitem__(2, 10**9), "a key of table pos"),
    "no table": (lambda m: m["keys"].pop("roles"), "no entry 'roles'"),
    "behavior at a prompt less": (lambda m: m["behavior"].pop(), "expected sums of .* prompts, got|a key of table"),
    "behavior at a prompt twice": (lambda m: m["behavior"].append(m["behavior"][0]), "behavior at other prompts of"),
    "more successes than trials": (lambda m: m["behavior"][0][2].__setitem__(0, [9, 2]), "no successes and trials"),
    "a measure less": (lambda m: m["behavior"][0][2].pop(), "that is no successes and trials"),
    "no behavior": (lambda m: m.update(behavior=[]), "a key of table"),
    "fit on other tokens": (lambda m: m["fve"]["1"].__setitem__(0, 3), "and variance explained of 3"),
    "a negative error": (lambda m: m["fve"]["1"].__setitem__(1, -1.0), "variance explained of bucket 1 from"),
    "no variance explained": (lambda m: m.update(fve=None), "expected sums of one checkpoint"),
    "losses without a number": (lambda m: m["loss_recovered"]["1"].update(ce_clean="low"), "expected sums of one"),
    "losses of another name": (lambda m: m["loss_recovered"]["1"].update(colour=1.0), "losses that are no numbers of"),
    "another step": (
        lambda m: m["config"].update(step=20),
        "expected the sums that its name says, got those of step 20",
    ),
    "another corpus": (lambda m: m["config"].update(corpus="probe"), "got those of step 10 on probe text"),
}


@pytest.mark.filterwarnings("ignore:.*without checksums")
@pytest.mark.parametrize("case", SUMS_EDITS)
def test_sums_whose_manifest_does_not_fit_their_place_or_their_tensors_are_refused(case, copy):
    change, message = SUMS_EDITS[case]
    strip_checksums(copy)
    edit_json(copy / SUMS[0] / "manifest.json", change)
    with pytest.raises(BadInput, match=f"{copy / SUMS[0]}.*({message})"):
        read_all(copy)


TENSOR_EDITS: dict[str, tuple[str, Callable[[torch.Tensor], torch.Tensor], str]] = {
    "a row less": ("prompts.tokens", lambda x: x[:-1], "keys of table prompts and token counts of shape"),
    "tokens that are no whole numbers": ("prompts.tokens", lambda x: x + 0.5, "that are no whole numbers"),
    "tokens that are not those of the other tables": ("roles.tokens", lambda x: x + 1, "tables of .* tokens"),
    "a place less": ("roles.index", lambda x: x[:-1], "places, counts and sums of table roles of shapes"),
    "places in another order": ("roles.index", lambda x: x.flip(0), "places of table roles outside"),
    "a place beyond": ("roles.index", lambda x: torch.cat([x[:-1], x[-1:] + 10**6]), "places of table roles outside"),
    "a negative place": ("roles.index", lambda x: torch.cat([x[:1] - 10**6, x[1:]]), "places of table roles outside"),
    "more active tokens than tokens": ("positions.active", lambda x: x + 10**4, "active at no token, or at more than"),
    "an infinite sum": ("prompts.sum", lambda x: x * float("inf"), "sums of table prompts that are not finite"),
    "a mean that is not finite": ("mean.1", lambda x: x * float("nan"), "that is no finite vector"),
}


@pytest.mark.filterwarnings("ignore:.*without checksums")
@pytest.mark.parametrize("case", TENSOR_EDITS)
def test_tensors_that_do_not_fit_the_keys_are_refused(case, copy):
    name, change, message = TENSOR_EDITS[case]
    strip_checksums(copy)
    file = copy / SUMS[0] / "sums.safetensors"
    tensors = load_file(file)
    save_file(tensors | {name: change(tensors[name])}, file)
    with pytest.raises(BadInput, match=f"{copy / SUMS[0]}.*{message}"):
        read_all(copy)


def test_roles_of_another_width_than_the_tracks_are_refused(tracks):
    roles: Any = FakeRoles({}, 2 * D - 1, {"tsae": axes_dictionary().fingerprint()})
    with pytest.raises(Mismatch, match="expected roles of a dictionary of 64 latents, got 63"):
        tracks.changes(roles=roles)


def test_a_damaged_tokenizer_is_a_refusal_where_vocabularies_are_compared(run, tmp_path):
    damaged = Path(shutil.copytree(run, tmp_path / "run"))
    (damaged / "checkpoint-20" / "tokenizer.json").write_text("[]")
    a, b = damaged / "checkpoint-10", damaged / "checkpoint-20"
    with pytest.raises(BadInput, match="checkpoint-20"):
        compare(axes_dictionary(), a, b, TASK, out=tmp_path / "x", device="cpu", progress=False)


# --- unfinished tracks -----------------------------------------------------------------------------------------------


def stop_after(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    """Stop after the sums of this many corpora."""
    collect_sums, finished = tracker.collect_sums, list[str]()

    def stopping(collector: Any, problems: Any, *args: Any, **options: Any) -> Any:
        if len(finished) == count:
            raise KeyboardInterrupt
        finished.append(problems.corpus)
        return collect_sums(collector, problems, *args, **options)

    monkeypatch.setattr(tracker, "collect_sums", stopping)


@pytest.fixture
def unfinished(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Tracks with the base, and its text, alone."""
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        stop_after(patch, 3)
        track_again(run, tmp_path / "tracks")
    return tmp_path / "tracks"


def change_rows(path: Path, change: Callable[[list[Any]], list[Any]]) -> None:
    rollouts = Rollouts.load(path)
    changed = Rollouts(change(rollouts.rows), config=rollouts.config, made_from=rollouts.made_from)
    changed.save(path, overwrite=True)


ROWS: dict[str, tuple[Callable[[list[Any]], list[Any]], str]] = {
    "fewer": (lambda rows: rows[:-1], "expected 40 rollouts, got 39"),
    "more": (lambda rows: [*rows, rows[0]], "expected 40 rollouts, got 41"),
    "in another order": (lambda rows: [*rows[2:], *rows[:2]], "expected answer 0 to problem .*, got answer 0 to"),
    "one twice": (lambda rows: [rows[0], rows[0], *rows[2:]], "expected answer 1 to problem .*, got answer 0 to"),
}


@pytest.mark.parametrize("case", ROWS)
def test_a_probe_corpus_with_other_rows_is_refused(case, unfinished, run):
    change, message = ROWS[case]
    change_rows(unfinished / "probe-rollouts", change)
    with pytest.raises(Mismatch, match=f"probe-rollouts: {message}.*: delete it, and repeat the call"):
        track_again(run, unfinished)


def test_a_probe_corpus_sampled_otherwise_is_refused(unfinished, run, other):
    shutil.rmtree(unfinished / "probe-rollouts")
    shutil.copytree(other / "probe-rollouts", unfinished / "probe-rollouts")
    with pytest.raises(
        Mismatch, match=r"probe-rollouts: expected rollouts of these tracks, got .* another sampling.seed"
    ):
        track_again(run, unfinished)


def test_sums_that_do_not_belong_to_unfinished_tracks_are_refused_before_measuring(unfinished, run, other, monkeypatch):
    shutil.rmtree(unfinished / "sums-0-probe")
    shutil.copytree(other / "sums-0-probe", unfinished / "sums-0-probe")
    monkeypatch.setattr(tracker, "collect_sums", lambda *_, **__: pytest.fail("it measured"))
    with pytest.raises(Mismatch, match="sums-0-probe: expected sums of tracks with config"):
        track_again(run, unfinished)


def test_what_a_killed_call_left_half_written_is_cleared(unfinished, run, tracks):
    leftovers = [".sums-10-probe.999999999.partial", ".sums-10-on-policy.lock", ".manifest.json.999999999.partial"]
    (unfinished / leftovers[0]).mkdir()
    for name in leftovers[1:]:
        (unfinished / name).write_text("left")
    (unfinished / "sums-10-on-policy").mkdir()  # empty: nothing was written yet
    track_again(run, unfinished)
    assert {p.name for p in unfinished.iterdir()} == {p.name for p in tracks.path.iterdir()}
    assert read_all(unfinished) == read_all(tracks.path)


def test_finished_tracks_record_the_manifest_of_everything_in_them(tracks, unfinished):
    recorded = json.loads((tracks.path / "manifest.json").read_text())["files"]
    assert (
        set(recorded) == {f"{p.name}/manifest.json" for p in tracks.path.iterdir() if p.is_dir()} and len(recorded) == 8
    )
    assert json.loads((unfinished / "manifest.json").read_text())["files"] == {}


def test_lost_sums_of_finished_tracks_are_measured_again(copy, run, tracks):
    for name in ("sums-20-on-policy", "probe-rollouts"):
        shutil.rmtree(copy / name)
    track_again(run, copy)
    assert read_all(copy) == read_all(tracks.path)


# --- two calls with one place ----------------------------------------------------------------------------------------


def refusal_of_a_second_call(run: Path, out: Path, config: TrackConfig) -> BadInput:
    """What another thread is told that is called with this place. It counts as another writer."""
    refusals = list[BadInput]()

    def call() -> None:
        try:
            track_again(run, out, config)
        except BadInput as error:
            refusals.append(error)

    thread = threading.Thread(target=call)
    thread.start()
    thread.join()
    return refusals[0]


@pytest.mark.parametrize(("config", "kind"), [(SMALL, InUse), (OTHER_SEED, Mismatch)])
def test_of_two_calls_with_one_place_one_measures_and_the_other_is_refused(config, kind, run, tmp_path, monkeypatch):
    out, refusals, collect_sums = tmp_path / "tracks", list[BadInput](), tracker.collect_sums

    calls = itertools.count()

    def collect_and_call_again(*args: Any, **options: Any) -> Any:
        if next(calls) == 0:  # a second call that is let in measures, too
            refusals.append(refusal_of_a_second_call(run, out, config))
        return collect_sums(*args, **options)

    monkeypatch.setattr(tracker, "collect_sums", collect_and_call_again)
    tracks = track_again(run, out)
    assert type(refusals[0]) is kind and str(out) in str(refusals[0]) and "--overwrite" not in str(refusals[0])
    assert tracks.config["sampling"]["seed"] == SMALL.sampling.seed and not lock_file(out).exists()


def test_a_place_in_use_is_refused_before_a_checkpoint_is_loaded(run, tmp_path, monkeypatch):
    monkeypatch.setattr(tracker, "SumsCollector", lambda *_: pytest.fail("a checkpoint was loaded"))
    with locked(tmp_path / "tracks"):
        refusal = refusal_of_a_second_call(run, tmp_path / "tracks", SMALL)
    assert isinstance(refusal, InUse) and "tracks is in use by process" in str(refusal) and "--out" in str(refusal)
    assert list(tmp_path.iterdir()) == []


def test_finished_tracks_are_opened_while_another_holds_their_place(tracks, run):
    opened = list[Tracks]()
    with locked(tracks.path):
        thread = threading.Thread(target=lambda: opened.append(track_again(run, tracks.path)))
        thread.start()
        thread.join()
    assert opened[0].steps == tracks.steps


def test_tracks_of_a_narrower_dictionary_are_refused(run, copy):
    edit_manifest(copy, lambda manifest: manifest.update(width=8, files={}))
    with pytest.raises(Mismatch, match="expected tracks of 64 latents, as the dictionary's; got 8"):
        track_again(run, copy)


def test_a_disk_that_is_full_is_a_refusal_naming_the_place(run, tmp_path, monkeypatch):
    def save_file(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("interp.tracking.checkpoint_sums.save_file", save_file)
    with pytest.raises(BadInput, match=r"sums-0-on-policy cannot be written \(No space left.*\): free some space"):
        track_again(run, tmp_path / "tracks")
