"""Tasks from a user's own JSONL file, one problem a line:

    {"id": "a", "prompt": "What is 3 + 4?", "answer": "7", "split": "train", "depth": 1, "level": "school"}

`prompt` and `answer` are required; other files name them otherwise: with `prompt_field` "question", GSM8K is read as it
is. An answer that ends in `#### 7`, after its working, is that 7. Without `id`, the number of the line is one. A level
is any word that names a group of problems. `bucket` is accepted in its place, for difficulty measured elsewhere (easy,
medium or hard). Without `split`, a hash of the prompt chooses one, so the same question is never in two splits. The
answer must be comparable without running it: a number, a formula, or plain words.

The file is read at first use. A line that cannot be used is refused with its number and the reason; with `skip_bad` it
is left out and listed in `skipped`.
"""

import json
import reprlib
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from interp.artifacts import BadInput, fingerprint, reading, to_json
from interp.tasks.base import BUCKETS, SPLITS, Problem, SkippedLine, Task, Verdict, hash_of
from interp.tasks.text.equality import answer_kind
from interp.tasks.text.fallback import AnswerRule
from interp.tasks.text.verdicts import verify_text

SPLIT_OF_TEN = ("train",) * 8 + ("eval", "probe")
"""Splits by the last digit of the hash: 8 in 10 prompts are for training."""
MAX_LISTED, MAX_DEPTH = 5, 1_000_000
"""Unusable lines that an error lists; largest depth."""
FINAL = "####"
_SHORT = reprlib.Repr()  # a deep value has no `repr`
_SHORT.maxstring = _SHORT.maxlong = 60


@dataclass(frozen=True)
class JsonlTask(Task):
    """The problems of a JSONL file."""

    path: str | Path
    skip_bad: bool = False
    """Leave out lines that cannot be used, and list them in `skipped`. Default: refuse the file."""
    prompt_field: str | None = None
    """The entry of a line that holds the question. Default: `prompt`."""
    answer_field: str | None = None
    """The entry that holds the answer. Default: `answer`."""
    answer_rule: AnswerRule | None = None
    """What counts as an answer where none is announced: nothing (`announced`, the default), the result of the
    `last-equation`, or the `last-number`."""

    @property
    def name(self) -> str:
        return f"jsonl:{Path(self.path).stem}"

    def fingerprint(self) -> str:
        """Fingerprint of the problems and of what counts as an answer, wherever the file lies."""
        rule = [] if self.answer_rule in (None, "announced") else [str(self.answer_rule)]
        return fingerprint(json.dumps([to_json(problem) for problem in self._all_problems]), *rule)

    @property
    def levels(self) -> tuple[str, ...]:
        """The level names in the file: easy, medium and hard first, others in their order there."""
        names = dict.fromkeys(problem.level for problem in self._all_problems if problem.level is not None)
        return tuple(sorted(names, key=lambda name: BUCKETS.index(name) if name in BUCKETS else len(BUCKETS)))

    @property
    def skipped(self) -> tuple[SkippedLine, ...]:
        """The lines left out, and why."""
        return self._file_content[1]

    def size(self, split: str, level: int | str | None) -> int:
        """Number of problems of a split at a level."""
        return len(self._select(split, level))

    def problem(self, split: str, level: int | str | None, index: int) -> Problem:
        return self.problems(split, level, 1, start=index)[0]

    def problems(self, split: str, level: int | str | None, n: int, *, start: int = 0) -> list[Problem]:
        """The `n` problems from index `start` on, in the file's order."""
        if start < 0 or n < 0:
            raise BadInput(f"start and n must not be negative; got start {start}, n {n}")
        selected = self._select(split, level)
        if start + n > len(selected):
            counts = Counter(problem.split for problem in self._all_problems)
            total = ", ".join(f"{name} {counts[name]}" for name in SPLITS)
            where = split if level is None else f"{split} at level {level!r}"
            raise BadInput(f"{self.path}: asked for {start + n} of {where}, it holds {len(selected)} (in all: {total})")
        return selected[start : start + n]

    def verify(self, problem: Problem, completion: str) -> Verdict:
        return verify_text(problem, completion, self.answer_rule or "announced")

    def _select(self, split: str, level: int | str | None) -> list[Problem]:
        if split not in SPLITS:
            raise BadInput(f"split must be one of {', '.join(SPLITS)}; got {split!r}")
        return [problem for problem in self._all_problems if problem.split == split and _is_at(problem, level)]

    @property
    def _all_problems(self) -> tuple[Problem, ...]:
        return self._file_content[0]

    @cached_property
    def _file_content(self) -> tuple[tuple[Problem, ...], tuple[SkippedLine, ...]]:
        fields = {"prompt_field": self.prompt_field or "prompt", "answer_field": self.answer_field or "answer"}
        problems, skipped = read_problems(Path(self.path), **fields)
        if skipped and not self.skip_bad:
            listed = "; ".join(f"line {line.line}: {line.reason}" for line in skipped[:MAX_LISTED])
            listed += f"; and {len(skipped) - MAX_LISTED} more" if len(skipped) > MAX_LISTED else ""
            raise BadInput(
                f"{self.path}: {len(skipped)} of {len(skipped) + len(problems)} lines cannot be used: {listed}. "
                "Correct them, or leave them out with skip_bad (--skip-bad)"
            )
        if not problems:
            raise BadInput(f"{self.path}: expected at least one problem, got {len(skipped)} unusable lines, no other")
        return tuple(problems), tuple(skipped)


