"""Tasks from a user's own JSONL: a line is `{"id", "prompt", "answer"}`, and `split`, `depth`, `level` where known.
A level is any word that names a group of problems; `bucket` is read as one too (easy, medium or hard, as measured).

The file is read once, when first asked. A line that cannot be used is refused with its number, what was expected and
what was got; with `skip_bad` it is left out and listed in `skipped`. Where a line names no split, a hash of its prompt
chooses one, so the same question never stands on both sides. The answer has to be something that can be compared
without running it: a number, a formula, or plain words.
"""

import json
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from interp.artifacts import BadInput, fingerprint, to_json
from interp.tasks.base import BUCKETS, SPLITS, Problem, SkippedLine, Task, Verdict, hash_of
from interp.tasks.text.equality import kind_of
from interp.tasks.text.verdicts import verify_text

SPLIT_OF_TEN = ("train",) * 8 + ("eval", "probe")
MAX_LISTED = 5


@dataclass(frozen=True)
class JsonlTask(Task):
    path: str | Path
    skip_bad: bool = False

    @property
    def name(self) -> str:
        return f"jsonl:{Path(self.path).stem}"

    def fingerprint(self) -> str:
        """Of the problems, wherever the file lies."""
        return fingerprint(json.dumps([to_json(problem) for problem in self._loaded[0]]))

    @cached_property
    def _loaded(self) -> tuple[tuple[Problem, ...], tuple[SkippedLine, ...]]:
        problems, skipped = read_problems(Path(self.path))
        if skipped and not self.skip_bad:
            listed = "; ".join(f"line {bad.line}: {bad.reason}" for bad in skipped[:MAX_LISTED])
            more = f"; and {len(skipped) - MAX_LISTED} more" if len(skipped) > MAX_LISTED else ""
            raise BadInput(
                f"{self.path}: {len(skipped)} of {len(skipped) + len(problems)} lines cannot be used: {listed}{more}. "
                "Mend them, or leave them out with skip_bad (--skip-bad)"
            )
        if not problems:
            raise BadInput(f"{self.path}: expected at least one problem, got {len(skipped)} unusable lines, no other")
        return tuple(problems), tuple(skipped)

    @property
    def skipped(self) -> tuple[SkippedLine, ...]:
        """The lines left out, and why."""
        return self._loaded[1]

    @property
    def levels(self) -> tuple[str, ...]:
        """The words that the file uses: easy, medium and hard first, others in their order there."""
        words = dict.fromkeys(problem.level for problem in self._loaded[0] if problem.level is not None)
        return tuple(sorted(words, key=lambda word: BUCKETS.index(word) if word in BUCKETS else len(BUCKETS)))

    def problem(self, split: str, level: int | str | None, index: int) -> Problem:
        return self.problems(split, level, 1, start=index)[0]

    def size(self, split: str, level: int | str | None) -> int:
        """How many problems there are."""
        return len(self._held(split, level))

    def problems(self, split: str, level: int | str | None, n: int, *, start: int = 0) -> list[Problem]:
        if start < 0 or n < 0:
            raise BadInput(f"start and n must not be negative; got start {start}, n {n}")
        found = self._held(split, level)
        if start + n > len(found):
            sizes = Counter(p.split for p in self._loaded[0])
            counts = ", ".join(f"{s} {sizes[s]}" for s in SPLITS)
            where = split if level is None else f"{split} at level {level!r}"
            raise BadInput(f"{self.path}: asked for {start + n} of {where}, it holds {len(found)} (in all: {counts})")
        return found[start : start + n]

    def _held(self, split: str, level: int | str | None) -> list[Problem]:
        if split not in SPLITS:
            raise BadInput(f"split must be one of {', '.join(SPLITS)}; got {split!r}")
        return [p for p in self._loaded[0] if p.split == split and _is_at(p, level)]

    def verify(self, problem: Problem, completion: str) -> Verdict:
        return verify_text(problem, completion)


def _is_at(problem: Problem, level: int | str | None) -> bool:
    return level is None or level == (problem.level if isinstance(level, str) else problem.depth)


