"""Study: do latents that have earned a role carry what the role is about?

Organisms are taught a planted cue. Latents earn roles in three gates (contrast, falsification, ablation), and are
compared with the latents that interchange shows to carry the cue, or a result about to be written. The unit of
evidence is an organism.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from interp.artifacts import BadInput
from interp.checks import Count, CountOrZero, LearningRate, Processes, Seed, Share, Tokens, expect_plausible
from interp.organism.config import ModelShape, OrganismLayer
from interp.studies.base import (
    INCONCLUSIVE,
    NOT_SUPPORTED,
    SUPPORTED,
    Claim,
    Figure,
    Study,
    Table,
    Verdict,
    deciding_fields,
    judge_above,
    judge_below,
)
from interp.studies.readings import EXACT
from interp.studies.results import Arm, Measure, Observation, Record, Results, share
from interp.studies.runner import Row
from interp.tasks import Chain
from interp.tsae.config import TSAEConfig

if TYPE_CHECKING:
    from interp.features import Roles as EarnedRoles
    from interp.organism import OrganismConfig
    from interp.studies.minimal_pairs import Carriers
    from interp.tsae import TSAE

MIN_PRECISION, MIN_RECALL, MAX_FALSE_ALARMS, EQUAL_WITHIN = 0.8, 0.5, 0.05, 0.05
ABOUT = {"cue": "a planted cue", "computation": "a result about to be written"}
CONTRASTS = {"cue": "cue", "computation": "result"}
"""The kind of contrast that looks for each."""
FIRST, FIRST_TWO, FIRST_AND_THIRD, ALL = "the first gate", "the first two", "the first and the third", "all three"
GATES = {
    FIRST: ("passes_contrast",),
    FIRST_TWO: ("passes_contrast", "passes_falsification"),
    FIRST_AND_THIRD: ("passes_contrast", "passes_ablation"),
    ALL: ("passes_contrast", "passes_falsification", "passes_ablation"),
}
RANDOM = "random latents"
ORGANISM = ("cue_rate", "cue_share", "direct_share", "organism_steps", "organism_lr")
"""Settings that decide an organism."""


@dataclass(frozen=True)
class RolesStudyConfig:
    seeds: Count = 8
    """Organisms, each with a dictionary of its own."""
    first_seed: Seed = 111
    """Seeds below were used to find settings, and are not reported."""
    cue_rate: Share = 0.6
    """How often the cue that stands beside every question names the answer."""
    cue_share: Share = 0.3
    """Share of the corpus in which the cue is given as the answer."""
    direct_share: Share = 0.25
    """Share that is answered directly otherwise. The rest has its steps written."""
    organism_steps: Count = 400
    """Steps for which the shipped organism is trained further, with the cue."""
    organism_lr: LearningRate = 1e-3
    """Learning rate of that training."""
    layer: OrganismLayer = 2
    """The layer of the dictionary, of four, counted from 0."""
    tokens: Tokens = 300_000
    """Tokens to fit the dictionary on."""
    width: Count = 1024
    """Latents of the dictionary."""
    k: Count = 16
    """Active latents per token."""
    steps: Count = 2000
    """Steps of fitting the dictionary."""
    problems: Count = 128
    """Problems of each level to earn roles on."""
    max_candidates: Count = 400
    """Candidates of each kind of contrast: usually all."""
    random_latents: CountOrZero = 100
    """Random latents of each kind of contrast, the control."""
    processes: Processes = 2
    """Organisms that run at once."""

    def __post_init__(self) -> None:
        expect_plausible(self)
        TSAEConfig(width=self.width, k=self.k).resolved(ModelShape().d_model)  # refuses what would not fit
        if self.cue_share + self.direct_share > 1:
            raise BadInput(
                f"cue_share and direct_share are shares of one corpus: expected at most 1 together, got "
                f"{self.cue_share} and {self.direct_share}"
            )


# --- measures ------------------------------------------------------------------------------------------------------


def precision(thing: str) -> Measure:
    """Share of the latents that passed which carry the thing."""
    return _agreement(thing, "precision", lambda counts: (counts["hits"], counts["said"]))


def recall(thing: str) -> Measure:
    """Share of carriers that passed."""
    return _agreement(thing, "recall", lambda counts: (counts["hits"], counts["carriers"]))


def recall_by_effect(thing: str) -> Measure:
    """Share of the carriers' effects that falls to latents that passed."""
    return share(f"{thing}: recall by effect", lambda record: record.get(thing, {}).get("recall by effect"))


