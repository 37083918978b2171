"""Seconds a candidate of roles: gates run for many latents together, against one latent at a time.

200 candidates on 60 rollouts of 64 tokens of a real model, with a T-SAE at its middle. `one latent at a time` reads the
whole rows again for every edit (each distinct edit once), all logits in double precision, and the texts of each latent
apart: timed on some edits and latents, half of them before and half after the other arm, and scaled to 200 candidates.
`finalists` is `GateRunner` with finalists, on all 200. Then more candidates are ablated: how well first-order effects
rank exact ones, and which candidates with an effect were no finalists. On the shipped organism both arms run in full.
So do `every gate`, without finalists, and `all in turn`, with as many finalists as candidates, which loses none. Time
is of the processor.

    python benchmarks/roles.py --model DIR --work DIR

Problems, rollouts, the store and the dictionary are made in the work directory, unless they are there.
"""

import json
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import tyro
from common import write_result

from interp.activations import CollectConfig, collect
from interp.device import eval_mode
from interp.encoding import latent_on_rollouts
from interp.features import LabeledTokens, RolesConfig, Trial, label_tokens
from interp.features import falsification as falsification_module
from interp.features.ablation import estimate_effect
from interp.features.earn import by_kind, contrast_trials, correct_trials, select_candidates, select_random
from interp.features.families import IN_FRONT, Contrast, make_contrasts, role_family
from interp.features.runner import GateRunner, choose_finalists
from interp.organism import load_task, shipped_path
from interp.policy import Policy, SampleConfig
from interp.policy.residual import output_residual, record_outputs, replace_residual, resume_from
from interp.policy.score import AlignedRows, align_rows, batches_by_length, completion_logits
from interp.rollouts import Rollouts, Series, roll_out
from interp.rollouts.problems import problems_by_level
from interp.rollouts.record import Rollout
from interp.tasks import JsonlTask
from interp.tsae import TSAE, fit, preset

BEFORE, EVERY, IN_TURN, AFTER = "one latent at a time", "every gate", "all in turn", "finalists"
SHOT = "Q: What is 5 + 4 - 2?\nA: 5 + 4 = 9; 9 - 2 = 7; The answer is 7.\n"


@dataclass(frozen=True)
class Config:
    model: Path
    """A local Hugging Face directory."""
    work: Path = Path("build/benchmark-roles")
    layer: int = 15
    candidates: int = 200
    finalists: int = 8
    """Of each kind of contrast."""
    exact: int = 80
    """Candidates that are ablated exactly, for comparison with first-order effects."""
    timed_edits: int = 6
    timed_falsifications: int = 1
    problems: int = 20
    group: int = 3
    repeats: int = 2
    """Times that each arm runs on the organism, in turns."""
    organism: bool = True
    keep: bool = True
    """Write the result. Not for a dry run."""


# --- one latent at a time --------------------------------------------------------------------------------------------


class WholeRows:
    """Every edit reads whole rows again from the layer on, prompts too; every latent has its texts to itself."""

    def __init__(self, tsae: TSAE, policy: Policy, layer: int, rollouts: Sequence[Rollout]) -> None:
        self.tsae, self.policy, self.layer, self.batches = tsae, policy, layer, []
        prompts, completions = [row.prompt_ids for row in rollouts], [row.tokens for row in rollouts]
        starts = np.cumsum([0, *map(len, completions)])
        self.tokens = int(starts[-1])
        for batch in batches_by_length(prompts, completions, 8192):
            rows = align_rows(
                [prompts[i] for i in batch], [completions[i] for i in batch], policy.pad_id, policy.device
            )
            mask_BT = rows.mask_BL[:, rows.start :].bool()
            token_BT = torch.tensor([starts[i] for i in batch])[:, None] + torch.arange(mask_BT.shape[1])
            edited_BL = rows.mask_BL.bool()
            edited_BL[:, : rows.start - 1] = False
            with torch.no_grad(), eval_mode(policy.model), record_outputs(policy.model, layer) as outputs:
                clean_BT = double_log_odds(completion_logits(policy.model, rows), rows)
            self.batches.append((rows, edited_BL, outputs[0], clean_BT, torch.where(mask_BT, token_BT, -1)))

    @torch.no_grad()
    def log_odds_shift(self, latent: int, scale: float) -> np.ndarray:
        shift_N = np.zeros(self.tokens)
        for rows, edited_BL, output, clean_BT, token_BT in self.batches:
            x_BLD = output_residual(output)
            z_BL = self.tsae.encode_latent(x_BLD, latent) * edited_BL
            active = (z_BL > 0).any(1).nonzero()[:, 0]
            if not len(active):
                continue
            x_bLD = x_BLD[active] + (scale - 1) * z_BL[active][..., None] * self.tsae.W_dec[latent]
            some = AlignedRows(rows.ids_BL[active], rows.mask_BL[active], rows.start)
            model = self.policy.model
            with eval_mode(model), resume_from(model, self.layer, replace_residual(output, x_bLD)):
                shift_bT = double_log_odds(completion_logits(model, some), some) - clean_BT[active]
            real_bT = token_BT[active] >= 0
            shift_N[token_BT[active][real_bT].numpy()] = shift_bT[real_bT].numpy()
        return shift_N

    def peaks(self, texts: Sequence[Sequence[Rollout]], latents: Sequence[int]) -> list[np.ndarray]:
        """As `InjectionTest.peaks`."""
        peaks = []
        for rollouts, latent in zip(texts, latents, strict=True):
            z_N, rollout_N = latent_on_rollouts(self.tsae, self.policy, self.layer, rollouts, latent)
            peak_T = np.zeros(len(rollouts))
            np.maximum.at(peak_T, rollout_N, z_N)
            peaks.append(peak_T)
        return peaks


