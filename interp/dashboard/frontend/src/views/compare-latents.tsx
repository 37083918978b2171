// Latents of A and B: the change of each since the base, their difference, and how many differ where nothing was trained.
import { useMemo } from "preact/hooks";
import { useAddress } from "../address";
import { useChunks, type Report } from "../data";
import { useNotes, type Notes } from "../notes";
import { Choice, LatentLink, Loading, Search } from "../parts";
import { Table } from "../table";
import { sortFrom, sortText, type Column } from "../table-model";
import { count, matches, num, plural, signed } from "../text";
import { readable } from "../tokens";
import type { Comparison, Features, NumberArray } from "../types";
import { IntervalMark, isNumber } from "./rollouts-parts";

interface LatentRow {
  /** Number in the dictionary. */
  latent: number;
  name: string;
  role: string;
  changeA: number;
  changeB: number;
  difference: number;
  low: number;
  high: number;
  q: number;
  relation: number;
}

interface LatentComparisonsProps {
  report: Report;
  comparison: Comparison;
  features: Features;
  chunks: NonNullable<Comparison["latents"]>;
}

const MOST_Q = 0.05;

export function LatentComparisons({ report, comparison, features, chunks }: LatentComparisonsProps) {
  const [address, go] = useAddress();
  const [notes] = useNotes(report);
  const arrays = useChunks({ ...chunks, latents: features.latents, roles: features.role });
  const buckets = report.index.buckets;
  const bucket = Math.max(0, buckets.indexOf(String(address.bucket ?? "")));
  const rows = useMemo(() => (arrays ? latentRows(arrays, features, notes, bucket) : []), [arrays?.difference, notes, bucket]);
  const filtered = useMemo(
    () => filterLatents(rows, comparison.relations, address.q ?? "", address.relation as string | undefined),
    [rows, comparison, address.q, address.relation],
  );
  const reach = useMemo(() => reachOf(rows.filter(differs)) || reachOf(rows) || 1, [rows]);
  const columns = useMemo(() => latentColumns(comparison.relations, reach), [comparison, reach]);
  const sort = useMemo(() => sortFrom((address.sort as string | undefined) ?? "q"), [address.sort]);
  if (!arrays) return <Loading />;
  const relations = relationCounts(rows, comparison.relations);
  return (
    <>
      <Control rows={rows} control={arrays.control?.length > 1 ? arrays.control[bucket] : arrays.control?.[0]} bucket={buckets[bucket]} />
      <CountsByBucket counts={(comparison as ComparedLatents).counts ?? []} />
      <div class="toolbar">
        {buckets.length > 1 && (
          <Choice
            label="bucket"
            value={buckets[bucket]}
            options={buckets.map((name) => [name, readable(name)] as const)}
            onChange={(name) => go({ bucket: name })}
          />
        )}
        <Choice
          label="relation"
          value={String(address.relation ?? "")}
          options={[
            ["", `all (${count(rows.length)})`],
            ["differs", `differ, q ≤ ${MOST_Q} (${count(rows.filter(differs).length)})`],
            ...relations.map(([at, n]) => [String(at), `${readable(comparison.relations[at] ?? "unknown")} (${count(n)})`] as const),
          ]}
          onChange={(relation) => go({ relation })}
        />
        <Search label="latent, name or role" value={address.q ?? ""} onInput={(q) => go({ q })} />
      </div>
      <Table
        rows={filtered}
        columns={columns}
        rowKey={(row) => row.latent}
        label={`${comparison.name}: latents, ${buckets[bucket] ?? ""}`}
        sort={sort}
        onSort={(next) => go({ sort: sortText(next) })}
        onSelect={(row, opened) => opened && go({ v: "feature", f: row.latent })}
        height="max(300px, calc(var(--view) - 240px))"
        empty="No latent fits the search and the relation."
      />
    </>
  );
}

/** How many differ, beside how many differ when A is only sampled again. */
function Control({ rows, control, bucket }: { rows: readonly LatentRow[]; control: number | undefined; bucket: string | undefined }) {
  const tested = rows.filter((row) => !Number.isNaN(row.q)).length;
  const n = rows.filter(differs).length;
  return (
    <p class="control-line">
      <b>{count(n)}</b> of {plural(tested, "tested latent")} {n === 1 ? "differs" : "differ"} between A and B
      {bucket ? ` in ${readable(bucket)}` : ""} (q ≤ {MOST_Q}).{" "}
      {control === undefined ? (
        <span class="muted">The control, A sampled again, was not made.</span>
      ) : (
        <>
          The control, A sampled again: <b>{count(control)}</b>.
        </>
      )}
    </p>
  );
}

/** What Python may add to a comparison. */
export type ComparedLatents = Comparison & {
  corpus?: string;
  measure?: string;
  /** By bucket and comparison ("A to B", "A resampled"): problems, and the number of latents by verdict. */
  counts?: readonly Record<string, string | number | null>[];
};