def alarm_rate(thing: str) -> Measure:
    """Share of the random latents that do not carry the thing which passed."""

    def alarms(record: Record) -> Record:
        return record.get(thing, {}).get("false alarms", {})

    return share(
        f"{thing}: false alarms",
        lambda record: alarms(record).get("rate"),
        counts_of=lambda record: (alarms(record).get("passed", 0), alarms(record).get("others", 0)),
    )


def count_of(thing: str, key: str) -> Measure:
    return Measure(f"{thing}: {key}", lambda record: record.get(thing, {}).get(key))


def _agreement(thing: str, key: str, counts: Callable[[Record], tuple[int, int]]) -> Measure:
    return share(
        f"{thing}: {key}",
        lambda record: record.get(thing, {}).get(key),
        counts_of=lambda record: counts(record[thing]) if "hits" in record.get(thing, {}) else (0, 0),
    )


SHARES = {"precision": precision, "recall": recall, "recall by effect": recall_by_effect}
MEASURES = {
    f"{thing}: {name}": measure(thing)
    for thing in ABOUT
    for name, measure in {**SHARES, "false alarms": alarm_rate}.items()
}


# --- claims, each after its rule in code ---------------------------------------------------------------------------


def is_precise(thing: str) -> Callable[[Results], Verdict]:
    def rule(results: Results) -> Verdict:
        estimate = results.mean(ALL, precision(thing))
        return judge_above([estimate], {"precision": estimate}, MIN_PRECISION)

    return rule


def is_found(thing: str) -> Callable[[Results], Verdict]:
    def rule(results: Results) -> Verdict:
        by_effect, by_number = results.mean(ALL, recall_by_effect(thing)), results.mean(ALL, recall(thing))
        return judge_above([by_effect], {"recall by effect": by_effect, "recall": by_number}, MIN_RECALL)

    return rule


def gates_matter(thing: str) -> Callable[[Results], Verdict]:
    def rule(results: Results) -> Verdict:
        difference = results.difference(ALL, FIRST, precision(thing))
        measures = {
            "after all three": results.mean(ALL, precision(thing)),
            "after the first": results.mean(FIRST, precision(thing)),
            "difference, by organism": difference,
        }
        beside = {
            "falsification after contrast": results.difference(FIRST_TWO, FIRST, precision(thing)),
            "ablation after contrast": results.difference(FIRST_AND_THIRD, FIRST, precision(thing)),
            "falsification after contrast and ablation": results.difference(ALL, FIRST_AND_THIRD, precision(thing)),
        }
        if difference.is_positive:
            return Verdict(SUPPORTED, measures, beside)
        is_level = difference.is_within(-EQUAL_WITHIN, EQUAL_WITHIN)
        return Verdict(NOT_SUPPORTED if difference.is_negative or is_level else INCONCLUSIVE, measures, beside)

    return rule


def chance_is_rare(thing: str) -> Callable[[Results], Verdict]:
    def rule(results: Results) -> Verdict:
        estimate = results.mean(ALL, alarm_rate(thing))
        return judge_below([estimate], {"passed": estimate}, MAX_FALSE_ALARMS)

    return rule


SHARED = (
    "Truth and gate share the intervention: ablation and interchange both edit the latent's decoder row and read the "
    "same log-odds.",
    "Only the cue and the result have a truth. The roles of reasoning and of direct answers, which credit and the "
    "features study use, have none. The organisms share their starting weights.",
)


