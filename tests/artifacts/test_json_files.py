"""JSON documents and logs: damage is a refusal that names the line; a line that a kill cut short is left out."""

import math

import pytest

from interp.artifacts import BadInput, append_line, parse_json, read_lines


@pytest.fixture
def log(tmp_path):
    for step in range(3):
        append_line(tmp_path / "log.jsonl", {"step": step, "loss": 0.5})
    return tmp_path / "log.jsonl"


def test_a_log_gives_its_records_in_order_without_their_checksums(log, tmp_path):
    assert list(read_lines(log)) == [{"step": step, "loss": 0.5} for step in range(3)]
    assert list(read_lines(tmp_path / "none.jsonl")) == []


def test_a_last_line_that_was_cut_short_is_left_out(log):
    log.write_bytes(log.read_bytes()[:-10])
    assert [record["step"] for record in read_lines(log)] == [0, 1]


def test_a_last_line_without_a_newline_is_read_if_it_is_whole(log):
    log.write_bytes(log.read_bytes()[:-1])
    assert [record["step"] for record in read_lines(log)] == [0, 1, 2]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"", "Expecting value"),
        (b"{half", "Expecting"),
        (b"[1]", "a list"),
        (b"\xff", "codec"),
        (b"[" * 99_999, "deeply"),
    ],
)
def test_a_damaged_line_is_refused_by_its_number(log, line, reason):
    lines = log.read_bytes().split(b"\n")
    lines[1] = line
    log.write_bytes(b"\n".join(lines))
    with pytest.raises(
        BadInput, match=rf"log.jsonl, line 2: expected a JSON record, .*{reason}.*: copy the file again"
    ):
        list(read_lines(log))


def test_a_changed_number_in_a_line_is_refused(log):
    log.write_text(log.read_text().replace('"step": 1', '"step": 7'))
    with pytest.raises(BadInput, match="line 2: expected a record of this log with checksum .* it was changed"):
        list(read_lines(log))


def test_lines_of_earlier_versions_have_no_checksum_and_are_read(tmp_path):
    (tmp_path / "old.jsonl").write_text('{"step": 0}\n{"step": 1}\n')
    assert list(read_lines(tmp_path / "old.jsonl")) == [{"step": 0}, {"step": 1}]


@pytest.mark.parametrize(
    "text", ['{"a": NaN}', '{"a": Infinity}', "{", "[" * 99_999, "[" * 65 + "]" * 65, "9" * 5000, ""]
)
def test_a_document_that_is_no_json_is_refused(tmp_path, text):
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(BadInput, match="a.json: expected a summary, got text that does not parse"):
        parse_json(tmp_path / "a.json", "a summary")


@pytest.mark.parametrize(("text", "value"), [("Infinity", math.inf), ("-Infinity", -math.inf), ("[1]", [1])])
def test_numbers_that_json_lacks_are_read_from_other_programs(tmp_path, text, value):
    (tmp_path / "a.json").write_text(text)
    assert parse_json(tmp_path / "a.json", constants=True) == value


def test_a_document_of_absurd_size_is_refused_before_it_is_read(tmp_path):
    with (tmp_path / "a.json").open("wb") as handle:
        handle.truncate(300_000_000)
    with pytest.raises(BadInput, match="expected JSON of up to 16,000,000 bytes, got 300,000,000"):
        parse_json(tmp_path / "a.json")


def test_a_missing_or_unreadable_document_is_refused(tmp_path):
    with pytest.raises(BadInput, match="No such file"):
        parse_json(tmp_path / "none.json")


def test_a_line_of_another_owner_is_refused(tmp_path):
    append_line(tmp_path / "log.jsonl", {"step": 0}, owner="a")
    assert list(read_lines(tmp_path / "log.jsonl", owner="a")) == [{"step": 0}]
    for owner in ("b", ""):
        with pytest.raises(BadInput, match="expected a record of this log"):
            list(read_lines(tmp_path / "log.jsonl", owner=owner))


def test_the_first_line_is_read_without_the_rest(tmp_path):
    with (tmp_path / "log.jsonl").open("w") as handle:
        handle.write('{"step": 0}\n')
        handle.truncate(10**9)
    assert next(read_lines(tmp_path / "log.jsonl")) == {"step": 0}
