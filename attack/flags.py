"""Hostile values of every flag of every command: each is refused, or the command runs to its end.

Flags, and which values they take, are read from the commands' own help. One flag at a time is hostile; the others make
the command as small as in the other attacks. A number that no range can hold (NaN, infinity, 10^30) must be refused.
Inputs must be as they were, whatever path a flag was given.
"""

import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from attack.artifacts import inputs as made_inputs
from attack.artifacts import make_all
from attack.outcome import HANG, LOST, REFUSED, SILENT, TRACEBACK, WHOLE, Outcome, cases
from attack.processes import Ending, command, run_child
from attack.stages import STAGES, Place, few_measurements

NAME = "flags"
SECONDS = 20.0
CASES = 20_000
LONG = "a" * 5000
NUMBERS = ("nan", "inf", "-inf", "1e308", "-1e308", "1" + "0" * 30, "1" + "0" * 5000, "-1", "0", "1e-308", "1000000000")
NUMBERS = (*NUMBERS, "", " ", "1_0", "٣", "0x10", "None", "half", "1 2", LONG)
NO_TRAINING = ("--train-steps", 0, "--fit-steps", 0)
IMPOSSIBLE = frozenset(NUMBERS[:7])
"""Numbers that lie in no range."""
TEXTS = (
    "",
    " ",
    LONG,
    "\u202eevil",
    "a\nb",
    "é",
    "../../x",
    "None",
    "nan",
    "-1",
    "--",
    "{{x}}",
    "<script>",
    "mars",
    "int8",
)
CHOICES = ("", "none of these", "nan", LONG)
COMMANDS: Mapping[tuple[str, ...], str] = {
    **{(name,): name for name in STAGES if name not in ("organism", "study")},
    ("organism", "build"): "organism",
    **{("study", name): "" for name in ("dictionary", "difficulty", "features", "roles")},
    **{(name,): "" for name in ("demo", "tsae-eval", "verify")},
    ("organism", "card"): "",
}
"""Each command, with the stage whose small words it takes."""


@dataclass(frozen=True)
class Case:
    words: tuple[str, ...]
    """The command, its small words, and the hostile ones."""
    hostile: tuple[str, ...]
    is_number: bool
    is_above_default: bool
    """Whether the value asks for more than the default does: the command may then run on, as it was asked to."""


def run(seed: int, budget_s: float, workdir: Path, *, only: int | None = None) -> Outcome:
    """Try hostile values of all flags in a random order until the time is over, or the case of number `only`."""
    outcome, work = Outcome(NAME, seed), workdir / "artifacts"
    make_all(work)
    sandbox = Sandbox(made_inputs(work).root, workdir / "flags")
    every = list(all_cases(sandbox, workdir))
    Random(seed).shuffle(every)
    outcome.facts |= {"values of flags in all": len(every)}
    for number in [only] if only is not None else cases(outcome, budget_s, min(CASES, len(every))):
        case = every[number]
        sandbox.reset()
        ending = run_child(lambda case=case: in_sandbox(case, sandbox), seconds=SECONDS)
        how, message = judge(case, ending, sandbox)
        outcome.add(how, " ".join(word[:60] for word in (case.words[0], *case.hostile)), message)
    return outcome