def read_problems(path: Path) -> tuple[list[Problem], list[SkippedLine]]:
    """Every usable problem of the file, and every line that is none. Blank lines are neither."""
    if not path.is_file():
        raise BadInput(f"{path}: expected a JSONL file, got {'a directory' if path.is_dir() else 'nothing there'}")
    problems: list[Problem] = []
    skipped: list[SkippedLine] = []
    ids: dict[str, int] = {}
    splits: dict[int, tuple[str, int]] = {}
    for number, raw in enumerate(path.read_bytes().removeprefix(b"\xef\xbb\xbf").split(b"\n"), 1):
        if not raw.strip():
            continue
        try:
            problem = _problem(_record(raw))
            _expect_new(problem, number, ids, splits)
        except BadInput as error:
            skipped.append(SkippedLine(number, str(error)))
        else:
            problems.append(problem)
    return problems, skipped


def _expect_new(problem: Problem, line: int, ids: dict[str, int], splits: dict[int, tuple[str, int]]) -> None:
    if problem.id in ids:
        raise BadInput(f"expected an id of its own, got {problem.id!r}, which line {ids[problem.id]} has already")
    split, first = splits.setdefault(_content(problem.prompt), (problem.split, line))
    if split != problem.split:
        raise BadInput(f"expected a prompt in one split only, got {problem.split}; it is in {split} on line {first}")
    ids[problem.id] = line


def _record(raw: bytes) -> dict[str, Any]:
    try:
        record = json.loads(raw.decode("utf-8"), parse_float=str, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:  # bad UTF-8 and an overlong integer are ValueErrors too
        raise BadInput(f"expected a JSON object, got text that does not parse ({str(error)[:80]})") from error
    if not isinstance(record, dict):
        raise BadInput(f"expected a JSON object, got {_shown(record)}")
    return record


def _refuse_constant(name: str) -> None:
    raise BadInput(f"expected a number, got {name}")


def _problem(record: dict[str, Any]) -> Problem:
    if missing := [key for key in ("id", "prompt", "answer") if key not in record]:
        raise BadInput(f"expected id, prompt and answer, got no {' and no '.join(missing)} among {sorted(record)}")
    id_, prompt, answer = (record[key] for key in ("id", "prompt", "answer"))
    if isinstance(id_, bool) or not isinstance(id_, str | int) or not str(id_).strip():
        raise BadInput(f"expected id to be text or an integer, got {_shown(id_)}")
    if not isinstance(prompt, str) or not prompt.strip():
        raise BadInput(f"expected prompt to be text, got {_shown(prompt)}")
    if isinstance(answer, bool) or not isinstance(answer, str | int) or kind_of(str(answer)) is None:
        raise BadInput(f"expected answer to be a number, a short formula or plain words, got {_shown(answer)}")
    depth, level, bucket = (record.get(key) for key in ("depth", "level", "bucket"))
    if depth is not None and (isinstance(depth, bool) or not isinstance(depth, int)):
        raise BadInput(f"expected depth to be an integer, got {_shown(depth)}")
    if bucket is not None and bucket not in BUCKETS:
        raise BadInput(f"expected bucket to be one of {', '.join(BUCKETS)}, got {_shown(bucket)}")
    if level is not None and (not isinstance(level, str) or not level.strip() or level.strip().lstrip("-").isdigit()):
        raise BadInput(f"expected level to be a word (a number is a depth), got {_shown(level)}")
    if level is not None and bucket is not None and level != bucket:
        raise BadInput(f"expected a level or a bucket, got both: {_shown(level)} and {_shown(bucket)}")
    split = record.get("split", SPLIT_OF_TEN[_content(prompt) % 10])
    if split not in SPLITS:
        raise BadInput(f"expected split to be one of {', '.join(SPLITS)}, got {_shown(split)}")
    return Problem(str(id_), prompt, str(answer), split, depth, bucket if level is None else level)


def _content(prompt: str) -> int:
    return hash_of("jsonl", " ".join(prompt.split()).casefold())


def _shown(value: Any) -> str:
    text = repr(value)
    return f"{type(value).__name__} {text[:60]}{'...' if len(text) > 60 else ''}"
