// The columns of the features view: facts of a latent, then a floor and a cell per checkpoint for each bucket.
import { scaleOf, shadeProps, type Scale } from "../colors";
import { runName } from "../names";
import { roleName, type FeatureTable } from "../features/rows";
import type { TrackData } from "../features/track";
import type { Notes } from "../notes";
import { LatentLink } from "../parts";
import type { HeadRow } from "../table";
import type { Column } from "../table-model";
import { downloadCsv, num, signed } from "../text";
import { readable } from "../tokens";

interface ColumnInputs {
  table: FeatureTable;
  data: TrackData | undefined;
  notes: Notes;
  buckets: number[];
  /** Numbers in place of colours. */
  numbers: boolean;
  /** Each latent has a colour scale of its own. */
  own: boolean;
  scale: Scale | undefined;
}

/** "c:BUCKET:PLACE" or "f:BUCKET": what a column of the matrix shows. */
export function parseColumn(key: string): { bucket: number; place: number | null } | null {
  const [kind, bucket, place] = key.split(":");
  if (kind === "c") return { bucket: Number(bucket), place: Number(place) };
  return kind === "f" ? { bucket: Number(bucket), place: null } : null;
}

/** Changes of latents differ by orders of magnitude: a scale of square roots shows the small ones too. */
export const matrixScale = (data: TrackData): Scale => ({ ...scaleOf(data.arrays.change ?? [], "diverging"), root: true });

function ownScales(data: TrackData): (row: number) => Scale {
  const known = new Map<number, Scale>();
  return (row) => {
    let scale = known.get(row);
    if (!scale) {
      let max = 0;
      for (const t of data.steps) {
        for (let b = 0; b < data.index.buckets.length; b++) max = Math.max(max, Math.abs(data.at("change", t, b, row)) || 0);
      }
      known.set(row, (scale = { kind: "diverging", max }));
    }
    return scale;
  };
}

export function featureColumns(inputs: ColumnInputs): Column<number>[] {
  const { table, data, notes } = inputs;
  const named = notes.latents.size > 0;
  const facts: Column<number>[] = [
    {
      key: "latent",
      title: "latent",
      align: "right",
      width: "8ch",
      help: "The number of the latent in the dictionary",
      value: (row) => table.latents[row],
      cell: (row) => <LatentLink latent={table.latents[row]} inGrid />,
    },
    {
      key: "name",
      title: "name",
      width: named ? "minmax(16ch, 30ch)" : "minmax(6ch, 14ch)",
      help: "The name that somebody gave it",
      value: (row) => notes.nameOf(table.latents[row]),
      cell: (row) => readable(notes.nameOf(table.latents[row])),
    },
    {
      key: "role",
      title: "role",
      width: "13ch",
      help: "The role family it earned by three gates",
      value: (row) => roleName(table, row),
      cell: (row) => (table.role[row] ? readable(roleName(table, row)) : <span class="muted">none</span>),
    },
    fact("slow", "block", (row) => (table.slow[row] ? "slow" : "fast"), "The slow or the fast block of the dictionary", "7ch"),
    fact("rate", "firing rate", (row) => table.firingRate[row], "Share of tokens where it is active", "12ch"),
    fact("mean", "mean active", (row) => table.meanWhenActive[row], "Mean activation where it is active", "13ch"),
  ];
  if (!data) return [...facts, fact("max", "max", (row) => table.max[row], "Largest activation", "9ch")];
  const own = ownScales(data);
  const scaleFor = (row: number): Scale => (inputs.own ? own(row) : (inputs.scale as Scale));
  return [...facts, ...inputs.buckets.flatMap((bucket) => bucketColumns(data, bucket, inputs.numbers, scaleFor))];
}

function fact(key: string, title: string, value: (row: number) => number | string, help: string, width: string): Column<number> {
  return {
    key,
    title,
    help,
    width,
    align: key === "slow" ? "left" : "right",
    value,
    cell: (row) => {
      const it = value(row);
      return typeof it === "number" ? num(it) : it;
    },
  };
}

