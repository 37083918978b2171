// Two checkpoints or runs compared: behaviour paired by problem, and latents, each beside its control.
import { useMemo } from "preact/hooks";
import { useAddress } from "../address";
import type { Report } from "../data";
import { runName } from "../names";
import { Choice, Missing } from "../parts";
import { plural, words } from "../text";
import { readable } from "../tokens";
import type { Comparison } from "../types";
import { BehaviorTable, type BehaviorRow } from "./compare-behavior";
import { LatentComparisons, type ComparedLatents } from "./compare-latents";
import { RolloutComparison } from "./compare-rollouts";

const FROM_ROLLOUTS = "rollouts";

export function CompareView({ report }: { report: Report }) {
  const [address, go] = useAddress();
  const { comparisons, rollouts } = report.index;
  const options = useMemo(() => comparisonOptions(report), [report]);
  if (!options.length) {
    return <Missing what="comparison" why="No comparison was given, and there are no rollouts to make one from." />;
  }
  const asked = options.some(([key]) => key === address.c) ? String(address.c) : options[0][0];
  const chosen = asked === FROM_ROLLOUTS ? null : comparisons[Number(asked)];
  return (
    <>
      <div class="toolbar">
        <Choice label="comparison" value={asked} options={options} onChange={(c) => go({ c, bucket: null, relation: null, q: null })} />
      </div>
      {chosen && <Compared report={report} comparison={chosen} key={asked} />}
      {!chosen && !comparisons.length && <p class="note">This report holds no comparison. This one is made here, from its rollouts.</p>}
      {!chosen && rollouts && <RolloutComparison report={report} />}
    </>
  );
}

function comparisonOptions(report: Report): [string, string][] {
  const options = report.index.comparisons.map((each, at): [string, string] => [String(at), readable(each.name) || `comparison ${at + 1}`]);
  return report.index.rollouts?.count ? [...options, [FROM_ROLLOUTS, "two checkpoints, by the rollouts here"]] : options;
}

function Compared({ report, comparison }: { report: Report; comparison: Comparison }) {
  const [a, b, base] = [comparison.a, comparison.b, comparison.base].map((at) => (at === null ? "" : labelOf(report, at)));
  const { measure, corpus } = comparison as ComparedLatents;
  const measured = [measure, corpus].filter((each): each is string => !!each).map((each) => readable(words(each))).join(", ");
  const rows = useMemo(() => behaviorRows(comparison), [comparison]);
  return (
    <>
      <section aria-labelledby="compared-heading">
        <h2 id="compared-heading">{readable(comparison.name)}</h2>
        <dl class="compared">
          {[
            ["A", a],
            ["B", b],
            ["base of both", base || "none: A is the base of B, or they have none in common"],
            ["measured", measured],
            ["matched by", comparison.match.map(readable).join(", ")],
          ]
            .filter(([, value]) => value)
            .map(([name, value]) => (
              <div key={name}>
                <dt>{name}</dt>
                <dd>{value}</dd>
              </div>
            ))}
        </dl>
      </section>
      <section aria-labelledby="behavior-heading">
        <h2 id="behavior-heading">Behaviour, paired by problem</h2>
        {rows.length ? (
          <BehaviorTable rows={rows} title={`${comparison.name}: behaviour`} note={behaviorNote(rows)} />
        ) : (
          <Missing what="behaviour of the two" why="The comparison was made without rollouts." />
        )}
      </section>
      <section aria-labelledby="latents-heading">
        <h2 id="latents-heading">Features</h2>
        {comparison.latents && report.index.features ? (
          <LatentComparisons report={report} comparison={comparison} features={report.index.features} chunks={comparison.latents} />
        ) : (
          <Missing what="features of the two" why="The comparison was made without a dictionary." />
        )}
      </section>
    </>
  );
}

/** The rows of one measure stand together. */
function behaviorRows(comparison: Comparison): BehaviorRow[] {
  const measures = [...new Set(comparison.behavior.map((row) => row.measure))];
  const rows = comparison.behavior.map((row): BehaviorRow => ({ ...row, reason: "", unit: "share" }));
  return rows.sort((a, b) => measures.indexOf(a.measure) - measures.indexOf(b.measure));
}

function behaviorNote(rows: readonly BehaviorRow[]): string {
  const control = rows.some((row) => typeof row.control === "number") ? " A short bar: the control, A sampled again, less A." : "";
  return `A difference is B less A, with a 95% interval over ${problemsOf(rows)}.${control}`;
}

function problemsOf(rows: readonly BehaviorRow[]): string {
  const numbers = rows.map((row) => row.n).filter((n): n is number => typeof n === "number");
  if (!numbers.length) return "problems";
  const [least, most] = [Math.min(...numbers), Math.max(...numbers)];
  return least === most ? plural(least, "problem") : `${least} to ${plural(most, "problem")}`;
}

function labelOf(report: Report, checkpoint: number): string {
  const each = report.index.checkpoints[checkpoint];
  const run = report.index.runs[each?.run];
  if (!each) return `checkpoint ${checkpoint}`;
  const note = run?.note ? ` (${readable(run.note)})` : "";
  return `${run ? runName(report.index, each.run) : ""}, ${readable(each.label || `step ${each.step}`)}${note}`;
}
