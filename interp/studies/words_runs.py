"""Runs of the words study: measured buckets, one training of an arm, and one dictionary of a seed.

Problems are put into buckets on one set of the base's answers, and the base is measured on another: a problem that was
chosen for its many right answers has fewer the next time.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from interp.artifacts import locked
from interp.rollouts.record import Rollout
from interp.studies.features_measures import RESAMPLED
from interp.studies.results import rounded
from interp.tasks.base import BUCKETS

if TYPE_CHECKING:
    from interp.credit.base import CreditScheme
    from interp.features import Roles
    from interp.grpo import Run
    from interp.grpo.config import GRPOConfig
    from interp.policy import Policy, SampleConfig
    from interp.rollouts import Buckets
    from interp.studies.words import WordsConfig
    from interp.tasks.base import Problem, Task
    from interp.tsae import TSAE

BASE = "base"
EASY, MEDIUM, HARD, DEEP, VALID_ALONE = "easy", "medium", "hard", "deep", "deep, only valid answers paid"
TRAINED_ON = {EASY: EASY, MEDIUM: MEDIUM, HARD: HARD, DEEP: DEEP, VALID_ALONE: DEEP}
"""Arms, and what each is trained on: a measured bucket, or the level `deep` of the task."""
ALL = "all"
RATES = ("pass_rate", "valid_rate", "direct_share")
LOGGED = ("step", "reward", "pass_rate", "valid_rate", "lucky_share", "direct_share", "length", "mixed_groups")


@dataclass(frozen=True)
class World:
    """The base, its task and the measured problems of one seed."""

    config: "WordsConfig"
    seed: int | None
    directory: Path

    @property
    def base_path(self) -> Path:
        from interp.organism import shipped_path

        return self.config.base or shipped_path("words")

    def base(self) -> "Policy":
        from interp.policy import Policy

        return Policy.load(self.base_path, device="cpu")

    def task(self) -> "Task":
        from interp.organism import load_task

        return load_task(self.base_path)

    # --- buckets -----------------------------------------------------------------------------------------------------

    def buckets(self, split: str, per_depth: int) -> "Buckets":
        """Problems of a split, the same for all seeds, put into buckets by the base's pass rate."""
        from interp.rollouts import BucketConfig, Buckets, bucket

        config, task = self.config, self.task()
        directory = self.directory.parent / f"buckets-{split}-{per_depth}-{config.bucket_samples}"
        with locked(directory.parent, wait=True):
            if directory.exists():
                return Buckets.load(directory)
            settings = BucketConfig(n=config.bucket_samples, max_new_tokens=config.max_new_tokens, rows=config.rows)
            problems = [
                problem
                for depth in range(task.depths[0], task.depths[1] + 1)  # pyright: ignore[reportOptionalSubscript]
                for problem in task.problems(split, depth, per_depth)
            ]
            measured = bucket(self.base(), task, problems, config=settings, progress=False)
            measured.save(directory)
            return measured

    def evaluation_problems(self) -> "list[Problem]":
        """Held-out problems. Their level is their measured bucket."""
        measured = self.buckets("eval", self.config.problems)
        return [problem for name in BUCKETS for problem in measured.problems(name)]

    # --- training ----------------------------------------------------------------------------------------------------

    def train(self, arm: str) -> "Run":
        """The training run of an arm. A finished run is opened, not run again."""
        from interp.grpo import train

        measured = self.buckets("train", self.config.train_problems)
        trained_on = TRAINED_ON[arm]
        problems = measured.problems(trained_on) if trained_on in BUCKETS else trained_on
        out = self.directory / arm.replace(", ", "-").replace(" ", "-")
        scheme, settings = scheme_of(arm), self._grpo_config()
        with locked(out.with_name(f"{out.name}-once"), wait=True):
            return train(self.base(), self.task(), problems, config=settings, credit=scheme, out=out, progress=False)

    def _grpo_config(self) -> "GRPOConfig":
        from interp.grpo.config import GRPOConfig, UpdateConfig

        config = self.config
        return GRPOConfig(
            steps=config.steps,
            prompts=config.prompts,
            sampling=self.sampling(config.group),
            update=UpdateConfig(lr=config.lr, micro_tokens=config.micro_tokens),
            save_every=config.steps,
            without_signal="go on",  # an arm that finds none is a result
        )

    def sampling(self, group: int) -> "SampleConfig":
        from interp.policy import SampleConfig

        config = self.config
        return SampleConfig(group, config.max_new_tokens, rows=config.rows, seed=self.seed or 0)

    # --- measuring ---------------------------------------------------------------------------------------------------

    def measure(self, policy: "Policy", answers: int, purpose: str = "evaluate") -> dict[str, Any]:
        """Rates by bucket, and the counts of each problem behind them."""
        rollouts = self.answer(policy, self.evaluation_problems(), answers, purpose)
        return {"rates": rates_by_bucket(rollouts), "problems": counts_by_problem(rollouts)}

    def answer(self, policy: "Policy", problems: "Sequence[Problem]", answers: int, purpose: str) -> list[Rollout]:
        from interp.rollouts import roll_out

        rollouts = roll_out(policy, self.task(), problems, self.sampling(answers), purpose=purpose, progress=False)
        return rollouts.rows


def scheme_of(arm: str) -> "CreditScheme | None":
    from interp.credit import StepValidity

    return StepValidity(weights=False) if arm == VALID_ALONE else None


