// What ablating and doubling the latent do, beside the same edits of matched random latents.
import { Dots, type DotRow } from "../charts";
import { useJson } from "../data";
import { Loading, Missing } from "../parts";
import { words } from "../text";
import { readable } from "../tokens";
import type { BehaviorChange, Trial } from "../types";
import type { FeatureProps } from "./feature";

const LEGEND = [
  { name: "ablated", class: "hue-0", kind: "dot" as const },
  { name: "doubled", class: "hue-1", kind: "dot" as const },
  { name: "matched random latents", class: "hue-6" },
];

export function FeatureBehavior({ features, latent }: FeatureProps) {
  const trials = useJson<Trial[]>(features.trials);
  if (!features.trials) return <Missing what="edits of latents" />;
  if (!trials) return <Loading />;
  const own = trials.filter((trial) => trial.latent === latent);
  const effects = own.filter((trial) => trial.ablation != null);
  const behavior = distinct(own.flatMap((trial) => trial.behavior ?? []));
  if (!effects.length && !behavior.length)
    return <p class="muted">This latent was not edited: it did not reach the gate of ablation.</p>;
  return (
    <>
      {effects.length > 0 && (
        <Dots
          title="Effect on the log-probability of its target tokens"
          level={4}
          description="Shift of the log-probability when the latent is ablated, with its 95% interval, and when it is amplified; marks: matched random latents, ablated."
          rows={effects.flatMap((trial) => effectRows(trial, effects.length > 1))}
          xName="shift of log-probability"
          zero
          legend={LEGEND}
        />
      )}
      {behavior.length > 0 ? (
        <Dots
          title="Effect on behaviour"
          level={4}
          description="Change of each measure of behaviour when the latent is ablated or doubled, with 95% intervals, beside matched random latents."
          rows={behavior.map(behaviorRow)}
          xName="change"
          zero
          legend={LEGEND}
        />
      ) : (
        <p class="muted">Effects of this latent on behaviour were not measured.</p>
      )}
    </>
  );
}

/** A latent that was tried for several roles had its rollouts sampled once. */
function distinct(changes: readonly BehaviorChange[]): BehaviorChange[] {
  const known = new Map(changes.map((change) => [JSON.stringify([change.edit, change.what, change.value, change.low]), change]));
  return [...known.values()];
}

function effectRows(trial: Trial, several: boolean): DotRow[] {
  const of = several ? `${readable(trial.contrast || trial.family)}, ` : "";
  const rows: DotRow[] = [
    {
      name: `${of}ablated`,
      hue: 0,
      value: trial.ablation,
      low: trial.ablation_low,
      high: trial.ablation_high,
      others: trial.matched,
      note: `tried as ${readable(trial.family)}; marks: ${trial.matched.length} matched latents`,
    },
  ];
  if (trial.amplification != null) rows.push({ name: `${of}amplified`, hue: 1, value: trial.amplification });
  return rows;
}

function behaviorRow(change: BehaviorChange): DotRow {
  const matched = change.matched == null ? [] : [change.matched].flat();
  return {
    name: `${readable(words(change.what))}, ${change.edit}`,
    hue: change.edit === "doubled" ? 1 : 0,
    value: change.value,
    low: change.low,
    high: change.high,
    others: matched,
  };
}
