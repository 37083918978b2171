// Structured filters over rollouts: the fields, their values, and how they stand in the address ("bucket:0,outcome:lucky").
// Values of one field are alternatives; fields must all hold.

import { runName } from "../names";
import { OUTCOMES, OUTCOME_WORDS, SOURCE_WORDS, type RolloutStore } from "./store";

export interface Field {
  key: string;
  label: string;
  /** The value of a row, as it stands in the address. */
  value(store: RolloutStore, row: number): string;
  /** What a reader sees for a value. */
  word(store: RolloutStore, value: string): string;
}

export const FIELDS: readonly Field[] = [
  {
    key: "outcome",
    label: "outcome",
    value: (store, row) => store.outcome(row),
    word: (_, value) => OUTCOME_WORDS[value as keyof typeof OUTCOME_WORDS] ?? value,
  },
  {
    key: "bucket",
    label: "bucket",
    value: (store, row) => String(store.columns.bucket[row]),
    word: (store, value) => (value === "255" ? "no bucket" : (store.report.index.buckets[Number(value)] ?? value)),
  },
  {
    key: "run",
    label: "run",
    value: (store, row) => String(store.runOf(store.columns.checkpoint[row])),
    word: ({ report: { index } }, value) => (index.runs[Number(value)] ? runName(index, Number(value)) : "no run"),
  },
  {
    key: "checkpoint",
    label: "checkpoint",
    value: (store, row) => String(store.columns.checkpoint[row]),
    word: (store, value) => checkpointWord(store, Number(value)),
  },
  {
    key: "format",
    label: "format",
    value: (store, row) => String(store.columns.format[row]),
    word: (store, value) => store.formats[Number(value)] ?? value,
  },
  {
    key: "source",
    label: "source",
    value: (store, row) => String(store.columns.source[row]),
    word: (_, value) => SOURCE_WORDS[Number(value)] ?? value,
  },
  {
    key: "problem",
    label: "problem",
    value: (store, row) => String(store.columns.problem[row]),
    word: (store, value) => store.problems[Number(value)]?.id ?? value,
  },
  {
    key: "cut",
    label: "cut off",
    value: (store, row) => String(store.columns.truncated[row]),
    word: (_, value) => (value === "1" ? "cut off at the length limit" : "ended by itself"),
  },
];

export function checkpointWord(store: RolloutStore, checkpoint: number): string {
  const { checkpoints, runs } = store.report.index;
  const label = store.checkpointLabel(checkpoint);
  const run = checkpoints[checkpoint]?.run;
  const name = runs[run]?.name ?? "";
  return runs.length > 1 && name && !label.includes(name) ? `${runName(store.report.index, run)}, ${label}` : label;
}

export const fieldOf = (key: string): Field | undefined => FIELDS.find((field) => field.key === key);

export type Filters = ReadonlyMap<string, ReadonlySet<string>>;

export function parseFilters(text: string | undefined): Filters {
  const filters = new Map<string, Set<string>>();
  for (const part of (text ?? "").split(",")) {
    const colon = part.indexOf(":");
    const key = part.slice(0, colon);
    if (colon < 1 || !fieldOf(key)) continue;
    filters.set(key, (filters.get(key) ?? new Set()).add(part.slice(colon + 1)));
  }
  return filters;
}

/** The filters as text for the address; undefined for none. */
export function formatFilters(filters: Filters): string | undefined {
  const parts = [...filters].flatMap(([key, values]) => [...values].map((value) => `${key}:${value}`));
  return parts.length ? parts.join(",") : undefined;
}

export function withValue(filters: Filters, key: string, value: string, wanted = true): Filters {
  const next = new Map([...filters].map(([each, values]) => [each, new Set(values)]));
  const values = next.get(key) ?? new Set<string>();
  if (wanted) values.add(value);
  else values.delete(value);
  if (values.size) next.set(key, values);
  else next.delete(key);
  return next;
}

export function hasValue(filters: Filters, key: string, value: string): boolean {
  return filters.get(key)?.has(value) ?? false;
}

/** Rows that pass all filters and, if given, the search. */
export function filterRows(store: RolloutStore, filters: Filters, hit: Uint8Array | null): number[] {
  const active = [...filters].map(([key, values]) => [fieldOf(key) as Field, values] as const);
  const rows: number[] = [];
  for (let row = 0; row < store.count; row++) {
    if (hit && !hit[row]) continue;
    if (active.every(([field, values]) => values.has(field.value(store, row)))) rows.push(row);
  }
  return rows;
}

/** The values a field takes in the report, with their numbers of rollouts, in a sensible order. */
export function valuesOf(store: RolloutStore, field: Field): { value: string; word: string; count: number }[] {
  const counts = new Map<string, number>();
  for (let row = 0; row < store.count; row++) {
    const value = field.value(store, row);
    counts.set(value, (counts.get(value) ?? 0) + 1);
  }
  const order = (value: string) => (field.key === "outcome" ? OUTCOMES.indexOf(value as never) : Number(value));
  return [...counts]
    .sort((a, b) => order(a[0]) - order(b[0]))
    .map(([value, count]) => ({ value, word: field.word(store, value), count }));
}