/** Verdicts counted over all latents of the dictionary, those too rare to show included. */
function CountsByBucket({ counts }: { counts: readonly Record<string, string | number | null>[] }) {
  if (!counts.length) return null;
  const names = Object.keys(counts[0]).filter((name) => name !== "common_share");
  return (
    <details class="counts-by-bucket">
      <summary>Verdicts in every bucket, beside the control</summary>
      <div class="scroll-x" tabIndex={0} role="region" aria-label="Verdicts by bucket">
        <table class="plain">
          <thead>
            <tr>
              {names.map((name) => (
                <th key={name} scope="col" class={typeof counts[0][name] === "number" ? "right" : ""}>
                  {readable(name)}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {counts.map((row, at) => (
              <tr key={at}>
                {names.map((name) => {
                  const value = row[name];
                  return (
                    <td key={name} class={typeof value === "number" ? "right" : ""}>
                      {typeof value === "number" ? count(value) : readable(value ?? "")}
                    </td>
                  );
                })}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </details>
  );
}

const differs = (row: LatentRow): boolean => row.q <= MOST_Q;

function latentRows(arrays: Record<string, NumberArray>, features: Features, notes: Notes, bucket: number): LatentRow[] {
  const rows: LatentRow[] = [];
  const at = bucket * features.count;
  for (let row = 0; row < features.count; row++) {
    const value = (name: string) => arrays[name]?.[at + row] ?? NaN;
    const latent = arrays.latents[row];
    const role = arrays.roles?.[row];
    rows.push({
      latent,
      name: notes.nameOf(latent),
      role: role ? (features.roles[role] ?? "") : "",
      changeA: value("change_a"),
      changeB: value("change_b"),
      difference: value("difference"),
      low: value("low"),
      high: value("high"),
      q: value("q"),
      relation: arrays.relation?.[at + row] ?? -1,
    });
  }
  return rows;
}

function filterLatents(rows: readonly LatentRow[], relations: readonly string[], query: string, relation: string | undefined): LatentRow[] {
  return rows.filter((row) => {
    if (relation === "differs" ? !differs(row) : relation && row.relation !== Number(relation)) return false;
    if (!query.trim()) return true;
    return matches(`${row.latent} ${row.name} ${row.role} ${relations[row.relation] ?? ""}`.toLowerCase(), query);
  });
}

function relationCounts(rows: readonly LatentRow[], relations: readonly string[]): [number, number][] {
  const counts = relations.map(() => 0);
  for (const row of rows) if (row.relation in counts) counts[row.relation]++;
  return counts.map((n, at): [number, number] => [at, n]).filter(([, n]) => n > 0);
}

/** The end of the scale of intervals: most of them fit. 0 without any. */
function reachOf(rows: readonly LatentRow[]): number {
  const ends = rows.flatMap((row) => [Math.abs(row.low), Math.abs(row.high)]).filter(isNumber);
  ends.sort((a, b) => a - b);
  return ends[Math.floor(0.95 * (ends.length - 1))] || 0;
}

function latentColumns(relations: readonly string[], reach: number): Column<LatentRow>[] {
  const number = (key: "changeA" | "changeB" | "difference" | "low" | "high", title: string, help: string): Column<LatentRow> => {
    return { key, title, help, value: (row) => row[key], cell: (row) => signed(row[key]), width: "10ch", align: "right" };
  };
  return [
    {
      key: "latent",
      title: "latent",
      value: (row) => row.latent,
      cell: (row) => <LatentLink latent={row.latent} />,
      width: "9ch",
    },
    { key: "name", title: "name", value: (row) => readable(row.name), width: "minmax(6ch, 18ch)" },
    { key: "role", title: "role", value: (row) => readable(row.role), width: "minmax(6ch, 16ch)" },
    number("changeA", "change A", "A less the base"),
    number("changeB", "change B", "B less the base"),
    {
      ...number("difference", "B − A", "The difference of B and A, paired by prompt, with its 95% interval"),
      cell: (row) => (
        <>
          <IntervalMark value={row.difference} low={row.low} high={row.high} reach={reach} /> {signed(row.difference)}
        </>
      ),
      width: "200px",
      csvTitle: "difference",
    },
    number("low", "low", "Lower end of the 95% interval"),
    number("high", "high", "Upper end of the 95% interval"),
    { key: "q", title: "q", help: "After Benjamini and Hochberg's correction", value: (row) => row.q, cell: (row) => num(row.q), width: "9ch", align: "right" },
    {
      key: "relation",
      title: "relation",
      value: (row) => readable(relations[row.relation] ?? ""),
      width: "minmax(14ch, 1fr)",
    },
  ];
}