class Sandbox:
    """A copy of the inputs, a place for the output, and hostile paths. Nothing outside it is named."""

    def __init__(self, source: Path, root: Path) -> None:
        self.source, self.root = source, root
        self.inputs, self.out = Place(root / "inputs"), root / "out"
        self.reset(anew=True)
        self.listing = _listing(self.inputs.root)

    def reset(self, *, anew: bool = False) -> None:
        """Clear the output. The inputs are copied anew if they were changed."""
        if anew or _listing(self.inputs.root) != self.listing:
            shutil.rmtree(self.root, ignore_errors=True)
            self.root.mkdir(parents=True)
            shutil.copytree(self.source, self.inputs.root)
            (self.root / "file").write_text("a file")
            (self.root / "bytes").write_bytes(bytes(range(256)))
            (self.root / "empty").mkdir()
            (self.root / "loop").symlink_to(self.root / "loop")
        for path in self.root.iterdir():
            if path.name not in ("inputs", "file", "bytes", "empty", "loop"):
                shutil.rmtree(path) if path.is_dir() else path.unlink()

    def changed(self) -> list[str]:
        """Files of the inputs that are gone or another. New ones may lie beside them, as those of a series do."""
        now = _listing(self.inputs.root)
        return [name for name, facts in self.listing.items() if now.get(name) != facts]

    def paths(self) -> list[str]:
        root, place = self.root, self.inputs
        inside = [place.run, place.store, place.dictionary, place.rollouts, place.organism, place.run / "checkpoint-0"]
        new = [
            "nowhere",
            "file/below",
            "é \u202e",
            LONG,
            "new\nline",
            "empty",
            "file",
            "bytes",
            "loop",
            ".",
            "inputs/run/new",
        ]
        return ["", "/dev/null", *map(str, inside), *(str(root / name) for name in new)]


def in_sandbox(case: Case, sandbox: Sandbox) -> Any:
    """Run a case in its sandbox. Studies are not run: their flags alone are of interest."""
    from interp.studies.base import Study

    os.chdir(sandbox.root / "empty")
    few_measurements()
    Study.execute = lambda *_, **__: []  # pyright: ignore[reportAttributeAccessIssue]
    return command(*case.words)()


def judge(case: Case, ending: Ending, sandbox: Sandbox) -> tuple[str, str]:
    """How a case ended, and what it said."""
    message = ending.message or ending.output
    if ending.hung:
        return (WHOLE, message) if case.is_above_default else (HANG, message)
    if ending.error or ending.code not in (0, 1, 2) or "Traceback (most" in ending.output:
        return TRACEBACK, f"exit {ending.code}: {message}"
    if sandbox.changed() and case.words[:2] != ("organism", "card"):
        return LOST, f"changed: {sandbox.changed()}, exit {ending.code}: {message}"
    if ending.code:
        return REFUSED, message
    return (SILENT, "accepted") if case.is_number and case.hostile[-1] in IMPOSSIBLE else (WHOLE, message)


# --- what there is to try ------------------------------------------------------------------------------------------


def all_cases(sandbox: Sandbox, workdir: Path) -> Iterator[Case]:
    """Every hostile value of every flag of every command."""
    for words, stage in COMMANDS.items():
        small = small_words(words, stage, sandbox)
        text = run_child(lambda words=words: _help(words)).output
        flags = flags_in(text)
        if not flags and words not in (("verify",), ("organism", "card")):
            raise RuntimeError(f"no flags in the help of {' '.join(words)}: {text}")
        for flag in flags:
            for value in hostile_values(flag, sandbox):
                yield _case(words, small, flag, value)
    for path in sandbox.paths():
        for words in (("verify", path), ("organism", "card", path)):
            yield Case(words, words, is_number=False, is_above_default=False)


def _help(words: Sequence[str]) -> None:
    os.environ["COLUMNS"] = "100"  # wider, and tyro sets two columns
    command(*words, "--help")()


@dataclass
class Flag:
    """A flag, as help shows it."""

    name: str
    kind: str
    """What it takes: `INT`, `{None}|PATH`, `[FLOAT [FLOAT ...]]`, ..."""
    default: str = ""
    ends: tuple[str, ...] = ()
    """The ends of its range."""


def flags_in(text: str) -> list[Flag]:
    """The flags in the text of a help, but for those that take no value."""
    blocks: list[tuple[str, str]] = []
    for line in text.splitlines():
        content = line.strip("│ ")
        if re.match("[│ ] --", line):
            blocks.append((content, ""))
        elif blocks and re.match("[│ ] {6}", line):
            blocks[-1] = (blocks[-1][0], f"{blocks[-1][1]} {content}")
        else:
            blocks.append(("", ""))  # what follows is no part of the flag before
    return [flag for start, rest in blocks if (flag := _flag(start, rest))]


