// Learning: each measure over the steps of each run, by bucket, with intervals.
import { useMemo } from "preact/hooks";
import { useAddress } from "../address";
import { Lines, type LineSeries } from "../charts";
import { Choice, Missing } from "../parts";
import { words } from "../text";
import { readable } from "../tokens";
import type { Index, Learning } from "../types";

const MEANINGS = new Map([
  ["pass_rate", "share of correct answers"],
  ["valid_rate", "share of answers with every step right"],
  ["lucky_share", "share of correct answers that are not valid"],
  ["direct_share", "share of answers given without any step"],
]);
/** Measures of shares have the range 0 to 1. */
const isShare = (measure: string): boolean => /(rate|share)$/.test(measure);
const MOST_PANELS = 24;

export function LearningCharts({ index, learning }: { index: Index; learning: readonly Learning[] }) {
  const [address, go] = useAddress();
  const measures = useMemo(() => [...new Set(learning.map((row) => row.measure))], [learning]);
  const runs = useMemo(() => [...new Set(learning.map((row) => row.run))], [learning]);
  if (!learning.length) return <Missing what="measures of learning" />;
  const manyRuns = runs.length > 1;
  const crowded = runs.length * measures.length > MOST_PANELS;
  const chosen = String(address.measure ?? "");
  const shown = measures.includes(chosen) ? [chosen] : crowded ? measures.slice(0, 1) : measures;
  return (
    <>
      {measures.length > 1 && manyRuns && (
        <div class="toolbar">
          <Choice
            label="Measure"
            value={measures.includes(chosen) ? chosen : crowded ? measures[0] : ""}
            options={[...(crowded ? [] : [["", "all"] as const]), ...measures.map((m) => [m, words(m)] as const)]}
            onChange={(measure) => go({ measure })}
          />
        </div>
      )}
      {(manyRuns ? shown : [null]).map((only) => (
        <div class="measure" key={only ?? "all"}>
          {only && (
            <h3>
              {readable(words(only))} <span class="muted">{MEANINGS.get(only) ?? ""}</span>
            </h3>
          )}
          <div class="panels">
            {(only ? [only] : shown).flatMap((measure) =>
              runs.map((run) => <LearningPanel key={`${measure} ${run}`} index={index} learning={learning} run={run} measure={measure} byRun={manyRuns} />),
            )}
          </div>
        </div>
      ))}
    </>
  );
}

interface PanelProps {
  index: Index;
  learning: readonly Learning[];
  run: number;
  measure: string;
  byRun: boolean;
}

function LearningPanel({ index, learning, run, measure, byRun }: PanelProps) {
  const rows = learning.filter((row) => row.run === run && row.measure === measure);
  const name = readable(index.runs[run]?.name ?? `run ${run}`);
  const title = byRun ? name : readable(words(measure));
  const labels = new Map(rows.map((row) => [stepOf(index, row), index.checkpoints[row.checkpoint]?.label ?? ""]));
  const ns = rows.map((row) => row.n ?? 0).filter((n) => n > 0);
  const problems = ns.length ? (Math.min(...ns) === Math.max(...ns) ? `n = ${ns[0]}` : `n = ${Math.min(...ns)} to ${Math.max(...ns)}`) : "";
  return (
    <div class="panel">
      <Lines
        title={title}
        level={byRun ? 4 : 3}
        description={`${words(measure)} of ${name} over its steps, by bucket, with 95% intervals. ${MEANINGS.get(measure) ?? ""}`}
        series={seriesByBucket(index, rows)}
        range={isShare(measure) ? [0, 1] : undefined}
        xName="step"
        yName={words(measure)}
        labels={labels}
        height={170}
        note={[byRun ? "" : MEANINGS.get(measure), problems].filter(Boolean).join("; ")}
      />
    </div>
  );
}

const stepOf = (index: Index, row: Learning): number => index.checkpoints[row.checkpoint]?.step ?? row.checkpoint;

function seriesByBucket(index: Index, rows: readonly Learning[]): LineSeries[] {
  const names = [...new Set(rows.map((row) => row.bucket))];
  const order = (bucket: string) => (index.buckets.includes(bucket) ? index.buckets.indexOf(bucket) : 99);
  return names
    .sort((a, b) => order(a) - order(b))
    .map((bucket) => ({
      name: readable(bucket),
      hue: index.buckets.includes(bucket) ? index.buckets.indexOf(bucket) : 6,
      dashed: !index.buckets.includes(bucket),
      points: rows
        .filter((row) => row.bucket === bucket)
        .map((row) => ({ x: stepOf(index, row), y: row.value, low: row.low, high: row.high })),
    }));
}
