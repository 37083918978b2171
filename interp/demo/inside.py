"""Inside the runs: a dictionary of the base and of what training made of it, what its latents are for, where they went.

Each part is kept under the plan's `inside` as it is done, and opened where it is there.
"""

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

from interp.activations import collect
from interp.demo.arms import HARD, MEDIUM, run_of
from interp.demo.plan import Plan
from interp.rollouts.series import Series
from interp.tasks.base import Task
from interp.tracking.config import AskConfig, TrackConfig

if TYPE_CHECKING:
    from interp.credit import FeatureCredit
    from interp.features import Roles
    from interp.policy import Policy
    from interp.tracking import Comparison, Tracks
    from interp.tsae import TSAE, Quality

SLOW_FACTS = ("format", "steps left", "depth")
"""What holds for more than one token, of an answer."""
FACTS = (*SLOW_FACTS, "operator", "digit")
DOCUMENTS = 600
"""Of what is held out, that facts are read off."""


@dataclass(frozen=True)
class Fitted:
    tsae: "TSAE"
    quality: "Quality"
    told: dict[str, dict[str, float | None]]
    """Of each fact: the AUROC of probes of five latents of a block, on problems they were not fitted on."""


def fitted(task: Task, plan: Plan, *, device: str, bar: bool) -> Fitted:
    """A dictionary of the base, of medium's end and of hard's, measured on problems it was not fitted on."""
    from interp.tsae import TSAEConfig, evaluate, fit

    ends = [run_of(plan, arm).series.last.path for arm in (MEDIUM, HARD)]
    series, sizes = Series.from_dirs([run_of(plan, HARD).series.base.path, *ends]), plan.sizes
    asked: dict[str, Any] = {"layer": sizes.layer, "device": device, "bar": bar}
    store = collect(series, task, tokens=sizes.tokens, out=plan.inside / "store", **asked)
    unseen = {"tokens": sizes.held_out, "corpora": ("held-out",), "out": plan.inside / "held-out"}
    held_out = collect(series, task, **unseen, **asked)
    config = TSAEConfig(width=sizes.width)
    config = replace(config, training=replace(config.training, steps=plan.learn, seed=plan.seed))
    tsae = fit(store, config, out=plan.inside / "dictionary", device=device, bar=bar)
    policies = {member.step: member.load(device=device) for member in series}
    found = evaluate(tsae, held_out, policies=policies.__getitem__, documents=sizes.documents, device=device, bar=bar)
    return Fitted(tsae, found, _told(tsae, held_out, policies[series.base.step], sizes.layer))


def _told(tsae: "TSAE", held_out: Any, base: "Policy", layer: int) -> dict[str, dict[str, float | None]]:
    from interp.studies.dictionary.facts import sample
    from interp.tsae.metrics import ProbeConfig, probe, spans

    tokenizer: Any = base.tokenizer
    words = [tokenizer.convert_ids_to_tokens(at) for at in range(len(tokenizer))]
    found = sample(held_out, layer, words, DOCUMENTS)
    z_NF, told = tsae.to("cpu").encode(found.x_ND), {}
    for fact in FACTS:
        blocks = zip(("slow block", "other block"), spans(tsae.widths), strict=True)
        asking = {name: (z_NF[:, span], found.labels[fact], found.problem_N) for name, span in blocks}
        told[fact] = {name: probe(*of, ProbeConfig(ks=(5,)))[0].auroc for name, of in asking.items()}
    return told


def roles_of(tsae: "TSAE", base: "Policy", task: Task, plan: Plan, *, bar: bool) -> "Roles":
    """Earned on the base, where all habits are alive still."""
    from interp.features import Roles, earn_roles

    place, made_from = plan.inside / "roles", {"tsae": tsae.fingerprint(), "policy": base.fingerprint()}
    if not place.exists():
        earning = replace(plan.sizes.earning, gates_seed=plan.seed)
        earn_roles(tsae, base, task, earning, device=str(base.device), bar=bar).save(place)
    return Roles.load(place, made_from=made_from)


def tracks_of(tsae: "TSAE", task: Task, plan: Plan, *, device: str, bar: bool) -> "Tracks":
    """Through the hard run."""
    from interp.tracking import track

    asked = {field.name: getattr(plan.sizes.asking, field.name) for field in fields(AskConfig)}
    told: dict[str, Any] = {"out": plan.inside / "tracks", "device": device, "bar": bar}
    return track(tsae, run_of(plan, HARD).series, task, TrackConfig(**asked), **told)


def comparison_of(tsae: "TSAE", roles: "Roles", task: Task, plan: Plan, *, device: str, bar: bool) -> "Comparison":
    """A is what was trained on medium problems, B on hard ones; the base is that of both."""
    from interp.tracking import compare

    told: dict[str, Any] = {"out": plan.inside / "compared", "device": device, "bar": bar}
    medium, hard = run_of(plan, MEDIUM), run_of(plan, HARD)
    return compare(tsae, medium, hard, task, plan.sizes.asking, roles=roles, **told)


def credit_of(tsae: "TSAE", roles: "Roles") -> "FeatureCredit | None":
    """None where no latent has earned a role that credit could go by."""
    import warnings

    from interp.credit import FeatureCredit
    from interp.credit.role_latents import bearers_of

    if not bearers_of(roles):
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a family that is missing the demo tells itself
        return FeatureCredit(tsae, roles)