def _flag(start: str, rest: str) -> Flag | None:
    found = re.match(r"(--[a-z][a-z.-]*) (\S.*?)(?:  |$)", start)
    if not found:
        return None
    flag, text = Flag(found[1], found[2]), " ".join(f"{start} {rest}".split())
    if default := re.search(r"\(default: (.*?)\)", text):
        flag.default = default[1]
    if ends := re.search(r"\[(?:above )?([\d.-]+)(?: to|, below) ([\d.,^ -]+)\]", text):
        flag.ends = (ends[1], _end(ends[2]))
    return flag


def _end(text: str) -> str:
    """An end of a range as a flag takes it: 10^7 is 10000000."""
    if power := re.match(r"(\d+)\^(\d+)( - 1)?", text):
        return str(int(power[1]) ** int(power[2]) - bool(power[3]))
    return text.replace(",", "")


def hostile_values(flag: Flag, sandbox: Sandbox) -> list[tuple[str, ...]]:
    """Values of a flag, each one word or several, by what help says it takes."""
    kind = flag.kind
    if "{" in kind.replace("{None}", ""):
        values: Sequence[str] = CHOICES
    elif "INT" in kind or "FLOAT" in kind:
        values = (*flag.ends, *NUMBERS) if "STR" not in kind else (*flag.ends, *NUMBERS, *TEXTS)
    else:
        values = sandbox.paths() if "PATH" in kind else TEXTS
    is_several = kind.startswith("[")
    if " " in kind and not is_several:
        return [*((value, value) for value in values), (values[0],)]
    return [(value,) for value in values] + ([(value, value) for value in values[-4:]] + [()] if is_several else [])


def small_words(words: tuple[str, ...], stage: str, sandbox: Sandbox) -> list[str]:
    """The words that make a command small, its output in the sandbox."""
    place, out = sandbox.inputs, ("--out", sandbox.out)
    if stage:
        small: Sequence[object] = (*STAGES[stage].words(place, 0), *out)
    else:
        small = {
            "study": ("study", *words[1:], *out, "--runs", sandbox.root / "runs"),
            "demo": ("demo", "--preset", "tiny", "--policy", place.organism, *NO_TRAINING, *out),
            "tsae-eval": ("tsae-eval", "--tsae", place.dictionary, "--store", place.store),
            "verify": ("verify",),
            "organism": ("organism", "card", place.organism),
        }[words[0]]
    return [str(word) for word in small]


def _case(words: tuple[str, ...], small: Sequence[str], flag: Flag, value: tuple[str, ...]) -> Case:
    is_number = "INT" in flag.kind or "FLOAT" in flag.kind
    asked, usual = _as_number(value[0] if value else ""), _as_number(flag.default)
    asks_for_more = is_number and asked is not None and usual is not None and asked > usual
    start = [*small[: len(words)], *_without(small[len(words) :], flag.name)]
    hostile = (flag.name, *value)
    return Case((*start, *hostile), hostile, is_number and "STR" not in flag.kind, asks_for_more)


def _without(words: Sequence[str], flag: str) -> list[str]:
    """The words without a flag and its values."""
    if flag not in words:
        return list(words)
    start = list(words).index(flag)
    following = (i for i in range(start + 1, len(words)) if words[i].startswith("--"))
    return [*words[:start], *words[next(following, len(words)) :]]


def _as_number(word: str) -> float | None:
    try:
        return float(word)
    except ValueError:
        return None if word != "None" else 0.0


def _listing(root: Path) -> dict[str, tuple[int, int]]:
    """Size and time of every file."""
    files = ((path, path.lstat()) for path in sorted(root.rglob("*")) if path.is_file())
    return {str(path.relative_to(root)): (stat.st_size, stat.st_mtime_ns) for path, stat in files}