function bucketColumns(data: TrackData, bucket: number, numbers: boolean, scaleFor: (row: number) => Scale): Column<number>[] {
  const { steps } = data;
  const name = readable(data.index.buckets[bucket]);
  const every = steps.length <= 8 || numbers ? 1 : Math.ceil(steps.length / 4);
  const width = numbers ? "9ch" : steps.length <= 8 ? `minmax(30px, ${steps.length <= 3 ? 96 : 56}px)` : "minmax(13px, 40px)";
  const floor: Column<number> = {
    key: `f:${bucket}`,
    title: "F",
    help: `Floor of ${name}: the base against the base sampled again`,
    width: numbers ? "9ch" : "26px",
    align: numbers ? "right" : "center",
    class: "matrix floor-cell",
    value: (row) => data.floor(bucket, row).value,
    cell: (row) => (numbers ? signed(data.floor(bucket, row).value) : ""),
    cellProps: (row) => {
      const { value } = data.floor(bucket, row);
      return { ...shadeProps(value, scaleFor(row)), "aria-label": `floor ${signed(value)}` };
    },
  };
  const last = steps.length - 1;
  const labelled = (i: number) => i === last || (i % every === 0 && last - i >= every / 2);
  const cells = steps.map((t, i): Column<number> => {
    const marked = (row: number) => data.at("q", t, bucket, row) <= 0.05;
    return {
      key: `c:${bucket}:${t}`,
      title: labelled(i) ? String(data.step(t)) : "",
      help: `${name}, ${data.label(t)}: change since the base`,
      width,
      align: numbers ? "right" : "center",
      class: "matrix",
      headClass: i === last && every > 1 ? "step-head end" : "step-head",
      value: (row) => data.at("change", t, bucket, row),
      cell: (row) => {
        const mark = marked(row);
        if (numbers) return `${signed(data.at("change", t, bucket, row))}${mark ? "*" : ""}`;
        return mark ? "•" : "";
      },
      cellProps: (row) => {
        const value = data.at("change", t, bucket, row);
        return { ...shadeProps(value, scaleFor(row)), "aria-label": `${signed(value)}${marked(row) ? ", q at most 0.05" : ""}` };
      },
    };
  });
  return [floor, ...cells];
}

/** Above the names: buckets, and the band of drift. */
export function headRows(data: TrackData, buckets: number[], columns: readonly Column<number>[]): HeadRow[] {
  const perBucket = data.steps.length + 1;
  const before = columns.length - perBucket * buckets.length;
  return [
    {
      label: "buckets",
      cells: [
        { key: "facts", span: before, class: "right", content: data.index.runs[data.track.run] ? runName(data.index, data.track.run) : readable(data.track.name) },
        ...buckets.map((b) => ({
          key: `b${b}`,
          span: perBucket,
          class: "bucket-head",
          content: readable(data.index.buckets[b]),
        })),
      ],
    },
    {
      label: "drift",
      cells: [
        { key: "facts", span: before, class: "right", content: "drift of the dictionary" },
        ...buckets.flatMap((b) => [
          { key: `f${b}`, span: 1 },
          ...data.steps.map((t) => {
            const drift = data.drift(t, b);
            return {
              key: `d${b}:${t}`,
              span: 1,
              class: `drift ${drift ? (drift.trusted ? "good" : "bad") : ""}`,
              title: driftText(data, t, b),
              content: <i />,
            };
          }),
        ]),
      ],
    },
  ];
}

export function driftText(data: TrackData, t: number, bucket: number): string {
  const drift = data.drift(t, bucket);
  if (!drift) return "drift not measured";
  const trust = drift.trusted ? "trusted" : `not trusted${drift.reason ? ` (${readable(drift.reason)})` : ""}`;
  return `dictionary explains ${num(drift.fve)} of the variance (threshold ${num(drift.threshold)}): ${trust}`;
}

/** The matrix with its intervals: a row per latent, bucket and checkpoint. */
export function saveMatrix(
  table: FeatureTable,
  data: TrackData | undefined,
  notes: Notes,
  buckets: number[],
  rows: readonly number[],
): void {
  const facts = (row: number) => {
    const latent = table.latents[row];
    return [
      latent,
      notes.nameOf(latent),
      roleName(table, row),
      table.slow[row],
      table.firingRate[row],
      table.meanWhenActive[row],
      table.max[row],
    ];
  };
  const head = ["latent", "name", "role", "slow", "firing_rate", "mean_when_active", "max"];
  if (!data) return downloadCsv("features", head, rows.map(facts));
  const { track, index } = data;
  downloadCsv(
    `features ${track.name} ${track.corpus} ${track.measure}`,
    [
      ...head,
      "bucket",
      "checkpoint",
      "step",
      "level",
      "change",
      "low",
      "high",
      "q",
      "verdict",
      "floor",
      "floor_low",
      "floor_high",
      "trusted",
    ],
    rows.flatMap((row) =>
      buckets.flatMap((b) =>
        data.steps.map((t) => {
          const cell = data.cell(t, b, row);
          const floor = data.floor(b, row);
          return [
            ...facts(row),
            index.buckets[b],
            data.label(t),
            data.step(t),
            cell.level,
            cell.change,
            cell.low,
            cell.high,
            cell.q,
            cell.verdict,
            floor.value,
            floor.low,
            floor.high,
            data.drift(t, b)?.trusted ?? null,
          ];
        }),
      ),
    ),
  );
}