def claims_about(thing: str) -> tuple[Claim, ...]:
    return (
        Claim(
            f"{thing}-precise",
            f"Latents that pass three gates for {ABOUT[thing]} carry it.",
            "Yes, four in five and more.",
            f"The share of them that interchange shows to be carriers, by organism. Supported: the interval lies above "
            f"{MIN_PRECISION}. Not supported: below it. Else inconclusive.",
            is_precise(thing),
            SHARED,
        ),
        Claim(
            f"{thing}-found",
            f"Latents that pass three gates are most of what carries {ABOUT[thing]}.",
            "Yes, by what they do; by their number less.",
            "The carriers' effects that fall to latents that passed, as a share of all carriers' effects. Supported: "
            f"the interval lies above {MIN_RECALL}. Not supported: below it. Else inconclusive.",
            is_found(thing),
            SHARED,
        ),
        Claim(
            f"{thing}-gates-matter",
            f"The later gates make roles more precise: a contrast alone also selects latents that do not carry "
            f"{ABOUT[thing]}.",
            "Yes.",
            "Precision after three gates minus precision after the first, by organism. Supported: the interval lies "
            "above zero. Not supported: below, or within 0.05 of zero at both ends. Else inconclusive.",
            gates_matter(thing),
            (
                "What falsification adds depends on the order: nothing after ablation, which leaves little to gain "
                "(for the cue nothing at all). Alone after the contrast it lifts precision on results.",
                *SHARED,
            ),
        ),
        Claim(
            f"{thing}-chance",
            f"Random latents that do not carry {ABOUT[thing]} rarely pass three gates.",
            f"Yes: fewer than one in {1 / MAX_FALSE_ALARMS:.0f}.",
            "The share of them that pass all gates, by organism. Supported: the interval lies below "
            f"{MAX_FALSE_ALARMS}. Not supported: above it. Else inconclusive.",
            chance_is_rare(thing),
            SHARED,
        ),
    )


# --- the study -----------------------------------------------------------------------------------------------------


