// Learning: each measure over the steps of each run, by bucket, with intervals.
import { useMemo } from "preact/hooks";
import { useAddress } from "../address";
import { Lines, type LineSeries } from "../charts";
import { hueClass } from "../colors";
import { runName } from "../names";
import { Choice, Missing } from "../parts";
import { words } from "../text";
import { readable } from "../tokens";
import type { Index, Learning } from "../types";

const MEANINGS = new Map([
  ["pass_rate", "share of correct answers"],
  ["valid_rate", "share of answers with every step right"],
  ["lucky_rate", "share of answers that are correct but not valid"],
  ["lucky_share", "share of correct answers that are not valid"],
  ["direct_share", "share of answers given without any step"],
]);
/** Measures of shares have the range 0 to 1. */
const isShare = (measure: string): boolean => /(rate|share)$/.test(measure);
const MOST_ROWS = 8;

export function LearningCharts({ index, learning }: { index: Index; learning: readonly Learning[] }) {
  const [address, go] = useAddress();
  const measures = useMemo(() => [...new Set(learning.map((row) => row.measure))], [learning]);
  const runs = useMemo(() => [...new Set(learning.map((row) => row.run))], [learning]);
  if (!learning.length) return <Missing what="measures of learning" />;
  const chosen = measures.find((measure) => measure === address.measure) ?? "";
  const panel = (run: number, measure: string, title: string) => (
    <LearningPanel key={`${measure} ${run}`} index={index} learning={learning} run={run} measure={measure} title={title} />
  );
  return (
    <>
      <div class="learning-head">
        {measures.length > 1 && runs.length > 1 && (
          <Choice
            label="Measure"
            value={chosen}
            options={[["", "all, a row per run"], ...measures.map((m): [string, string] => [m, readable(words(m))])]}
            onChange={(measure) => go({ measure })}
          />
        )}
        <BucketLegend index={index} learning={learning} />
      </div>
      {chosen ? (
        <div class="panels">{runs.map((run) => panel(run, chosen, runName(index, run)))}</div>
      ) : (
        runs.slice(0, MOST_ROWS).map((run) => (
          <div class="measure" key={run}>
            {runs.length > 1 && <h3>{runName(index, run)}</h3>}
            <div class="panels">{measures.map((measure) => panel(run, measure, readable(words(measure))))}</div>
          </div>
        ))
      )}
      {!chosen && runs.length > MOST_ROWS && (
        <p class="note">
          The first {MOST_ROWS} of {runs.length} runs; choose a measure to see it for all.
        </p>
      )}
      <p class="note">
        Bands: 95% intervals.{" "}
        {measures
          .filter((measure) => MEANINGS.has(measure))
          .map((measure) => `${words(measure)}: ${MEANINGS.get(measure)}`)
          .join("; ")}
        .
      </p>
    </>
  );
}

function BucketLegend({ index, learning }: { index: Index; learning: readonly Learning[] }) {
  return (
    <ul class="legend" aria-label="Buckets">
      {bucketsOf(index, learning).map((bucket) => (
        <li key={bucket}>
          <i
            class={`key ${index.buckets.includes(bucket) ? "line" : "dashed"} ${hueClass(hueOf(index, bucket))}`}
            aria-hidden="true"
          />
          {readable(bucket)}
        </li>
      ))}
    </ul>
  );
}

/** Buckets in the order of the report; others, such as "all", after them. */
function bucketsOf(index: Index, rows: readonly Learning[]): string[] {
  const order = (bucket: string) => (index.buckets.includes(bucket) ? index.buckets.indexOf(bucket) : 99);
  return [...new Set(rows.map((row) => row.bucket))].sort((a, b) => order(a) - order(b));
}

const hueOf = (index: Index, bucket: string): number => (index.buckets.includes(bucket) ? index.buckets.indexOf(bucket) : 6);

interface PanelProps {
  index: Index;
  learning: readonly Learning[];
  run: number;
  measure: string;
  title: string;
}

function LearningPanel({ index, learning, run, measure, title }: PanelProps) {
  const rows = learning.filter((row) => row.run === run && row.measure === measure);
  const labels = new Map(rows.map((row) => [stepOf(index, row), index.checkpoints[row.checkpoint]?.label ?? ""]));
  const sources = [...new Set(rows.map((row) => readable(row.source ?? "")))].filter(Boolean).join(" and ");
  const ns = rows.map((row) => row.n ?? 0).filter((n) => n > 0);
  const problems = ns.length
    ? Math.min(...ns) === Math.max(...ns)
      ? `n = ${ns[0]}`
      : `n = ${Math.min(...ns)} to ${Math.max(...ns)}`
    : "";
  return (
    <div class="panel">
      <Lines
        title={title}
        level={4}
        saveAs={`${runName(index, run)}: ${readable(words(measure))} by bucket`}
        description={`${words(measure)} of ${runName(index, run)} over its steps, by bucket, with 95% intervals. ${MEANINGS.get(measure) ?? ""}`}
        series={seriesByBucket(index, rows)}
        range={isShare(measure) ? [0, 1] : undefined}
        xName="step"
        yName={words(measure)}
        labels={labels}
        height={140}
        legend={false}
        note={[problems, sources && `from ${sources}`].filter(Boolean).join(", ")}
      />
    </div>
  );
}

const stepOf = (index: Index, row: Learning): number => index.checkpoints[row.checkpoint]?.step ?? row.checkpoint;

function seriesByBucket(index: Index, rows: readonly Learning[]): LineSeries[] {
  return bucketsOf(index, rows).map((bucket) => ({
    name: readable(bucket),
    hue: hueOf(index, bucket),
    dashed: !index.buckets.includes(bucket),
    points: rows
      .filter((row) => row.bucket === bucket)
      .map((row) => ({ x: stepOf(index, row), y: row.value, low: row.low, high: row.high })),
  }));
}
