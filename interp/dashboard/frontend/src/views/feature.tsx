// One latent: its track by bucket, gates, what ablating and doubling do, top rollouts, density, logit lens, neighbours, notes.
import type { ComponentChildren } from "preact";
import { useAddress } from "../address";
import type { Report } from "../data";
import { roleName, rowOf, useFeatureTable, type FeatureTable } from "../features/rows";
import { useKeys } from "../keys";
import { useNotes } from "../notes";
import { Badge, Loading, Missing } from "../parts";
import { count, num, percent } from "../text";
import { readable } from "../tokens";
import type { Features } from "../types";
import { FeatureBehavior } from "./feature-behavior";
import { FeatureDensity, FeatureLens, FeatureNeighbors } from "./feature-facts";
import { FeatureExamples } from "./feature-examples";
import { FeatureGates } from "./feature-gates";
import { FeatureNote } from "./feature-note";
import { FeatureTracks } from "./feature-tracks";

/** What every part of this view gets. */
export interface FeatureProps {
  report: Report;
  features: Features;
  table: FeatureTable;
  /** Row of the latent in the features. */
  row: number;
  /** Its number in the dictionary. */
  latent: number;
}

export function FeatureView({ report }: { report: Report }) {
  const { features } = report.index;
  if (features?.count) return <Loaded report={report} features={features} />;
  return (
    <>
      <h2>Latent</h2>
      <Missing what="features" />
    </>
  );
}

function Loaded({ report, features }: { report: Report; features: Features }) {
  const [address, go] = useAddress();
  const table = useFeatureTable(features);
  const row = table ? (address.f === undefined ? 0 : rowOf(table.latents, address.f)) : -1;
  const move = (by: number) => {
    if (table) go({ f: table.latents[Math.max(0, Math.min(table.latents.length - 1, Math.max(0, row) + by))] });
  };
  useKeys({ j: () => move(1), k: () => move(-1) });
  if (!table) return <Loading />;
  if (row < 0) {
    return (
      <>
        <h2>Latent {address.f}</h2>
        <Missing
          what={`latent ${address.f}`}
          why={`It shows ${count(features.count)} of ${count(features.dictionary.width)} latents; make it again with this one among them.`}
        />
      </>
    );
  }
  const props: FeatureProps = { report, features, table, row, latent: table.latents[row] };
  return (
    <div class="feature">
      <Title {...props} onMove={move} />
      <div class="feature-columns" key={row}>
        <Part title="Track by bucket" wide>
          <FeatureTracks {...props} />
        </Part>
        <Part title="Gates, beside random latents">
          <FeatureGates {...props} />
        </Part>
        <Part title="What ablating and doubling it does">
          <FeatureBehavior {...props} />
        </Part>
        <Part title="Rollouts where it is active, by quantile" wide>
          <FeatureExamples {...props} />
        </Part>
        <Part title="Tokens that its decoder raises and lowers">
          <FeatureLens {...props} />
        </Part>
        <Part title="Density">
          <FeatureDensity {...props} />
        </Part>
        <Part title="Neighbours by decoder cosine">
          <FeatureNeighbors {...props} />
        </Part>
        <Part title="Name and note">
          <FeatureNote {...props} />
        </Part>
      </div>
    </div>
  );
}

function Part({ title, wide, children }: { title: string; wide?: boolean; children: ComponentChildren }) {
  return (
    <section class={`panel part ${wide ? "wide" : ""}`} aria-label={title}>
      <h3>{title}</h3>
      {children}
    </section>
  );
}

function Title({ report, table, row, latent, features, onMove }: FeatureProps & { onMove: (by: number) => void }) {
  const [notes] = useNotes(report);
  const name = notes.nameOf(latent);
  const facts: [string, string][] = [
    ["firing rate", percent(table.firingRate[row])],
    ["mean when active", num(table.meanWhenActive[row])],
    ["max", num(table.max[row])],
    ["block", table.slow[row] ? "slow" : "fast"],
  ];
  return (
    <div class="feature-title">
      <h2>
        Latent {latent}
        {name && <span class="name"> {readable(name)}</span>}
      </h2>
      <Badge kind={table.role[row] ? "yes" : ""}>{table.role[row] ? readable(roleName(table, row)) : "no role"}</Badge>
      <dl class="inline-facts">
        {facts.map(([fact, value]) => (
          <div key={fact}>
            <dt>{fact}</dt>
            <dd>{value}</dd>
          </div>
        ))}
      </dl>
      <span class="muted">
        of {readable(features.dictionary.name)}, layer {features.dictionary.layer}
      </span>
      <span class="paging">
        <button type="button" class="quiet" disabled={row === 0} onClick={() => onMove(-1)}>
          ← previous
        </button>
        <button type="button" class="quiet" disabled={row === table.latents.length - 1} onClick={() => onMove(1)}>
          next →
        </button>
      </span>
    </div>
  );
}