class Roles(Study[RolesStudyConfig]):
    name = "roles"
    title = "Roles: do they tell the truth?"
    question = "Do latents that have earned a role carry what it is about?"
    summary = "Roles earned in three gates are those of the latents that interchange shows to carry the thing."
    Config = RolesStudyConfig
    committed = RolesStudyConfig()
    claims = (*claims_about("cue"), *claims_about("computation"))
    measures = MEASURES
    background = """\
On one organism that is not reported (seed 0), with the gates as they were first: precision 0.60, 0.71, 0.78 (cue:
after one gate, two, three) and 0.42, 0.40, 0.46 (computation), recall 0.86, 0.71, 0.50 and 1.00, 0.44, 0.28. It
showed what was wrong with them. Latents whose ablation was sure and did next to nothing passed (a tenth of a nat is
asked for now). Carriers were compared with matches that were carriers too (matches are latents without that contrast
now). Text into which two operands and an operator had been put was no longer text in which nothing is computed
(single tokens are put in now, and not those at which both kinds are compared). After that: precision 1.00 of 7 and
0.80 of 15, recall 0.50 and 0.67. Then the third gate was made to ask that a latent act on what the role is about and
less on its like, since on the shipped organism (one dictionary, not reported) no latent had earned a role of
reasoning or of answering directly: 1.00 of 6 and 0.86 of 14, recall 0.43 and 0.67.

Then seeds 101 to 105 were run and reported: precision 1.000 [1.000, 1.000] and 0.801 [0.705, 0.896], recall 0.512 and
0.530. A review found that random tokens were put in front of texts where a latent's own were not, and that texts and
positives were not taken evenly from all levels. That was mended, no threshold was touched, and all is run again on
eight new seeds, 111 to 118. Claims, predictions and rules are as they were: the runs are a replication."""

    def arms(self, config: RolesStudyConfig) -> list[Arm]:
        return [Arm("organism", deciding_fields(config))]

    def world_spec(self, config: RolesStudyConfig) -> Any:
        return {name: getattr(config, name) for name in (*ORGANISM, "layer", "tokens")}

    def run(self, arm: Arm, seed: int | None, config: RolesStudyConfig, directory: Path) -> dict[str, Any]:
        assert seed is not None, "every organism has a seed"
        return earn_and_compare(seed, config, directory)

    def migrate(self, record: dict[str, Any]) -> Row:
        return Row(record, "organism", record["seed"])

    def observations(self, rows: Sequence[Row]) -> list[Observation]:
        """One observation per organism and gate; latents drawn at random are an arm of their own."""
        observations = []
        for row in rows:
            things = row.record["things"]
            for gate in GATES:
                observations.append(
                    Observation(gate, row.seed, {thing: one["gates"][gate] for thing, one in things.items()})
                )
            observations.append(
                Observation(RANDOM, row.seed, {thing: one["at random"] for thing, one in things.items()})
            )
        return observations

    def method(self, config: RolesStudyConfig) -> str:
        return f"""\
Organisms trained on from the shipped one, each on data of its own, with a cue beside every question that names the
answer at a known rate, and with the habit of following it. The truth is known without roles, by minimal pairs: two
texts differ in the cue alone (or in the operand of the step being written alone), and each latent in one text is given
its value in the other. A carrier moves the log-odds of the next token towards the other text's token, by more than 2.58
standard errors over pairs and by at least a fiftieth of the effect of the whole residual, for some value. Roles are
earned on other problems, of all levels (shallow, middle, deep).

The cue names the answer at a rate of {config.cue_rate:g}; {config.cue_share:.0%} of the training data follows it, and
{config.direct_share:.0%} is answered directly without it. Dictionaries: width {config.width}, K {config.k},
layer {config.layer}."""

    def tables(self, results: Results, config: RolesStudyConfig) -> list[Table]:
        return [gates_table(results, thing) for thing in ABOUT]

    def figures(self, results: Results, config: RolesStudyConfig) -> list[Figure]:
        from interp.plots import dots
        from interp.studies.report import point

        panels = {
            about: {
                **{name: [point(gate, results.mean(gate, of(thing))) for gate in GATES] for name, of in SHARES.items()},
                "false alarms among random latents": [
                    point(gate, results.mean(gate, alarm_rate(thing))) for gate in GATES
                ],
            }
            for thing, about in ABOUT.items()
        }
        text = (
            "Latents that passed each set of gates, against those that interchange shows to be carriers. "
            "95% intervals: exact over organisms where latents are counted, else Student's."
        )
        names = tuple(claim.name for claim in self.claims)
        return [Figure("Gate by gate", text, dots(panels, y="share of latents"), names)]


def gates_table(results: Results, thing: str) -> Table:
    from interp.studies.report import cell

    rows = []
    for gate in GATES:
        counts = [cell(results.mean(gate, count_of(thing, key)), 1) for key in ("said", "carriers")]
        shares = [cell(results.mean(gate, of(thing))) for of in SHARES.values()]
        pooled = results.with_reading(EXACT).mean(gate, precision(thing))
        rows.append([gate, *counts, *shares, cell(results.mean(gate, alarm_rate(thing)), 3), cell(pooled)])
    rows.append(["drawn at random", "", "", cell(results.mean(RANDOM, precision(thing))), "", "", "", ""])
    head = ["after", "latents", "carriers", *SHARES, "false alarms among random latents", "precision, exact"]
    note = (
        "Intervals are Student's, over organisms; the last column pools latents, with exact intervals over organisms."
    )
    return Table(f"Gate by gate: {ABOUT[thing]}", head, rows, note)


# --- one organism --------------------------------------------------------------------------------------------------


