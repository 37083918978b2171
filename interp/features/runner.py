"""Run falsification and ablation, for many latents together: through every gate, or only the finalists.

every gate   Each latent is falsified, ablated and doubled, and so are its matches, whatever it passes.
finalists    First-order effects (`interp.features.attribution`) say which latents of each kind of contrast are worth
             an ablation. These go through the gates one after another, and a latent that fails one is not tried in the
             next: its own ablation; its matches, the one with the strongest first-order effect before the others;
             falsification. What a role is earned by is measured as without finalists: no gate is passed by a
             first-order effect, and a latent that passes has been compared with every match.
"""

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from tqdm import tqdm

from interp.costs import say_time
from interp.display import bar_settings
from interp.features.ablation import ABLATE, AMPLIFY, LatentEditor
from interp.features.attribution import attribute
from interp.features.config import RolesConfig
from interp.features.falsification import Falsification, InjectionTest, falsify_all
from interp.features.families import IN_FRONT, Contrast, role_family
from interp.features.gates import MIN_SURFACE_AUROC, MatchedLatents, Trial
from interp.features.labels import LabeledTokens
from interp.features.measured import MeasuredEdits, Wanted
from interp.features.sampling import AblatedSampling, RolloutEffect
from interp.policy.policy import Policy
from interp.stats.bootstrap import DRAWS, resampled_prompts
from interp.tasks.base import Task
from interp.tsae import TSAE

GROUP = 4
"""Answers to each problem that is answered again."""


