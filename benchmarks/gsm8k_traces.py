"""How well the annotator and the verifier do on real traces.

    python benchmarks/gsm8k_traces.py --data ../shared/data/gsm8k

On GSM8K references and on real model solutions, right and wrong, two questions. Does the verifier agree with every
`is_correct` flag? And how many of the written steps are found and judged? What was written is counted without the
annotator: the equals signs outside calculator annotations, the lines that hold one, and the annotations themselves.
All is measured twice, with the annotations and with them stripped; only the second is plain text.

The annotations also serve as a second opinion (`confirmed`): on lines with one annotation and one step, the judgement
of the plain text is held against the annotation stripped from it, worked out by itself. The peer is what one writes in
ten minutes: a regular expression for a bare `a op b op c = d`.
"""

import argparse
import json
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from common import write_result

from interp.tasks.base import Problem
from interp.tasks.text.verdicts import verify_text
from interp.tasks.traces import annotate

MODELS = ("6b_finetuning", "6b_verification", "175b_finetuning", "175b_verification")
NOTE = re.compile(r"<<[^<>\n]*>>")
BARE = re.compile(r"(?:[0-9.]+\s*[-+*/]\s*)+[0-9.]+\s*=\s*\$?[0-9.]+")
PEER = "regular expression for bare equations"


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def final(answer: str) -> str:
    return re.split(r"####|\nA:", answer)[-1].strip()


def texts(data: Path) -> dict[str, list[tuple[str, str]]]:
    """(question, trace) by where it comes from."""
    references, solved = read(data / "train-2500.jsonl"), read(data / "model-solutions-600.jsonl")
    flagged = [(row["question"], row[model]) for row in solved for model in MODELS]
    return {
        "references": [(row["question"], row["answer"]) for row in references],
        "right": [(question, row["solution"]) for question, row in flagged if row["is_correct"]],
        "wrong": [(question, row["solution"]) for question, row in flagged if not row["is_correct"]],
    }


def measure(rows: Iterable[tuple[str, str]], *, stripped: bool) -> Counter[str]:
    counts: Counter[str] = Counter()
    for question, trace in rows:
        plain = NOTE.sub("", trace)
        counts += Counter(traces=1, signs=plain.count("="), annotations=len(NOTE.findall(trace)))
        text = plain if stripped else trace
        steps = annotate(text, question).steps
        for step in steps:
            counts += Counter({"steps": 1, f"holds {step.holds}": 1, f"follows {step.follows}": 1})
        for line in re.finditer(r"[^\n]+", text):
            if "=" in NOTE.sub("", line.group()):
                inside = [step for step in steps if line.start() <= step.start < line.end()]
                judged = any(step.holds is not None for step in inside)
                counts += Counter(lines=1, lines_found=bool(inside), lines_judged=judged)
    return counts


def annotations_confirmed(rows: Iterable[tuple[str, str]]) -> Counter[str]:
    """Of the lines with one annotation and one step, how the plain step was judged, by what the annotation says."""
    counts: Counter[str] = Counter()
    for _, trace in rows:
        for line in trace.split("\n"):
            notes, steps = NOTE.findall(line), annotate(NOTE.sub("", line)).steps
            if len(notes) == len(steps) == 1 and (inner := annotate(notes[0][2:-2]).steps):
                counts[f"annotation {inner[0].holds}, text {steps[0].holds}"] += 1
    return counts


def disagreements(data: Path) -> tuple[list[dict[str, Any]], int, Counter[str]]:
    rows, n, verdicts = [], 0, Counter[str]()
    for index, row in enumerate(read(data / "model-solutions-600.jsonl")):
        problem = Problem(str(index), row["question"], final(row["ground_truth"]))
        for model in MODELS:
            verdict = verify_text(problem, row[model]["solution"])
            n += 1
            verdicts[f"correct {verdict.correct}, valid {verdict.valid}"] += 1
            if verdict.correct != row[model]["is_correct"]:
                answers = {"truth": problem.answer, "given": verdict.answer, "flag": row[model]["is_correct"]}
                rows.append({"index": index, "model": model, **answers})
    return rows, n, verdicts


def share(part: int, whole: int) -> float:
    return round(part / whole, 4) if whole else 0.0


def measure_all(data: Path) -> dict[str, dict[str, float]]:
    found = {}
    for name, rows in texts(data).items():
        for mode, stripped in (("annotated", False), ("plain", True)):
            c = measure(rows, stripped=stripped)
            found[f"{name}, {mode}"] = {
                **{key: c[key] for key in ("traces", "signs", "annotations", "lines", "steps")},
                "lines_found": share(c["lines_found"], c["lines"]),
                "lines_judged": share(c["lines_judged"], c["lines"]),
                "signs_judged": share(c["holds True"] + c["holds False"], c["signs"]),
                **{f"holds_{v}": share(c[f"holds {v}"], c["steps"]) for v in (True, False, None)},
                "follows_True": share(c["follows True"], c["steps"]),
            }
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="directory with the two GSM8K files")
    data = parser.parse_args().data
    details, (rows, n, verdicts) = measure_all(data), disagreements(data)
    confirmed = sum((annotations_confirmed(traces) for traces in texts(data).values()), Counter[str]())
    plain = [arm for name, arm in details.items() if name.endswith("plain")]
    judged = sum(arm["lines_judged"] * arm["lines"] for arm in plain) / sum(arm["lines"] for arm in plain)
    write_result(
        "gsm8k-traces",
        torch.device("cpu"),
        "share of lines of plain text with an equals sign in which a step is judged",
        {"annotator": judged, PEER: peer_share(data)},
        PEER,
        details=details,
        verifier={"solutions": n, "agreement_with_is_correct": share(n - len(rows), n), **verdicts},
        confirmed=dict(sorted(confirmed.items())),
        disagreements=rows,
    )
    show(details, n, rows, confirmed)


def peer_share(data: Path) -> float:
    """Lines with an equals sign, on the plain text, in which the regular expression finds an equation."""
    lines = [line for rows in texts(data).values() for _, trace in rows for line in trace.split("\n")]
    signed = [line for line in lines if "=" in NOTE.sub("", line)]
    return sum(bool(BARE.search(NOTE.sub("", line))) for line in signed) / len(signed)


def show(table: dict[str, dict[str, float]], n: int, rows: list[dict[str, Any]], confirmed: Counter[str]) -> None:
    columns = list(next(iter(table.values())))
    print(" " * 22 + " ".join(f"{column:>12}" for column in columns))
    for name, arm in table.items():
        print(f"{name:<22}" + " ".join(f"{arm[column]:>12}" for column in columns))
    print(f"\nverifier and is_correct agree on {n - len(rows)} of {n} solutions")
    for row in rows:
        print("  ", row)
    for outcome, count in sorted(confirmed.items()):
        print(f"{outcome}: {count}")


if __name__ == "__main__":
    main()
