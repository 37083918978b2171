"""Our verdicts on free text beside those of math-verify alone, on the tables of right and of wrong answers.

Each case is a question, its label, a completion, and whether it is right. math-verify gets the completion and the label
as they are: it takes the last expression that it finds for the answer, whether announced or not. The result lists every
case on which either is not of the expected verdict. The tables were written while ours was developed, so that its own
zeros are in-sample.

    python benchmarks/verifiers.py
"""

import json
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from common import provenance
from math_verify import parse, verify

from interp.artifacts import versions, write_json
from interp.display import text_columns
from interp.tasks import Problem
from interp.tasks.text.verdicts import verify_text

TABLES = Path(__file__).parent.parent / "data" / "adversarial"
RESULT = Path(__file__).parent / "results" / "verifiers.json"
Verifier = Callable[[Problem, str], bool]


def ours(problem: Problem, completion: str) -> bool:
    return verify_text(problem, completion).rewarded


def math_verify(problem: Problem, completion: str) -> bool:
    gold = parse(f"${problem.answer}$")
    return bool(verify(gold, parse(completion)))


VERIFIERS: dict[str, Verifier] = {"interp": ours, "math-verify": math_verify}


def measure(table: Path) -> dict[str, Any]:
    """Cases, cases of another verdict than the expected one, and milliseconds per case, by verifier."""
    cases = [json.loads(line) for line in table.read_text().split("\n") if line]
    result: dict[str, Any] = {"cases": len(cases)}
    for name, verifier in VERIFIERS.items():
        start, disagreeing = time.perf_counter(), []
        for case in cases:
            verdict = verifier(Problem(case["case"], case["prompt"], case["answer"]), case["completion"])
            if verdict is not case["expect"]["correct"]:
                disagreeing.append({name: case[name] for name in ("case", "answer", "completion")})
        milliseconds = 1000 * (time.perf_counter() - start) / len(cases)
        result[name] = {"disagreeing": disagreeing, "count": len(disagreeing), "ms per case": round(milliseconds, 3)}
    return result


def main() -> None:
    logging.disable(logging.WARNING)  # math-verify warns of each expression that it cannot read
    torch.set_num_threads(1)
    results = {name: measure(TABLES / f"math_{name}.jsonl") for name in ("right", "wrong")}
    rows = [
        [f"{table} answers", result["cases"], name, result[name]["count"], result[name]["ms per case"]]
        for table, result in results.items()
        for name in VERIFIERS
    ]
    print(text_columns(["table", "cases", "verifier", "other verdict than expected", "ms per case"], rows))
    write_json(RESULT, {**provenance(torch.device("cpu")), "versions": versions("interp", "math-verify"), **results})


if __name__ == "__main__":
    main()
