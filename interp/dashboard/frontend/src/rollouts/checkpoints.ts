// Two checkpoints compared by the rollouts that the report has: rates of each problem that both answered, paired.

import { FEWEST_PROBLEMS, meanOf, qValues, type Estimate } from "./paired";
import { PROBE_TEXT, type RolloutStore } from "./store";

interface Measure {
  name: string;
  unit: string;
  /** NaN: this rollout does not count. */
  value(store: RolloutStore, row: number): number;
}

export const MEASURES: readonly Measure[] = [
  { name: "pass rate", unit: "share", value: (store, row) => (store.columns.correct[row] ? 1 : 0) },
  { name: "valid rate", unit: "share", value: (store, row) => known(store.columns.valid[row]) },
  { name: "lucky rate", unit: "share", value: (store, row) => known(store.columns.lucky[row]) },
  { name: "cut off", unit: "share", value: (store, row) => (store.columns.truncated[row] ? 1 : 0) },
  { name: "mean reward", unit: "reward", value: (store, row) => store.columns.reward[row] },
  { name: "mean length", unit: "tokens", value: (store, row) => store.columns.length[row] },
];

const known = (value: number): number => (value === 2 ? NaN : value);

export interface PairedRow {
  bucket: string;
  measure: string;
  unit: string;
  a: number;
  b: number;
  difference: Estimate;
  q: number;
  /** Why there is no interval; "" if there is one. */
  reason: string;
}

/** Checkpoints that wrote rollouts, with their number of rollouts. Probe text is the base's, whoever reads it. */
export function writersOf(store: RolloutStore): Map<number, number> {
  const counts = new Map<number, number>();
  for (let row = 0; row < store.count; row++) {
    if (store.columns.source[row] === PROBE_TEXT) continue;
    const checkpoint = store.columns.checkpoint[row];
    counts.set(checkpoint, (counts.get(checkpoint) ?? 0) + 1);
  }
  return counts;
}

export function pairedRows(store: RolloutStore, a: number, b: number): PairedRow[] {
  const rows: Omit<PairedRow, "q">[] = [];
  const buckets: [string, number | null][] = [["all", null], ...store.report.index.buckets.map((name, at) => [name, at] as [string, number])];
  for (const measure of MEASURES) {
    const [ofA, ofB] = [a, b].map((checkpoint) => meansOfProblems(store, checkpoint, measure));
    for (const [bucket, number] of buckets) {
      const pairs = [...ofA].filter(([problem]) => ofB.has(problem) && (number === null || ofA.get(problem)!.bucket === number));
      if (number !== null && !pairs.length) continue;
      const left = pairs.map(([, each]) => each.mean);
      const right = pairs.map(([problem]) => ofB.get(problem)!.mean);
      rows.push({
        bucket,
        measure: measure.name,
        unit: measure.unit,
        a: meanOf(left).value,
        b: meanOf(right).value,
        ...differenceOf(right.map((value, at) => value - left[at])),
      });
    }
  }
  const q = qValues(rows.map((row) => row.difference.p));
  return rows.map((row, at) => ({ ...row, q: q[at] }));
}

function differenceOf(differences: readonly number[]): { difference: Estimate; reason: string } {
  const difference = meanOf(differences);
  if (difference.n >= FEWEST_PROBLEMS) return { difference, reason: Number.isNaN(difference.low) ? "no problem differs from another" : "" };
  return { difference: { ...difference, low: NaN, high: NaN, p: NaN }, reason: `fewer than ${FEWEST_PROBLEMS} problems` };
}

function meansOfProblems(store: RolloutStore, checkpoint: number, measure: Measure): Map<number, { mean: number; bucket: number }> {
  const sums = new Map<number, { sum: number; n: number; bucket: number }>();
  const { columns } = store;
  for (let row = 0; row < store.count; row++) {
    if (columns.checkpoint[row] !== checkpoint || columns.source[row] === PROBE_TEXT) continue;
    const value = measure.value(store, row);
    if (Number.isNaN(value)) continue;
    const each = sums.get(columns.problem[row]) ?? { sum: 0, n: 0, bucket: columns.bucket[row] };
    each.sum += value;
    each.n++;
    sums.set(columns.problem[row], each);
  }
  return new Map([...sums].map(([problem, { sum, n, bucket }]) => [problem, { mean: sum / n, bucket }]));
}
