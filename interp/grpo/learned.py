"""What the credit of a run had learned by one of its steps, and why it paid what it paid.

A run saves the audits of its readout in the order in which they were made, and its metrics say how many there were at
each step. So the fit that was in use at a step can be made again; and a scheme that reads some of the same sources can
be fitted on the same audits: a control that had the same labels.

    scheme = interp.grpo.learned_credit(run, scheme, step=20)
    explanation = interp.grpo.explain_run(run, scheme, control=control)
"""

from collections.abc import Mapping, Sequence
from dataclasses import is_dataclass, replace
from typing import TYPE_CHECKING, Any, TypeGuard, TypeVar

from torch import Tensor

from interp.artifacts import BadInput, Mismatch, describe_changes, open_artifact, to_json
from interp.credit.base import CreditScheme, Learning, RolloutBatch
from interp.credit.uniform import Uniform
from interp.grpo.advantages import assign_advantages
from interp.grpo.run import Run
from interp.grpo.specs import spec_of
from interp.training_state import KIND, load_tensors

if TYPE_CHECKING:
    from interp.credit.explanation import CreditExplanation, SchemePayments
    from interp.credit.readout import ReadoutCredit
    from interp.policy import Policy

PLACE = "credit/"
"""Where a run keeps what its credit has learned."""
S = TypeVar("S", bound=CreditScheme)


def learned_credit(run: Run, scheme: S, *, step: int | None = None) -> S:
    """The scheme with what it had learned by a step of the run; by default by its end.

    The scheme is the one that the run was trained with, or a readout that reads some of the same sources: then it is
    fitted on the same audits. A scheme that learns nothing comes back as it is."""
    from interp.credit.explanation import readout_of

    if not _learns(scheme):
        return scheme
    state = _credit_state(run)
    if (readout := readout_of(scheme)) is None:
        if step is not None:
            raise BadInput("expected a readout, to say what it had learned by a step; of other schemes leave step out")
        fresh: Any = scheme.fresh()
        fresh.load_state(state)
        return fresh
    return _with_readout(scheme, _relearned(run, readout, state, step))


def explain_run(
    run: Run,
    scheme: CreditScheme,
    *,
    control: CreditScheme | None = None,
    control_run: Run | None = None,
    steps: Sequence[int] | None = None,
    device: str = "auto",
    dtype: str = "auto",
) -> "CreditExplanation":
    """What the credit of a run read and paid at its checkpoints, and what a control would have paid.

    The scheme is the one that the run was trained with. Each checkpoint's rollouts are read with what had been learned
    by its step; of a scheme that learns and is no readout only the end is known. A control that reads some of the same
    sources has had the same audits. One that was trained in `control_run` has had those of that run, up to the same
    step. Any other pays by the labels that it began with."""
    from interp.credit.explanation import CreditExplanation

    every = run.checkpoint_steps()
    chosen = every if steps is None else list(steps)
    if unknown := sorted(set(chosen) - set(every)):
        raise BadInput(f"{run.path}: expected steps with a checkpoint, {every}; got {unknown}")
    _expect_own(run, scheme)
    _expect_known(run, scheme, chosen)
    if control_run is not None:
        if control is None:
            raise BadInput("expected the control that was trained in control_run, got none: explain_run(..., control=)")
        _expect_own(control_run, control)
    base = run.series.base.load(device=device, dtype=dtype)
    parts = []
    for step in chosen:
        policy = run.series.checkpoint(step).load(device=device, dtype=dtype) if _reads_live(scheme, control) else None
        batch = _batch_of(run, step, policy, base)
        parts += [] if batch is None else [_explain_step(run, step, batch, scheme, control, control_run)]
    return CreditExplanation.join(parts)


def _reads_live(*schemes: CreditScheme | None) -> bool:
    """Whether any of the schemes has the policy in training read."""
    from interp.credit.explanation import readout_of

    return any(readout is not None and readout.reader == "live" for readout in map(readout_of, schemes))


def _batch_of(run: Run, step: int, policy: "Policy | None", base: "Policy") -> RolloutBatch | None:
    """What the update of a step learned from; None if no group of it had a gradient."""
    rollouts = [row for row in run.rollouts(step).rows if row.advantages is not None]
    config = run.config
    if not rollouts:
        return None
    return RolloutBatch.from_rollouts(
        rollouts, config.sampling.group, policy=policy, base=base, seed=config.seed, sampling=config.sampling,
        prompt_format=config.prompt_format,
    )  # fmt: skip


def _explain_step(
    run: Run,
    step: int,
    batch: RolloutBatch,
    scheme: CreditScheme,
    control: CreditScheme | None,
    control_run: Run | None,
) -> "CreditExplanation":
    from interp.credit.explanation import explain_credit, readout_of

    config = run.config
    own = learned_credit(run, scheme, step=None if readout_of(scheme) is None else step)
    beside = control
    if control is not None and control_run is not None:
        beside = learned_credit(control_run, control, step=step)
    elif control is not None and _is_read_by(run, control):
        beside = learned_credit(run, control, step=step)
    explanation = explain_credit(own, batch, control=beside)

    def with_advantage(side: "SchemePayments", of: CreditScheme) -> "SchemePayments":
        assigned = assign_advantages(batch, of, config.objective(), config.sampling.max_new_tokens)
        return replace(side, advantage_N=assigned.advantages_BL[batch.mask_BL].double())

    return replace(
        explanation,
        scheme=with_advantage(explanation.scheme, own),
        control=None if explanation.control is None or beside is None else with_advantage(explanation.control, beside),
    )


