"""A terminal's view of an evaluation: how each bucket fared step by step, and coherence crossed with validity."""

from interp.report.terminal import BY_DEPTH, grid
from interp.rollouts import Evaluation, Share
from interp.tasks import BUCKETS

KEY_MEASURES = ("pass_rate", "valid_rate", "direct_share")


def over_steps(evaluation: Evaluation) -> str:
    """Steps by key measures, bucket by bucket, and all together; pass@k at the largest k, by answer and by steps."""
    largest = max(evaluation.config.get("k", ()), default=1)
    at_k = {f"pass_at_{largest}": f"pass@{largest}", f"valid_at_{largest}": f"valid pass@{largest}"}
    columns = {name: BY_DEPTH[name] for name in KEY_MEASURES} | (at_k if largest > 1 else {})
    there = evaluation.groups("bucket")
    places = [("bucket", bucket) for bucket in BUCKETS if bucket in there] + [("all", "all")]
    rows = []
    for by, group in places:
        for step in evaluation.steps:
            measures = evaluation.at(step, by=by, group=group)
            rows.append([group, step, *(measures[name] for name in columns)])
    return grid(["bucket", "step", *columns.values()], rows)


def crossed(evaluation: Evaluation) -> str:
    """Steps that are true as they stand against steps that are the ones due, at the last checkpoint."""
    step = evaluation.steps[-1]
    measures = evaluation.at(step)
    both, every = measures["coherent_valid"].n, measures["pass_rate"].n
    head = f"Step {step}: {both} of {every} rollouts wrote steps, and both judgements on them are known."
    rows = [
        [told, *(_counted(measures[f"{coherent}_{valid}"]) for valid in ("valid", "invalid"))]
        for told, coherent in (("yes", "coherent"), ("no", "incoherent"))
    ]
    return "\n".join([head, grid(["every step true", "valid", "not valid"], rows)])


def _counted(found: Share) -> str:
    return f"{found}  {round(found.value * found.n)}" if found.n else str(found)