def _is_at(problem: Problem, level: int | str | None) -> bool:
    return level is None or level == (problem.level if isinstance(level, str) else problem.depth)


# --- reading -----------------------------------------------------------------------------------------------------


def read_problems(
    path: Path, *, prompt_field: str = "prompt", answer_field: str = "answer"
) -> tuple[list[Problem], list[SkippedLine]]:
    """The problems of a file, and its unusable lines. Blank lines are ignored. The fields are the entries of a line
    that hold question and answer."""
    with reading(path, "a JSONL file", remedy="see that it can be read"):
        if not path.is_file():
            raise BadInput(f"{path}: expected a JSONL file, got {'a directory' if path.is_dir() else 'nothing there'}")
        content = path.read_bytes()
    problems: list[Problem] = []
    skipped: list[SkippedLine] = []
    line_of_id: dict[str, int] = {}
    split_of_content: dict[int, tuple[str, int]] = {}
    for number, raw in enumerate(content.removeprefix(b"\xef\xbb\xbf").split(b"\n"), 1):
        if not raw.strip():
            continue
        try:
            problem = _problem(_parse_line(raw), number, prompt_field, answer_field)
            _expect_new(problem, number, line_of_id, split_of_content)
        except BadInput as error:
            skipped.append(SkippedLine(number, str(error)))
        else:
            problems.append(problem)
    return problems, skipped


def _expect_new(
    problem: Problem, line: int, line_of_id: dict[str, int], split_of_content: dict[int, tuple[str, int]]
) -> None:
    if problem.id in line_of_id:
        raise BadInput(f"expected an id of its own, got {problem.id!r}, which line {line_of_id[problem.id]} has")
    split, first_line = split_of_content.setdefault(_content(problem.prompt), (problem.split, line))
    if split != problem.split:
        raise BadInput(
            f"expected a prompt in one split only, got {problem.split}; it is in {split} on line {first_line}"
        )
    line_of_id[problem.id] = line


def _parse_line(raw: bytes) -> dict[str, Any]:
    try:
        text = raw.decode("utf-8")
        record = json.loads(text, parse_float=str, parse_constant=_refuse_constant, object_pairs_hook=_expect_each_once)
    except (ValueError, RecursionError) as error:  # bad UTF-8 and an overlong integer are ValueErrors too
        raise BadInput(f"expected a JSON object, got text that does not parse ({str(error)[:80]})") from error
    if not isinstance(record, dict):
        raise BadInput(f"expected a JSON object, got {_describe(record)}")
    return record