def reads_for_credit(run: Run) -> bool:
    """Whether the credit of a run is a readout."""
    return bool(_readout_spec(run))


# --- the state of a run ----------------------------------------------------------------------------------------------


def _credit_state(run: Run) -> dict[str, Tensor]:
    """What the credit of a run had learned when it was last saved."""
    stored = load_tensors(run.state) if run.state.exists() else {}
    state = {name.removeprefix(PLACE): x for name, x in stored.items() if name.startswith(PLACE)}
    if not state:
        raise BadInput(f"{run.path}: expected a run whose credit learns, got one with no state of it")
    return state


def _relearned(run: Run, readout: "ReadoutCredit", state: Mapping[str, Tensor], step: int | None) -> "ReadoutCredit":
    from interp.credit.relearning import relearned

    places = _places(run, readout)
    audited = [int(line["audited"]) for line in run.metrics() if line.get("audited") is not None]
    saved = _last_learned(run)
    last = max(0, min(saved, len(audited) - 1)) if step is None else step
    if not 0 <= last < len(audited):
        raise BadInput(
            f"{run.path}: expected a step from 0 to {len(audited) - 1}, at which audits were made; got {step}"
        )
    if len(places) == len(_readout_spec(run)["sources"]):
        _expect_same_fits(run, readout)
    return relearned(readout, state, audited[: last + 1], places, is_last=last == saved)


def _last_learned(run: Run) -> int:
    """The last step that the saved state has learned from; -1 if none. A run may have been stopped after it."""
    return int(open_artifact(run.state, KIND).manifest["step"]) - 1


def _learns(scheme: CreditScheme) -> TypeGuard[Learning]:
    """Whether a scheme has a state: one that wraps another learns what that one learns, which may be nothing."""
    return isinstance(scheme, Learning) and bool(scheme.state())


def _expect_known(run: Run, scheme: CreditScheme, steps: Sequence[int]) -> None:
    """Refuse steps at which nobody can say what the scheme had learned."""
    from interp.credit.explanation import readout_of

    if not _learns(scheme) or readout_of(scheme) is not None or not run.state.exists():
        return
    if list(steps) != [last := _last_learned(run)]:
        is_shown = last in run.checkpoint_steps()
        raise BadInput(
            f"{run.path}: expected the last step alone, for what a {type(scheme).__name__} had learned before is not "
            f"kept; got {list(steps)}: {f'pass steps=[{last}]' if is_shown else 'finish the run, it was stopped'}"
        )


def _expect_own(run: Run, scheme: CreditScheme) -> None:
    """Refuse a scheme that is not the one that the run was trained with. A setting that the run's manifest does not
    have is newer than the run. Attributes of what is no dataclass may change as it is used: it is taken as it is."""
    if not is_dataclass(scheme):
        return
    own = run.manifest.get("credit") or to_json(spec_of(Uniform()))
    got = to_json(spec_of(scheme.fresh() if isinstance(scheme, Learning) else scheme))
    if changed := describe_changes(_as_in(own, got), own):
        raise Mismatch(
            f"{run.path}: expected the scheme that the run was trained with, got one with another {changed}: make it "
            "as it was made for the run, or pass it as control="
        )


def _as_in(own: Any, value: Any) -> Any:
    """A nest of JSON values without the keys that another does not have in the same place."""
    if not (isinstance(own, dict) and isinstance(value, dict)):
        return value
    return {name: _as_in(own[name], item) for name, item in value.items() if name in own}


def _expect_same_fits(run: Run, readout: "ReadoutCredit") -> None:
    """Refuse a readout that reads what the run's own read, and that other labels or settings would have fitted."""
    own, wanted = _readout_spec(run), to_json(spec_of(readout)["settings"])
    if changed := [name for name in ("labels", "ridge", "refit_every", "memory") if own.get(name) != wanted[name]]:
        raise Mismatch(
            f"{run.path}: expected a readout with the {', '.join(changed)} of the run's own, got others: make it as it "
            "was made for the run"
        )


def _places(run: Run, readout: "ReadoutCredit") -> list[int]:
    """The place of each source of a readout among those that the run read."""
    own = _readout_spec(run).get("sources", [])
    wanted = [to_json(spec_of(source)) for source in readout.sources]
    if any(spec not in own for spec in wanted):
        names = ", ".join(source.name for source in readout.sources)
        kinds = ", ".join(spec["kind"] for spec in own) or "nothing"
        raise Mismatch(f"{run.path}: expected sources that the run read, {kinds}, with the same settings; got {names}")
    return [own.index(spec) for spec in wanted]


def _is_read_by(run: Run, scheme: CreditScheme) -> bool:
    """Whether the run read all that a scheme reads."""
    from interp.credit.explanation import readout_of

    readout = readout_of(scheme)
    own = _readout_spec(run).get("sources", [])
    return readout is not None and all(to_json(spec_of(source)) in own for source in readout.sources)


def _readout_spec(run: Run) -> dict[str, Any]:
    """The settings of a run's readout, as its manifest has them; empty if it had none."""
    spec = run.manifest.get("credit")
    while isinstance(spec, dict) and spec.get("kind") != "ReadoutCredit":
        settings = spec.get("settings", {})
        spec = settings.get("scheme") or settings.get("score")
    return spec["settings"] if isinstance(spec, dict) else {}


def _with_readout(scheme: Any, readout: "ReadoutCredit") -> Any:
    """The scheme with another readout in its place."""
    for name in ("scheme", "score"):
        if (inner := getattr(scheme, name, None)) is not None:
            return replace(scheme, **{name: _with_readout(inner, readout)})
    return readout