FLAGS = {
    "pass_rate": lambda row: row.correct,
    "valid_rate": lambda row: bool(row.valid),
    "direct_share": lambda row: row.format == "direct",
}


def rates_by_bucket(rollouts: Sequence[Rollout]) -> dict[str, dict[str, float]]:
    """Each rate in each bucket, and over all problems."""
    groups: dict[str, list[Rollout]] = {ALL: list(rollouts)}
    for row in rollouts:
        groups.setdefault(str(row.level), []).append(row)
    return {
        name: {rate: round(sum(map(flag, rows)) / len(rows), 5) for rate, flag in FLAGS.items()}
        for name, rows in groups.items()
    }


def counts_by_problem(rollouts: Sequence[Rollout]) -> dict[str, list[Any]]:
    """For each problem its bucket, its answers, and how many of them each rate counts."""
    rows: dict[str, list[Rollout]] = defaultdict(list)
    for row in rollouts:
        rows[row.problem].append(row)
    return {name: [of[0].level, len(of), *(sum(map(flag, of)) for flag in FLAGS.values())] for name, of in rows.items()}


# --- one run of an arm ---------------------------------------------------------------------------------------------


def measure_base(world: World) -> dict[str, Any]:
    sizes = world.buckets("train", world.config.train_problems).counts()
    return world.measure(world.base(), world.config.base_answers) | {"train_problems": sizes}


def train_arm(world: World, arm: str) -> dict[str, Any]:
    from interp.grpo import Diverged

    try:
        run = world.train(arm)
    except Diverged as error:  # a result too: the other arms must still run
        return {"diverged": str(error)}
    metrics = run.table()
    steps = {name: rounded(metrics[name].to_list()) for name in LOGGED if name in metrics.columns}
    return world.measure(run.policy(device="cpu"), world.config.answers) | {"steps": steps}


def measure_dictionary(world: World, arms: Sequence[str]) -> dict[str, Any]:
    """Fit the dictionary of a seed, earn roles in the base, measure their families in every policy, and track every
    arm's latents."""
    import torch

    from interp.studies.family_strengths import FamilyMeter

    torch.set_num_threads(1)
    runs = {arm: world.train(arm) for arm in arms}
    base = world.base()
    tsae = fit_seed_dictionary(world, runs)
    roles = earn_base_roles(world, tsae, base)
    problems = world.evaluation_problems()
    text = world.answer(base, problems, world.config.strength_answers, "fixed text")
    meter = FamilyMeter.from_roles(tsae, world.config.layer, roles, base, text)
    policies = {BASE: base, **{arm: run.series.checkpoints[-1].load(device="cpu") for arm, run in runs.items()}}
    strengths = {}
    for arm, policy in {**policies, RESAMPLED: base}.items():
        purpose = "base, sampled again" if arm == RESAMPLED else "strengths"
        strengths[arm] = meter.measure(policy, world.answer(policy, problems, world.config.strength_answers, purpose))
    return {
        "families": {name: {"latents": one.latents, "matches": one.matches} for name, one in meter.families.items()},
        "strengths": strengths,
        "counts": roles.summary().to_dicts(),
        "tracks": {arm: track_arm(world, tsae, roles, run) for arm, run in runs.items()},
        "fve": tsae.fit_metrics.get("fve"),
    }


def fit_seed_dictionary(world: World, runs: "Mapping[str, Run]") -> "TSAE":
    from interp.activations import CollectConfig
    from interp.rollouts import Series
    from interp.studies.fitting import fit_dictionary

    config, seed = world.config, world.seed or 0
    series = Series.from_dirs([world.base_path, *(run.series.checkpoints[-1].path for run in runs.values())])
    collecting = CollectConfig((config.layer,), tokens=config.tokens, precision="bfloat16", sampling=world.sampling(4))
    store = world.directory / f"store-{config.layer}-{config.tokens}"
    sizes = {"width": config.width, "k": config.k, "steps": config.fit_steps}
    return fit_dictionary(series, world.task(), collecting, store, **sizes, seed=1000 * seed)


def earn_base_roles(world: World, tsae: "TSAE", base: "Policy") -> "Roles":
    from interp.features import RolesConfig, earn_roles

    config = world.config
    earning = RolesConfig(
        problems=config.role_problems, max_candidates=config.candidates, random_latents=8, finalists=config.finalists,
        rollout_problems=0, test_seed=world.seed or 0, micro_tokens=config.micro_tokens, sampling=world.sampling(4),
    )  # fmt: skip
    return earn_roles(tsae, base, world.task(), earning, device="cpu", progress=False)


def track_arm(world: World, tsae: "TSAE", roles: "Roles", run: "Run") -> list[dict[str, Any]]:
    """Numbers of latents by verdict, for each bucket, comparison and role."""
    from interp.tracking import TrackConfig, track

    config = world.config
    tracking = TrackConfig(
        problems=config.track_problems, loss_rollouts=0, micro_tokens=config.micro_tokens, sampling=world.sampling(4)
    )
    buckets = world.buckets("eval", config.problems)
    out = world.directory / f"tracks-{run.path.name}"
    tracks = track(tsae, run.series, config=tracking, buckets=buckets, out=out, device="cpu", progress=False)
    return tracks.changes(roles=roles).summary(by_role=True).to_dicts()