def _refuse_constant(name: str) -> None:
    raise BadInput(f"expected a number, got {name}")


def _expect_each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The pairs as a dictionary. (Python would keep the last of two answers.)"""
    counts = Counter(key for key, _ in pairs)
    if repeated := [key for key, count in counts.items() if count > 1]:
        raise BadInput(f"expected each key once, got {_describe(repeated[0])} {counts[repeated[0]]} times")
    return dict(pairs)


def _problem(record: dict[str, Any], line: int, prompt_field: str, answer_field: str) -> Problem:
    if missing := [key for key in (prompt_field, answer_field) if key not in record]:
        raise BadInput(
            f"expected {prompt_field} and {answer_field}, got no {' and no '.join(missing)} among {sorted(record)}: "
            "name the entries that hold question and answer (prompt_field, --prompt-field; answer_field, "
            "--answer-field)"
        )
    id_, prompt = record.get("id", f"line {line}"), record[prompt_field]
    if isinstance(id_, bool) or not isinstance(id_, str | int) or not str(id_).strip():
        raise BadInput(f"expected id to be text or an integer, got {_describe(id_)}")
    if not isinstance(prompt, str) or not prompt.strip():
        raise BadInput(f"expected {prompt_field} to be text, got {_describe(prompt)}")
    answer = _final_answer(record[answer_field])
    if isinstance(answer, bool) or not isinstance(answer, str | int) or answer_kind(str(answer)) is None:
        raise BadInput(
            f"expected {answer_field} to be a number, a short formula or plain words, got {_describe(answer)}"
        )
    depth = record.get("depth")
    if depth is not None and (isinstance(depth, bool) or not isinstance(depth, int) or not 0 <= depth <= MAX_DEPTH):
        raise BadInput(f"expected depth to be an integer from 0 to {MAX_DEPTH}, got {_describe(depth)}")
    for key in ("id", prompt_field, "level"):
        _expect_characters(key, record.get(key))
    split = record.get("split", SPLIT_OF_TEN[_content(prompt) % 10])
    if split not in SPLITS:
        raise BadInput(f"expected split to be one of {', '.join(SPLITS)}, got {_describe(split)}")
    return Problem(str(id_), prompt, str(answer), split, depth, _level(record))


def _final_answer(answer: Any) -> Any:
    """What follows the last `####` of a worked answer, as GSM8K writes it; any other answer as it is."""
    return answer.rpartition(FINAL)[2].strip() if isinstance(answer, str) and FINAL in answer else answer


def _expect_characters(key: str, text: object) -> None:
    """Refuse half a character: JSON can escape one of the two surrogates of an emoji, which no file can hold."""
    if isinstance(text, str) and any("\ud800" <= sign <= "\udfff" for sign in text):
        raise BadInput(f"expected {key} to be text, got {_describe(text)}, with half a character (a lone surrogate)")


def _level(record: dict[str, Any]) -> str | None:
    level, bucket = record.get("level"), record.get("bucket")
    if bucket is not None and bucket not in BUCKETS:
        raise BadInput(f"expected bucket to be one of {', '.join(BUCKETS)}, got {_describe(bucket)}")
    if level is None:
        return bucket
    if not isinstance(level, str) or not level.strip() or level.strip().lstrip("-").isdigit():
        raise BadInput(f"expected level to be a word (a number is a depth), got {_describe(level)}")
    if bucket not in (None, level):
        raise BadInput(f"expected a level or a bucket, got both: {_describe(level)} and {_describe(bucket)}")
    return level


def _content(prompt: str) -> int:
    return hash_of("jsonl", " ".join(prompt.split()).casefold())


def _describe(value: Any) -> str:
    return f"{type(value).__name__} {_SHORT.repr(value)}"