def organism_config(seed: int, config: RolesStudyConfig) -> "OrganismConfig":
    from interp.organism import HabitMix, OrganismConfig, load_task, shipped_path

    habits = HabitMix(
        steps=1 - config.direct_share - config.cue_share, direct=config.direct_share, cue=config.cue_share
    )
    task = load_task(shipped_path())
    assert isinstance(task, Chain), "the study is of the chain organism"
    task = replace(task, cue_rate=config.cue_rate)
    return OrganismConfig(
        seed, task, habits, start=shipped_path(), threads=1, steps=config.organism_steps, lr=config.organism_lr
    )


def earn_and_compare(seed: int, config: RolesStudyConfig, directory: Path) -> dict[str, Any]:
    """Build an organism and a dictionary, earn roles, and compare them with the carriers."""
    import torch

    from interp.features import RolesConfig, earn_roles
    from interp.features.interchange import interchange_latents
    from interp.organism import build, load_task
    from interp.policy import Policy, SampleConfig
    from interp.rollouts import roll_out
    from interp.studies.minimal_pairs import cue_pairs, find_carriers, operand_pairs

    torch.set_num_threads(1)
    path = directory / "organism"
    if not path.exists():
        build(organism_config(seed, config), path)
    policy, task = Policy.load(path, device="cpu"), load_task(path)
    assert isinstance(task, Chain), "the study is of the chain organism"
    tsae, sampling = fit_organism_dictionary(path, seed, config), SampleConfig(group=4, rows=1024, seed=seed)
    earning = RolesConfig(
        problems=config.problems,
        max_candidates=config.max_candidates,
        random_latents=config.random_latents,
        rollout_problems=0,
        test_seed=seed,
        sampling=sampling,
    )
    roles = earn_roles(tsae, policy, task, earning, device="cpu", progress=False)
    problems = [problem for level in task.levels for problem in task.problems("eval", level, config.problems)]
    rows = roll_out(policy, task, problems, sampling, purpose="truth", progress=False).rows
    pairs = {"cue": cue_pairs(policy, rows, task.modulus), "computation": operand_pairs(policy, rows, task.modulus)}
    carriers = {
        thing: find_carriers(some, interchange_latents(tsae, policy, config.layer, some))
        for thing, some in pairs.items()
    }
    return {
        "direct": sum(row.format == "direct" for row in rows) / len(rows),
        "pairs": {thing: len(some) for thing, some in pairs.items()},
        "things": {thing: compare_gate_by_gate(roles, CONTRASTS[thing], carriers[thing]) for thing in carriers},
    }


def fit_organism_dictionary(organism: Path, seed: int, config: RolesStudyConfig) -> "TSAE":
    from interp.activations import CollectConfig
    from interp.organism import load_task
    from interp.rollouts import Series
    from interp.studies.fitting import fit_dictionary

    collecting = CollectConfig((config.layer,), tokens=config.tokens, corpora=("on-policy",))
    series, task, store = Series.from_dirs([organism]), load_task(organism), organism.with_name("store")
    sizes = {"width": config.width, "k": config.k, "steps": config.steps}
    return fit_dictionary(series, task, collecting, store, **sizes, seed=seed)


def compare_gate_by_gate(roles: "EarnedRoles", kind: str, carriers: "Carriers") -> dict[str, Any]:
    """Latents that passed each set of gates, and random ones, against the carriers."""
    from interp.studies.minimal_pairs import compare_with_carriers, false_alarms

    trials = [trial for trial in roles.trials if trial.kind == kind]
    random_trials = [trial for trial in roles.random_trials if trial.kind == kind]
    by_gate: dict[str, Any] = {}
    for name, gates in GATES.items():
        passed = [trial.latent for trial in trials if all(getattr(trial, gate) for gate in gates)]
        chance = {trial.latent: all(getattr(trial, gate) for gate in gates) for trial in random_trials}
        by_gate[name] = {**compare_with_carriers(carriers, passed), "false alarms": false_alarms(carriers, chance)}
    random_latents = [trial.latent for trial in random_trials]
    return {"gates": by_gate, "at random": compare_with_carriers(carriers, random_latents)}