def double_log_odds(logits_BTV: torch.Tensor, rows: AlignedRows) -> torch.Tensor:
    tokens_BT = rows.ids_BL[:, rows.start :]
    odds = []
    for logits, tokens in zip(logits_BTV.flatten(0, 1).split(1024), tokens_BT.flatten().split(1024), strict=True):
        own = logits.double().gather(-1, tokens[:, None])
        odds.append((own - logits.double().scatter(-1, tokens[:, None], -torch.inf).logsumexp(-1, keepdim=True))[:, 0])
    return torch.cat(odds).view(tokens_BT.shape)


def falsify_alone(gates: GateRunner, whole: WholeRows, trial: Trial) -> None:
    """The texts of one latent, injected and shuffled, with no other latent's."""
    test = gates.injection_test
    together, test.peaks = test.peaks, whole.peaks
    try:
        falsification_module.falsify(test, trial.latent, gates.contrasts[trial.contrast])
    finally:
        test.peaks = together


def time_one_by_one(
    gates: GateRunner, whole: WholeRows, edits: Sequence[tuple[int, float]], tried: Sequence[Trial]
) -> tuple[list[float], list[float]]:
    """Seconds of each edit, and of each falsification."""
    edit_seconds, falsification_seconds = [], []
    for latent, scale in edits:
        start = time.process_time()
        shift_N = whole.log_odds_shift(latent, scale)
        for contrast in gates.contrasts.values():
            target_N, other_N, problem_N = contrast.target_N, contrast.other_N, gates.labeled["problem"]
            estimate_effect(shift_N, target_N, other_N, problem_N, gates.counts_BP)
        gates.measured.outcomes.effects(shift_N, gates.counts_BP)
        edit_seconds.append(time.process_time() - start)
        difference = np.abs(shift_N - gates.editor.log_odds_shift(latent, scale)).max()
        assert difference < 1e-2, f"both arms measure the same shift, to {difference}"
    for trial in tried:
        for injection in role_family(trial.family).injections:  # the control of all latents is not timed
            front = IN_FRONT in role_family(trial.family).injections
            gates.injection_test.random_token_peak(injection, front=front)
        start = time.process_time()
        falsify_alone(gates, whole, trial)
        falsification_seconds.append(time.process_time() - start)
    return edit_seconds, falsification_seconds


# --- the real model --------------------------------------------------------------------------------------------------


def write_problems(path: Path, count: int = 400) -> None:
    rng, rows = random.Random(0), {}
    while len(rows) < count:
        a, b = rng.randint(2, 9), rng.randint(2, 9)
        c = rng.randint(1, a + b - 1)
        prompt = f"{SHOT}Q: What is {a} + {b} - {c}?\nA:"
        rows[prompt] = {"id": f"{a}+{b}-{c}", "prompt": prompt, "answer": str(a + b - c), "split": "train"}
    path.write_text("".join(json.dumps(row) + "\n" for row in rows.values()))


def open_model(config: Config) -> tuple[Policy, JsonlTask, TSAE, list[Rollout]]:
    """The policy, its problems, a dictionary fitted on it, and its rollouts."""
    work = config.work / config.model.name
    work.mkdir(parents=True, exist_ok=True)
    if not (work / "problems.jsonl").exists():
        write_problems(work / "problems.jsonl")
    task, sampling = JsonlTask(work / "problems.jsonl"), SampleConfig(temperature=0.5, max_new_tokens=64, rows=64)
    policy = Policy.load(config.model, device="cpu")
    if not (work / "tsae").exists():
        collecting = CollectConfig(
            (config.layer,), tokens=20_000, corpora=("on-policy",), sampling=replace(sampling, group=1)
        )
        store = collect(Series.from_dirs([config.model]), task, config=collecting, out=work / "store", device="cpu")
        template = preset("interp")
        fitting = replace(template, width=2048, k=32, training=replace(template.training, steps=300, seed=0))
        fit(store, fitting, device="cpu").save(work / "tsae")
    if not (work / "rollouts").exists():
        problems = task.problems("train", None, config.problems)
        roll_out(policy, task, problems, replace(sampling, group=config.group), purpose="roles").save(work / "rollouts")
    return policy, task, TSAE.load(work / "tsae"), Rollouts.load(work / "rollouts").rows


