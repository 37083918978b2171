// Rates of A and B and their difference: as dots with intervals, and as a table.
import { Dots } from "../charts";
import { hueClass } from "../colors";
import { interval, num, signed, words } from "../text";
import { readable } from "../tokens";
import { Table } from "../table";
import { sortFrom, sortText, type Column } from "../table-model";
import { useAddress } from "../address";
import { useMemo } from "preact/hooks";
import { isNumber } from "./rollouts-parts";

export interface BehaviorRow {
  bucket: string;
  measure: string;
  unit: string;
  a: number | null;
  a_low?: number | null;
  a_high?: number | null;
  b: number | null;
  b_low?: number | null;
  b_high?: number | null;
  difference: number | null;
  difference_low: number | null;
  difference_high: number | null;
  p: number | null;
  q: number | null;
  n: number | null;
  base?: number | null;
  /** A sampled again, less A. */
  control?: number | null;
  control_low?: number | null;
  control_high?: number | null;
  /** more, less, undecided, too few prompts. */
  verdict?: string | null;
  /** Why there is no interval. */
  reason: string;
}

interface BehaviorTableProps {
  rows: readonly BehaviorRow[];
  title: string;
  note: string;
}

export function BehaviorTable({ rows, title, note }: BehaviorTableProps) {
  const [address, go] = useAddress();
  const sort = useMemo(() => sortFrom(address.behavior as string | undefined), [address.behavior]);
  const measures = useMemo(() => [...new Set(rows.map((row) => row.measure))], [rows]);
  const shares = rows.filter((row) => row.unit === "share");
  const shareMeasures = measures.filter((measure) => shares.some((row) => row.measure === measure));
  const columns = useMemo(() => COLUMNS.filter((column) => !OPTIONAL.has(column.key) || rows.some((row) => (column.value(row) ?? "") !== "" && !Number.isNaN(column.value(row)))), [rows]);
  return (
    <div class="behavior">
      {shares.length > 0 && (
        <Dots
          title={title}
          untitled
          description="The difference B less A of each measure in each bucket, with its 95% interval."
          zero
          xName="B less A, as a share"
          rows={shares.map((row) => ({
            name: `${words(row.measure)}, ${readable(row.bucket)}`,
            value: row.difference,
            low: row.difference_low,
            high: row.difference_high,
            hue: measures.indexOf(row.measure),
            others: isNumber(row.control) ? [row.control] : [],
            note: `A ${num(row.a)}, B ${num(row.b)}, n ${row.n ?? "–"}${isNumber(row.control) ? `, control ${signed(row.control)}` : ""}`,
          }))}
          legend={shareMeasures.map((measure) => ({ name: words(measure), class: hueClass(measures.indexOf(measure)), kind: "dot" }))}
          note={note}
        />
      )}
      <Table
        rows={rows}
        columns={columns}
        rowKey={(row) => `${row.measure}\n${row.bucket}`}
        label={title}
        sort={sort}
        onSort={(next) => go({ behavior: sortText(next) })}
        height="none"
      />
    </div>
  );
}

/** Columns left out where nothing stands in them. */
const OPTIONAL = new Set(["base", "p", "q", "control", "verdict", "reason"]);

/** A number with its interval, two decimals. */
const rate = (value: number | null, low?: number | null, high?: number | null) =>
  interval({ value, low: low ?? null, high: high ?? null }, (x) => (isNumber(x) ? x.toFixed(2).replace("-", "−") : "–"));

const COLUMNS: Column<BehaviorRow>[] = [
  { key: "measure", title: "measure", value: (row) => words(row.measure), width: "13ch" },
  { key: "bucket", title: "bucket", value: (row) => readable(row.bucket), width: "minmax(10ch, 1fr)" },
  { key: "base", title: "base", value: (row) => row.base, cell: (row) => rate(row.base ?? null), width: "7ch", align: "right" },
  { key: "a", title: "A", value: (row) => row.a, cell: (row) => rate(row.a, row.a_low, row.a_high), width: "18ch", align: "right" },
  { key: "b", title: "B", value: (row) => row.b, cell: (row) => rate(row.b, row.b_low, row.b_high), width: "18ch", align: "right" },
  {
    key: "difference",
    title: "B − A",
    value: (row) => row.difference,
    cell: (row) => signed(row.difference),
    width: "9ch",
    align: "right",
    csvTitle: "difference",
  },
  { key: "low", title: "low", value: (row) => row.difference_low, cell: (row) => signed(row.difference_low), width: "9ch", align: "right" },
  { key: "high", title: "high", value: (row) => row.difference_high, cell: (row) => signed(row.difference_high), width: "9ch", align: "right" },
  {
    key: "control",
    title: "control",
    value: (row) => row.control,
    cell: (row) => rate(row.control ?? null, row.control_low, row.control_high),
    width: "18ch",
    align: "right",
    help: "A sampled again, less A: what differs where nothing was trained",
  },
  { key: "verdict", title: "B is", value: (row) => row.verdict, width: "12ch" },
  { key: "p", title: "p", value: (row) => row.p, cell: (row) => num(row.p), width: "8ch", align: "right" },
  {
    key: "q",
    title: "q",
    value: (row) => row.q,
    cell: (row) => num(row.q),
    width: "8ch",
    align: "right",
    help: "After Benjamini and Hochberg's correction",
  },
  {
    key: "n",
    title: "problems",
    value: (row) => row.n,
    width: "9ch",
    align: "right",
  },
  { key: "reason", title: "remark", value: (row) => row.reason, width: "24ch", sortable: false },
];
