// What a table's columns are, how its rows are sorted, and its CSV; nothing is drawn here.
import type { ComponentChildren, JSX } from "preact";
import { csv, type Cell } from "./text";

export interface Column<R> {
  key: string;
  title: string;
  /** The value to sort by and to save; a number, a text, or null. */
  value: (row: R) => Cell;
  /** What stands in the cell; the value by default. */
  cell?: (row: R) => ComponentChildren;
  /** Classes, style, title and aria attributes of the cell. */
  cellProps?: (row: R) => {
    class?: string;
    title?: string;
    style?: JSX.CSSProperties | { [name: string]: string };
    "aria-label"?: string;
  };
  /** A CSS grid size, e.g. "6ch" or "minmax(10ch, 2fr)". */
  width?: string;
  align?: "left" | "right" | "center";
  /** A tooltip of the header. */
  help?: string;
  sortable?: boolean;
  class?: string;
  headClass?: string;
  csvTitle?: string;
}

export interface Sort {
  key: string;
  descending: boolean;
}

const rank = (value: Cell): Cell => (typeof value === "number" && Number.isNaN(value) ? null : value === "" ? null : value);

/** Rows in the order of one column; what has no value stands last in either direction, and equal rows keep their order. */
export function sortRows<R>(rows: readonly R[], columns: readonly Column<R>[], sort: Sort | null | undefined): readonly R[] {
  const column = sort && columns.find((each) => each.key === sort.key);
  if (!sort || !column) return rows;
  const collator = new Intl.Collator("en", { numeric: true });
  const sign = sort.descending ? -1 : 1;
  const keyed = rows.map((row, index) => ({ row, index, value: rank(column.value(row)) }));
  keyed.sort((a, b) => {
    if (a.value == null || b.value == null) return Number(a.value == null) - Number(b.value == null) || a.index - b.index;
    const order =
      typeof a.value === "string" || typeof b.value === "string"
        ? collator.compare(String(a.value), String(b.value))
        : Number(a.value) - Number(b.value);
    return sign * order || a.index - b.index;
  });
  return keyed.map((each) => each.row);
}

/** The order of columns that a hash holds: "name" ascending, "-name" descending. */
export const sortText = (sort: Sort | null): string | null => sort && `${sort.descending ? "-" : ""}${sort.key}`;

export function sortFrom(text: string | undefined): Sort | null {
  if (!text) return null;
  return text.startsWith("-") ? { key: text.slice(1), descending: true } : { key: text, descending: false };
}

/** The rows as CSV, in the order of a sort. */
export function tableCsv<R>(rows: readonly R[], columns: readonly Column<R>[], sort?: Sort | null): string {
  return csv(
    columns.map((column) => column.csvTitle ?? column.title),
    sortRows(rows, columns, sort).map((row) => columns.map((column) => column.value(row))),
  );
}
