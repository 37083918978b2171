"""How an attack judges what happened, on endings and files made by hand."""

from pathlib import Path

import pytest

from attack import corruptions, pairs
from attack.artifacts import KINDS
from attack.corruptions import Case, Undamaged
from attack.outcome import HANG, LOST, OTHER, REFUSED, SAID, SILENT, TRACEBACK, WHOLE
from attack.processes import Ending
from attack.trees import differences, read_tree

UNDAMAGED = Undamaged("as it was", 1.0)


def case(*, has_checksums: bool = True, damage: str = "flip", what: str = "x") -> Case:
    return Case(KINDS["store"], Path("folder"), damage, what, has_checksums)


@pytest.mark.parametrize(
    ("ending", "the_case", "expected"),
    [
        (Ending(0, value="as it was"), case(), WHOLE),
        (Ending(0, value="other"), case(), SILENT),
        (Ending(0, value="other", output="interp: 2 of 6 are left out"), case(), SILENT),
        (Ending(0, value="other", output="interp: folder/runs.jsonl: 2 of 6 are left out"), case(), SAID),
        (Ending(0, value="other"), case(has_checksums=False), OTHER),
        (Ending(0, value="other"), case(has_checksums=False, damage="outside"), SILENT),
        (Ending(0, value="other"), case(has_checksums=False, damage="outside", what="x is a link"), OTHER),
        (Ending(2, message="expected"), case(), REFUSED),
        (Ending(1, output="interp: diverged"), case(), REFUSED),
        (Ending(1, output="Traceback"), case(), TRACEBACK),
        (Ending(1, output="a table of what is damaged"), case(), TRACEBACK),
        (Ending(1, error="KeyError"), case(), TRACEBACK),
        (Ending(-6), case(has_checksums=False), TRACEBACK),
        (Ending(None), case(), HANG),
    ],
)
def test_a_damaged_directory_is_judged_by_what_its_reading_gave(ending, the_case, expected):
    assert corruptions.judge(the_case, ending, UNDAMAGED)[0] == expected


@pytest.mark.parametrize(
    ("codes", "tree", "expected"),
    [
        ((0, 2), {"a": 1}, REFUSED),
        ((2, 0), {"a": 2}, REFUSED),
        ((2, 0), {"a": 1}, SILENT),
        ((0, 2), {}, SILENT),
        ((0, 2), {"a": 1, ".lock": 0}, LOST),
        ((0, 0), {"a": 1}, LOST),
        ((2, 2), {}, LOST),
        ((0, 1), {"a": 1}, TRACEBACK),
        ((0, None), {"a": 1}, HANG),
    ],
)
def test_of_two_processes_one_must_win_whole_and_the_other_be_refused(codes, tree, expected):
    endings = [Ending(code) for code in codes]
    assert pairs.judge(endings, tree, [{"a": 1}, {"a": 2}])[0] == expected


def test_trees_differ_by_content_but_not_by_dates_seconds_and_locks(tmp_path):
    for name, date, value in (("a", 1, 1), ("b", 2, 1), ("c", 3, 2)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "manifest.json").write_text(f'{{"date": {date}, "files": {date}, "value": {value}}}')
        (tmp_path / name / "metrics.jsonl").write_text(f'{{"seconds_sampling": {date}, "reward": {value}}}\n')
        (tmp_path / name / "lock").write_text(str(date))
    a, b, c = (read_tree(tmp_path / name) for name in "abc")
    assert differences(a, b) == ([], [], [])
    assert differences(c, b) == ([], [], ["manifest.json", "metrics.jsonl"])
    (tmp_path / "c" / ".x.partial").mkdir()
    (tmp_path / "c" / "lock").unlink()
    assert differences(read_tree(tmp_path / "c"), b)[:2] == (["lock"], [".x.partial"])