class GateRunner:
    """Falsification and ablation of latents on the same rollouts."""

    def __init__(
        self,
        tsae: TSAE,
        policy: Policy,
        layer: int,
        labeled: LabeledTokens,
        contrasts: Sequence[Contrast],
        config: RolesConfig,
        passing: Mapping[str, Collection[int]],
        *,
        progress: bool = False,
    ) -> None:
        """`passing`: the latents that passed the first gate, by kind of contrast. They are no matches."""
        self.labeled, self.config, self.passing, self.progress = labeled, config, passing, progress
        self.contrasts = {contrast.name: contrast for contrast in contrasts}
        self.injection_test = InjectionTest(
            tsae,
            policy,
            layer,
            labeled,
            texts=config.injection_texts,
            seed=config.test_seed,
            micro_tokens=config.micro_tokens,
        )
        self.editor = LatentEditor(tsae, policy, layer, labeled.rollouts, micro_tokens=config.micro_tokens)
        self.matched = MatchedLatents(labeled)
        prompts = int(labeled["problem"].max()) + 1
        self.counts_BP = resampled_prompts(prompts, DRAWS, config.test_seed).numpy().astype(float)
        self.measured = MeasuredEdits(self.editor, labeled, self.contrasts, self.counts_BP)
        self._attribution: dict[str, Float[ndarray, " F"]] = {}

    def evaluate(self, groups: Sequence[Sequence[Trial]]) -> list[list[Trial]]:
        """Groups of trials with what falsification and ablation measured, of all of them or of each group's
        finalists."""
        trials, ends = [trial for group in groups for trial in group], np.cumsum([0, *map(len, groups)]).tolist()
        if self.config.finalists is None:
            evaluated = self.evaluate_all(trials)
        else:
            trials, chosen = self._attributed(trials), []
            for start, end in pairwise(ends):
                chosen += [start + i for i in choose_finalists(trials[start:end], self.config.finalists)]
            evaluated = self.evaluate_in_turn(trials, chosen)
        return [evaluated[start:end] for start, end in pairwise(ends)]

    # --- every gate ---------------------------------------------------------------------------------------------------

    def evaluate_all(self, trials: Sequence[Trial]) -> list[Trial]:
        """Trials with what falsification and ablation measured."""
        wanted = [one for trial in trials for one in self.wanted(trial)]
        self._say_cost(trials, wanted)
        self._measure(wanted)
        results = zip(trials, self._falsify(trials), strict=True)
        return [self._complete(replace(trial, falsification=falsification)) for trial, falsification in results]

    def matches(self, trial: Trial) -> list[int]:
        """The latents that a trial's latent is compared with, the nearest first."""
        excluded = self.passing.get(trial.kind, ())
        return self.matched.nearest(trial.latent, self.config.matched_latents, exclude=excluded)

    def wanted(self, trial: Trial) -> Iterator[Wanted]:
        """All effects that a trial holds."""
        edits = [(trial.latent, ABLATE), (trial.latent, AMPLIFY), *((match, ABLATE) for match in self.matches(trial))]
        return (Wanted(*edit, about) for edit in edits for about in (trial.contrast, None))

    def _complete(self, trial: Trial) -> Trial:
        """The trial with all effects of its latent and of its matches."""
        matches, effect, behavior = self.matches(trial), self.measured.effect, self.measured.behavior
        return replace(
            trial,
            ablation=effect(trial.latent, ABLATE, trial.contrast),
            amplification=effect(trial.latent, AMPLIFY, trial.contrast),
            matched_ablations=tuple(effect(match, ABLATE, trial.contrast).difference.value for match in matches),
            ablated_behavior=behavior(trial.latent, ABLATE),
            amplified_behavior=behavior(trial.latent, AMPLIFY),
            matched_behavior=_means([behavior(match, ABLATE).values for match in matches]),
        )

    # --- finalists ----------------------------------------------------------------------------------------------------

    def _attributed(self, trials: Sequence[Trial]) -> list[Trial]:
        """Trials with their first-order effects."""
        names = [name for name in dict.fromkeys(trial.contrast for trial in trials) if name not in self._attribution]
        if names:
            width, passes = self.editor.tsae.width, 1 + len(names)
            say_time(
                f"first-order effects of {width:,} latents on {len(names)} contrasts",
                passes * self.editor.tokens * self._seconds_per_token,
            )
            effect_CF = attribute(self.editor, [self.contrasts[name] for name in names])
            self._attribution |= dict(zip(names, effect_CF, strict=True))
        return [replace(trial, attribution=float(self._attribution[trial.contrast][trial.latent])) for trial in trials]

    def evaluate_in_turn(self, trials: Sequence[Trial], chosen: Sequence[int]) -> list[Trial]:
        some = [trials[i] for i in chosen]
        self._say_cost(some, [one for trial in some for one in self.wanted(trial) if one.contrast], up_to=True)
        some = self._pass_on(some, lambda trial: True, self.ablate)
        some = self._pass_on(some, lambda trial: trial.has_effect, lambda them: self._compare(them, 1))
        some = self._pass_on(some, lambda trial: trial.passes_ablation, lambda them: self._compare(them, None))
        some = self._pass_on(some, lambda trial: trial.passes_ablation, self._with_falsification)
        some = self._pass_on(some, lambda trial: trial.passes_all, self._complete_all)
        evaluated = dict(zip(chosen, some, strict=True))
        return [evaluated.get(i, trial) for i, trial in enumerate(trials)]

    @staticmethod
    def _pass_on(
        trials: list[Trial], goes_on: Callable[[Trial], bool], gate: Callable[[list[Trial]], list[Trial]]
    ) -> list[Trial]:
        """The trials, those that go on with what a gate measured of them."""
        at = [i for i, trial in enumerate(trials) if goes_on(trial)]
        through = dict(zip(at, gate([trials[i] for i in at]), strict=True))
        return [through.get(i, trial) for i, trial in enumerate(trials)]

    def ablate(self, trials: Sequence[Trial]) -> list[Trial]:
        """Trials with their own ablations."""
        self._measure([Wanted(trial.latent, ABLATE, trial.contrast) for trial in trials])
        return [replace(trial, ablation=self.measured.effect(trial.latent, ABLATE, trial.contrast)) for trial in trials]

    def _compare(self, trials: list[Trial], count: int | None) -> list[Trial]:
        """Trials with the ablations of so many matches (None: all), those with the strongest first-order effects."""
        effect, compared = self.measured.effect, []
        for trial in trials:
            attribution_F = self._attribution[trial.contrast]
            compared.append(sorted(self.matches(trial), key=lambda match, of=attribution_F: -abs(of[match]))[:count])
        pairs = list(zip(trials, compared, strict=True))
        self._measure([Wanted(match, ABLATE, trial.contrast) for trial, matches in pairs for match in matches])
        values = [
            tuple(effect(match, ABLATE, trial.contrast).difference.value for match in matches)
            for trial, matches in pairs
        ]
        return [replace(trial, matched_ablations=value) for trial, value in zip(trials, values, strict=True)]

    def _with_falsification(self, trials: list[Trial]) -> list[Trial]:
        results = zip(trials, self._falsify(trials), strict=True)
        return [replace(trial, falsification=falsification) for trial, falsification in results]

    def _complete_all(self, trials: list[Trial]) -> list[Trial]:
        self._measure([one for trial in trials for one in self.wanted(trial)])
        return [self._complete(trial) for trial in trials]

    # --- work with a bar, and its cost --------------------------------------------------------------------------------

    def _measure(self, wanted: Sequence[Wanted]) -> None:
        with self._bar("ablation", "token", self.measured.count_tokens(wanted)[1]) as update:
            self.measured.measure(wanted, update)

    def _falsify(self, trials: Sequence[Trial]) -> list[Falsification]:
        tried = [(trial.latent, self.contrasts[trial.contrast]) for trial in trials]
        with self._bar("falsification", "latent", len(tried)) as update:
            return falsify_all(self.injection_test, tried, update)

    @contextmanager
    def _bar(self, what: str, unit: str, total: int) -> Iterator[Callable[[int], object]]:
        options = {"unit": unit, "delay": 1, "leave": False, **bar_settings(self.progress)}
        with tqdm(total=total, desc=f"gates, {what}", **options) as bar:
            yield bar.update

    @property
    def _seconds_per_token(self) -> float:
        return self.editor.seconds / max(1, self.editor.suffix_tokens)

    def _say_cost(self, trials: Sequence[Trial], wanted: Sequence[Wanted], *, up_to: bool = False) -> None:
        """Say what the gates of these trials take, by the speed at which the rollouts and the first texts were read."""
        if not trials:
            return
        edits, tokens = self.measured.count_tokens(wanted)
        forwards = -(-tokens * self.editor.forwards // max(1, self.editor.suffix_tokens))
        start, front = time.perf_counter(), IN_FRONT in role_family(trials[0].family).injections
        self.injection_test.random_token_peak(role_family(trials[0].family).injections[0], front=front)
        texts = sum(len(role_family(trial.family).injections) for trial in trials)
        seconds = tokens * self._seconds_per_token + texts * (time.perf_counter() - start)
        bound = "at most " if up_to else ""
        say_time(
            f"trying {len(trials):,} latents ({bound}{edits:,} edits, in about {forwards:,} forwards from the layer "
            f"on; {texts * len(self.injection_test.texts):,} texts of falsification; fewer with finalists, "
            "max_candidates or random_latents)",
            seconds,
        )

    # --- answers under an edit ----------------------------------------------------------------------------------------

    def sample_edited(self, latents: list[int], task: Task) -> list[RolloutEffect]:
        """Problems answered again with each latent ablated and doubled, and so with its nearest match."""
        if not latents:
            return []
        editor, problems, start = self.editor, self.config.rollout_problems, time.perf_counter()
        sampling = AblatedSampling.prepare(
            editor.tsae,
            editor.policy,
            editor.layer,
            task,
            self.labeled.rollouts,
            problems,
            replace(self.config.sampling, group=GROUP),
            self.config.prompt_format,
        )
        runs, seconds = 4 * len(latents), time.perf_counter() - start
        say_time(f"answering {len(sampling.problems)} problems {runs} times with an edit", runs * seconds)
        effects = []
        for latent in tqdm(
            latents, desc="answers with an edit", unit="latent", delay=1, leave=False, **bar_settings(self.progress)
        ):
            for scale in (ABLATE, AMPLIFY):
                effects.append(sampling.run(latent, scale))
                matches = self.matched.nearest(latent, 1, exclude=latents)
                effects += [sampling.run(match, scale, match_of=latent) for match in matches]
        return effects


def choose_finalists(trials: Sequence[Trial], finalists: int) -> list[int]:
    """Indices of the trials of each kind of contrast that have the strongest first-order effects, among those that can
    still earn a role: they passed the contrast gate, on every surface.

    Strength is without sign. Of a large effect, the sign is what a first order gets wrong."""
    can_pass = [
        i for i, trial in enumerate(trials) if trial.passes_contrast and trial.other_surface_auroc >= MIN_SURFACE_AUROC
    ]
    ordered = sorted(can_pass, key=lambda i: -abs(np.nan_to_num(trials[i].attribution or 0.0)))
    by_kind: dict[str, list[int]] = {}
    for i in ordered:
        by_kind.setdefault(trials[i].kind, []).append(i)
    return sorted(i for of_kind in by_kind.values() for i in of_kind[:finalists])


def _means(rows: list[tuple[float, ...]]) -> tuple[float, ...]:
    return tuple(np.mean(rows, 0).tolist()) if rows else ()
