"""Names and notes in a browser: given, changed, taken back, kept, saved to a file and read from one."""

import json

from dashboard.browser import expect

SMALL = {"features": 12, "rollouts": 20, "tokens": 12, "checkpoints": 3}


def name_latent(page, latent, name):
    form = page.get_by_role("form", name="Name a latent")
    form.get_by_label("latent").fill(str(latent))
    form.get_by_label("name").fill(name)
    form.get_by_label("name").press("Enter")


def saved(page, path):
    with page.expect_download() as download:
        page.get_by_role("button", name="Save JSON").click()
    download.value.save_as(path)
    return json.loads(path.read_text(encoding="utf-8"))


def test_a_name_stays_over_the_names_that_came_with_the_report(visit, tmp_path):
    opened = visit("v=notes", **SMALL)
    page = opened.page
    before = saved(page, tmp_path / "before.json")
    name_latent(page, 22, "counts eggs")
    expect(page.get_by_text("Saved the note on latent 22.")).to_be_visible()
    page.reload()
    after = saved(page, tmp_path / "after.json")
    assert after == before | {"22": {"name": "counts eggs", "note": ""}, "sets": before["sets"]}
    opened.go("v=feature&f=22")
    expect(page.locator("main")).to_contain_text("counts eggs")


def test_a_deleted_note_stays_away_and_can_be_taken_back(visit, tmp_path):
    opened = visit("v=notes", **SMALL)
    page = opened.page
    before = saved(page, tmp_path / "before.json")
    page.get_by_role("button", name="Delete the note on latent 7").click()
    page.reload()
    expect(page.get_by_role("button", name="Edit the note on latent 10")).to_be_visible()
    expect(page.get_by_role("button", name="Edit the note on latent 7")).to_have_count(0)
    page.get_by_role("button", name="Delete the note on latent 10").click()
    page.get_by_role("button", name="Undo").click()
    assert saved(page, tmp_path / "after.json") == {key: value for key, value in before.items() if key != "7"}


def test_a_file_of_notes_is_merged_and_what_is_no_note_is_left_out(visit, tmp_path):
    opened = visit("v=notes", **SMALL)
    page = opened.page
    file = tmp_path / "notes.json"
    file.write_text(
        '{"5": {"name": "five", "note": "x"}, "__proto__": {"name": "x"}, "six": {"name": "y"}, "8": {"name": 3},'
        ' "sets": [{"name": "mine", "note": "", "latents": [9, 4, 9, "z"]}, {"latents": [1]}]}',
        encoding="utf-8",
    )
    page.get_by_label("A JSON file of names and notes").set_input_files(file)
    expect(page.get_by_text("4 entries of another form left out")).to_be_visible()
    notes = saved(page, tmp_path / "after.json")
    assert notes["5"] == {"name": "five", "note": "x"} and notes["7"]["name"] == "equals sign"
    assert [each["latents"] for each in notes["sets"]] == [[7, 10, 13], [4, 9]]
    file.write_text("no JSON", encoding="utf-8")
    page.get_by_label("A JSON file of names and notes").set_input_files(file)
    expect(page.get_by_text("is not JSON")).to_be_visible()


def test_notes_are_searched_and_a_set_links_to_its_latents(visit):
    opened = visit("v=notes", **SMALL)
    page = opened.page
    page.get_by_role("searchbox").fill("cue")
    expect(page.get_by_role("button", name="Edit the note on latent")).to_have_count(1)
    page.get_by_role("searchbox").fill("arithmetic")
    page.get_by_role("link", name="10 running total").click()
    assert opened.address == {"v": "feature", "f": "10"}


def test_where_the_browser_keeps_nothing_the_page_says_so(browser, report):
    from dashboard.browser import Visit

    refuse = "Object.defineProperty(window, 'localStorage', {get() { throw new Error('refused'); }});"
    opened = Visit(browser, report(**SMALL), "v=notes", init=refuse)
    try:
        name_latent(opened.page, 22, "counts eggs")
        expect(opened.page.get_by_text("This browser keeps nothing for this page")).to_be_visible()
        expect(opened.page.get_by_role("button", name="Edit the note on latent 22")).to_be_visible()
        assert opened.faults == []
    finally:
        opened.close()