def choose_candidates(labeled: LabeledTokens, contrasts: Sequence[Contrast], count: int) -> tuple[list[Trial], Any]:
    """As many candidates as are asked for, those of highest AUROC, equally many of each kind as far as there are; and
    the latents that pass the first gate. On so few rollouts fewer than 200 pass it: all are taken as if they did."""
    config = RolesConfig(max_candidates=count)
    trials = [trial for contrast in contrasts for trial in contrast_trials(labeled, contrast, config)]
    trials = correct_trials(trials, config)
    passing = {of[0].kind: {trial.latent for trial in of if trial.passes_contrast} for of in by_kind(trials)}
    alive = set(labeled.codes.latent_K.unique().tolist())
    taken = [replace(trial, passes_contrast=True) for trial in trials if trial.latent in alive]
    of_kinds, chosen = by_kind(select_candidates(taken, config)), []
    for rank in range(count):
        chosen += [of_kind[rank] for of_kind in of_kinds if rank < len(of_kind)]
    return chosen[:count], passing


def measure_model(config: Config) -> dict[str, Any]:
    policy, task, tsae, rows = open_model(config)
    labeled = label_tokens(tsae, policy, config.layer, rows, decoys=task.decoys)
    contrasts, _ = make_contrasts(labeled)
    trials, passing = choose_candidates(labeled, contrasts, config.candidates)

    def new_gates() -> GateRunner:
        return GateRunner(
            tsae, policy, config.layer, labeled, contrasts, RolesConfig(finalists=config.finalists), passing
        )

    gates, whole = new_gates(), WholeRows(tsae, policy, config.layer, rows)
    edits = sorted({(one.latent, one.scale) for trial in trials for one in gates.wanted(trial)})
    rng = np.random.default_rng(0)
    timed = [edits[i] for i in rng.choice(len(edits), config.timed_edits, replace=False)]
    tried = [trials[i] for i in rng.choice(len(trials), config.timed_falsifications, replace=False)]
    first = time_one_by_one(gates, whole, timed[::2], tried[::2])
    start = time.process_time()
    fresh = new_gates()  # it reads the rollouts again: that is part of the work
    (evaluated,) = fresh.evaluate([trials])
    after = time.process_time() - start
    second = time_one_by_one(gates, whole, timed[1::2], tried[1::2])
    edit, falsification = (
        float(np.mean([*of_first, *of_second])) for of_first, of_second in zip(first, second, strict=True)
    )
    before = len(edits) * edit + len(trials) * falsification
    print(BEFORE, round(before), "s, for", AFTER, round(after), "s", flush=True)
    return {
        "rollouts": len(rows),
        "tokens": len(labeled),
        "prompt_tokens": len(rows[0].prompt_ids),
        "contrasts": [contrast.name for contrast in contrasts],
        "candidates": len(trials),
        "seconds_an_edit_before": edit,
        "seconds_a_falsification_before": falsification,
        "distinct_edits_before": len(edits),
        "seconds": {BEFORE: before, AFTER: after},
        "seconds_a_candidate": {BEFORE: before / len(trials), AFTER: after / len(trials)},
        **compare_with_exact(fresh, evaluated, config),
    }


def compare_with_exact(gates: GateRunner, evaluated: Sequence[Trial], config: Config) -> dict[str, Any]:
    """Rank agreement of first-order with exact effects, and what finalists alone may lose: candidates with an effect
    that could still earn a role and were not among them. Candidates beyond `config.exact` are drawn at random."""
    from scipy.stats import rankdata

    def spearman(one: Any, other: Any) -> float:
        return float(np.corrcoef(rankdata(one), rankdata(other))[0, 1])

    can_pass = choose_finalists(evaluated, len(evaluated))
    order = np.random.default_rng(1).permutation(can_pass).tolist()
    finalists = [i for i in can_pass if evaluated[i].ablation is not None]
    drawn = [i for i in order if evaluated[i].ablation is None][: max(0, config.exact - len(finalists))]
    start = time.process_time()
    exact = {i: trial for i, trial in zip(drawn, gates.ablate([evaluated[i] for i in drawn]), strict=True)}
    exact |= {i: evaluated[i] for i in finalists}
    agreement = {}
    for of_kind in by_kind(list(exact.values())):
        first_order = np.array([trial.attribution for trial in of_kind], float)
        differences = [trial.ablation.difference.value for trial in of_kind if trial.ablation]
        agreement[of_kind[0].kind] = {
            "candidates": len(of_kind),
            "spearman": spearman(first_order, differences),
            "spearman_of_sizes": spearman(np.abs(first_order), np.abs(differences)),
        }
    effects = [i for i, trial in exact.items() if trial.has_effect]
    return {
        "candidates_that_can_pass": len(can_pass),
        "finalists": len(finalists),
        "ablated_exactly": len(exact),
        "agreement": agreement,
        "with_an_effect": {"finalists": len(set(effects) & set(finalists)), "others": len(set(effects) & set(drawn))},
        "lost": [
            {
                "latent": trial.latent, "contrast": trial.contrast, "first_order": trial.attribution,
                "exact": trial.ablation.difference.value,
            }
            for i, trial in exact.items() if i in drawn and trial.has_effect and trial.ablation
        ],
        "roles": [[trial.latent, trial.contrast] for trial in evaluated if trial.passes_all],
        "seconds_of_exact_ablations": time.process_time() - start,
    }  # fmt: skip


