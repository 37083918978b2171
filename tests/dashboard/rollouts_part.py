"""The rollouts of a synthetic report: problems, columns, and blocks with what every token carries."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from dashboard.features_part import Live
from dashboard.report_parts import SPLIT, WORDS, Chunks, Shape, Texts

FORMATS = ("steps", "answer alone", "none", "malformed")
TOKEN_ROLES = (
    "carry", "operator", "operand", "equals", "result", "separator", "marker", "answer", "end", "text",
)  # fmt: skip
STEP = ("carry", "operator", "operand", "equals", "result", "separator")
"""Roles of the tokens of one step, such as `12 + 7 = 19 ;`."""
NONE = 0xFFFFFFFF
LIVE = 4
GROUP = 4


@dataclass(frozen=True)
class Block:
    """Consecutive rollouts of one checkpoint. source: 0 training, 1 asked for, 2 probe text."""

    checkpoint: int
    source: int
    first: int
    count: int


def make_rollouts(
    rng: np.random.Generator, chunks: Chunks, text: Texts, shape: Shape, prompt_length: int
) -> tuple[dict[str, Any], Live]:
    blocks = list(_blocks(shape))
    groups = max(1, max(block.count for block in blocks) // GROUP)
    problems = _problems(text, shape, groups, prompt_length)
    columns = _columns(rng, shape, blocks, problems)
    arrays, live = [], []
    for number, block in enumerate(blocks):
        tokens, pairs = _tokens(rng, text, shape, block, columns)
        live.append(pairs)
        start = int(columns["start"][block.first])
        names = {
            name: chunks.array(f"block.{number}.{name}", values, dtype) for name, (values, dtype) in tokens.items()
        }
        arrays.append({
            "checkpoint": block.checkpoint, "source": block.source, "first": block.first, "count": block.count,
            "start": start, "tokens": len(tokens["token"][0]), "arrays": names,
        })  # fmt: skip
    answers = [None if row % 11 == 5 else text(str(row % 97)) for row in range(shape.R)]
    dtypes = {
        "checkpoint": "u2", "problem": "u4", "sample": "u4", "bucket": "u1", "correct": "u1", "valid": "u1",
        "lucky": "u1", "format": "u1", "truncated": "u1", "reward": "f4", "gate": "f4", "first_error": "i4",
        "source": "u1", "start": "u4", "length": "u4",
    }  # fmt: skip
    part = {
        "count": shape.R,
        "problems": chunks.json("problems", problems),
        "columns": {name: chunks.array(f"column.{name}", columns[name], dtype) for name, dtype in dtypes.items()}
        | {"answer": chunks.json("column.answer", answers)},
        "formats": text.names(FORMATS),
        "token_texts": chunks.json("token_texts", text.vocabulary()),
        "blocks": arrays,
        "extras": _extras(rng, chunks, text, blocks, arrays) if "extras" in shape.has else [],
        "token_roles": text.names(TOKEN_ROLES),
    }
    if "payments" in shape.has:  # reports of earlier versions have none
        part["payments"] = _payments(rng, chunks, text, blocks, arrays, columns)
    merged = tuple(np.concatenate(parts) for parts in zip(*live, strict=True))
    return part, merged  # pyright: ignore[reportReturnType]


def _blocks(shape: Shape) -> Iterator[Block]:
    """The base, a middle and the last checkpoint of the first run, the last of the second, and probe text."""
    steps = shape.runs[0]
    wanted = [(steps[0], 1), (steps[len(steps) // 2], 1), (steps[-1], 0), (shape.runs[1][-1], 0)]
    wanted = [*dict.fromkeys(wanted), (steps[0], 2)]
    ends = np.linspace(0, shape.R, len(wanted) + 1).astype(int)
    for (checkpoint, source), first, end in zip(wanted, ends[:-1], ends[1:], strict=True):
        yield Block(checkpoint, source, int(first), int(end - first))


def _problems(text: Texts, shape: Shape, count: int, prompt_length: int) -> list[dict[str, Any]]:
    problems = []
    for index in range(count):
        prompt = f"Start with {index}. Add {index % 7}, then double it, then take {index % 5} away. What is left?"
        prompt = (prompt + " ") * (prompt_length // len(prompt) + 1) if index == 0 and prompt_length else prompt
        bucket = None if index % 17 == 16 else index % shape.B
        depth = None if index % 13 == 12 else 2 + index % 6
        row = {"id": f"problem-{index}", "prompt": text(prompt), "label": text(str(index % 97)), "bucket": bucket}
        problems.append(row | {"depth": depth})
    return problems


def _columns(
    rng: np.random.Generator, shape: Shape, blocks: list[Block], problems: list[dict[str, Any]]
) -> dict[str, np.ndarray]:
    R = shape.R
    place = np.concatenate([np.arange(block.count) for block in blocks])
    checkpoint = np.concatenate([np.full(block.count, block.checkpoint) for block in blocks])
    source = np.concatenate([np.full(block.count, block.source) for block in blocks])
    problem = np.minimum(place // GROUP, len(problems) - 1)
    buckets = np.array([255 if row["bucket"] is None else row["bucket"] for row in problems])
    age = checkpoint / max(1, checkpoint.max())
    correct = rng.random(R) < 0.2 + 0.5 * age - 0.05 * np.minimum(buckets[problem], 3)
    valid = np.where(rng.random(R) < 0.1, 2, correct & (rng.random(R) < 0.8))
    lucky = np.where(valid == 2, 2, correct & (valid == 0))
    length = rng.integers(max(1, shape.tokens // 2), shape.tokens + 1, R)
    gate = np.where(source == 0, np.where(lucky == 1, 0.3, 1.0), np.nan)
    wrong = ~correct & (rng.random(R) < 0.9) & ("steps" in shape.has)
    return {
        "checkpoint": checkpoint, "problem": problem, "sample": place - GROUP * problem, "bucket": buckets[problem],
        "correct": correct, "valid": valid, "lucky": lucky,
        "format": rng.choice(len(FORMATS), R, p=(0.7, 0.15, 0.1, 0.05)),
        "truncated": rng.random(R) < 0.05, "reward": correct.astype(float), "source": source, "length": length,
        "gate": gate if "credit" in shape.has else np.full(R, np.nan),
        "first_error": np.where(wrong, (length * rng.random(R)).astype(int), -1),
        "start": np.concatenate([[0], np.cumsum(length)[:-1]]),
    }  # fmt: skip


# --- tokens --------------------------------------------------------------------------------------------------------


def _tokens(
    rng: np.random.Generator, text: Texts, shape: Shape, block: Block, columns: dict[str, np.ndarray]
) -> tuple[dict[str, tuple[np.ndarray, str]], Live]:
    rows = np.arange(block.first, block.first + block.count)
    length = columns["length"][rows]
    row = np.repeat(rows, length)
    position = np.concatenate([np.arange(size) for size in length]) if len(length) else np.zeros(0, int)
    N = len(row)
    nothing, has = np.full(N, np.nan), shape.has
    trained = block.source == 0 and "credit" in has
    advantage = _advantages(columns, rows)[row - block.first] if trained else nothing
    weights = rng.gamma(2, 0.5, N) + 1e-3
    weights *= (length / np.bincount(row - block.first, weights, minlength=block.count))[row - block.first]
    latent, value = _live(rng, shape.A, N)
    base = rng.random((N, 1)) < 0.6
    error = columns["first_error"][row]
    state = np.where((error >= 0) & (position >= error), 2, np.where(position % 24 == 5, 3, 1))
    logprob = -rng.gamma(0.5, 0.6, N)
    roles = np.array([TOKEN_ROLES.index(name) for name in STEP])[position % len(STEP)]
    roles = np.where(position == length[row - block.first] - 1, TOKEN_ROLES.index("end"), roles)
    none, zeros = np.full((N, LIVE), NONE), np.zeros((N, LIVE))
    has_base = "base" in has and block.source != 2
    arrays = {
        "token": (_token_ids(rng, text, row, position), "u4"),
        "logprob": (logprob, "f2"), "entropy": (rng.gamma(1, 0.4, N), "f2"),
        "advantage": (advantage * weights, "f2"), "credit": (weights if trained else nothing, "f2"),
        "base_logprob": (logprob - rng.gamma(1, 0.2, N) if has_base else nothing, "f2"),
        "role": (roles, "u1"),
        "state": (state if "steps" in has else np.zeros(N), "u1"),
        "step": (position // len(STEP) + 1 if "steps" in has else np.zeros(N), "u2"),
        "live_latent": (latent, "u4"), "live_value": (value, "f2"),
        "base_latent": (np.where(base, latent, NONE) if has_base else none, "u4"),
        "base_value": (np.where(base, value * rng.uniform(0.5, 1.2, (N, 1)), 0) if has_base else zeros, "f2"),
    }  # fmt: skip
    token, slot = np.nonzero(latent != NONE)
    return arrays, (row[token], position[token], latent[token, slot], value[token, slot])


def _advantages(columns: dict[str, np.ndarray], rows: np.ndarray) -> np.ndarray:
    """Gated reward less the mean of its group."""
    reward, problem = columns["reward"][rows] * columns["gate"][rows], columns["problem"][rows]
    sums = np.bincount(problem, reward)[problem]
    return reward - sums / np.bincount(problem)[problem]


def _live(rng: np.random.Generator, A: int, N: int) -> tuple[np.ndarray, np.ndarray]:
    """The active latents of each token, strongest first. Few latents are frequent, most are rare."""
    latent = (A * rng.random((N, LIVE)) ** 2.5).astype(np.int64)
    value = np.sort(rng.gamma(2, 0.6, (N, LIVE)))[:, ::-1]
    double = np.zeros((N, LIVE), bool)
    for slot in range(1, LIVE):
        double[:, slot] = (latent[:, :slot] == latent[:, slot : slot + 1]).any(1)
    absent = double | (rng.random((N, LIVE)) < 0.1) | (A == 0)
    return np.where(absent, NONE, latent), np.where(absent, 0, value)


def _token_ids(rng: np.random.Generator, text: Texts, row: np.ndarray, position: np.ndarray) -> np.ndarray:
    """Steps of sums; every tenth rollout has the pieces of a code point in a row, a hostile report hostile tokens."""
    column, N = position % len(STEP), len(row)
    numbers = rng.integers(0, 100, N)
    signs = 100 + rng.integers(0, 4, N)
    words = 110 + rng.integers(0, len(WORDS) - 110, N)
    ids = np.select([column == 1, column == 3, column == 5], [signs, np.full(N, 104), np.full(N, 105)], numbers)
    ids = np.where(row % 3 == 1, words, ids)
    piece = (row % 10 == 3) & (position < len(SPLIT))
    ids = np.where(piece, len(WORDS) + position, ids)
    if text.hostile:
        first = len(WORDS) + len(SPLIT)
        hostile = rng.integers(first, len(text.vocabulary()) - 1, N)
        hostile[rng.random(N) < 0.002] = len(text.vocabulary()) - 1  # the long one
        ids = np.where(rng.random(N) < 0.3, hostile, ids)
    return ids


def _extras(
    rng: np.random.Generator, chunks: Chunks, text: Texts, blocks: list[Block], arrays: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """One more colouring, of the trained blocks alone."""
    names = {
        str(number): chunks.array(f"extra.0.{number}", rng.normal(0, 0.3, arrays[number]["tokens"]), "f2")
        for number, block in enumerate(blocks) if block.source == 0
    }  # fmt: skip
    return [
        {
            "name": text("delta V"),
            "what": text("What the value of the rollout changes by at the token."),
            "arrays": names,
        }
    ]


def _payments(
    rng: np.random.Generator,
    chunks: Chunks,
    text: Texts,
    blocks: list[Block],
    arrays: list[dict[str, Any]],
    columns: dict[str, np.ndarray],
) -> list[dict[str, Any]]:
    """A readout of two sources beside one of the first, for the trained blocks. It does not read failures."""
    trained = [number for number, block in enumerate(blocks) if block.source == 0]
    rows = np.concatenate([np.arange(blocks[at].first, blocks[at].first + blocks[at].count) for at in trained])
    is_read_R = columns["correct"][rows].astype(bool)

    def side(name: str, sources: list[str]) -> dict[str, Any]:
        added = rng.normal(0, 2, (len(rows), len(sources)))
        p = 1 / (1 + np.exp(2 - added.sum(1)))
        gate = np.maximum(0, p - p.mean())
        numbers = np.column_stack([p, np.where(is_read_R, gate, 1), gate, np.full(len(rows), -2.0), added])
        numbers[:, [0, 3, *range(4, numbers.shape[1])]] = np.where(
            is_read_R[:, None], numbers[:, [0, 3, *range(4, numbers.shape[1])]], np.nan
        )
        tokens = {}
        for number in trained:
            read = rng.normal(0, 0.2, (arrays[number]["tokens"], len(sources)))
            read[np.arange(len(read)) % 6 != 4, 1:] = np.nan
            place = f"payments.{name}.{number}"
            advantage = rng.normal(0, 0.5, arrays[number]["tokens"])
            tokens[str(number)] = {
                "read": chunks.array(f"{place}.read", read, "f2"),
                "advantage": chunks.array(f"{place}.advantage", advantage, "f2"),
            }
        values = chunks.array(f"payments.{name}.values", numbers, "f4")
        return {"name": text(" + ".join(sources)), "reader": "base", "sources": text.names(sources), "values": values,
                "tokens": tokens}  # fmt: skip

    return [{
        "rows": chunks.array("payments.rows", rows, "u4"), "columns": ["p", "gate", "paid", "at_mean"],
        "scheme": side("scheme", ["likelihood", "latents"]), "control": side("control", ["likelihood"]),
    }]  # fmt: skip
