"""Names of latents: kept in a file beside the results, edited by hand, refused if damaged, proposed by a function."""

import json
from dataclasses import dataclass

import pytest
from features_fixtures import axes_dictionary, make_roles, make_trial

from interp.artifacts import BadInput
from interp.features import Notes, Roles


def test_notes_are_read_back_as_they_were_saved(tmp_path):
    notes = Notes.load(tmp_path)
    notes.name(7, "carries the sum", "only after a result\nand a line")
    notes.name_set("copying", [7, 12, 7], "both")
    assert notes.save() == tmp_path / "notes.json"
    again = Notes.load(tmp_path)
    assert again[7].name == "carries the sum" and again[8].name == ""
    assert again.sets["copying"].latents == (7, 12)
    assert again.to_json() == notes.to_json() == json.loads((tmp_path / "notes.json").read_text())


def test_an_empty_name_forgets_a_latent_and_an_empty_set_a_set():
    notes = Notes()
    notes.name(7, "a")
    notes.name_set("b", [1])
    notes.name(7, "")
    notes.name_set("b", [])
    assert notes.to_json() == {}


@pytest.mark.parametrize(
    "text",
    [
        "{", "[]", '{"7": "a"}', '{"seven": {"name": "a"}}', '{"7": {"name": 5}}', '{"7": {"title": "a"}}',
        '{"-1": {"name": "a"}}', '{"99999999": {"name": "a"}}', '{"sets": [{"name": "a"}]}', '{"sets": 5}',
        '{"sets": [{"name": "a", "note": "", "latents": ["x"]}]}', '{"7": {"name": "' + "a" * 300 + '"}}',
    ],
)  # fmt: skip
def test_damaged_notes_are_refused_with_their_file(tmp_path, text):
    (tmp_path / "notes.json").write_text(text)
    with pytest.raises(BadInput, match="notes.json: .*(mend it|copy it again|must be)"):
        Notes.load(tmp_path)
    assert (tmp_path / "notes.json").read_text() == text


def test_a_file_that_holds_no_notes_is_not_replaced(tmp_path):
    (tmp_path / "other.json").write_text('["mine"]')
    with pytest.raises(BadInput, match="expected notes on latents"):
        Notes().save(tmp_path / "other.json")
    with pytest.raises(BadInput, match="expected a file for the notes, got none"):
        Notes().save()
    assert (tmp_path / "other.json").read_text() == '["mine"]'


def test_a_latent_is_named_through_its_roles_beside_them(tmp_path):
    roles = make_roles(make_trial(3), tsae=axes_dictionary(4, layer=0))
    with pytest.raises(BadInput, match="expected roles that were saved"):
        roles.name(3, "a")
    before = roles.fingerprint()
    roles.save(tmp_path / "roles")
    roles.name(3, "a separator")
    loaded = Roles.load(tmp_path / "roles")
    assert loaded.notes()[3].name == "a separator" and loaded == roles and loaded.fingerprint() == before
    with pytest.raises(BadInput, match="from 0 to 7; got 8"):
        loaded.name(8, "none such")


@dataclass
class Examples:
    """A dashboard of two latents, of which one has examples."""

    def latents(self):
        return [3, 5, 6]

    def examples(self, latent):
        return [] if latent == 6 else [f"text «{latent}»"]


def test_a_function_proposes_names_for_latents_without_one():
    notes = Notes()
    notes.name(3, "mine")
    assert notes.propose(lambda latent, texts: f"{latent}: {texts[0]}", Examples()) == [5]
    assert notes.to_json() == {"3": {"name": "mine", "note": ""}, "5": {"name": "5: text «5»", "note": ""}}