# --- the organism ----------------------------------------------------------------------------------------------------


def measure_organism(config: Config) -> dict[str, Any]:
    """Both arms in full, on the shipped organism: seconds, and the roles."""
    work, task, policy = config.work / "organism", load_task(shipped_path()), Policy.load(shipped_path(), device="cpu")
    if not (work / "tsae").exists():
        work.mkdir(parents=True, exist_ok=True)
        collecting = CollectConfig((2,), tokens=60_000, corpora=("on-policy",))
        store = collect(Series.from_dirs([shipped_path()]), task, config=collecting, out=work / "store", device="cpu")
        template = preset("interp")
        fitting = replace(template, width=512, k=16, training=replace(template.training, steps=600, seed=0))
        fit(store, fitting, device="cpu").save(work / "tsae")
    tsae = TSAE.load(work / "tsae")
    earning = RolesConfig(problems=32, max_candidates=20, random_latents=20, rollout_problems=0)
    by_level = problems_by_level(task, "train", (), earning.problems).values()
    problems = list({problem.id: problem for problems in by_level for problem in problems}.values())
    rows = roll_out(policy, task, problems, earning.sampling, purpose="roles", progress=False).rows
    labeled = label_tokens(tsae, policy, 2, rows, decoys=task.decoys)
    contrasts, _ = make_contrasts(labeled)
    trials = [trial for contrast in contrasts for trial in contrast_trials(labeled, contrast, earning)]
    trials = correct_trials(trials, earning)
    passing = {of[0].kind: {trial.latent for trial in of if trial.passes_contrast} for of in by_kind(trials)}
    groups = [select_candidates(trials, earning), select_random(trials, labeled, earning)]

    def arm(name: str) -> list[list[Trial]]:
        finalists = {IN_TURN: earning.max_candidates, AFTER: config.finalists}.get(name)
        gates = GateRunner(tsae, policy, 2, labeled, contrasts, replace(earning, finalists=finalists), passing)
        if name == BEFORE:
            whole = WholeRows(tsae, policy, 2, rows)
            editor: Any = gates.editor
            editor.log_odds_shifts = lambda edits, *_: np.stack(
                [whole.log_odds_shift(edit.latents[0], edit.scale) for edit in edits]
            )
            gates.injection_test.peaks = whole.peaks
        return gates.evaluate(groups)

    seconds: dict[str, list[float]] = {}
    roles: dict[str, list[list[Any]]] = {}
    for _ in range(config.repeats):
        for name in (BEFORE, EVERY, IN_TURN, AFTER):
            start = time.process_time()
            candidates, random_trials = arm(name)
            seconds.setdefault(name, []).append(time.process_time() - start)
            roles[name] = sorted(
                [group, trial.latent, trial.contrast]
                for group, some in (("candidate", candidates), ("random", random_trials))
                for trial in some
                if trial.passes_all
            )
    return {
        "candidates": len(groups[0]),
        "random_latents": len(groups[1]),
        "rollouts": len(rows),
        "tokens": len(labeled),
        "seconds": {name: float(np.median(all_seconds)) for name, all_seconds in seconds.items()},
        "roles": roles,
        "the_same_roles": {name: found == roles[BEFORE] for name, found in roles.items()},
    }


def main(config: Config) -> None:
    torch.set_num_threads(1)
    model = measure_model(config)
    print(json.dumps(model, indent=1), flush=True)
    organism = measure_organism(config) if config.organism else {}
    print(json.dumps(organism, indent=1), flush=True)
    if config.keep:
        arms = {name: model["candidates"] / total for name, total in model["seconds"].items()}
        arms = {AFTER: arms[AFTER], BEFORE: arms[BEFORE]}
        print(
            write_result(
                "roles", torch.device("cpu"), "candidates a second", arms, BEFORE, model=model, organism=organism
            )
        )


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
